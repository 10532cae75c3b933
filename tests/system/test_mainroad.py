"""The main road: a real Postfix hands messages in, real mail clients read them back byte for byte, and the
same bytes are in the redundant spool of the day."""
import glob
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

from suite import DOMAIN, PASSWORD, BUILD, Skip, Suite, body_of, main, note


class Postfix:
    """A Postfix of the test's own: its own configuration, queue and log; stopped at the end."""

    MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

    def __init__(self, base, port, lmtp_port):
        self.dir = os.path.join(base, "postfix")
        self.port = port
        os.makedirs(self.dir + "/queue")
        os.makedirs(self.dir + "/data")
        os.makedirs(self.dir + "/log")
        shutil.chown(self.dir + "/data", "postfix")
        with open(self.dir + "/master.cf", "w") as f:
            f.write(self.MASTER.format(port=port))
        with open(self.dir + "/main.cf", "w") as f:
            f.write(f"""compatibility_level = 3.6
queue_directory = {self.dir}/queue
data_directory = {self.dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = {self.dir}/log/mail.log
maillog_file_prefixes = {base}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.{DOMAIN}
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = {DOMAIN}
virtual_transport = lmtp:inet:127.0.0.1:{lmtp_port}
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
minimal_backoff_time = 5s
maximal_backoff_time = 10s
queue_run_delay = 5s
""")
        self.run("start")

    def run(self, verb):
        p = subprocess.run(["/usr/sbin/postfix", "-c", self.dir, verb], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
        if p.returncode and verb != "stop":
            raise RuntimeError("postfix %s: %s" % (verb, p.stdout))

    def log(self):
        try:
            return open(self.dir + "/log/mail.log").read()
        except FileNotFoundError:
            return ""

    def stop(self):
        self.run("stop")


def sample():
    """A message with what a careless relay would change."""
    return ("From: sender@elsewhere.example\r\n"
            f"To: alice@{DOMAIN}\r\n"
            "Subject: =?utf-8?q?K=C3=A4se?= and dots\r\n"
            "Message-ID: <mainroad-1@elsewhere.example>\r\n"
            "Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
            "MIME-Version: 1.0\r\n"
            "Content-Type: multipart/mixed; boundary=\"b=1\"\r\n\r\n"
            "--b=1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            ".a line with a dot\r\n..\r\n.\r\n..two\r\ntrailing blanks   \r\n\ttab\r\n"
            "8-bit: äöü €\r\n\r\n\r\n"
            "--b=1\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + "QUJD" * 18 + "\r\n" + "--b=1--\r\n" + "x" * 900 + "\r\nend\r\n").encode()


STATE = {}


def keep_message(m):
    m.select("INBOX")
    _, got = m.fetch("1", "(UID BODY.PEEK[])")
    STATE["uid"] = int(re.search(rb"UID (\d+)", got[0][0]).group(1))
    STATE["raw"] = got[0][1]
    m.logout()
    return got


def postfix_delivers(suite):
    if os.getuid() != 0:
        assert suite.deliver(sample(), ["alice"])[0][0] == 250
        keep_message(suite.imap("alice"))
        raise Skip("Postfix needs root to start: relayd was given the message without it")
    pf = Postfix(suite.base, suite.port(10225), suite.port(10024))
    STATE["postfix"] = pf
    raw = sample()
    data = os.path.join(suite.base, "sample.eml")
    # swaks wants LF lines and sends CRLF; it doubles leading dots itself and ends the last line.
    with open(data, "wb") as f:
        f.write(raw.replace(b"\r\n", b"\n")[:-1])
    p = subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(pf.port), "--from", "sender@elsewhere.example",
                        "--to", f"alice@{DOMAIN}", "--data", "@" + data, "--hide-all"],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert p.returncode == 0, p.stdout
    deadline = time.time() + 30
    while "status=sent" not in pf.log() and time.time() < deadline:
        time.sleep(0.1)
    m = suite.imap("alice")
    while time.time() < deadline:
        if int(m.select("INBOX")[1][0]) == 1:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the message did not arrive:\n" + pf.log()[-3000:])
    got = keep_message(m)
    assert "status=sent (250 2" in pf.log(), pf.log()[-2000:]
    assert body_of(got[0][1]) == raw, [(a, b) for a, b in zip(raw.split(b'\n'), body_of(got[0][1]).split(b'\n')) if a != b][:3]
    assert got[0][1].startswith(b"Return-Path: <sender@elsewhere.example>\r\n"), got[0][1][:200]
    # a large one, which travels as a file
    with open(data, "wb") as f:
        f.write((raw.replace(b"\r\n", b"\n") + (b"y" * 76 + b"\n") * 60000)[:-1])
    p = subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(pf.port), "--from", "sender@elsewhere.example",
                        "--to", f"bob@{DOMAIN}", "--data", "@" + data, "--hide-all"],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert p.returncode == 0, p.stdout


def need_message():
    if "raw" not in STATE:
        raise Skip("no message from Postfix")


def curl_reads(suite):
    need_message()
    for url in (f"imaps://localhost:{suite.port(10993)}/INBOX;UID={STATE['uid']}",
                f"pop3s://localhost:{suite.port(10995)}/1"):
        p = subprocess.run(["curl", "-sS", "--cacert", f"{suite.base}/tls/cert.pem", "--user", f"alice:{PASSWORD}", url],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        assert p.returncode == 0, p.stderr
        assert p.stdout == STATE["raw"], (url, p.stdout[:300], STATE["raw"][:300])
    # STARTTLS and a SCRAM login
    p = subprocess.run(["curl", "-sS", "--ssl-reqd", "--cacert", f"{suite.base}/tls/cert.pem", "--login-options",
                        "AUTH=PLAIN", "--user", f"alice:{PASSWORD}",
                        f"imap://localhost:{suite.port(10143)}/INBOX;UID={STATE['uid']}"],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert p.returncode == 0 and p.stdout == STATE["raw"], p.stderr


def mbsync_reads(suite):
    need_message()
    box = os.path.join(suite.base, "mbsync")
    os.makedirs(box)
    rc = box + "/rc"
    with open(rc, "w") as f:
        f.write(f"""IMAPAccount a
Host localhost
Port {suite.port(10993)}
User alice
Pass {PASSWORD}
SSLType IMAPS
AuthMechs PLAIN
CertificateFile {suite.base}/tls/cert.pem

IMAPStore far
Account a

MaildirStore near
Path {box}/mail/
Inbox {box}/mail/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
""")
    os.makedirs(box + "/mail")

    def sync():
        p = subprocess.run(["mbsync", "-c", rc, "-a"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                           text=True)
        assert p.returncode == 0, p.stdout
    sync()
    files = glob.glob(box + "/mail/INBOX/*/*,*") + glob.glob(box + "/mail/INBOX/new/*")
    assert len(files) == 1, files
    got = open(files[0], "rb").read()
    got = re.sub(rb"X-TUID: [^\n]*\n", b"", got)
    assert got == STATE["raw"].replace(b"\r\n", b"\n"), (got[:400], STATE["raw"][:400])
    for folder in ("Drafts", "Sent", "Trash", "Junk", "Archive"):
        assert os.path.isdir(f"{box}/mail/{folder}"), os.listdir(box + "/mail")
    # the other way: a new message and a flag from the client's side
    with open(box + "/mail/Sent/cur/1.own.host:2,S", "wb") as f:
        f.write(b"From: alice@example.test\nSubject: from mbsync\n\nhello\n")
    os.rename(files[0], re.sub(r"/(new|cur)/([^:]*)(:2,.*)?$", r"/cur/\2:2,FS", files[0]))
    sync()
    m = suite.imap("alice")
    m.select("Sent")
    assert m.search(None, "SUBJECT", '"from mbsync"')[1][0], "the message mbsync added is not in Sent"
    m.select("INBOX")
    flags = m.fetch("1", "(FLAGS)")[1][0]
    assert b"\\Flagged" in flags and b"\\Seen" in flags, flags
    m.logout()


def mutt_reads(suite):
    need_message()
    box = os.path.join(suite.base, "mutt")
    os.makedirs(box)
    with open(box + "/rc", "w") as f:
        f.write(f"""set folder="imaps://localhost:{suite.port(10993)}/"
set imap_user="alice"
set imap_pass="{PASSWORD}"
set ssl_ca_certificates_file="{suite.base}/tls/cert.pem"
set ssl_verify_host=no
set certificate_file="{box}/certs"
set header_cache=""
set copy=no
set confirmappend=no
set confirmcreate=no
set delete=no
set quit=yes
set wait_key=no
set mbox_type=mbox
set save_empty=no
set timeout=5
""")
    shutil.copy(f"{suite.base}/tls/cert.pem", box + "/certs")
    out = box + "/out.mbox"
    keys = f"<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>{out}<enter><quit>"
    argv = ["mutt", "-n", "-F", box + "/rc", "-f", f"imaps://localhost:{suite.port(10993)}/INBOX", "-e", f'push "{keys}"']
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", HOME=box, LC_ALL="C.UTF-8")
        os.execvp(argv[0], argv)
    screen, deadline, status = b"", time.time() + 60, None
    while time.time() < deadline:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                d = os.read(fd, 65536)
            except OSError:
                d = b""
            if not d:
                break
            screen += d
        done, st = os.waitpid(pid, os.WNOHANG)
        if done:
            status = st
            break
    if status is None:
        done, st = os.waitpid(pid, os.WNOHANG)
        if not done:
            os.kill(pid, 15)
            os.waitpid(pid, 0)
    assert os.path.exists(out), screen[-3000:]
    got = open(out, "rb").read()
    want = STATE["raw"].replace(b"\r\n", b"\n")
    head, body = want.split(b"\n\n", 1)
    assert body in got, (body[:300], got[:1500])
    for line in head.split(b"\n"):
        assert line in got, line


def fetchmail_reads(suite):
    need_message()
    box = os.path.join(suite.base, "fetchmail")
    os.makedirs(box)
    with open(box + "/rc", "w") as f:
        f.write(f"""poll localhost protocol pop3 port {suite.port(10995)}
  user "alice" password "{PASSWORD}" ssl sslproto "TLS1.2+" sslcertfile "{suite.base}/tls/cert.pem" sslcertck
  keep fetchall no rewrite no mimedecode mda "/bin/cat >> {box}/out"
""")
    os.chmod(box + "/rc", 0o600)
    p = subprocess.run(["fetchmail", "--fetchmailrc", box + "/rc", "--invisible", "--nodetach", "--nosyslog"],
                       env=dict(os.environ, HOME=box, FETCHMAILHOME=box), stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=60)
    assert p.returncode == 0, p.stdout
    got = open(box + "/out", "rb").read()
    want = STATE["raw"].replace(b"\r\n", b"\n")
    assert body_of(got).startswith(body_of(want)), (got[:600], want[:600])


def redundant_has_it(suite):
    need_message()
    day = time.strftime("%Y-%m-%d")
    logs = glob.glob(f"{suite.base}/spool/redundant/{day}*/*.log")
    assert logs, os.listdir(f"{suite.base}/spool/redundant")
    for log in logs:
        p = subprocess.run([BUILD + "/redundantcat", "-m", log, "alice", str(STATE["uid"])], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
        if p.returncode == 0:
            assert p.stdout == STATE["raw"], (p.stdout[:300], STATE["raw"][:300])
            return
    raise AssertionError("not in the redundant spool: %r" % p.stderr)


def large_one_arrived(suite):
    if "postfix" not in STATE:
        raise Skip("no Postfix")
    deadline = time.time() + 20
    while not re.search(r"to=<bob@.*status=sent", STATE["postfix"].log()):
        assert time.time() < deadline, STATE["postfix"].log()[-2000:]
        time.sleep(0.1)
    m = suite.imap("bob")
    m.select("INBOX")
    got = m.fetch("1", "(BODY.PEEK[])")[1][0][1]
    assert body_of(got) == sample() + (b"y" * 76 + b"\r\n") * 60000
    m.logout()


def stop_postfix(suite):
    if "postfix" in STATE:
        STATE["postfix"].stop()


if __name__ == "__main__":
    s = Suite()
    try:
        sys.exit(main(s, [postfix_delivers, curl_reads, mbsync_reads, mutt_reads, fetchmail_reads, redundant_has_it,
                          large_one_arrived, stop_postfix]))
    finally:
        if "postfix" in STATE:
            STATE["postfix"].stop()
