"""Extensions about single messages through the whole suite: what proxyd frames and the committer writes twice."""
import base64
import re
import socket
import sys

from imapcheck import Client, uid_set
from suite import Suite, main


def client(suite, user):
    return Client(suite.port(10143)).login(user)


def fetched(out):
    return {r[1]: r[2] for r in out if r[0] == b"FETCH"}


def many(suite):
    """As many messages as an APPEND takes, in memory and each as a descriptor to the committer; both copies have all."""
    c = client(suite, "alice")
    for size in (100, 5000):
        bodies = [b"Subject: many %d\r\n\r\nx%05d%s\r\n" % (size, i, b"y" * size) for i in range(250)]
        code, _ = c.cmd(b"APPEND INBOX" + b"".join(b" (\\Seen) {%d+}\r\n%s" % (len(b), b) for b in bodies))
        uids = uid_set(code.split()[2])
        assert len(uids) == 250
        c.cmd("SELECT INBOX")
        got = fetched(c.cmd("UID FETCH %d:%d BODY.PEEK[]" % (uids[0], uids[-1]))[1])
        assert [got[n][b"BODY[]"] for n in sorted(got)] == bodies
        for i in (0, 124, 249):
            assert suite.redundant_has(b"x%05d%s\r\n" % (i, b"y" * size)), (size, i)
    c.cmd(b"APPEND INBOX" + b" {1+}\r\nx" * 251, "NO")
    c.cmd("NOOP")


def catenate_replace(suite):
    """A draft is written, its text changed, and sent, in literals of both kinds."""
    c = client(suite, "bob")
    first = b"Subject: draft\r\n\r\n" + b"0123456789\r\n" * 20000
    uid = c.append("Drafts", first, b"\\Draft")
    c.cmd("SELECT Drafts")
    old = fetched(c.cmd("FETCH 1 (EMAILID THREADID SAVEDATE PREVIEW)")[1])[1]
    assert old[b"THREADID"] is None and old[b"PREVIEW"].startswith(b"0123456789 0123456789")
    # what a synchronising literal follows is asked for
    tag = c.start(b"UID REPLACE %d Drafts (\\Draft) CATENATE (TEXT {14}" % uid)
    assert c.response()[0] == b"+"
    c.s.sendall(b"Subject: new\r\n URL \"/Drafts/;UID=%d/;SECTION=TEXT/;PARTIAL=0.200000\" TEXT {5+}\r\nend\r\n)\r\n" % uid)
    status, _, out = c.finish(tag, "UID REPLACE")
    assert status == "OK" and [r[0] for r in out] == [b"OK", b"EXPUNGE", b"EXISTS", b"RECENT"], out
    new = fetched(c.cmd("FETCH 1 (UID EMAILID RFC822.SIZE BODY.PEEK[] FLAGS)")[1])[1]
    assert new[b"BODY[]"] == b"Subject: new\r\n" + (b"0123456789\r\n" * 20000)[:200000] + b"end\r\n"
    assert new[b"EMAILID"] != old[b"EMAILID"] and b"\\Draft" in new[b"FLAGS"]
    c.cmd("REPLACE 1 Sent CATENATE (URL \"/Drafts/;UID=%d\")" % new[b"UID"])
    assert not c.msgs
    c.cmd("APPEND Sent CATENATE (URL /Drafts/;UID=%d)" % new[b"UID"], "NO")
    assert c.codes[-1].startswith(b"BADURL")


def binary(suite):
    """A literal8 with a NUL comes through the edge; what cannot be kept is refused."""
    c = client(suite, "carol")
    data = bytes(range(256)) * 1000
    c.append("INBOX", b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(data).replace(b"\n", b"\r\n"))
    c.cmd("SELECT INBOX")
    got = fetched(c.cmd("FETCH 1 (BINARY.SIZE[1] BINARY.PEEK[1] BINARY.PEEK[1]<1.200>)")[1])[1]
    assert got[b"BINARY[1]"] == data and got[b"BINARY.SIZE[1]"] == len(data) and got[b"BINARY[1]<1>"] == data[1:201]
    c.cmd(b"APPEND INBOX ~{6+}\r\na: b\nx", "NO")
    assert c.codes[-1] == b"UNKNOWN-CTE"
    c.cmd(b"APPEND INBOX ~{8+}\r\na: b\r\n\r\n")
    code, _ = c.cmd("CREATE new")
    out = c.cmd("STATUS new (MAILBOXID)")[1]
    assert re.fullmatch(rb"MAILBOXID \(.*\)", code) and out[0][1][1][b"MAILBOXID"] == code.split()[1]


def rev2(suite):
    """IMAP4rev2 and UTF8=ACCEPT: names in quoted UTF-8 and a literal8 in parentheses come through the edge, both ways."""
    s = socket.create_connection(("127.0.0.1", suite.port(10143)), 30)
    f = s.makefile("rb")
    assert b" IMAP4rev2 " in f.readline()

    def ask(command, literal=b"", rest=b""):
        s.sendall(b"x " + command.encode() + (b"\r\n" if not literal else b""))
        if literal:
            s.sendall(b"~{%d}\r\n" % len(literal))
            assert f.readline().startswith(b"+ ")
            s.sendall(literal + rest + b"\r\n")
        out = b""
        while not out.split(b"\r\n")[-2:][0].startswith(b"x "):
            out += f.readline()
        assert b"\r\nx OK " in b"\r\n" + out, out
        return out.decode()

    raw = "Subject: K\u00e4se\r\n\r\nx\r\n".encode()
    assert "* ENABLED IMAP4rev2 UTF8=ACCEPT\r\n" in ask("LOGIN carol twinspool") + ask("ENABLE UTF8=ACCEPT IMAP4rev2")
    assert '"B\u00f6se" ("OLDNAME" ("Bo\u0308se"))\r\n' in ask('CREATE "Bo\u0308se"')
    ask('APPEND "B\u00f6se" UTF8 (', raw, b")")
    out = ask('SELECT "B\u00f6se"')
    assert '"/" "B\u00f6se"\r\n' in out and "RECENT" not in out and "* 1 EXISTS" in out, out
    assert '* ESEARCH (TAG "x") ALL 1\r\n' in ask('SEARCH SUBJECT "k\u00c4se"')
    assert raw.decode() in ask("FETCH 1 BODY[]")
    s.close()
    c = client(suite, "carol")
    assert (b"LIST", (b"B&APY-se", {b"\\HasNoChildren"})) in c.cmd('LIST "" B*')[1]
    c.cmd(b"APPEND INBOX {%d+}\r\n%s" % (len(raw), raw))
    c.close()


if __name__ == "__main__":
    sys.exit(main(Suite(), [many, catenate_replace, binary, rev2]))
