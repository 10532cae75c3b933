"""Bad input on every door: a clear protocol error, the connection usable or closed as the RFC says, nothing lost."""
import base64
import imaplib
import re
import socket
import ssl
import sys
import time

from suite import PASSWORD, Suite, body_of, main, message, note


imaplib._MAXLINE = 1 << 26	# an ENVELOPE of 50,000 addresses is one line


class Line:
    """A raw client: bytes out, lines in."""

    def __init__(self, suite, port, timeout=20):
        self.s = socket.create_connection(("127.0.0.1", suite.port(port)), timeout)
        self.f = self.s.makefile("rb")

    def send(self, data):
        try:
            self.s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def line(self):
        try:
            return self.f.readline()
        except ConnectionResetError:
            return b""

    def until(self, tag):
        out = []
        while True:
            l = self.line()
            out.append(l)
            if not l or l.startswith(tag):
                return out

    def closed(self):
        """Reads to the end; what came before it."""
        out = b""
        while True:
            l = self.line()
            if not l:
                return out
            out += l

    def close(self):
        self.f.close()
        self.s.close()


def imap(suite, login=True):
    c = Line(suite, 10143)
    assert c.line().startswith(b"* OK")
    if login:
        c.send(f"a LOGIN alice {PASSWORD}\r\n".encode())
        assert c.until(b"a ")[-1].startswith(b"a OK")
    return c


def rss_kib(pids):
    total = 0
    for p in pids:
        try:
            total += int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{p}/status").read()).group(1))
        except (FileNotFoundError, AttributeError):
            pass
    return total


def imap_before_login(suite):
    rows = [
        (b"x FROB\r\n", b"x BAD"),
        (b"x SELECT INBOX\r\n", b"x BAD"),
        (b"x LOGIN alice\r\n", b"x BAD"),
        (b"x LOGIN alice wrong\r\n", b"x NO [AUTHENTICATIONFAILED]"),
        (b"x AUTHENTICATE NOSUCH\r\n", b"x NO"),
        (b"x AUTHENTICATE PLAIN !!!!\r\n", b"x BAD"),
        (b"x AUTHENTICATE PLAIN =\r\n", b"x NO"),
        (b"x AUTHENTICATE PLAIN " + base64.b64encode(b"\0alice\0wrong") + b"\r\n", b"x NO"),
        (b"x AUTHENTICATE PLAIN " + base64.b64encode(b"bob\0alice\0" + PASSWORD.encode()) + b"\r\n", b"x NO"),
        (b"x LOGIN {1000000}\r\n", b"x "),
        (b"\r\n", b"* BAD"),
        (b"x\r\n", (b"x BAD", b"* BAD")),
        (b"x LOGIN \"al\0ice\" x\r\n", None),
        (b"x LOGIN alice\rx x\r\n", None),
        (b"x NOOP\n", None),
    ]
    for data, want in rows:
        c = imap(suite, login=False)
        c.send(data)
        l = c.line()
        while l.startswith((b"* OK", b"* CAP", b"+")):
            l = c.line()
        if want is None:
            assert b"BAD" in l or b"BYE" in l or not l, (data, l)
        else:
            assert l.startswith(want), (data, l)
        c.close()
    # three faults close the connection
    c = imap(suite, login=False)
    c.send(b"x FROB\r\n" * 10)
    assert b"* BYE" in c.closed()
    # another protocol's client is sent away
    c = Line(suite, 10143)
    c.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert len(c.closed()) < 1000
    # AUTHENTICATE cancelled leaves the connection usable
    c = imap(suite, login=False)
    c.send(b"x AUTHENTICATE PLAIN\r\n")
    assert c.line().startswith(b"+")
    c.send(b"*\r\n")
    assert c.line().startswith(b"x BAD")
    c.send(f"y LOGIN alice {PASSWORD}\r\n".encode())
    assert c.until(b"y ")[-1].startswith(b"y OK")
    c.close()


def starttls_injection(suite):
    """What was sent in the clear behind STARTTLS never counts (RFC 9051 6.2.1), wherever the segment breaks."""
    for port, cmd, ok in ((10143, b"x STARTTLS\r\n", b"x OK"), (10110, b"STLS\r\n", b"+OK")):
        evil = b"y NOOP\r\n" if port == 10143 else b"CAPA\r\n"
        c = Line(suite, port)
        c.line()
        c.send(cmd + evil)
        out = c.closed()
        assert b"y OK" not in out and out.count(b"+OK") <= 1, out
        # the honest way works
        s = socket.create_connection(("127.0.0.1", suite.port(port)), 20)
        s.recv(4096)
        s.sendall(cmd)
        assert s.recv(4096).startswith(ok)
        t = suite.tls().wrap_socket(s, server_hostname="localhost")
        t.sendall(evil)
        assert t.recv(4096)
        t.close()


def memory_before_login(suite):
    """Megabytes without a line's end cost the server a small fixed amount."""
    pids = suite.pids("proxyd")
    for ch in (b"(", b"\"", b"{", b"a", b"a NOOP ((((("):
        before = rss_kib(pids)
        conns = [Line(suite, 10143) for _ in range(20)]
        for c in conns:
            c.s.settimeout(1)
            try:
                c.s.sendall(ch * (512 * 1024 // len(ch)))
            except OSError:
                pass
        grown = rss_kib(pids) - before
        for c in conns:
            c.close()
        assert grown < 8 * 1024, f"{ch}: {grown} KiB for 20 connections"


def imap_after_login(suite):
    suite.deliver(message("bad", 3000), ["alice"])
    c = imap(suite)
    c.send(b"s SELECT INBOX\r\n")
    c.until(b"s OK")
    rows = [
        (b"x FROB\r\n", b"x BAD"), (b"x FETCH 1\r\n", b"x BAD"), (b"x FETCH 0 FLAGS\r\n", b"x BAD"),
        (b"x FETCH 99999 FLAGS\r\n", b"x "), (b"x FETCH 99999999999 FLAGS\r\n", b"x BAD"),
        (b"x FETCH 1 BODY[<0.1>]\r\n", b"x BAD"), (b"x FETCH 1 BODY[]<0.0>\r\n", b"x BAD"),
        (b"x FETCH 1 BODY[]<9223372036854775808.1>\r\n", b"x BAD"),
        (b"x UID FETCH 4294967295 FLAGS\r\n", b"x OK"), (b"x UID FETCH 1:*,*:1 FLAGS\r\n", b"x OK"),
        (b"x STORE 1 FLAGS (\\Nonsense)\r\n", b"x BAD"), (b"x STORE 1 +FLAGS (a b\r\n", b"x BAD"),
        (b"x SEARCH CHARSET NOSUCH TEXT a\r\n", b"x NO [BADCHARSET"),
        (b"x SEARCH " + b"(" * 5000 + b"\r\n", b"x BAD"), (b"x SEARCH " + b"NOT " * 10000 + b"ALL\r\n", b"x "),
        (b"x STATUS INBOX (NONSENSE)\r\n", b"x BAD"), 
        (b"x LOGIN alice " + PASSWORD.encode() + b"\r\n", b"x BAD"), (b"x STARTTLS\r\n", b"x BAD"),
        (b"x APPEND nosuch {3}\r\n", b"x NO [TRYCREATE]"), (b"x COPY 1 nosuch\r\n", b"x NO"),
        (b"x CREATE INBOX\r\n", b"x NO"), (b"x DELETE INBOX\r\n", b"x NO"),
    ]
    for name in (b"../bob", b"..", b"/etc/passwd", b"a/../b", b"a//b", b"&AC8-", b"&AC4ALg-", b"%", b"*",
                 b"\"" + b"x" * 2000 + b"\"", b"&ZZZZ", b"a/" * 100 + b"b", b"\"\xff\"", b"\"\xc0\xae\xc0\xae\"",
                 b"\"\xe2\x80\xa8\"", b"{6+}\r\n\xc0\xae\xc0\xae/x"):
        rows.append((b"x CREATE " + name + b"\r\n", (b"x NO", b"x BAD")))
    for data, want in rows:
        c.send(data)
        out = c.until(b"x ")
        if out[-1] == b"":
            # too much at once may end the session with BYE: then a new one
            assert any(b"BYE" in l for l in out), (data[:80], out[-3:])
            c = imap(suite)
            c.send(b"s SELECT INBOX\r\n")
            c.until(b"s OK")
            continue
        assert out[-1].startswith(want), (data[:80], out[-3:])
        if out[-1].startswith(b"x BAD"):
            # too many faults in a row would end the session
            c.send(b"n NOOP\r\n")
            assert c.until(b"n ")[-1].startswith(b"n OK")
    c.send(b"x SELECT nosuch\r\ns SELECT INBOX\r\n")
    assert any(l.startswith(b"x NO") for l in c.until(b"s OK"))
    for data in (b"x NOOP\n", b"x NO\rOP\r\n", b"x NO\0OP\r\n"):
        c.send(data)
        l = c.line()
        assert b"BAD" in l, (data, l)
        c.send(b"n NOOP\r\n")
        assert c.until(b"n ")[-1].startswith(b"n OK")
    c.close()
    # an overlong line
    c = imap(suite)
    c.send(b"x NOOP " + b"a" * 200000 + b"\r\ny NOOP\r\n")
    out = c.until(b"y ")
    assert any(b"BAD" in l or b"BYE" in l for l in out), out[-3:]
    c.close()
    # a literal that never ends: nothing is appended
    c = imap(suite)
    c.send(b"x APPEND INBOX {1000}\r\n")
    assert c.until(b"+")[-1].startswith(b"+")
    c.send(b"Subject: half\r\n")
    c.close()
    c = imap(suite)
    c.send(b"x APPEND INBOX {99999999999}\r\n")
    assert c.until(b"x ")[-1].startswith((b"x NO", b"x BAD"))
    c.send(b"x APPEND INBOX {18446744073709551616}\r\n")
    assert b"BAD" in c.until(b"x ")[-1]
    c.send(b"s SELECT INBOX\r\nx SEARCH SUBJECT half\r\n")
    assert b"* SEARCH\r\n" in c.until(b"x ")
    c.close()
    # nothing of this harmed the mail
    m = suite.imap("alice")
    m.select("INBOX")
    assert body_of(m.fetch("1", "(BODY.PEEK[])")[1][0][1]) == message("bad", 3000)
    m.logout()


def pop3(suite):
    c = Line(suite, 10110)
    assert c.line().startswith(b"+OK")
    for data in (b"FROB\r\n", b"PASS x\r\n", b"STAT\r\n", b"NOOP\r\n"):
        c.send(data)
        l = c.line()
        if not l:
            c = Line(suite, 10110)
            c.line()
            continue
        assert l.startswith(b"-ERR"), (data, l)
    c.close()
    c = Line(suite, 10110)
    c.line()
    c.send(f"USER bob\r\nPASS {PASSWORD}\r\n".encode())
    assert c.line().startswith(b"+OK") and c.line().startswith(b"+OK")
    for data in (b"RETR 1\r\n", b"RETR 0\r\n", b"RETR 99999999999\r\n", b"TOP 1\r\n", b"TOP 1 -1\r\n", b"LIST x\r\n",
                 b"DELE\r\n", b"FROB\r\n"):
        c.send(data)
        assert c.line().startswith(b"-ERR"), data
        c.send(b"NOOP\r\n")
        assert c.line().startswith(b"+OK")
    # a second session of the same user
    d = Line(suite, 10110)
    d.line()
    d.send(f"USER bob\r\nPASS {PASSWORD}\r\n".encode())
    d.line()
    assert d.line().startswith(b"-ERR [IN-USE]")
    d.close()
    c.send(b"QUIT\r\n")
    assert c.line().startswith(b"+OK")
    c.close()
    c = Line(suite, 10110)
    c.line()
    c.send(b"USER " + b"x" * 100000 + b"\r\n")
    out = c.closed() if True else b""
    assert out == b"" or out.startswith(b"-ERR"), out[:200]


def lmtp(suite):
    for port in (10024, 10025):
        rows = [
            (b"FROB\r\n", b"500"), (b"HELO x\r\n", b"500"), (b"EHLO x\r\n", b"500"), (b"MAIL FROM:<a@b.example>\r\n", b"503"),
            (b"DATA\r\n", b"503"),
        ]
        for data, want in rows:
            c = Line(suite, port)
            c.line()
            c.send(data)
            assert c.line().startswith(want), (port, data)
            c.close()

        def start():
            c = Line(suite, port)
            c.line()
            c.send(b"LHLO tester\r\n")
            c.until(b"250 ")
            return c
        c = start()
        for data, want in ((b"RCPT TO:<alice@example.test>\r\n", b"503"), (b"MAIL FROM:a@b\r\n", b"501"), (b"MAIL FROM:<a@b.example> NONSENSE=1\r\n", b"555"),
                           (b"MAIL FROM:<a@b.example> SIZE=99999999999\r\n", b"552"), (b"MAIL FROM:<a@b.example>\r\n", b"250"),
                           (b"MAIL FROM:<a@b.example>\r\n", b"503"), (b"RCPT TO:<>\r\n", b"5"), (b"RCPT TO:<\"\"@x>\r\n", b"5"),
                           (b"DATA\r\n", b"503")):
            c.send(data)
            l = c.line()
            assert l.startswith(want), (port, data, l)
        c.close()
        # a bare LF or CR in a command
        c = start()
        c.send(b"NOOP\n")
        l = c.line()
        assert l[:1] == b"5" or not l, l
        c.close()
        # smuggling: only CRLF.CRLF ends DATA
        for n, fake in enumerate((b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\r\n.\r\r\n", b"\n\r\n.\n")):
            c = start()
            c.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n")
            for _ in range(3):
                l = c.line()
            assert l.startswith(b"354"), l
            c.send(f"Subject: smuggle {port} {n}\r\n\r\nhello".encode() + fake + b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n")
            l = c.line()
            assert l.startswith(b"250"), (fake, l)
            c.s.settimeout(0.3)
            try:
                extra = c.line()
            except (TimeoutError, OSError):
                extra = b""
            assert extra == b"", (fake, extra)
            c.close()
        # NUL in a message
        c = start()
        c.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: nul\r\n\r\na\0b\r\n.\r\nNOOP\r\n")
        out = [c.line() for _ in range(5)]
        assert out[3].startswith(b"554") and out[4].startswith(b"250"), out
        c.close()
    m = suite.imap("bob")
    m.select("INBOX")
    assert m.search(None, "SUBJECT", "smuggled")[1][0] == b"", "a message was smuggled in"
    m.logout()


def odd_messages(suite):
    """Lone dots, megabyte header lines, deep nesting: accepted, kept, described in valid grammar."""
    rows = {
        "dots": b"From: sender@elsewhere.example\r\nSubject: dots\r\n\r\n.\r\n..\r\n...\r\n. \r\n.x\r\n",
        "longline": b"From: sender@elsewhere.example\r\nSubject: " + b"x" * (1 << 20) + b"\r\n\r\nbody\r\n",
        "nested": b"From: sender@elsewhere.example\r\nSubject: nested\r\n" + b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i) for i in range(2000)) + b"\r\nx\r\n",
        "addresses": b"From: sender@elsewhere.example\r\nSubject: addresses\r\nTo: " + b",\r\n ".join(
            b"a%d@b.example" % i for i in range(50000)) + b"\r\n\r\nx\r\n",
        "comment": b"From: sender@elsewhere.example (unfinished \\\r\nSubject: comment\r\n\r\nx\r\n",
        "noheader": b"From: sender@elsewhere.example\r\n\r\n",
    }
    m = suite.imap("carol")
    n = int(m.select("INBOX")[1][0])
    for name, raw in rows.items():
        assert suite.deliver(raw, ["carol"])[0][0] == 250, name
        n += 1
        m.noop()
        got = m.fetch(str(n), "(BODY.PEEK[])")[1][0][1]
        assert body_of(got) == raw, name
        t = time.time()
        typ, data = m.fetch(str(n), "(ENVELOPE BODYSTRUCTURE RFC822.SIZE)")
        assert typ == "OK", name
        assert time.time() - t < 5, f"{name}: {time.time() - t:.1f} s"
        text = b"".join(x if isinstance(x, bytes) else x[0] + x[1] for x in data)
        size = int(re.search(rb"RFC822.SIZE (\d+)", text).group(1))
        assert size == len(got), (name, size, len(got))
    m.logout()
    p = suite.pop3("carol")
    assert p.stat()[0] == n
    got = b"\r\n".join(p.retr(n - 5)[1]) + b"\r\n"
    assert body_of(got) == rows["dots"], got[-200:]
    p.quit()


def mupdate(suite):
    rows = [(b"x FROB\r\n", (b"x BAD", b"x NO")), (b"x FIND \"user.alice\"\r\n", (b"x NO", b"x BAD")),
            (b"x FIND {99999999999}\r\n", (b"x BAD", b"* BYE", b"x NO", b"* BAD")), (b"x AUTHENTICATE \"PLAIN\" \"!!\"\r\n", (b"x NO", b"x BAD")),
            (b"x" * 100000 + b"\r\n", (b"* B", b"x"))]
    for data, want in rows:
        c = Line(suite, 13905)
        c.until(b"* OK")
        c.send(data)
        l = c.line()
        assert l.startswith(want) or l == b"", (data[:60], l)
        c.close()


def all_still_well(suite):
    assert suite.deliver(message("after"), ["alice", "bob", "carol"]) and True
    for u in ("alice", "bob", "carol"):
        m = suite.imap(u)
        m.select("INBOX")
        assert m.search(None, "SUBJECT", '"message after"')[1][0], u
        m.logout()


if __name__ == "__main__":
    sys.exit(main(Suite(), [imap_before_login, starttls_injection, memory_before_login, imap_after_login, pop3, lmtp,
                            odd_messages, mupdate, all_still_well]))
