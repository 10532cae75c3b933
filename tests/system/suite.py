"""A whole suite for a system test: started by conf/run-suite in a folder of its own, stopped at the end.

A test file defines functions and gives them to main(); each prints one TAP line. A warn., fatal. or bug.
line in a log that the test did not announce (suite.expect) fails the test file.
"""
import atexit
import glob
import imaplib
import os
import poplib
import pty
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("TS_BUILD", "build"))
PASSWORD = "twinspool"
DOMAIN = "example.test"
DAEMONS = ["mupdated", "rotated", "spoold", "lmtpd", "relayd", "proxyd"]
TOTAL = {"failed": 0, "n": 0}


class Skip(Exception):
    pass


def free_offset():
    """A port offset at which every port of a suite can be bound."""
    for off in range(10000 + os.getpid() % 97 * 100, 50000, 1000):
        ok = True
        for p in (10143, 10993, 10110, 10995, 10024, 10025, 13905, 10587):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", p + off))
            except OSError:
                ok = False
            finally:
                s.close()
        if ok:
            return off
    raise RuntimeError("no free ports")


class Suite:
    def __init__(self, users=0, conf=None, base=None, start=True):
        self.base = base or tempfile.mkdtemp(prefix="tsuite.", dir="/tmp")
        os.chmod(self.base, 0o755)
        self.offset = free_offset()
        self.users = users
        self.proc = None
        self.expected = []
        self.conf_dir = None
        if conf:
            self.conf_dir = os.path.join(self.base, "conf-add")
            os.makedirs(self.conf_dir, exist_ok=True)
            for d, text in conf.items():
                with open(os.path.join(self.conf_dir, d + ".conf"), "w") as f:
                    f.write(text)
        atexit.register(self.close)
        if start:
            self.start()

    # --- life
    def start(self):
        env = dict(os.environ, TS_BASE=self.base, TS_PORT_OFFSET=str(self.offset), TS_USERS=str(self.users),
                   TS_BIN=BUILD)
        if self.conf_dir:
            env["TS_CONF_ADD"] = self.conf_dir
        self.out = open(os.path.join(self.base, "run-suite.out"), "ab+")
        mark = self.out.seek(0, 2)
        self.proc = subprocess.Popen([os.path.join(TOP, "conf/run-suite")], stdin=subprocess.DEVNULL,
                                     stdout=self.out, stderr=subprocess.STDOUT, env=env, start_new_session=True)
        deadline = time.time() + 120
        while True:
            with open(self.out.name, "rb") as f:
                f.seek(mark)
                text = f.read().decode(errors="replace")
            if "\nready\n" in text:
                return
            if self.proc.poll() is not None or time.time() > deadline:
                raise RuntimeError("the suite did not start:\n" + text)
            time.sleep(0.05)

    def stop(self):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            self.proc.wait(120)
        if self.proc:
            self.out.close()
        self.proc = None

    def close(self):
        self.stop()
        if os.path.isdir(self.base) and not os.environ.get("TS_KEEP"):
            shutil.rmtree(self.base, ignore_errors=True)
            # append-only day files, if rotated could set the flag
            if os.path.isdir(self.base):
                subprocess.run(["chattr", "-R", "-a", self.base], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
                shutil.rmtree(self.base, ignore_errors=True)

    def sv(self, verb, *daemons):
        subprocess.run(["sv", "-w", "30", verb, *daemons], env=dict(os.environ, SVDIR=self.base + "/sv"),
                       stdout=subprocess.DEVNULL, check=False)

    def wait_port(self, port, seconds=30):
        deadline = time.time() + seconds
        while time.time() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port(port)), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"port {port} does not answer")

    # --- places
    def port(self, p):
        return p + self.offset

    def log(self, daemon):
        out = ""
        for f in sorted(glob.glob(f"{self.base}/log/{daemon}/*.[us]")) + [f"{self.base}/log/{daemon}/current"]:
            try:
                out += open(f, errors="replace").read()
            except FileNotFoundError:
                pass
        return out

    def wait_log(self, daemon, pattern, seconds=10):
        deadline = time.time() + seconds
        while time.time() < deadline:
            m = re.search(pattern, self.log(daemon))
            if m:
                return m
            time.sleep(0.05)
        raise AssertionError(f"{daemon}'s log has no {pattern!r}:\n" + self.log(daemon)[-2000:])

    def expect(self, pattern):
        """A warn., fatal. or bug. line that this test causes."""
        self.expected.append(re.compile(pattern))

    def strays(self):
        bad = []
        for d in DAEMONS:
            for line in self.log(d).splitlines():
                if re.search(r" (warn|fatal|bug)\.", line) or "Sanitizer" in line or "runtime error" in line:
                    if not any(e.search(line) for e in self.expected):
                        bad.append(line)
        return bad

    # --- processes
    def pids(self, name=None):
        """{pid: name} of the suite's processes; name is a daemon or a process such as "spoold/lot"."""
        found = {}
        for d in DAEMONS:
            try:
                parent = int(open(f"{self.base}/sv/{d}/supervise/pid").read())
            except (FileNotFoundError, ValueError):
                continue
            for pid in [parent] + children(parent):
                try:
                    title = d if pid == parent else open(f"/proc/{pid}/comm").read().strip()
                except OSError:
                    continue
                if name is None or title == name or d == name:
                    found[pid] = title
        return found

    # --- clients
    def imap(self, user="alice", password=PASSWORD, tls=True):
        if tls:
            m = imaplib.IMAP4_SSL("127.0.0.1", self.port(10993), ssl_context=self.tls(), timeout=60)
        else:
            m = imaplib.IMAP4("127.0.0.1", self.port(10143), timeout=60)
        if user:
            m.login(user, password)
        return m

    def pop3(self, user="alice", password=PASSWORD, utf8=False):
        p = poplib.POP3_SSL("127.0.0.1", self.port(10995), context=self.tls(), timeout=60)
        if utf8:
            p.utf8()
        p.user(user)
        p.pass_(password)
        return p

    def tls(self):
        c = ssl.create_default_context(cafile=f"{self.base}/tls/cert.pem")
        return c

    def lmtp(self, port=10024):
        return Lmtp("127.0.0.1", self.port(port))

    def deliver(self, message, to=("alice",), sender="sender@elsewhere.example", port=10024):
        """One message; the list of (code, text), one for each recipient."""
        with self.lmtp(port) as l:
            return l.send(sender, [t if "@" in t else f"{t}@{DOMAIN}" for t in to], message)

    # --- the operator's tools
    def spoolctl(self, *words, **kw):
        return subprocess.run(self.spoolctl_argv(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=120, **kw)

    def spoolctl_argv(self, *words):
        return [BUILD + "/spoolctl", "-s", self.base + "/run/spoold/upkeep", *words]

    def redundant_has(self, needle):
        """Days whose log holds the bytes, with how often."""
        days = {}
        for f in glob.glob(f"{self.base}/spool/redundant/*/*.log"):
            n = open(f, "rb").read().count(needle)
            if n:
                days[f.split("/")[-2]] = days.get(f.split("/")[-2], 0) + n
        return days


class Lmtp:
    """A plain LMTP client that shows every reply (smtplib's LMTP hides the per-recipient ones)."""

    def __init__(self, host, port, timeout=60):
        self.s = socket.create_connection((host, port), timeout)
        self.f = self.s.makefile("rb")
        self.greeting = self.reply()
        self.lhlo = self.cmd("LHLO tester.example")

    def __enter__(self):
        return self

    def __exit__(self, *a):
        try:
            self.s.sendall(b"QUIT\r\n")
        except OSError:
            pass
        self.close()

    def close(self):
        self.f.close()
        self.s.close()

    def reply(self):
        text = []
        while True:
            line = self.f.readline()
            if not line:
                raise ConnectionError("closed")
            line = line.decode(errors="replace").rstrip("\r\n")
            text.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), "\n".join(text)

    def cmd(self, line):
        self.s.sendall((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
        return self.reply()

    def send(self, sender, to, message):
        """[(code, text)] in the order of to; recipients refused at RCPT keep that reply."""
        if isinstance(message, str):
            message = message.encode()
        lines = message.split(b"\r\n")
        body = b"\r\n".join(b"." + l if l.startswith(b".") else l for l in lines)
        if not body.endswith(b"\r\n"):
            body += b"\r\n"
        self.s.sendall(b"".join([f"MAIL FROM:<{sender}>\r\n".encode()] +
                                [f"RCPT TO:<{t}>\r\n".encode() for t in to]))
        mail = self.reply()
        rcpts = [self.reply() for _ in to]
        if mail[0] != 250:
            return [mail] * len(to)
        good = [i for i, r in enumerate(rcpts) if r[0] == 250]
        if good:
            self.s.sendall(b"DATA\r\n")
            go = self.reply()
            if go[0] != 354:
                for i in good:
                    rcpts[i] = go
                self.cmd("RSET")
                return rcpts
            self.s.sendall(body + b".\r\n")
            for i in good:
                rcpts[i] = self.reply()
        else:
            self.cmd("RSET")
        return rcpts


class NextHop:
    """A small SMTP server for forwarded mail: keeps what it is given."""

    def __init__(self, port):
        import threading
        self.got = []
        self.conns = []
        self.s = socket.socket()
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.s.bind(("127.0.0.1", port))
        self.s.listen(16)
        self.t = threading.Thread(target=self.loop, daemon=True)
        self.t.start()

    def loop(self):
        import threading
        while True:
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            self.conns.append(c)
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        f = c.makefile("rb")
        c.sendall(b"220 hop.example ESMTP\r\n")
        sender, rcpts = None, []
        while True:
            line = f.readline()
            if not line:
                return
            verb = line[:4].upper()
            if verb == b"EHLO":
                c.sendall(b"250-hop.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 0\r\n")
            elif verb == b"MAIL":
                sender, rcpts = line, []
                c.sendall(b"250 ok\r\n")
            elif verb == b"RCPT":
                rcpts.append(line)
                c.sendall(b"250 ok\r\n")
            elif verb == b"DATA":
                c.sendall(b"354 go\r\n")
                data = b""
                while True:
                    l = f.readline()
                    if not l or l == b".\r\n":
                        break
                    data += l[1:] if l.startswith(b".") else l
                self.got.append((sender, rcpts, data))
                c.sendall(b"250 kept\r\n")
            elif verb == b"QUIT":
                c.sendall(b"221 bye\r\n")
                c.close()
                return
            else:
                c.sendall(b"250 ok\r\n")

    def close(self):
        for c in self.conns + [self.s]:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.s.close()


def children(pid):
    try:
        out = []
        for t in os.listdir(f"/proc/{pid}/task"):
            out += [int(p) for p in open(f"/proc/{pid}/task/{t}/children").read().split()]
        return out
    except (FileNotFoundError, ProcessLookupError):
        return []


def on_a_terminal(argv):
    """What a program says that thinks it is on one."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(argv[0], argv)
    out = b""
    while True:
        try:
            piece = os.read(fd, 4096)
        except OSError:
            break
        if not piece:
            break
        out += piece
    os.close(fd)
    os.waitpid(pid, 0)
    return out


def message(n, size=0, subject=None):
    """A message that can be told from all others."""
    body = f"This is message {n}.\r\n"
    while len(body) < size:
        body += ("%08d " % len(body)) * 7 + "\r\n"
    return (f"From: sender@elsewhere.example\r\nTo: alice@{DOMAIN}\r\nSubject: {subject or 'message %s' % n}\r\n"
            f"Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{n}@elsewhere.example>\r\n\r\n{body}").encode()


def body_of(raw):
    """What follows the trace lines that relayd and lmtpd put in front."""
    return raw[raw.index(b"From: sender@"):]


def main(suite, tests):
    print(f"1..{len(tests) + 1}", flush=True)
    n = failed = 0
    for t in tests:
        n += 1
        try:
            t(suite)
            print(f"ok {n} - {t.__name__}", flush=True)
        except Skip as e:
            print(f"ok {n} - {t.__name__} # SKIP {e}", flush=True)
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print(f"not ok {n} - {t.__name__}", flush=True)
    if suite:
        strays = suite.strays()
        suite.stop()
        print("\n".join("stray: " + s for s in strays[:20]))
        failed += 1 if strays else 0
        print(f"{'not ok' if strays else 'ok'} {n + 1} - no stray warnings in the logs", flush=True)
    else:
        print(f"ok {n + 1} - end")
    return 1 if failed else 0


def note(text):
    """A figure that a reader of the test's output should see."""
    print("# " + text, flush=True)
