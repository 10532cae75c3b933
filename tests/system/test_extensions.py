"""IMAP's extensions by scripts that follow their RFCs' examples: twice, through proxyd and directly at spoold's session
socket, as proxyd opens it. What an example shows of numbers is compared number by number, each octet by the strict client.
"""
import base64
import os
import re
import socket
import struct
import sys

from imapcheck import Client
from suite import Suite, main

SESS_IMAP, SESSOPEN_OK = 1, 1	# lib/sessopen.h
PROXYD_AUTH_UID = 64802	# conf/run-suite: whom spoold lets open sessions
BOXES = {"proxyd": "user00000", "spoold": "user00001"}


def direct(suite, user):
    """A session without proxyd: an open record and one end of a stream, to a lot."""
    def text(s):
        return struct.pack("<I", len(s)) + s.encode()
    record = (struct.pack("<B", SESS_IMAP) + text(user) + text("test") + text("L1") + text("127.0.0.1") + struct.pack("<HB", 1, 0) +
              text("") + text("") + bytes(1))
    ours, theirs = socket.socketpair()
    lot = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    root = os.geteuid() == 0
    if root:
        os.seteuid(PROXYD_AUTH_UID)
    try:
        lot.connect(f"{suite.base}/run/spoold/session")
    finally:
        if root:
            os.seteuid(0)
    socket.send_fds(lot, [record], [theirs.fileno()])
    assert lot.recv(16) == bytes([SESSOPEN_OK])
    lot.close()
    theirs.close()
    c = Client(0, stream=ours)
    status, code, _ = c.finish(b"L1")
    assert status == "OK" and code.startswith(b"CAPABILITY IMAP4rev1"), (status, code)
    return c


def both(script):
    """The script by each road, with a user of its own."""
    def run(suite):
        for road, user in BOXES.items():
            c = Client(suite.port(10143)).login(user) if road == "proxyd" else direct(suite, user)
            try:
                script(c)
            except AssertionError as e:
                raise AssertionError(f"by {road}: {e}") from e
            assert c.cmd("LOGOUT")[1][0][0] == b"BYE"
            c.close()
    run.__name__ = script.__name__
    return run


def one(c, command, kind):
    """The one response of its kind that a command must have."""
    found = [r for r in c.cmd(command)[1] if r[0] == kind]
    assert len(found) == 1, (command, found)
    return found[0]


def fetched(out):
    return {r[1]: r[2] for r in out if r[0] == b"FETCH"}


def box(c, name, messages):
    """A new mailbox with messages (raw, flags), selected; their UIDs."""
    c.cmd(f"CREATE {name}")
    uids = [c.append(name, raw, flags) for raw, flags in messages]
    c.cmd(f"SELECT {name}")
    return uids


def mail(subject, sender="a@x.example", day=1, more=""):
    return f"From: {sender}\r\nSubject: {subject}\r\nDate: {day} Mar 2000 12:00:00 +0000\r\n{more}\r\nbody of {subject}\r\n".encode()


@both
def esearch(c):
    """RFC 4731 3.1, 5182 2, 9394 3.1, 5032 3."""
    uids = box(c, "Esearch", [(mail(f"s{i}", "Smith" if i == 4 else "jones"), b"\\Flagged" if i in (2, 4, 6, 7) else b"\\Seen") for i in range(1, 10)])
    r = one(c, "SEARCH RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"", b"ESEARCH")[1]
    assert r == {"tag": b"t%d" % c.n, "uid": False, b"MIN": 2, b"COUNT": 3}, r
    r = one(c, "SEARCH RETURN () FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"", b"ESEARCH")[1]
    assert r[b"ALL"] == [2, 6, 7] and not r["uid"], r
    assert one(c, "SEARCH RETURN (MIN) UNSEEN", b"ESEARCH")[1][b"MIN"] == 2
    r = one(c, "UID SEARCH RETURN (MIN MAX) 1:5000", b"ESEARCH")[1]
    assert r["uid"] and (r[b"MIN"], r[b"MAX"]) == (uids[0], uids[-1]), r
    assert one(c, "SEARCH RETURN (COUNT) DELETED", b"ESEARCH")[1] == {"tag": b"t%d" % c.n, "uid": False, b"COUNT": 0}
    assert set(one(c, "SEARCH RETURN (MIN MAX ALL) DELETED", b"ESEARCH")[1]) == {"tag", "uid"}	# 3.1: none of them
    # MODSEQ (3.2): the highest of those named
    modseqs = {n: f[b"MODSEQ"] for n, f in fetched(c.cmd("FETCH 1:* (MODSEQ)")[1]).items()}
    r = one(c, "SEARCH RETURN (MIN MAX) MODSEQ 1 FLAGGED", b"ESEARCH")[1]
    assert (r[b"MIN"], r[b"MAX"], r[b"MODSEQ"]) == (2, 7, max(modseqs[2], modseqs[7])), r
    # "$" (RFC 5182)
    c.cmd("SEARCH RETURN (SAVE) FLAGGED")
    assert sorted(fetched(c.cmd("FETCH $ (UID)")[1])) == [2, 4, 6, 7]
    assert one(c, "UID SEARCH RETURN (ALL) UID $ FROM smith", b"ESEARCH")[1][b"ALL"] == [uids[3]]
    assert one(c, "SEARCH RETURN (PARTIAL -1:-2) ALL", b"ESEARCH")[1][b"PARTIAL"] == (b"-1:-2", [8, 9])
    assert one(c, "SEARCH RETURN (PARTIAL 100:200) ALL", b"ESEARCH")[1][b"PARTIAL"] == (b"100:200", [])
    assert one(c, "SEARCH RETURN (COUNT) YOUNGER 3600", b"ESEARCH")[1][b"COUNT"] == 9
    # RFC 7377: of which mailbox
    r = [r[1] for r in c.cmd('ESEARCH IN (mailboxes ("Esearch" "INBOX")) RETURN (COUNT) FLAGGED')[1] if r[0] == b"ESEARCH"]
    assert [(x[b"MAILBOX"], x["uid"], x[b"COUNT"]) for x in r if x[b"COUNT"]] == [(b"Esearch", True, 4)], r


@both
def sort(c):
    """RFC 5256 3, 5957, 5267."""
    rows = [("b", 3), ("Re: a", 5), ("A", 2), ("c", 1), ("[list] b (fwd)", 4)]
    uids = box(c, "Sort", [(mail(s, f"\"{'zyxwv'[i]}\" <a@x.example>", d), b"") for i, (s, d) in enumerate(rows)])
    assert one(c, "SORT (SUBJECT) UTF-8 SINCE 1-Feb-1994", b"SORT") == (b"SORT", [2, 3, 1, 5, 4])
    assert one(c, "SORT (SUBJECT REVERSE DATE) UTF-8 ALL", b"SORT") == (b"SORT", [2, 3, 5, 1, 4])
    assert one(c, 'SORT (SUBJECT) US-ASCII TEXT "not in mailbox"', b"SORT") == (b"SORT", [])
    assert one(c, "UID SORT (REVERSE DATE) UTF-8 ALL", b"SORT") == (b"SORT", [uids[n - 1] for n in (2, 5, 1, 3, 4)])
    assert one(c, "SORT (DISPLAYFROM) UTF-8 ALL", b"SORT") == (b"SORT", [5, 4, 3, 2, 1])
    r = one(c, "SORT RETURN (MIN MAX COUNT ALL) (DATE) UTF-8 ALL", b"ESEARCH")[1]
    assert (r[b"MIN"], r[b"MAX"], r[b"COUNT"], r[b"ALL"]) == (4, 2, 5, [4, 3, 1, 5, 2]), r
    c.cmd("SORT (NOTHING) UTF-8 ALL", "BAD")
    c.cmd("SORT (DATE) X-UNKNOWN ALL", "NO")
    assert c.codes[-1].startswith(b"BADCHARSET")


@both
def thread(c):
    """RFC 5256 3, and the tree of its section 4 under other numbers: (1)(2 3 (4 5)(6 7 8))."""
    parents = {3: 2, 4: 3, 5: 4, 6: 3, 7: 6, 8: 7}
    box(c, "Thread", [(mail(f"t{n}", day=n, more=f"Message-ID: <{n}@x.example>\r\n" +
                            (f"References: <{parents[n]}@x.example>\r\n" if n in parents else "")), b"") for n in range(1, 9)])
    assert one(c, "THREAD REFERENCES UTF-8 SINCE 5-MAR-2000", b"THREAD")[1] == [(None, 1), (None, 2), (2, 3), (3, 4), (4, 5), (3, 6), (6, 7), (7, 8)]
    assert one(c, 'THREAD ORDEREDSUBJECT US-ASCII TEXT "gewp"', b"THREAD") == (b"THREAD", [])
    assert [p for p, _ in one(c, "THREAD ORDEREDSUBJECT UTF-8 ALL", b"THREAD")[1]] == [None] * 8
    assert len(one(c, "UID THREAD REFERENCES UTF-8 ALL", b"THREAD")[1]) == 8
    # (1)((4 5)(6 7 8)): the parent is not among them
    c.cmd("STORE 2:3 +FLAGS.SILENT (\\Deleted)")
    assert one(c, "THREAD REFERENCES UTF-8 UNDELETED", b"THREAD")[1] == [(None, 1), (None, 4), (4, 5), (None, 6), (6, 7), (7, 8)]


@both
def condstore(c):
    """RFC 7162 3.1, examples 2 to 10."""
    uids = box(c, "Cond", [(mail(f"c{i}"), b"") for i in range(1, 10)])
    assert any(x.startswith(b"HIGHESTMODSEQ ") for x in c.codes)
    before = one(c, "STATUS Cond (UIDNEXT MESSAGES HIGHESTMODSEQ)", b"STATUS")[1][1][b"HIGHESTMODSEQ"]
    c.cmd("ENABLE CONDSTORE")
    _, out = c.cmd(f"UID STORE {uids[5]},{uids[3]},{uids[7]} (UNCHANGEDSINCE {before}) +FLAGS.SILENT (\\Deleted)")
    told = fetched(out)
    assert sorted(told) == [4, 6, 8] and all(set(x) == {b"UID", b"MODSEQ"} and x[b"MODSEQ"] > before for x in told.values()), told
    code, out = c.cmd(f"STORE 7,5,4,6 (UNCHANGEDSINCE {before}) +FLAGS.SILENT (\\Seen)")
    assert code == b"MODIFIED 4,6", code
    told = fetched(out)
    assert b"FLAGS" in told[4] and b"FLAGS" not in told[5] and sorted(told) == [4, 5, 6, 7], told
    code, _ = c.cmd("STORE 1 (UNCHANGEDSINCE 0) FLAGS (\\Answered)")	# example 7
    assert code == b"MODIFIED 1", code
    changed = fetched(c.cmd(f"FETCH 1:* (FLAGS) (CHANGEDSINCE {before})")[1])
    assert sorted(changed) == [4, 5, 6, 7, 8] and all(x[b"MODSEQ"] > before for x in changed.values()), changed
    found = one(c, f"SEARCH MODSEQ {before + 1}", b"SEARCH")
    assert found[1][:5] == [4, 5, 6, 7, 8], found
    c.cmd("FETCH 1:* (FLAGS) (CHANGEDSINCE -1)", "BAD")


@both
def qresync(c):
    """RFC 7162 3.2: what a client is told that comes back."""
    c.cmd("SELECT INBOX (QRESYNC (1 1))", "BAD")
    c.cmd("ENABLE QRESYNC")
    uids = box(c, "Quick", [(mail(f"q{i}"), b"") for i in range(1, 21)])
    c.cmd("FETCH 1:* (UID FLAGS)")
    validity = int([x for x in c.codes if x.startswith(b"UIDVALIDITY")][-1].split()[1])
    cache, since = {m["uid"]: m["flags"] for m in c.msgs}, c.modseq
    c.cmd(f"UID STORE {uids[2]}:{uids[5]},{uids[9]} +FLAGS.SILENT (\\Deleted)")
    code, out = c.cmd(f"UID EXPUNGE {uids[0]}:{uids[5]}")
    assert code.startswith(b"HIGHESTMODSEQ ") and (b"VANISHED", uids[2:6]) in out, (code, out)
    code, out = c.cmd("EXPUNGE")
    assert (b"VANISHED", [uids[9]]) in out
    c.cmd(f"UID STORE {uids[11]} +FLAGS (\\Flagged)")
    new = c.append("Quick", mail("new"))
    want = [u for u in uids if u not in uids[2:6] + [uids[9]]] + [new]
    for is_all in (True, False):
        c.select_again("Quick", validity, since, cache, is_all)
        assert [m["uid"] for m in c.msgs] == (want if is_all else want[:-1] + [None]), c.msgs
        assert c.msgs[want.index(uids[11])]["flags"] == {b"\\Flagged"}
    # numbers that match spare the client what it knows (3.2.5.2)
    _, out = c.cmd(f"SELECT Quick (QRESYNC ({validity} {since} {uids[0]}:{uids[-1]} (1:2 {uids[0]}:{uids[1]})))")
    assert (b"VANISHED", uids[2:6] + [uids[9]]) in out, out
    _, out = c.cmd(f"SELECT Quick (QRESYNC ({validity + 1} {since}))")
    assert not [r for r in out if r[0] in (b"VANISHED", b"FETCH")], out
    _, out = c.cmd(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {since} VANISHED)")
    assert (b"VANISHED", uids[2:6] + [uids[9]]) in out and {f[b"UID"] for f in fetched(out).values()} == {uids[11], new}, out
    assert any(x == b"CLOSED" for x in c.codes)


@both
def binary(c):
    """RFC 3516 4: the octets, not their encoding."""
    data = bytes(range(256)) * 20
    raw = (b"Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\ntext\r\n"
           b"--x\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
           base64.encodebytes(data).replace(b"\n", b"\r\n") + b"--x\r\nContent-Transfer-Encoding: x-odd\r\n\r\n?\r\n--x--\r\n")
    box(c, "Binary", [(raw, b"")])
    got = fetched(c.cmd("FETCH 1 (BINARY.SIZE[2] BINARY.PEEK[2] BINARY.PEEK[2]<5.10> BINARY[1])")[1])[1]
    assert got[b"BINARY[2]"] == data and got[b"BINARY.SIZE[2]"] == len(data) and got[b"BINARY[2]<5>"] == data[5:15], got.keys()
    assert got[b"BINARY[1]"] == b"text" and b"\\Seen" in c.msgs[0]["flags"], (got, c.msgs)
    c.cmd("FETCH 1 BINARY.PEEK[3]", "NO")
    assert c.codes[-1] == b"UNKNOWN-CTE", c.codes[-1]
    assert fetched(c.cmd("FETCH 1 BINARY.PEEK[]")[1])[1][b"BINARY[]"] is not None


@both
def catenate(c):
    """RFC 4469 appendix A: an attachment is replaced, a digest is made, a URL is wrong."""
    raw = b"Subject: draft\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst\r\n--b\r\n\r\nsecond\r\n--b--\r\n"
    uid = box(c, "Cat", [(raw, b"\\Draft")])[0]
    validity = int([x for x in c.codes if x.startswith(b"UIDVALIDITY")][-1].split()[1])
    url = f'URL "/Cat;UIDVALIDITY={validity}/;UID={uid}/;section='
    new, end = "--b\r\n\r\nnew\r\n--b\r\n\r\n", "\r\n--b--\r\n"
    code, _ = c.cmd(f'APPEND Cat (\\Seen \\Draft $MDNSent) CATENATE ({url}HEADER" TEXT {{{len(new)}+}}\r\n{new} {url}2" TEXT {{{len(end)}+}}\r\n{end})')
    assert code.startswith(b"APPENDUID "), code
    c.cmd("NOOP")
    got = fetched(c.cmd("FETCH 2 (FLAGS BODY.PEEK[])")[1])[2]
    assert got[b"BODY[]"] == raw.replace(b"first", b"new"), got
    assert {b"\\Seen", b"\\Draft", b"$MDNSent"} <= set(got[b"FLAGS"])
    c.cmd(f'APPEND Cat CATENATE (TEXT {{3+}}\r\na\r\n URL "/Cat;UIDVALIDITY={validity}/;UID=999999")', "NO")
    assert c.codes[-1].startswith(b"BADURL "), c.codes[-1]
    assert len(c.msgs) == 2


@both
def replace(c):
    """RFC 8508 3.4: the new one is announced before the old one goes."""
    uids = box(c, "Replace", [(mail(f"r{i}"), b"") for i in range(1, 5)])
    raw = mail("happy new year !!")
    code, out = c.cmd(b"REPLACE 4 Replace (\\Seen \\Draft) {%d+}\r\n%s" % (len(raw), raw))
    assert out[0][0] == b"OK" and out[0][1].startswith(b"APPENDUID "), out
    # the example tells EXISTS 5 first; so it comes to the same
    assert [r for r in out[1:] if r[0] in (b"EXISTS", b"EXPUNGE")] == [(b"EXPUNGE", 4), (b"EXISTS", 4)], out
    new = int(out[0][1].split()[2])
    _, out = c.cmd(b"UID REPLACE %d Replace {%d+}\r\n%s" % (new, len(raw), raw))
    assert len(c.msgs) == 4 and c.gone[-1] in (None, new)
    c.cmd(b"UID REPLACE %d Replace {%d+}\r\n%s" % (new, len(raw), raw), "NO")
    c.cmd(b"REPLACE 9 Replace {%d+}\r\n%s" % (len(raw), raw), "BAD")
    c.cmd(b"REPLACE 1 Nope {%d+}\r\n%s" % (len(raw), raw), "NO")
    c.cmd("NOOP")
    assert len(c.msgs) == 4 and uids[0] == fetched(c.cmd("FETCH 1 UID")[1])[1][b"UID"]


@both
def metadata(c):
    """RFC 5464 4.2, 4.3."""
    c.cmd("CREATE Meta")
    c.cmd("SETMETADATA Meta (/private/comment {33+}\r\nMy new comment across\r\ntwo lines.)")
    r = one(c, "GETMETADATA Meta /private/comment", b"METADATA")[1]
    assert r == (b"Meta", {b"/private/comment": b"My new comment across\r\ntwo lines."}), r
    c.cmd('SETMETADATA Meta (/private/comment "My own comment" /private/filters/values/small "SMALLER 5000" /private/filters/values/boss "FROM boss")')
    r = one(c, 'GETMETADATA (DEPTH 1) Meta /private/filters/values', b"METADATA")[1]
    assert r[1] == {b"/private/filters/values/small": b"SMALLER 5000", b"/private/filters/values/boss": b"FROM boss"}, r
    code, out = c.cmd("GETMETADATA (MAXSIZE 11) Meta (/private/comment /private/filters/values/boss)")
    assert code == b"METADATA LONGENTRIES 14" and out == [(b"METADATA", (b"Meta", {b"/private/filters/values/boss": b"FROM boss"}))], (code, out)
    c.cmd("SETMETADATA Meta (/private/comment NIL)")
    assert not [r for r in c.cmd("GETMETADATA Meta /private/comment")[1] if r[0] == b"METADATA" and r[1][1].get(b"/private/comment")]
    c.cmd('SETMETADATA "" (/private/comment "of the user")')
    assert one(c, 'GETMETADATA "" /private/comment', b"METADATA")[1] == (b"", {b"/private/comment": b"of the user"})
    c.cmd("GETMETADATA Nope /private/comment", "NO")


if __name__ == "__main__":
    sys.exit(main(Suite(users=len(BOXES)), [esearch, sort, thread, condstore, qresync, binary, catenate, replace, metadata]))
