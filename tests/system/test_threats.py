"""The classes of faults that mail servers had, door by door, where test_badinput.py does not have them yet: injection
around STARTTLS, wrong protocols, literals of every odd size in every argument, broken SASL beside a good login, garbage on
local sockets as every uid, forged log lines, private extensions for strangers, chunks cut short, crowds of idle peers."""
import base64
import os
import re
import socket
import ssl
import sys
import threading
import time

from suite import DOMAIN, PASSWORD, Skip, Suite, main, message, note
from test_badinput import Line, imap, rss_kib
from test_separation import WANT

NASTY = b"%n%s%x%1000000d"
ODD_SIZES = (b"{4294967295}", b"{4294967296}", b"{18446744073709551615}", b"{18446744073709551616}", b"{-1}", b"{}", b"{1",
             b"{1+", b"{+}", b"{ 1}", b"{1}x", b"{0x1}", b"~{1}", b"{99999999999999999999999999+}")
LOG_LINE = re.compile(r"^[a-z]+(/[a-z]+)? [a-z0-9_]+(\.[a-z0-9_]+)*( [a-z0-9_]+=(\"([^\"\\]|\\.)*\"|[^\s\"]*))*$")


def half_close(c):
    try:
        c.s.shutdown(socket.SHUT_WR)
    except OSError:
        pass	# closed by the other side already


def drain(c, seconds=10):
    """What comes until the end or silence."""
    c.s.settimeout(seconds)
    out = b""
    try:
        while True:
            data = c.s.recv(65536)
            if not data:
                return out, True
            out += data
    except (TimeoutError, socket.timeout):
        return out, False
    except OSError:
        return out, True


def starttls_at_every_byte(suite):
    """RFC 9051 6.2.1, RFC 2595: wherever the segment breaks, what came in the clear behind the command counts for nothing."""
    for port, cmd, evil, done in ((10143, b"x STARTTLS\r\n", b"y NOOP\r\nz LOGIN alice twinspool\r\n", rb"^[yz] "),
                                  (10110, b"STLS\r\n", b"CAPA\r\nUSER alice\r\nPASS twinspool\r\n", rb"^(STLS|USER|TOP|\+OK .*\r\n\+OK)")):
        whole = cmd + evil
        conns = []
        for at in range(1, len(whole)):
            c = Line(suite, port)
            c.line()
            c.send(whole[:at])
            conns.append((at, c))
        time.sleep(0.3)
        for at, c in conns:
            c.send(whole[at:])
        for at, c in conns:
            half_close(c)
            out, closed = drain(c)
            assert closed, (port, at, out)
            assert not re.search(done, out, re.M), (port, at, out)
            c.close()


def alpn_and_sni(suite):
    def connect(port, alpn, name="localhost"):
        ctx = suite.tls()
        ctx.check_hostname = False
        if alpn:
            ctx.set_alpn_protocols(alpn)
        s = socket.create_connection(("127.0.0.1", suite.port(port)), 20)
        return ctx.wrap_socket(s, server_hostname=name)

    for port, good in ((10993, "imap"), (10995, "pop3")):
        for alpn in (["http/1.1"], ["h2", "http/1.1"], ["pop3" if good == "imap" else "imap"], ["managesieve"], [good + "x"]):
            try:
                connect(port, alpn).close()
                raise AssertionError(f"{port} took ALPN {alpn}")
            except (ssl.SSLError, ConnectionResetError):
                pass
        for alpn in (None, [good], ["h2", good]):
            t = connect(port, alpn)
            assert t.selected_alpn_protocol() == (good if alpn else None)
            assert t.recv(1024)[:1] in (b"*", b"+")
            t.close()
    pids = suite.pids("proxyd")
    for i in range(20):
        connect(10993, None, f"warm{i}.example").close()
    before = rss_kib(pids)
    for i in range(300):
        connect(10993, None, "x%d.%s.example" % (i, "y" * 50)).close()
    grown = rss_kib(pids) - before
    assert grown < 4096, f"300 names cost {grown} KiB"


def wrong_protocols(suite):
    for port in (10143, 10110, 10024, 10025, 13905):
        for hello in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 20\r\n\r\nLHLO x\r\nMAIL FROM:<>\r\n",
                      b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 300 + b"\r\n",
                      b"SSH-2.0-x\r\n" * 12):
            c = Line(suite, port)
            c.send(hello)
            half_close(c)
            out, closed = drain(c)
            assert closed and len(out) < 4000, (port, hello[:12], len(out), closed)
            assert b"\r\n250 2.1.0" not in out, (port, out)
            c.close()
    for port in (10993, 10995):
        c = Line(suite, port)
        c.send(b"a LOGIN alice twinspool\r\nUSER alice\r\n")
        out, closed = drain(c)
        assert closed and b"OK" not in out, (port, out)
        c.close()


def odd_literals(suite):
    """A size that cannot be is BAD or NO in every argument, never a wait for bytes and never taken for another size."""
    before = [b"x LOGIN %s", b"x LOGIN alice %s", b"x AUTHENTICATE %s", b"x AUTHENTICATE PLAIN %s", b"x ID (\"name\" %s", b"x NOOP %s", b"%s"]
    after = [b"x SELECT %s", b"x CREATE %s", b"x RENAME INBOX %s", b"x RENAME %s y", b"x LIST %s *", b"x LIST \"\" %s", b"x STATUS %s (MESSAGES)",
             b"x APPEND %s", b"x APPEND INBOX %s", b"x APPEND INBOX (\\Seen) %s", b"x SUBSCRIBE %s", b"x SEARCH TEXT %s", b"x SEARCH HEADER %s x",
             b"x SEARCH HEADER Subject %s", b"x FETCH 1 BODY[HEADER.FIELDS (%s", b"x COPY 1 %s", b"x STORE 1 FLAGS %s", b"x GETQUOTA %s", b"x ID (%s"]
    n = 0
    for rows, login in ((before, False), (after, True)):
        for form in rows:
            conns = []
            for size in ODD_SIZES:
                if form.startswith(b"x APPEND INBOX") and size == b"~{1}":
                    continue	# that is a literal8: RFC 3516
                c = imap(suite, login)
                if login:
                    c.send(b"s SELECT INBOX\r\n")
                    c.until(b"s ")
                c.send(form % size + b"\r\n")
                conns.append((size, c))
            for size, c in conns:
                l = c.line()
                assert l.startswith((b"x BAD", b"x NO", b"* BAD", b"* BYE")) or l == b"", (form, size, l)
                # it still speaks, or said goodbye
                c.send(b"q LOGOUT\r\n")
                half_close(c)
                out, closed = drain(c)
                assert closed, (form, size, out)
                assert b"q OK" in out or b"BYE" in l + out or b"x BAD" in l or l == b"", (form, size, l, out)
                c.close()
                n += 1
    # a literal that may be
    c = imap(suite, False)
    c.send(b"x LOGIN {5+}\r\nalice {9+}\r\ntwinspool\r\n")
    assert c.until(b"x ")[-1].startswith(b"x OK")
    c.close()
    for size in ODD_SIZES:
        for form in (b"x AUTHENTICATE %s", b"x AUTHENTICATE \"PLAIN\" %s", b"x FIND %s"):
            c = Line(suite, 13905)
            c.until(b"* OK")
            c.send(form % size + b"\r\n")
            half_close(c)
            out, closed = drain(c)
            assert closed and not out.startswith((b"x OK", b"+")), (form, size, out)
            c.close()
            n += 1
    note(f"{n} odd literals refused")


def sasl_beside_a_login(suite):
    """Aborted and broken exchanges, while another login is under way (CVE-2025-59028, CVE-2017-15132)."""
    good = imap(suite, False)
    good.send(b"g AUTHENTICATE PLAIN\r\n")
    assert good.line().startswith(b"+")
    mechs = (b"PLAIN", b"SCRAM-SHA-256", b"SCRAM-SHA-1", b"LOGIN", b"EXTERNAL", b"NTLM", b"ANONYMOUS", b"OTP", b"XOAUTH2")
    first = base64.b64encode(b"n,,n=alice,r=fyko+d2lbbFgONRv9qkxdawL")
    answers = (b"*", b"!!!!", b"=", b"====", b"A", b"AAA=", b"AA=A", b"", first, base64.b64encode(b"\0" * 5000), base64.b64encode(b"a\0b"),
               base64.b64encode(b"\0\0"), base64.b64encode(b"p=tls-unique,,n=alice,r=x"), base64.b64encode(b"n,a=bob,n=alice,r=x"),
               base64.b64encode(b"n,,n=%b,r=x" % (b"=" * 40)), b"\xff\xfe", base64.b64encode(NASTY + b"\0" + NASTY + b"\0" + NASTY))
    for mech in mechs:
        for a in answers:
            c = imap(suite, False)
            c.send(b"x AUTHENTICATE " + mech + b"\r\n")
            l = c.line()
            if l.startswith(b"+"):
                c.send(a + b"\r\n")
                l = c.line()
                if l.startswith(b"+"):		# the second step of SCRAM
                    c.send(b"*\r\n" if a == first else base64.b64encode(b"c=biws,r=wrong,p=AAAA") + b"\r\n")
                    l = c.line()
            assert l.startswith((b"x NO", b"x BAD", b"* BYE", b"* BAD")) or l == b"", (mech, a[:40], l)
            c.close()
    c = Line(suite, 10110)
    c.line()
    for a in (b"*", b"!!!!", b"AAA="):
        c.send(b"AUTH PLAIN\r\n")
        l = c.line()
        if not l:
            break
        assert l.startswith(b"+ "), l
        c.send(a + b"\r\n")
        assert c.line().startswith(b"-ERR")
    c.close()
    good.send(base64.b64encode(b"\0alice\0" + PASSWORD.encode()) + b"\r\n")
    assert good.until(b"g ")[-1].startswith(b"g OK")
    good.close()


def as_uid(uid, fn):
    """fn() in a child of that uid; its small integer."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            code = fn()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def garbage(path, kind):
    """0: shut out at once, 1: was let in, 2: may not even connect."""
    s = socket.socket(socket.AF_UNIX, kind)
    s.settimeout(2)
    try:
        s.connect(path)
    except OSError:
        return 2
    # A silent peer is closed at once or not at all.
    try:
        s.settimeout(0.3)
        first = s.recv(65536)
        if first == b"" or b"BYE" in first:
            return 0
    except (TimeoutError, socket.timeout):
        pass
    except OSError:
        return 0
    s.settimeout(2)
    fd = os.open("/dev/null", os.O_RDONLY)
    for blob in (b"\0", b"\x01", b"\xff" * 65536, bytes(range(256)), b"\x01" + b"\xff" * 20, b"\x03" + b"\0" * 100, b"\x02\0\0\0\x01" * 50,
                 os.urandom(3000), NASTY * 100, b"x FIND \"a\"\r\n", b"\r\n", b"(" * 10000):
        t = socket.socket(socket.AF_UNIX, kind)
        t.settimeout(2)
        try:
            t.connect(path)
            socket.send_fds(t, [blob], [fd] * (len(blob) % 3))
            t.settimeout(0.05)
            t.recv(65536)
        except OSError:
            pass
        t.close()
    s.close()
    return 1


def local_sockets(suite):
    """As every uid of the suite and as a stranger: only the named peers are let in, and no garbage ends anybody."""
    if os.getuid() != 0:
        raise Skip("needs root")
    suite.expect(r"warn\.peer\.refused")
    suite.expect(r"warn\.rotated\.refused")
    suite.expect(r"warn\.peer\.(bad|garbage)|warn\.(deliver|session|commit|rotated)\.(bad|request|message)")
    run = f"{suite.base}/run"
    seq, stream = socket.SOCK_SEQPACKET, socket.SOCK_STREAM
    doors = {	# path: (type, who may)
        "spoold/session": (seq, {64802, 64831}), "spoold/deliver": (seq, {64811, 64832}), "spoold/commit": (seq, {64832}),
        "rotated/redundant": (seq, {64833, 64841}), "rotated/control": (seq, {64841}), "mupdated/mupdate": (stream, {64832, 64851}),
    }
    before = set(suite.pids())
    wrong = []
    for door, (kind, may) in doors.items():
        for uid in sorted({w[0] for w in WANT.values()} | {65534}):
            got = as_uid(uid, lambda: garbage(f"{run}/{door}", kind))
            if (got == 1) != (uid in may):
                wrong.append(f"{door}: uid {uid} got {got}")
    assert not wrong, wrong
    time.sleep(0.5)
    gone = before - set(suite.pids())
    assert not gone, f"garbage ended {len(gone)} processes:\n" + "\n".join(suite.strays())
    m = suite.imap("alice")
    m.logout()
    assert suite.deliver(message("garbage"), ["alice"])[0][0] == 250


def logs_cannot_be_forged(suite):
    """Whatever a peer says, a log line is one line, with our words in front (and no format is obeyed)."""
    forged = b"x\nproxyd login.done user=root\r\nlmtpd lmtp.delivered to=<forged>"
    for port in (10024, 10025):
        for name in (NASTY, b"a\"b", b"a=b", b"\xff\xfe\x80", b"a\x1b[31m", b"\x7f", b"a b=c", "ünï".encode()):
            c = Line(suite, port)
            c.line()
            c.send(b"LHLO " + name + b"\r\n")
            c.line()
            c.send(b"RSET\r\nLHLO tester\r\nMAIL FROM:<" + name + b"@b.example> SMTPUTF8\r\nRCPT TO:<" + name + b"@example.test>\r\nRCPT TO:<\"" +
                   name + b"\"@example.test>\r\nMAIL FROM:<" + forged + b">\r\nRCPT TO:<" + forged + b">\r\nMAIL FROM:<a@b> XQID=" + name +
                   b"\r\nRCPT TO:<alice@example.test> XUSER=+0Ax+0D\r\n" + name + b"\r\nQUIT\r\n")
            half_close(c)
            drain(c)
            c.close()
    for user in (NASTY, b"a\"b", b"\xff\xfe", b"a\x1b[31m", b"*)(uid=*", b"a\tb", b"x" * 5000, b"../../etc/passwd", b"a\nproxyd login.done user=root"):
        c = Line(suite, 10143)
        c.send(b"x ID (\"name\" \"%b\" \"version\" {%d+}\r\n%b)\r\n" % (NASTY, len(user), user))
        c.send(b"x LOGIN {%d+}\r\n%b {1+}\r\nx\r\nq LOGOUT\r\n" % (len(user), user))
        half_close(c)
        out, _ = drain(c)
        assert b"x OK [CAP" not in out, out
        c.close()
        c = Line(suite, 10143)
        c.send(b"x AUTHENTICATE PLAIN " + base64.b64encode(user + b"\0" + user + b"\0" + user) + b"\r\nq LOGOUT\r\n")
        half_close(c)
        drain(c)
        c.close()
        c = Line(suite, 10110)
        c.send(b"USER " + user + b"\r\nPASS " + user + b"\r\nQUIT\r\n")
        half_close(c)
        drain(c)
        c.close()
        c = Line(suite, 13905)
        c.send(b"x AUTHENTICATE \"PLAIN\" \"" + base64.b64encode(b"\0" + user + b"\0" + user) + b"\"\r\n" + NASTY + b" LOGOUT\r\n")
        half_close(c)
        drain(c)
        c.close()
    time.sleep(0.3)
    n = 0
    for d in ("proxyd", "lmtpd", "relayd", "spoold", "mupdated", "rotated"):
        for line in suite.log(d).split("\n"):
            if not line:
                continue
            line = re.sub(r"^(@[0-9a-f]{24}|\d{4}-\d\d-\d\d[_T]\S+) ", "", line)
            assert LOG_LINE.match(line), f"{d}: {line!r}"
            assert line.startswith(d), line
            assert not re.search(r" (login\.done|login\.ok)\b.* user=root", line), line
            n += 1
    note(f"{n} log lines of good form")


def lhlo(suite, port, source="127.0.0.1"):
    c = Line.__new__(Line)
    c.s = socket.create_connection(("127.0.0.1", suite.port(port)), 20, source_address=(source, 0))
    c.f = c.s.makefile("rb")
    c.line()
    c.send(b"LHLO tester\r\n")
    return c, b"".join(c.until(b"250 "))


def private_extensions(suite):
    """XTWINSPOOL is for trusted peers: not offered to others, and not obeyed."""
    c, words = lhlo(suite, 10025)
    assert b"XTWINSPOOL" in words	# conf/run-suite trusts 127.0.0.1
    for param in (b"XKEY=" + b"a" * 33, b"XKEY=" + b"a" * 31, b"XKEY=" + b"g" * 32, b"XKEY=", b"XKEY", b"XKEY=" + b"a" * 100000, b"XQID=" + b"q" * 65,
                  b"XQID=a/b", b"XQID=" + NASTY, b"XQID=a XQID=a", b"XKEY=" + b"a" * 32 + b" XKEY=" + b"a" * 32):
        c, _ = lhlo(suite, 10025)
        c.send(b"MAIL FROM:<a@b.example> " + param + b"\r\n")
        assert c.line().startswith((b"501", b"500")), param[:40]
        c.close()
    for param in (b"XUSER=" + b"u" * 5000, b"XUSER=../bob", b"XUSER=+00", b"XUSER=a+0Ab", b"XUSER=+GG", b"XUSER=a+", b"XUSER=a/b", b"XUSER=..", b"XUSER=%b" % NASTY,
                  b"XUSER=", b"XPLACE=1", b"XPLACE XPLACE"):
        c, _ = lhlo(suite, 10025)
        c.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.test> " + param + b"\r\n")
        c.line()
        assert c.line().startswith((b"501", b"500", b"55")), param[:40]
        c.close()
    for port, source in ((10025, "127.0.0.2"), (10024, "127.0.0.1"), (10024, "127.0.0.2")):
        c, words = lhlo(suite, port, source)
        assert b"XTWINSPOOL" not in words, (port, source)
        for param in (b"XKEY=" + b"a" * 32, b"XQID=abc"):
            c.send(b"MAIL FROM:<a@b.example> " + param + b"\r\n")
            assert c.line().startswith(b"555"), (port, param)
        c.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.test> XUSER=bob\r\nRCPT TO:<nobody-here@example.test> XPLACE\r\nRSET\r\n")
        assert [c.line()[:3] for _ in range(4)] == [b"250", b"555", b"555", b"250"], port
        c.close()


def chunks_cut_short(suite):
    """BDAT (RFC 3030): nothing inside a chunk is a command, nothing cut short is delivered."""
    head = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<carol@example.test>\r\n"
    for port in (10024, 10025):
        for tail in (b"BDAT 100\r\nSubject: cutshort\r\n\r\n", b"BDAT 1000 LAST\r\nSubject: cutshort\r\n\r\nRSET\r\nQUIT\r\n",
                     b"BDAT 21\r\nSubject: cutshort\r\n\r\n", b"BDAT 21\r\nSubject: cutshort\r\n\r\nRSET\r\n",
                     b"BDAT 21\r\nSubject: cutshort\r\n\r\nQUIT\r\n", b"BDAT 21\r\nSubject: cutshort\r\n\r\nMAIL FROM:<x@y.example>\r\nBDAT 9999999999 LAST\r\n"):
            c, _ = lhlo(suite, port)
            c.send(head + tail)
            half_close(c)
            out, closed = drain(c)
            assert closed, (port, tail, out)
            c.close()
        # a size that is none: where the chunk ends is unknown
        for size in (b"-1", b"99999999999999999999", b"18446744073709551616 LAST", b"0x10", b"", b"5 LASTX", b"+5", b"5  LAST"):
            c, _ = lhlo(suite, port)
            c.send(head + b"BDAT " + size + b"\r\nMAIL FROM:<evil@b.example>\r\nRCPT TO:<carol@example.test>\r\nBDAT 20 LAST\r\nSubject: cutshort\r\n\r\n")
            out, closed = drain(c)
            assert closed and b"421" in out and out.count(b"250 ") <= 3, (port, size, out)
            c.close()
        # commands inside a chunk are content; the transaction after RSET is clean
        c, _ = lhlo(suite, port)
        body = b"From: a@b.example\r\nSubject: chunked%d\r\n\r\nRSET\r\nQUIT\r\n.\r\nDATA\r\n" % port
        c.send(head + b"BDAT 21\r\nSubject: cutshort\r\n\r\nRSET\r\n" + head + b"BDAT %d\r\n%bBDAT 0 LAST\r\nDATA\r\nNOOP\r\n" % (len(body), body))
        got = [c.line()[:3] for _ in range(10)]
        assert got == [b"250", b"250", b"250", b"250", b"250", b"250", b"250", b"250", b"503", b"250"], (port, got)
        # DATA after BDAT of the same transaction
        c.send(head + b"BDAT 5\r\nSubjeDATA\r\nRCPT TO:<alice@example.test>\r\nRSET\r\n")
        assert [c.line()[:3] for _ in range(6)] == [b"250", b"250", b"250", b"503", b"503", b"250"]
        c.close()
    m = suite.imap("carol")
    m.select("INBOX")
    assert m.search(None, "SUBJECT", "cutshort")[1][0] == b""
    for port in (10024, 10025):
        assert len(m.search(None, "SUBJECT", f"chunked{port}")[1][0].split()) == 1, port
    m.logout()


def mupdate_strangers(suite):
    """Without a login nothing but AUTHENTICATE, STARTTLS, LOGOUT, NOOP (RFC 3656 3, 4)."""
    for word in (b"ACTIVATE \"user.evil\" \"evil!x\" \"evil lrs\"", b"RESERVE \"user.evil\" \"evil!x\"", b"DEACTIVATE \"user.alice\" \"x!y\"", b"DELETE \"user.alice\"",
                 b"FIND \"user.alice\"", b"LIST", b"LIST \"x\"", b"UPDATE", b"COMPRESS \"DEFLATE\"", b"NOSUCH " + NASTY):
        c = Line(suite, 13905)
        c.until(b"* OK")
        c.send(b"x " + word + b"\r\nq LOGOUT\r\n")
        half_close(c)
        out, closed = drain(c)
        assert closed and out.startswith((b"x NO", b"x BAD", b"* BAD")) and b"MAILBOX" not in out, (word, out)
        c.close()
    pids = suite.pids("mupdated")
    before = rss_kib(pids)
    conns = [Line(suite, 13905) for _ in range(40)]
    for i, c in enumerate(conns):
        c.s.settimeout(0.5)
        try:
            c.s.sendall((b"x FIND {8192+}\r\n" + b"a" * 8192 + b" ", b"x FIND \"" + b"a" * 8192, b"x" * 8192, b"\"" * 8192)[i % 4] * 40)
        except OSError:
            pass
    grown = rss_kib(pids) - before
    for c in conns:
        c.close()
    assert grown < 8192, f"{grown} KiB for 40 strangers"


def crowds(suite):
    """500 silent peers at each door and some that send a byte a second: everybody else is served."""
    silent = []
    for port in (10143, 10993, 10110, 10995, 10024, 10025, 13905):
        for _ in range(500):
            s = socket.socket()
            s.settimeout(5)
            try:
                s.connect(("127.0.0.1", suite.port(port)))
                silent.append(s)
            except OSError:
                s.close()
    stop = threading.Event()
    slow = []
    for port, text in ((10143, b"a LOGIN alice "), (10110, b"USER alice"), (10024, b"LHLO slow.example"), (10025, b"LHLO slow"), (13905, b"x AUTH"),
                       (10993, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")):
        for _ in range(5):
            c = Line(suite, port)
            slow.append((c, text))

    def dribble():
        for i in range(100):
            for c, text in slow:
                if i < len(text):
                    c.send(text[i:i + 1])
            if stop.wait(1):
                return
    t = threading.Thread(target=dribble, daemon=True)
    t.start()
    try:
        longest = 0
        for i in range(3):
            at = time.time()
            m = suite.imap("alice")
            m.select("INBOX")
            m.logout()
            p = suite.pop3("bob")
            p.quit()
            assert suite.deliver(message(f"crowd{i}"), ["alice"])[0][0] == 250
            assert suite.deliver(message(f"crowd{i}b"), ["alice"], port=10025)[0][0] == 250
            c = Line(suite, 13905)
            assert c.until(b"* OK")[-1], "mupdated shut an honest peer out"
            c.close()
            longest = max(longest, time.time() - at)
        note(f"beside {len(silent)} silent peers a round of five services took {longest * 1000:.0f} ms at most")
        assert longest < 5, longest
    finally:
        stop.set()
        t.join()
        for s in silent:
            s.close()
        for c, _ in slow:
            c.close()


def everyone_lives(suite):
    died = [l for d in ("proxyd", "lmtpd", "relayd", "spoold", "mupdated", "rotated") for l in suite.log(d).splitlines() if "child.died" in l]
    assert not died, died
    for u in ("alice", "bob", "carol"):
        m = suite.imap(u)
        assert m.select("INBOX")[0] == "OK"
        m.logout()


if __name__ == "__main__":
    sys.exit(main(Suite(), [starttls_at_every_byte, alpn_and_sni, wrong_protocols, odd_literals, sasl_beside_a_login, local_sockets,
                            logs_cannot_be_forged, private_extensions, chunks_cut_short, mupdate_strangers, crowds, everyone_lives]))
