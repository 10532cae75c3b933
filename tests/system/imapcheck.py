"""A strict IMAP client for tests: every octet that a server sends is held against the grammar of RFC 3501 section 9
(and of the extensions in use), and against what a client may conclude of its mailbox (RFC 3501 5.2, 7.3, 7.4).
Used by test_clients.py; raises AssertionError where a server is wrong. It knows no server by name.
"""
import re
import socket
import ssl

ATOM = rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+"
DATE_TIME = rb"[ \d]\d-(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-\d{4} \d\d:\d\d:\d\d [+-]\d{4}"
MODSEQ = rb"[1-9]\d{0,18}"	# RFC 7162 7: 63 bits, never 0
SYSTEM = {b"\\Answered", b"\\Flagged", b"\\Deleted", b"\\Seen", b"\\Draft"}
LIST_FLAGS = {b"\\Noselect", b"\\NonExistent", b"\\HasChildren", b"\\HasNoChildren", b"\\Noinferiors", b"\\Marked",
              b"\\Unmarked", b"\\Subscribed", b"\\Remote", b"\\Drafts", b"\\Sent", b"\\Trash", b"\\Junk", b"\\Archive"}


class Text:
    """A cursor over one response, literals included."""

    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def fail(self, what):
        raise AssertionError(f"{what} expected at {self.at} of {self.raw[max(0, self.at - 60):self.at + 60]!r}")

    def re(self, pattern, what):
        m = re.compile(pattern, re.S).match(self.raw, self.at)
        if not m:
            self.fail(what)
        self.at = m.end()
        return m.group(0)

    def eat(self, want):
        if not self.raw.startswith(want, self.at):
            self.fail(repr(want))
        self.at += len(want)

    def has(self, want):
        if self.raw.startswith(want, self.at):
            self.at += len(want)
            return True
        return False

    def end(self):
        if self.at != len(self.raw):
            self.fail("end")

    def number(self, least=0):
        n = int(self.re(rb"\d+", "number"))
        assert least <= n < 1 << 32, (n, self.raw[:80])
        return n

    def string(self):
        if self.has(b'"'):
            s = self.re(rb'(?:[^"\\\r\n\x00\x80-\xff]|\\["\\])*', "quoted")
            self.eat(b'"')
            return re.sub(rb'\\(.)', rb'\1', s)
        self.eat(b"{")
        n = int(self.re(rb"\d+", "literal"))
        self.eat(b"}\r\n")
        s = self.raw[self.at:self.at + n]
        assert len(s) == n and b"\0" not in s, "literal"
        self.at += n
        return s

    def objectids(self):
        """RFC 8474 7: one in parentheses, or NIL."""
        return None if self.has(b"NIL") else self.re(rb"\([A-Za-z][\w-]{0,254}\)", "objectid")

    def literal8(self):
        """RFC 3516 7: a literal8 has a NUL, or it would be a string."""
        if not self.has(b"~"):
            return self.nstring()
        n = int(self.re(rb"(?<=~)\{\d+", "literal8")[1:])
        self.eat(b"}\r\n")
        s = self.raw[self.at:self.at + n]
        assert len(s) == n and b"\0" in s, "literal8"
        self.at += n
        return s

    def nstring(self):
        return None if self.has(b"NIL") else self.string()

    def astring(self):
        if self.raw[self.at:self.at + 1] in (b'"', b"{"):
            return self.string()
        return self.re(rb"(?:" + ATOM + rb"|\])+", "astring")

    def spaced(self, one, end=b")"):
        """Items with one space between them up to the end mark; may be none."""
        out = []
        while not self.has(end):
            if out:
                self.eat(b" ")
            out.append(one())
        return out

    # --- RFC 3501 7.4.2
    def address(self):
        self.eat(b"(")
        a = [self.nstring()]
        for _ in range(3):
            self.eat(b" ")
            a.append(self.nstring())
        self.eat(b")")
        return tuple(a)

    def addresses(self):
        if self.has(b"NIL"):
            return None
        self.eat(b"(")
        out = []
        while not self.has(b")"):
            out.append(self.address())
        assert out, "an address list is never empty"
        return out

    def envelope(self):
        self.eat(b"(")
        e = [self.nstring()]
        self.eat(b" ")
        e.append(self.nstring())
        for _ in range(6):
            self.eat(b" ")
            e.append(self.addresses())
        for _ in range(2):
            self.eat(b" ")
            e.append(self.nstring())
        self.eat(b")")
        return e

    def params(self):
        if self.has(b"NIL"):
            return {}
        self.eat(b"(")
        flat = self.spaced(self.string)
        assert flat and len(flat) % 2 == 0, "body-fld-param"
        return dict(zip(flat[::2], flat[1::2]))

    def disposition(self):
        if self.has(b"NIL"):
            return
        self.eat(b"(")
        self.string()
        self.eat(b" ")
        self.params()
        self.eat(b")")

    def language(self):
        if self.has(b"("):
            assert self.spaced(self.string), "language"
        else:
            self.nstring()

    def body(self, extended):
        self.eat(b"(")
        if self.raw[self.at:self.at + 1] == b"(":
            parts = []
            while self.raw[self.at:self.at + 1] == b"(":
                parts.append(self.body(extended))
            self.eat(b" ")
            out = {"type": b"multipart", "subtype": self.string(), "parts": parts}
            if extended:
                self.eat(b" ")
                self.params()
        else:
            out = self.body_single(extended)
        if extended:
            self.eat(b" ")
            self.disposition()
            self.eat(b" ")
            self.language()
            self.eat(b" ")
            self.nstring()
        self.eat(b")")
        return out

    def body_single(self, extended):
        kind = self.string()
        self.eat(b" ")
        sub = self.string()
        self.eat(b" ")
        out = {"type": kind.lower(), "subtype": sub.lower(), "params": self.params()}
        for _ in range(2):
            self.eat(b" ")
            self.nstring()
        self.eat(b" ")
        self.string()
        self.eat(b" ")
        out["octets"] = self.number()
        if (out["type"], out["subtype"]) == (b"message", b"rfc822"):
            self.eat(b" ")
            self.envelope()
            self.eat(b" ")
            out["parts"] = [self.body(extended)]
            self.eat(b" ")
            self.number()
        elif out["type"] == b"text":
            self.eat(b" ")
            self.number()
        if extended:
            self.eat(b" ")
            self.nstring()
        return out

    def flag(self, recent=False, star=False):
        f = self.re(rb"\\\*|\\?" + ATOM, "flag")
        ok = f in SYSTEM or not f.startswith(b"\\") or (recent and f == b"\\Recent") or (star and f == b"\\*")
        assert ok, f
        return f

    def section(self):
        s = self.re(rb"\[(?:[1-9]\d*(?:\.[1-9]\d*)*(?:\.(?:HEADER(?:\.FIELDS(?:\.NOT)?)?|TEXT|MIME))?"
                    rb"|HEADER(?:\.FIELDS(?:\.NOT)?)?|TEXT)?", "section")
        if s.endswith((b"FIELDS", b"NOT")):
            self.eat(b" (")
            assert self.spaced(self.astring)
        self.eat(b"]")
        if self.has(b"<"):
            self.number()
            self.eat(b">")
        return s

    def fetch_item(self, out):
        start = self.at
        name = self.re(rb"BODYSTRUCTURE|BODY(?=\[)|BODY|ENVELOPE|FLAGS|INTERNALDATE|RFC822(?:\.(?:SIZE|HEADER|TEXT))?|UID|MODSEQ|"
                       rb"BINARY(?:\.SIZE)?(?=\[)|EMAILID|THREADID|SAVEDATE|PREVIEW", "msg-att")
        if name in (b"BODY", b"BINARY", b"BINARY.SIZE") and self.raw[self.at:self.at + 1] == b"[":
            self.section()
            name = self.raw[start:self.at]
        self.eat(b" ")
        assert name not in out, (name, "twice")
        if name == b"FLAGS":
            self.eat(b"(")
            out[name] = self.spaced(lambda: self.flag(recent=True))
            assert len(set(out[name])) == len(out[name]), out[name]
        elif name == b"UID":
            out[name] = self.number(1)
        elif name == b"MODSEQ":
            out[name] = int(self.re(rb"\(" + MODSEQ + rb"\)", "permsg-modsequence")[1:-1])
        elif name == b"RFC822.SIZE":
            out[name] = self.number()
        elif name.startswith(b"BINARY["):
            out[name] = self.literal8()
        elif name.startswith(b"BINARY.SIZE["):
            out[name] = self.number()
        elif name in (b"EMAILID", b"THREADID"):
            out[name] = self.objectids()
        elif name in (b"INTERNALDATE", b"SAVEDATE"):
            out[name] = self.re(b'"' + DATE_TIME + b'"', "date-time")
        elif name == b"ENVELOPE":
            out[name] = self.envelope()
        elif name in (b"BODY", b"BODYSTRUCTURE"):
            out[name] = self.body(name == b"BODYSTRUCTURE")
        else:
            out[name] = self.nstring()


def code_check(code):
    """resp-text-code; True where it is known and right."""
    known = {
        b"ALERT": rb"", b"PARSE": rb"", b"READ-ONLY": rb"", b"READ-WRITE": rb"", b"TRYCREATE": rb"", b"CLOSED": rb"",
        b"UIDNEXT": rb" [1-9]\d*", b"UIDVALIDITY": rb" [1-9]\d*", b"UNSEEN": rb" [1-9]\d*", b"BADCHARSET": rb"( \(.+\))?",
        b"CAPABILITY": rb"( " + ATOM + rb")+", b"PERMANENTFLAGS": rb" \((\\\*|\\?" + ATOM + rb"| )*\)",
        b"APPENDUID": rb" [1-9]\d* [1-9]\d*(:[1-9]\d*)?", b"COPYUID": rb" [1-9]\d* [1-9][\d:,]* [1-9][\d:,]*", b"TOOBIG": rb"",
        b"NONEXISTENT": rb"", b"ALREADYEXISTS": rb"", b"CANNOT": rb"", b"LIMIT": rb"", b"UNAVAILABLE": rb"",
        b"AUTHENTICATIONFAILED": rb"", b"PRIVACYREQUIRED": rb"", b"USEATTR": rb"", b"INUSE": rb"",
        b"MAILBOXID": rb" \([A-Za-z][\w-]{0,254}\)", b"BADURL": rb" \"[^\"\\]*\"", b"UNKNOWN-CTE": rb"", b"EXPUNGEISSUED": rb"",
        b"HIGHESTMODSEQ": rb" " + MODSEQ, b"MODIFIED": rb" [1-9][\d:,]*",
    }
    name = code.split(b" ")[0]
    assert name in known and re.fullmatch(known[name], code[len(name):]), code
    return name


def uid_set(s):
    out = []
    for r in s.split(b","):
        lo, _, hi = r.partition(b":")
        out += range(int(lo), int(hi or lo) + 1)
    return out


class Client:
    """One connection. self.msgs is what the client believes: a list of {"uid": .., "flags": ..} in sequence order."""

    def __init__(self, port, tls=None, timeout=30):
        self.s = socket.create_connection(("127.0.0.1", port), timeout)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.s = tls.wrap_socket(self.s, server_hostname="localhost")
        self.buf = b""
        self.n = 0
        self.msgs = None
        self.keywords = set()
        self.running = ""	# the command whose answer is awaited: decides whether EXPUNGE may come
        self.seen = []
        self.codes = []
        self.gone = []		# uids (None: never learnt) of EXPUNGE responses
        self.greeting = self.response()
        assert self.greeting[0] == b"*" and self.greeting[1] in (b"OK", b"PREAUTH"), self.greeting

    def close(self):
        self.s.close()

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
                code_check(code)
                self.codes.append(code)
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
        kind = t.re(rb"CAPABILITY|ENABLED|FLAGS|SEARCH|STATUS|LIST|LSUB|NAMESPACE|ID|VANISHED", "response")
        if kind in (b"CAPABILITY", b"ENABLED"):
            out = re.findall(rb" (" + ATOM + rb")", t.raw[t.at:])
            t.re(rb"( " + ATOM + rb")*", "capabilities")
            assert kind == b"ENABLED" or b"IMAP4rev1" in out
        elif kind == b"FLAGS":
            t.eat(b" (")
            out = t.spaced(t.flag)
            self.keywords = set(out)
            assert SYSTEM <= self.keywords
        elif kind == b"SEARCH":
            out = [int(x) for x in t.re(rb"( [1-9]\d*)*", "numbers").split()]
            if out:
                t.re(rb"( \(MODSEQ " + MODSEQ + rb"\))?", "search-sort-mod-seq")
        elif kind == b"VANISHED":
            earlier = t.has(b" (EARLIER)")
            out = uid_set(t.re(rb" [1-9][\d:,]*", "known-uids")[1:])
            if not earlier:
                self.on_vanished(out)
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
    def on_number(self, kind, n):
        if self.msgs is None:
            return
        if kind == b"EXISTS":
            assert n >= len(self.msgs), f"EXISTS {n} after {len(self.msgs)}: only EXPUNGE shrinks a mailbox"
            self.msgs += [{"uid": None, "flags": None} for _ in range(n - len(self.msgs))]
        elif kind == b"EXPUNGE":
            assert self.running not in ("FETCH", "STORE", "SEARCH", ""), f"EXPUNGE while {self.running or 'nothing'} runs"
            assert 1 <= n <= len(self.msgs), f"EXPUNGE {n} of {len(self.msgs)}"
            self.gone.append(self.msgs.pop(n - 1)["uid"])

    def on_vanished(self, uids):
        if self.msgs is None:
            return
        assert self.running not in ("FETCH", "STORE", "SEARCH", ""), f"VANISHED while {self.running or 'nothing'} runs"
        before = len(self.msgs)
        assert None not in {m["uid"] for m in self.msgs}, "VANISHED to a client that does not know the UIDs"
        self.msgs = [m for m in self.msgs if m["uid"] not in set(uids)]
        assert before - len(self.msgs) == len(uids), "RFC 7162 3.2.10.2: only what the client counts"
        self.gone += uids

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

    # --- commands
    def start(self, command):
        """Sends a command; bytes in a list are literals' contents: sent as {n+}."""
        self.n += 1
        tag = b"t%d" % self.n
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
                self.seen = out
                return r[1].decode(), r[2], out
            assert r[0] in (b"*", b"+"), (r, tag)
            out.append(r[1:] if r[0] == b"*" else r)
            if r[1] == b"BYE" and command != "LOGOUT":
                raise ConnectionError(f"BYE {r[3]!r}")

    def cmd(self, command, want="OK"):
        if isinstance(command, str):
            command = command.encode()
        words = command.split(b" ")
        name = words[0].upper()
        if name in (b"SELECT", b"EXAMINE"):
            self.msgs = []
            self.gone = []
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
