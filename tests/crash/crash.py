#!/usr/bin/env python3
"""make crash: records a scripted run of the real daemons on a file system that writes everything down, then builds and
recovers the states a loss of power could have left (crashcheck.c says which). Needs root and /dev/fuse.

  crash.py [--most N] [--seed N] [--seeds N] [--randoms N] [--keep DIR] [--no-weak] [--eio N,...]

--most: about so many states of each run, spread over it; 0 (make crash): all of them. --eio: runs in which the N-th
sync fails once and would succeed when repeated. Prints TAP lines.
"""
import argparse
import imaplib
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))
from suite import BUILD, Suite  # noqa: E402

CRASH = os.path.join(BUILD, "tests/crash")
CONF = {"spoold": "expunge_keep = 0\nsegment_max = 64k\ncompact_waste = 10\nupkeep_rate = 16g\nsync_interval = 100\n"
                  "reserve = 0\ndeliver_workers = 1\nlots = 1\nworkers_min = 1\n"}
DOMAIN = "example.test"
MASK = (1 << 64) - 1


def fnv(data):
    """As hash() of crashcheck.c."""
    h = 14695981039346656037
    words = len(data) // 8
    for (w,) in struct.iter_unpack("<Q", data[:words * 8]):
        h = ((h ^ w) * 0x9fb21c651e98df25) & MASK
        h ^= h >> 28
    for b in data[words * 8:]:
        h = ((h ^ b) * 0x100000001b3) & MASK
    return h


CRC_TABLE = []
for i in range(256):
    c = i
    for _ in range(8):
        c = (c >> 1) ^ (0x82f63b78 if c & 1 else 0)
    CRC_TABLE.append(c)


def crc32c(start, data):
    """As record_crc: begun from the salt, nothing inverted."""
    c = start
    for b in data:
        c = CRC_TABLE[(c ^ b) & 0xff] ^ (c >> 8)
    return c


def whole_record(salt, start, modseq):
    """A perfect record as it stands in a log, made by somebody who knows the salt: a fence far ahead."""
    head = b"TSR1 E %08x %016x %016x %032x %08x %016x %08x %032x " % (0, 0, modseq, 0, 0, 1, 0, 0)
    crc = crc32c(salt, head)
    trailer = b"TST1 %016x %08x %08x %08x %016x %08x " % (start, crc, salt, 1, modseq + 1, 0x7000000)
    return head + b"%08x\n" % crc + trailer + b"%08x\n" % crc32c(salt, trailer)


class Run:
    """One recorded run."""

    def __init__(self, base, seed):
        self.base, self.rnd, self.next, self.asserts = base, random.Random(seed), 0, True
        self.spool = base + "/spool"
        os.makedirs(self.spool)
        os.chmod(base, 0o755)
        self.oplog = base + "/oplog"
        self.fs = subprocess.Popen([CRASH + "/crashfs", self.oplog, self.spool])
        deadline = time.time() + 10
        while not os.path.ismount(self.spool):
            if self.fs.poll() is not None or time.time() > deadline:
                raise RuntimeError("crashfs did not mount")
            time.sleep(0.02)
        self.marks = open(self.spool + "/.mark", "wb", buffering=0)
        os.environ["LD_PRELOAD"] = CRASH + "/syncfs.so"
        try:
            conf = dict(CONF, spoold=CONF["spoold"] + f"index_dir = {base}/index\n")
            self.suite = Suite(base=base, conf=conf)
        finally:
            del os.environ["LD_PRELOAD"]

    def mark(self, *words):
        self.marks.write(" ".join(str(w) for w in words).encode())

    def end(self):
        self.suite.stop()
        self.marks.close()
        subprocess.run(["umount", self.spool], check=True)
        self.fs.wait(30)

    # --- messages
    def message(self, size, inside=b""):
        self.next += 1
        ident = "m%d" % self.next
        rest = b"Subject: " + ident.encode() + b"\r\n\r\n" + inside + b"\r\n"
        while len(rest) < size:
            rest += bytes(self.rnd.randrange(33, 127) for _ in range(70)) + b"\r\n"
        # what is kept has CRLF for every lone LF
        return ident, b"X-Crash: %s %x\r\n" % (ident.encode(), fnv(re.sub(b"(?<!\r)\n", b"\r\n", rest))) + rest

    def deliver(self, users, size=1500, inside=b"", port=10024):
        ident, raw = self.message(size, inside)
        with self.suite.lmtp(port) as l:
            replies = l.send("sender@elsewhere.example", [u + "@" + DOMAIN for u in users], raw)
        for user, (code, text) in zip(users, replies):
            if code == 250:
                self.mark("A", user, "user." + user, ident, 0)
        return ident, [c for c, _ in replies]

    # --- sessions
    def login(self, user):
        return self.suite.imap(user)

    def select(self, imap, user, mailbox="INBOX"):
        typ, data = imap.select(mailbox)
        assert typ == "OK", data
        v = imap.response("UIDVALIDITY")[1][0].decode()
        self.mark("V", user, self.inside(user, mailbox), v)

    def entry(self, imap, user, number):
        """A metadata entry of the user whose value only grows."""
        typ, _ = imap.xatom("SETMETADATA", '""', f'(/private/crash "{number:04}")')
        if typ == "OK":
            self.mark("M", user, "-", "-", number)

    @staticmethod
    def inside(user, mailbox):
        return "user." + user if mailbox == "INBOX" else f"user.{user}.{mailbox}"

    def look(self, imap, user, mailbox="INBOX"):
        """{uid: id}; what a client is told of is marked."""
        out = {}
        _, data = imap.uid("fetch", "1:*", "(BODY.PEEK[HEADER.FIELDS (X-CRASH)])")
        for item in data:
            if isinstance(item, tuple):
                uid = int(re.search(rb"UID (\d+)", item[0]).group(1))
                found = re.search(rb"X-Crash: (\S+)", item[1])
                out[uid] = found.group(1).decode()
                self.mark("U", user, self.inside(user, mailbox), out[uid], uid)
        return out


def salt_of(run, user):
    for d, _, files in os.walk(run.spool + "/active"):
        if d.endswith("/" + user):
            name = sorted(f for f in files if f.startswith("log."))[-1]
            with open(os.path.join(d, name), "rb") as f:
                return int(f.read(200).split(b" ")[6], 16), os.stat(os.path.join(d, name)).st_size
    raise AssertionError(user)


def append_raw(imap, mailbox, raw):
    """imaplib makes CRLF of every lone LF; this does not."""
    tag = imap._new_tag()
    imap.send(b"%s APPEND %s {%d+}\r\n%s\r\n" % (tag, mailbox.encode(), len(raw), raw))
    while True:
        line = imap.readline()
        if line.startswith(tag + b" "):
            del imap.tagged_commands[tag]
            return line.split(b" ")[1].decode(), line


def script(run):
    """Deliveries, flags, expunge, copy, move, append, mailboxes, segments, checkpoint, compaction, rotation."""
    deadline = time.time() + 30
    while run.deliver(["alice"])[1] != [250]:  # deferred while rotated has not made the day yet
        assert time.time() < deadline, run.suite.log("spoold")[-2000:]
        time.sleep(0.1)
    for users in [["alice"]] * 2 + [["alice", "bob", "carol"]]:
        _, codes = run.deliver(users, 4096 if len(users) > 1 else 1500)
        assert set(codes) == {250}, (codes, run.suite.log("lmtpd")[-2000:], run.suite.log("spoold")[-2000:])
    salt, size = salt_of(run, "alice")
    # the header, and what lmtpd and the driver put in front of it, are somewhat over 700 octets
    for at in (0, size, size + 700):
        # a lone LF becomes CRLF on the way in: what test_store_crash puts there by hand nobody can send
        inside = whole_record(salt, at, 99) + whole_record(salt, size, 12345678)
        run.deliver(["alice"], inside=inside.replace(b"\n", b"\r\n"))
    run.deliver(["alice", "bob"], 70 * 1024)

    imap = run.login("alice")
    run.select(imap, "alice")
    there = run.look(imap, "alice")
    uids = sorted(there)
    for uid, flag, bit in ((uids[0], "\\Seen", 1), (uids[1], "\\Flagged", 4), (uids[2], "$Label1", 0)):
        typ, _ = imap.uid("store", str(uid), "+FLAGS", f"({flag})")
        if typ == "OK":
            run.mark("F", "alice", "user.alice", there[uid], bit)
    time.sleep(0.3)

    gone = uids[3]
    imap.uid("store", str(gone), "+FLAGS", "(\\Deleted)")
    run.mark("x", "alice", "user.alice", there[gone])
    typ, _ = imap.expunge()
    if typ == "OK":
        run.mark("X", "alice", "user.alice", there[gone])

    run.entry(imap, "alice", 1)
    typ, _ = imap.create("Work")
    assert typ == "OK"
    typ, _ = imap.uid("copy", str(uids[0]), "Work")
    if typ == "OK":
        run.mark("A", "alice", "user.alice.Work", there[uids[0]], 1)
    run.mark("x", "alice", "user.alice", there[uids[1]])
    typ, _ = imap.uid("move", str(uids[1]), "Work")
    if typ == "OK":
        run.mark("A", "alice", "user.alice.Work", there[uids[1]], 1)
        run.mark("G", "alice", "user.alice", there[uids[1]])
    ident, raw = run.message(3000)
    typ, _ = imap.append("Work", "(\\Seen)", None, raw)
    if typ == "OK":
        run.mark("A", "alice", "user.alice.Work", ident, 0)
        run.mark("F", "alice", "user.alice.Work", ident, 1)
    salt, size = salt_of(run, "alice")
    evil = []
    for at in range(size + 300, size + 520, 4):
        evil.append(whole_record(salt, at, 1 << 40))
    bad, raw = run.message(100, inside=b"".join(evil))
    typ, _ = append_raw(imap, "Work", raw)
    if typ == "OK":
        run.mark("A", "alice", "user.alice.Work", bad, 0)
    run.select(imap, "alice", "Work")
    run.look(imap, "alice", "Work")
    moved = [bad, ident, there[uids[0]], there[uids[1]]]
    for i in moved:
        run.mark("x", "alice", "user.alice.Work", i)
    typ, _ = imap.rename("Work", "Done")
    if typ == "OK":
        for i in moved:
            run.mark("A", "alice", "user.alice.Done", i, 1)
    imap.subscribe("Done")
    run.entry(imap, "alice", 2)

    # while others deliver: a rotation in the middle
    for i in range(6):
        run.deliver(["bob", "carol"], 6000)
        if i in (2, 4):
            subprocess.run([BUILD + "/rotatectl", "-s", run.base + "/run/rotated/control", "rotate"], check=True,
                           stdout=subprocess.DEVNULL)
    # segments full, most of it expunged, then upkeep
    run.select(imap, "alice", "INBOX")
    for _ in range(8):
        run.deliver(["alice"], 12000)
    there = run.look(imap, "alice")
    imap.noop()
    there = run.look(imap, "alice")
    for uid in sorted(there)[:-3]:
        run.mark("x", "alice", "user.alice", there[uid])
    imap.uid("store", ",".join(str(u) for u in sorted(there)[:-3]), "+FLAGS.SILENT", "(\\Deleted)")
    typ, _ = imap.expunge()
    if typ == "OK":
        for uid in sorted(there)[:-3]:
            run.mark("X", "alice", "user.alice", there[uid])
    subprocess.run([BUILD + "/spoolctl", "-fs", run.base + "/run/spoold/upkeep", "upkeep", "-a"], check=False,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    run.entry(imap, "alice", 3)
    run.deliver(["alice", "bob", "carol"])
    run.look(imap, "alice")
    for i in moved:
        run.mark("x", "alice", "user.alice.Done", i)
    imap.delete("Done")
    run.deliver(["alice"])
    imap.logout()


def eio_script(run, nth):
    """The n-th sync from now on fails once; before and after it mail is delivered and looked at."""
    for _ in range(3):
        run.deliver(["alice", "bob"])
    run.mark("EIO", nth)
    codes = []
    for i in range(nth + 4):
        codes += run.deliver(["alice", "bob"], 2000)[1]
        time.sleep(0.02)
    deadline = time.time() + 20
    while time.time() < deadline:
        code = run.deliver(["alice"])[1]
        codes += code
        if code == [250]:
            break
        time.sleep(0.3)
    imap = run.login("alice")
    run.select(imap, "alice")
    run.look(imap, "alice")
    imap.logout()
    if run.asserts:
        assert 451 in codes, f"no delivery was deferred: {codes}"
        assert codes[-1] == 250, codes


def explore(run, most, seed, randoms, weak):
    work = tempfile.mkdtemp(prefix="tscrash.", dir="/dev/shm")
    argv = [CRASH + "/crashcheck", "-n", str(most), "-s", str(seed), "-r", str(randoms)] + (["-w"] if weak else [])
    try:
        p = subprocess.run(argv + [run.oplog, work], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return p


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--most", type=int, default=0)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--seeds", type=int, default=1, help="so many runs of everything, each with the next seed")
    a.add_argument("--randoms", type=int, default=4)
    a.add_argument("--keep")
    a.add_argument("--no-weak", action="store_true")
    a.add_argument("--no-assert", action="store_true", help="only what crashcheck finds counts")
    a.add_argument("--eio", default="1,2,3,5")
    args = a.parse_args()
    plan = [("script", script)] + [(f"sync {n} fails once", lambda run, n=int(n): eio_script(run, n))
                                   for n in args.eio.split(",") if n]
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("1..1\nok 1 - crash states # SKIP needs root and /dev/fuse")
        return 0
    n = failed = states = 0
    for seed, (name, what) in [(args.seed + i, p) for i in range(args.seeds) for p in plan]:
        if args.keep:
            os.environ["TS_KEEP"] = "1"
        base = args.keep + "/" + re.sub(r"\W", "-", f"{name} {seed}") if args.keep else tempfile.mkdtemp(prefix="tscrash.", dir="/tmp")
        os.makedirs(base, exist_ok=True)
        run = Run(base, seed)
        run.asserts = not args.no_assert
        try:
            what(run)
        except (AssertionError, OSError, imaplib.IMAP4.error):
            if run.asserts:
                raise
        finally:
            run.end()
        for weak in (False, True):
            if weak and (args.no_weak or what is not script):
                continue
            p = explore(run, args.most, seed, args.randoms, weak)
            n += 1
            failed += p.returncode != 0
            print("\n".join(p.stdout.splitlines()[:-1][:40])) if p.returncode else None
            last = p.stdout.splitlines()[-1] if p.stdout else "nothing"
            print(f"# {name}: {last}")
            m = re.search(r"(\d+) distinct checked", last)
            states += int(m.group(1)) if m else 0
            print(f"{'not ok' if p.returncode else 'ok'} {n} - {name}, names {'weak' if weak else 'journalled'}", flush=True)
        if not args.keep:
            shutil.rmtree(base, ignore_errors=True)
            subprocess.run(["chattr", "-R", "-a", base], stderr=subprocess.DEVNULL)
            shutil.rmtree(base, ignore_errors=True)
    print(f"# {states} states recovered in all, {failed} runs with violations")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
