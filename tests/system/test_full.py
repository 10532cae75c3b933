"""A disk that fills up: below the reserve mail is deferred with 452 while everything else works; with not one byte
left every answer is still a clear one; nothing acknowledged is lost; space that is freed is used without a
restart. The same for a full index file system and for one that turns read-only. Needs root and loop mounts."""
import glob
import imaplib
import os
import re
import subprocess
import sys
import time

import loopfs
from suite import Skip, Suite, main, message, note

RESERVE = 32 << 20
ACKED = {}  # number: user
NEXT = {"n": 0}


def deliver(suite, user="alice", size=0):
    """The code; what is acknowledged is remembered."""
    NEXT["n"] += 1
    n = NEXT["n"]
    code, text = suite.deliver(message(f"f{n}", size), [user])[0]
    if code == 250:
        ACKED[n] = user
    return code, text


def ids(suite, user):
    m = suite.imap(user)
    m.select("INBOX", readonly=True)
    _, data = m.fetch("1:*", "(BODY.PEEK[])")
    m.logout()
    return [int(x.group(1)) for d in data if isinstance(d, tuple) for x in [re.search(rb"Message-ID: <f(\d+)@", d[1])] if x]


def nothing_lost(suite):
    for user in ("alice", "bob"):
        there = ids(suite, user)
        lost = [n for n, u in ACKED.items() if u == user and n not in there]
        assert not lost, lost
        assert len(there) == len(set(there)), "a message is there twice"
    kept = b"".join(open(f, "rb").read() for f in glob.glob(f"{suite.base}/spool/redundant/*/*.log"))
    missing = [n for n in ACKED if b"Message-ID: <f%d@" % n not in kept]
    assert not missing, missing


def wait_ok(suite, seconds=20):
    """Deliveries work again, without a restart."""
    deadline = time.time() + seconds
    while True:
        r = deliver(suite)
        if r[0] == 250:
            return
        assert r[0] // 100 == 4, r
        assert time.time() < deadline, r
        time.sleep(0.2)


def frees_space(test):
    """Whatever the test finds, the next one has space."""
    def run(suite):
        try:
            test(suite)
        finally:
            for f in glob.glob(suite.fs.at + "/filler.*"):
                os.unlink(f)
    run.__name__ = test.__name__
    return run


@frees_space
def below_the_reserve(suite):
    for i in range(30):
        assert deliver(suite, ("alice", "bob")[i % 2], 2000)[0] == 250
    filler = suite.fs.fill(RESERVE + (2 << 20))
    codes = {}
    for i in range(60):
        r = deliver(suite, ("alice", "bob")[i % 2], 200000)
        codes[r[0]] = codes.get(r[0], 0) + 1
    assert set(codes) == {250, 452}, codes
    r = deliver(suite, "alice", 200000)
    assert r[0] == 452, r
    m = suite.imap("alice")
    m.select("INBOX")
    assert m.store("1:3", "+FLAGS", "(\\Flagged $Full)")[0] == "OK"
    assert m.store("5:6", "+FLAGS", "(\\Deleted)")[0] == "OK"
    assert m.create('"Made while full"')[0] == "OK"
    r = m.append("INBOX", None, None, message("append", 200000))
    assert r[0] == "NO" and b"TRYCREATE" not in r[1][0], r
    before = len(m.search(None, "ALL")[1][0].split())
    assert m.expunge()[0] == "OK"
    assert len(m.search(None, "ALL")[1][0].split()) == before - 2
    assert len(m.search(None, "FLAGGED")[1][0].split()) == 3
    m.logout()
    # two expunged ones are not lost: they are looked for no more
    there = ids(suite, "alice")
    gone = [n for n, u in ACKED.items() if u == "alice" and n not in there]
    assert len(gone) == 2, gone
    for n in gone:
        del ACKED[n]
    os.unlink(filler)
    wait_ok(suite)
    nothing_lost(suite)
    note(f"with {RESERVE >> 20} MiB in reserve: {codes}")


@frees_space
def to_the_last_byte(suite):
    suite.expect(r"warn\.(store|index|redundant|commit|place|map|mupdate|tls|lmtp|child|epoch)\.")
    assert deliver(suite)[0] == 250
    filler, codes, answers = suite.fs.fill(0), {}, {}
    for i in range(20):
        r = deliver(suite, ("alice", "bob")[i % 2], (0, 100000)[i % 3 == 0])
        codes[r[0]] = codes.get(r[0], 0) + 1
        assert r[0] // 100 == 4, r
    m = suite.imap("alice")
    for i in range(10):
        for name, do in (("select", lambda: m.select("INBOX")), ("fetch", lambda: m.fetch("1", "(BODY.PEEK[])")),
                         ("store", lambda: m.store("1:*", "+FLAGS", f"(k{i})")), ("append", lambda:
                         m.append("INBOX", None, None, message("append2", 100000)))):
            try:
                r = do()[0]
            except imaplib.IMAP4.abort:
                raise
            except imaplib.IMAP4.error as e:
                r = "refused"  # FETCH without a selected mailbox
            answers[f"{name} {r}"] = answers.get(f"{name} {r}", 0) + 1
    assert not answers.get("append OK"), answers
    try:
        m.logout()
    except imaplib.IMAP4.error:
        pass
    os.unlink(filler)
    wait_ok(suite)
    nothing_lost(suite)
    assert not re.search(r" (fatal|bug)\.", suite.log("spoold")), suite.log("spoold")[-2000:]
    note(f"without a free byte: deliveries {codes}; {answers}")


def index_disk_full(suite):
    suite.expect(r"warn\.(index|store|session)\.")
    at = suite.base + "/spool/index"
    suite.stop()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "tmpfs", at], check=True)
    try:
        suite.start()
        assert deliver(suite)[0] == 250
        nothing_lost(suite)
        with open(at + "/filler", "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass
        for i in range(40):
            assert deliver(suite, size=2000)[0] == 250, "mail does not need the index"
        answers = {}
        for user in ("alice", "carol"):
            try:
                m = suite.imap(user)
                r = m.select("INBOX")[0]
                m.logout()
            except imaplib.IMAP4.error as e:
                r = "BYE or NO"
            answers[user] = r
        os.unlink(at + "/filler")
        wait_ok(suite)
        nothing_lost(suite)
        note(f"with the index's disk full 40 deliveries were taken; SELECT: {answers}")
    finally:
        suite.stop()
        subprocess.run(["umount", at], check=True)
    suite.start()
    nothing_lost(suite)


def read_only(suite):
    suite.expect(r"(warn|fatal)\.")
    assert deliver(suite)[0] == 250
    m = suite.imap("alice")
    m.select("INBOX")
    suite.fs.break_it()
    codes = {}
    for i in range(20):
        # a new spool cannot be made either
        try:
            code = deliver(suite, ("alice", "bob", "carol")[i % 3])[0]
        except OSError:
            code = 421
        assert code // 100 == 4, code
        codes[code] = codes.get(code, 0) + 1
    try:
        r = m.store("1", "+FLAGS", "(\\Answered)")[0]
        m.logout()
    except imaplib.IMAP4.error as e:
        r = type(e).__name__
    assert r != "OK", "a change on a read-only disk"
    suite.wait_log("spoold", r"warn\.[a-z.]+ .*Read-only file system")
    suite.stop()
    suite.fs.umount()
    suite.fs.mount()
    suite.start()
    wait_ok(suite)
    nothing_lost(suite)
    note(f"read-only: deliveries {codes}, STORE {r}")


if __name__ == "__main__":
    try:
        fs = loopfs.LoopFs(300)
    except Skip as e:
        print(f"1..1\nok 1 - full disk # SKIP {e}")
        sys.exit(0)
    os.mkdir(fs.at + "/s")
    # the logs are elsewhere: a logger that cannot write stops whoever logs
    os.mkdir(fs.dir + "/log")
    os.symlink(fs.dir + "/log", fs.at + "/s/log")
    s = Suite(base=fs.at + "/s", conf={"spoold": f"segment_max = 1m\nreserve = {RESERVE >> 20}m\n"})
    s.fs = fs
    status = main(s, [below_the_reserve, to_the_last_byte, index_disk_full, read_only])
    s.close()
    fs.close()
    sys.exit(status)
