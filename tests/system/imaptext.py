"""The grammar of what an IMAP server sends, as far as a cursor over one response goes: RFC 3501 section 9 and the
extensions in use. Used by imapcheck.py; raises AssertionError where an octet is wrong. It believes nothing of mailboxes.
"""
import re

ATOM = rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+"
DATE_TIME = rb"[ \d]\d-(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-\d{4} \d\d:\d\d:\d\d [+-]\d{4}"
MODSEQ = rb"[1-9]\d{0,18}"	# RFC 7162 7: 63 bits, never 0
SYSTEM = {b"\\Answered", b"\\Flagged", b"\\Deleted", b"\\Seen", b"\\Draft"}


def uid_set(s):
    out = []
    for r in s.split(b","):
        lo, _, hi = r.partition(b":")
        out += range(int(lo), int(hi or lo) + 1)
    return out


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

    # --- RFC 4731 3.1, 5267 4.2, 7377 2.1, 9394 3.1: ESEARCH
    def esearch(self):
        """{"tag": .., "uid": bool, b"ALL": [..], b"COUNT": n ..}; each name once."""
        out = {"tag": None, "uid": False}
        if self.has(b" ("):
            assert self.spaced(lambda: self.correlator(out)), "search-correlator"
        out["uid"] = self.has(b" UID")
        while self.has(b" "):
            name = self.re(rb"MIN|MAX|COUNT|ALL|MODSEQ|PARTIAL", "search-return-data")
            assert name not in out, (name, "twice")
            self.eat(b" ")
            if name == b"ALL":
                out[name] = uid_set(self.re(rb"[1-9][\d:,]*", "sequence-set"))
            elif name == b"MODSEQ":
                out[name] = int(self.re(MODSEQ, "mod-sequence-value"))
            elif name == b"PARTIAL":
                self.eat(b"(")
                asked = self.re(rb"-?[1-9]\d*:-?[1-9]\d*", "partial-range")
                self.eat(b" ")
                out[name] = (asked, [] if self.has(b"NIL") else uid_set(self.re(rb"[1-9][\d:,]*", "sequence-set")))
                self.eat(b")")
            else:
                out[name] = self.number(0 if name == b"COUNT" else 1)
        return out

    def correlator(self, out):
        name = self.re(rb"TAG|MAILBOX|UIDVALIDITY", "correlator")
        self.eat(b" ")
        if name == b"UIDVALIDITY":
            out[name] = self.number(1)
        elif name == b"TAG":
            assert self.raw[self.at:self.at + 1] == b'"', "RFC 4466 2.6.2: the tag is a string"
            out["tag"] = self.string()
        else:
            out[name] = self.astring()
        return name

    # --- RFC 5256 4
    def threads(self):
        """[(parent number or None, number)] of all thread-lists, in order."""
        out = []
        while self.raw[self.at:self.at + 1] == b"(":
            self.thread(None, out)
        return out

    def thread(self, parent, out):
        self.eat(b"(")
        first = self.at
        while self.raw[self.at:self.at + 1] != b")":
            if self.raw[self.at:self.at + 1] == b"(":
                nested = 0
                while self.raw[self.at:self.at + 1] == b"(":
                    self.thread(parent, out)
                    nested += 1
                assert nested >= 2, "thread-nested is two or more"
                break
            n = self.number(1)
            out.append((parent, n))
            parent = n
            if self.raw[self.at:self.at + 1] != b")":
                self.eat(b" ")
        assert self.at > first, "an empty thread"
        self.eat(b")")

    # --- RFC 5464 5
    def metadata(self):
        """(mailbox, {entry: value}), or entries only: {entry: True}."""
        self.eat(b" ")
        mailbox = self.astring()
        self.eat(b" ")
        if not self.has(b"("):
            out = {}
            while True:
                out[self.astring()] = True
                if not self.has(b" "):
                    return mailbox, out
        flat = self.spaced(lambda: self.raw[self.at:self.at + 1] == b"/" and self.astring() or self.literal8())
        assert flat and len(flat) % 2 == 0, "entry-values"
        return mailbox, dict(zip(flat[::2], flat[1::2]))


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
        b"HIGHESTMODSEQ": rb" " + MODSEQ, b"MODIFIED": rb" [1-9][\d:,]*", b"NOTSAVED": rb"",
        b"METADATA": rb" (LONGENTRIES \d+|MAXSIZE \d+|TOOMANY|NOPRIVATE)",
    }
    name = code.split(b" ")[0]
    assert name in known and re.fullmatch(known[name], code[len(name):]), code
    return name
