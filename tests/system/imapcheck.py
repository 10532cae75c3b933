"""A strict IMAP client for tests: every octet that a server sends is held against the grammar of RFC 3501 section 9
(and of the extensions in use), and against what a client may conclude of its mailbox (RFC 3501 5.2, 7.3, 7.4).
Raises AssertionError where a server is wrong. It knows no server by name. TS_TRACE=DIR: each connection's lines are
written to a file there.
"""
import itertools
import os
import re
import socket
import ssl
import time

from imaptext import ATOM, MODSEQ, SYSTEM, Text, code_check, uid_set

LIST_FLAGS = {b"\\Noselect", b"\\NonExistent", b"\\HasChildren", b"\\HasNoChildren", b"\\Noinferiors", b"\\Marked",
              b"\\Unmarked", b"\\Subscribed", b"\\Remote", b"\\Drafts", b"\\Sent", b"\\Trash", b"\\Junk", b"\\Archive"}
# While these run by sequence number, or none runs, numbers must not shift (RFC 3501 7.4.1, RFC 5256 3).
STILL = ("FETCH", "STORE", "SEARCH", "SORT", "THREAD", "")


TRACE = os.environ.get("TS_TRACE")
CONNECTIONS = itertools.count(1)


class Client:
    """One connection. self.msgs is what the client believes: a list of {"uid": .., "flags": ..} in sequence order."""

    def __init__(self, port, tls=None, timeout=30, stream=None):
        """stream: a session that is logged in, instead of a port."""
        self.s = stream or socket.create_connection(("127.0.0.1", port), timeout)
        self.s.settimeout(timeout)
        if not stream:
            self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.s = tls.wrap_socket(self.s, server_hostname="localhost")
        self.buf = b""
        self.log = open(f"{TRACE}/{os.getpid()}-{next(CONNECTIONS)}", "wb") if TRACE else None
        self.n = 0
        self.msgs = None
        self.keywords = set()
        self.running = ""	# the command whose answer is awaited: decides whether EXPUNGE may come
        self.seen = []
        self.codes = []
        self.answers = []	# "OK", "NO" or "BAD" of each command
        self.gone = []		# uids (None: never learnt) of EXPUNGE responses
        self.modseq = None	# RFC 7162 6: up to here it knows all; what counts for it in the command that runs:
        self.modseq_coded = self.modseq_fetched = None
        self.cached = None	# {uid: flags} from before, while a SELECT (QRESYNC) tells what became of them
        self.cached_validity = 0
        self.is_all_asked = False	# that SELECT tells of messages not in the cache, too
        self.is_counted = False	# it told EXISTS
        if stream:
            return
        self.greeting = self.response()
        assert self.greeting[0] == b"*" and self.greeting[1] in (b"OK", b"PREAUTH"), self.greeting

    def close(self):
        self.s.close()

    def trace(self, way, line):
        if self.log:
            self.log.write(b"%.4f %s %s\n" % (time.time() % 100000, way, line[:1000].replace(b"\r\n", b"|")))
            self.log.flush()

    # --- bytes
    def more(self):
        got = self.s.recv(65536)
        if not got:
            raise ConnectionError(f"closed after {self.buf!r}")
        self.buf += got

    def raw(self):
        """One whole response with its literals, without the last CRLF."""
        at = 0
        while True:
            end = self.buf.find(b"\n", at)
            if end < 0:
                self.more()
                continue
            assert self.buf[end - 1:end] == b"\r", f"bare LF: {self.buf[at:end + 1]!r}"
            m = re.search(rb"\{(\d+)\}$", self.buf[at:end - 1])
            if not m:
                out, self.buf = self.buf[:end - 1], self.buf[end + 1:]
                return out
            at = end + 1 + int(m.group(1))
            while len(self.buf) < at:
                self.more()

    # --- responses
    def response(self):
        raw = self.raw()
        self.trace(b"<", raw)
        if raw.startswith(b"+"):
            assert raw.startswith(b"+ "), raw
            return (b"+", raw[2:])
        tag, _, rest = raw.partition(b" ")
        if tag != b"*":
            assert re.fullmatch(rb"[^\x00-\x20\x7f-\xff(){%*\"\\+]+", tag), raw
        m = re.match(rb"(OK|NO|BAD|BYE|PREAUTH) ", rest)
        if m:
            text = rest[m.end():]
            assert text and not re.search(rb"[\r\n\x80-\xff\x00]", text), raw
            code = None
            if text.startswith(b"["):
                end = text.index(b"]")
                code = text[1:end]
                self.on_code(code_check(code), code)
                assert text[end + 1:end + 2] == b" " and len(text) > end + 2, raw
            return (tag, m.group(1), code, text)
        assert tag == b"*", raw
        return (b"*",) + self.untagged(Text(rest))

    def untagged(self, t):
        m = re.match(rb"(\d+) (EXISTS|RECENT|EXPUNGE|FETCH)", t.raw)
        if m:
            t.at = m.end()
            n, kind = int(m.group(1)), m.group(2)
            if kind == b"FETCH":
                t.eat(b" (")
                out = {}
                t.spaced(lambda: t.fetch_item(out))
                assert out
                t.end()
                self.on_fetch(n, out)
                return (kind, n, out)
            t.end()
            self.on_number(kind, n)
            return (kind, n)
        kind = t.re(rb"CAPABILITY|ENABLED|FLAGS|SEARCH|ESEARCH|SORT|THREAD|STATUS|LIST|LSUB|NAMESPACE|ID|VANISHED|METADATA", "response")
        if kind in (b"CAPABILITY", b"ENABLED"):
            out = re.findall(rb" (" + ATOM + rb")", t.raw[t.at:])
            t.re(rb"( " + ATOM + rb")*", "capabilities")
            assert kind == b"ENABLED" or b"IMAP4rev1" in out
        elif kind == b"FLAGS":
            t.eat(b" (")
            out = t.spaced(t.flag)
            self.keywords = set(out)
            assert SYSTEM <= self.keywords
        elif kind == b"ESEARCH":
            out = t.esearch()
        elif kind == b"THREAD":
            out = t.threads() if t.has(b" ") else []
            assert out or t.raw == b"THREAD"
        elif kind == b"METADATA":
            out = t.metadata()
        elif kind in (b"SEARCH", b"SORT"):
            out = [int(x) for x in t.re(rb"( [1-9]\d*)*", "numbers").split()]
            if out:
                t.re(rb"( \(MODSEQ " + MODSEQ + rb"\))?", "search-sort-mod-seq")
        elif kind == b"VANISHED":
            earlier = t.has(b" (EARLIER)")
            out = uid_set(t.re(rb" [1-9][\d:,]*", "known-uids")[1:])
            self.on_vanished(out, earlier)
        elif kind == b"STATUS":
            t.eat(b" ")
            name = t.astring()
            t.eat(b" (")
            items = t.spaced(lambda: t.re(rb"[A-Z]+ \d+|MAILBOXID \([A-Za-z][\w-]{0,254}\)", "status item"))
            out = (name, {i.split()[0]: i.split()[1] if b"(" in i else int(i.split()[1]) for i in items})
            assert out[1].get(b"UIDNEXT", 1) > 0 and out[1].get(b"UIDVALIDITY", 1) > 0
        elif kind in (b"LIST", b"LSUB"):
            t.eat(b" (")
            flags = t.spaced(lambda: t.re(rb"\\" + ATOM, "flag"))
            assert set(flags) <= LIST_FLAGS, flags
            t.eat(b' "/" ')
            out = (t.astring(), set(flags))
            if t.has(b" ("):
                t.eat(b'"CHILDINFO" ("SUBSCRIBED"))')
        elif kind == b"NAMESPACE":
            t.re(rb' (NIL|\(\("[^"]*" "/"\)\)) (NIL|\(.*\)) (NIL|\(.*\))', "namespaces")
            out = t.raw
        else:
            t.eat(b" ")
            out = None if t.has(b"NIL") else t.eat(b"(") or t.spaced(t.nstring)
        t.end()
        return (kind, out)

    # --- what the client believes
    def on_code(self, name, code):
        self.codes.append(code)
        if name == b"HIGHESTMODSEQ":
            self.modseq_coded = int(code.split()[1])
        elif name == b"UIDVALIDITY" and int(code.split()[1]) != self.cached_validity:
            self.cached = None
        elif name == b"CLOSED":	# RFC 7162 3.2.11: from here on it is of the mailbox selected now
            self.msgs, self.gone = [], []
            self.modseq_coded = self.modseq_fetched = None

    def on_number(self, kind, n):
        if self.msgs is None:
            return
        if kind == b"EXISTS":
            if self.is_counted:
                self.resynced()
            self.is_counted = True
            assert n >= len(self.msgs), f"EXISTS {n} after {len(self.msgs)}: only EXPUNGE shrinks a mailbox"
            self.msgs += [{"uid": None, "flags": None} for _ in range(n - len(self.msgs))]
        elif kind == b"EXPUNGE":
            self.resynced()
            assert self.running not in STILL, f"EXPUNGE while {self.running or 'nothing'} runs"
            assert 1 <= n <= len(self.msgs), f"EXPUNGE {n} of {len(self.msgs)}"
            self.gone.append(self.msgs.pop(n - 1)["uid"])

    def on_vanished(self, uids, earlier):
        """RFC 7162 3.2.10: EARLIER is of what the client does not count; else each was counted."""
        if self.msgs is None:
            return
        if earlier:
            for u in uids if self.cached is not None else []:
                self.cached.pop(u, None)
            wrong = {m["uid"] for m in self.msgs} & set(uids)
            assert not wrong, f"VANISHED (EARLIER) of {wrong}, which are there"
            return
        self.resynced()
        assert self.running not in STILL, f"VANISHED while {self.running or 'nothing'} runs"
        for u in uids:
            self.msgs.pop(self.place_of(u))
        self.gone += uids

    def place_of(self, uid):
        """Where the message of that UID is: itself, or one of those never looked at between its neighbours."""
        unknown = None
        for i, m in enumerate(self.msgs):
            if m["uid"] == uid:
                return i
            if m["uid"] is None:
                unknown = i
            elif m["uid"] < uid:
                unknown = None
            else:
                break
        assert unknown is not None, f"VANISHED {uid}, which this client does not count"
        return unknown

    def resynced(self):
        """The cache and what SELECT (QRESYNC) told of it make the mailbox (RFC 7162 3.2.5)."""
        if self.cached is None:
            return
        alive, self.cached = self.cached, None
        told = {m["uid"]: (i, m["flags"]) for i, m in enumerate(self.msgs) if m["uid"] is not None}
        # Of others than it asked for it may be told, too: what changed since the answer began.
        alive.update({u: flags for u, (_, flags) in told.items() if self.is_all_asked or u in alive})
        n, rest = len(self.msgs), self.msgs[len(alive):]
        assert len(alive) <= n, f"{n} messages, but {len(alive)} of the cache are not gone"
        assert len(alive) == n or not self.is_all_asked, f"{n} messages, and of {len(alive)} the client knows"
        self.msgs = [{"uid": u, "flags": alive[u]} for u in sorted(alive)]
        self.msgs += rest
        for u, (i, _) in told.items():
            assert self.msgs[i]["uid"] == u, f"UID {u} was message {i + 1}"

    def on_fetch(self, n, out):
        assert self.msgs is not None and 1 <= n <= len(self.msgs), f"FETCH of {n}, there are {self.msgs and len(self.msgs)}"
        m = self.msgs[n - 1]
        if b"UID" in out:
            assert m["uid"] in (None, out[b"UID"]), f"message {n} was UID {m['uid']}, now {out[b'UID']}"
            m["uid"] = out[b"UID"]
            for other in (n - 2, n):
                if 0 <= other < len(self.msgs) and self.msgs[other]["uid"]:
                    assert (self.msgs[other]["uid"] < m["uid"]) == (other < n - 1), "UIDs do not ascend"
        if b"FLAGS" in out:
            m["flags"] = set(out[b"FLAGS"]) - {b"\\Recent"}
            unknown = m["flags"] - self.keywords
            assert not unknown, f"{unknown} not in the FLAGS response"
        if b"MODSEQ" in out:
            self.modseq_fetched = max(self.modseq_fetched or 0, out[b"MODSEQ"])

    # --- commands
    def start(self, command):
        """Sends a command; bytes in a list are literals' contents: sent as {n+}."""
        self.n += 1
        tag = b"t%d" % self.n
        self.trace(b">", tag + b" " + command)
        self.s.sendall(tag + b" " + command + b"\r\n")
        return tag

    def finish(self, tag, command=""):
        """Everything up to the tagged answer: (status, code, [untagged])."""
        self.running = command
        out = []
        while True:
            r = self.response()
            if r[0] == tag:
                self.running = ""
                self.answers.append(r[1].decode())
                self.seen = out
                if r[1] != b"OK":
                    self.cached = None
                self.resynced()
                self.modseq_count()
                return r[1].decode(), r[2], out
            assert r[0] in (b"*", b"+"), (r, tag)
            out.append(r[1:] if r[0] == b"*" else r)
            if r[1] == b"BYE" and command != "LOGOUT":
                raise ConnectionError(f"BYE {r[3]!r}")

    def modseq_count(self):
        """RFC 7162 6: the code is taken even if higher ones were seen."""
        if self.modseq_coded is not None:
            self.modseq = self.modseq_coded
        elif self.modseq is not None and self.modseq_fetched is not None:
            self.modseq = max(self.modseq, self.modseq_fetched)
        self.modseq_coded = self.modseq_fetched = None

    def select_again(self, mailbox, uidvalidity, modseq, cache, is_all=True, want="OK"):
        """SELECT (QRESYNC) by a client that knew {uid: flags} at modseq; all messages asked for, or those it knew."""
        name = mailbox.encode()
        self.cached, self.cached_validity, self.is_all_asked = dict(cache), uidvalidity, is_all
        known = b"" if is_all else b" " + b",".join(b"%d" % u for u in sorted(cache))
        self.cmd(b"SELECT %s (QRESYNC (%d %d%s))" % (name, uidvalidity, modseq, known), want)

    def cmd(self, command, want="OK"):
        if isinstance(command, str):
            command = command.encode()
        words = command.split(b" ")
        name = words[0].upper()
        if name in (b"SELECT", b"EXAMINE"):
            self.msgs, self.gone, self.modseq, self.is_counted = [], [], None, False
        status, code, out = self.finish(self.start(command), name.decode())
        assert want is None or status == want, (command[:200], status, code, out[-3:])
        if name in (b"SELECT", b"EXAMINE", b"CLOSE", b"UNSELECT") and (status != "OK" or name not in (b"SELECT", b"EXAMINE")):
            self.msgs = None
        return code, out

    def login(self, user="alice", password="twinspool"):
        code, _ = self.cmd(f"LOGIN {user} {password}")
        assert code and code.startswith(b"CAPABILITY IMAP4rev1"), code
        return self

    def append(self, mailbox, raw, flags=b""):
        code, _ = self.cmd(b"APPEND %s %s{%d+}\r\n%s" % (mailbox.encode(), flags and b"(" + flags + b") ", len(raw), raw))
        assert code.startswith(b"APPENDUID "), code
        return int(code.split()[2])

    def idle(self, seconds, until=None):
        """IDLE for a while, or until what is told satisfies until(response)."""
        tag = self.start(b"IDLE")
        self.running = "IDLE"
        old = self.s.gettimeout()
        told = []
        try:
            while True:
                self.s.settimeout(seconds if told else old)
                r = self.response()
                told.append(r)
                assert r[1] != b"BYE", r
                if until and r[0] == b"*" and until(r[1:]):
                    break
        except (socket.timeout, ssl.SSLWantReadError):
            assert not until, told
        self.s.settimeout(old)
        assert told[0][0] == b"+", told
        self.s.sendall(b"DONE\r\n")
        status, _, out = self.finish(tag, "IDLE")
        assert status == "OK"
        return [r[1:] for r in told[1:]] + out
