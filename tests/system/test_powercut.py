"""The power fails in the middle of a delivery run, several times. The suite lives on a loop-mounted ext4 with a
journal, then on an XFS. The cut is the file system's own shutdown without flushing the log: from that instant nothing more
reaches the image, neither dirty pages nor the open transaction. All processes are killed, the journal is
replayed by the next mount, and a suite starts on what is there. (Copying the image file instead would be
unsound: the copy takes a second, in which the flusher goes on writing.) It does not show what a disk does that
lies about its own cache.

With seconds as its argument (make powercut) it goes on for so long on each of them, on a new file system after some
cuts, and otherwise each time."""
import glob
import imaplib
import os
import random
import re
import signal
import sys
import threading
import time

import loopfs
from suite import Lmtp, Skip, Suite, children, main, message, note

USERS = ["alice", "bob", "carol"]
KINDS = {"ext4": 5, "xfs": 3}  # cuts in a sample
ROUNDS = 10  # where it goes on for long: before a new file system


def kill_all(base, top):
    """Everything that was started for the suite: by descent, then by what still has its folder open."""
    pids = [top]
    for p in pids:
        pids += children(p)
    while pids:
        for p in pids:
            try:
                os.kill(p, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
        pids = holders(base)


def holders(base):
    found = []
    for p in os.listdir("/proc"):
        if not p.isdigit() or int(p) == os.getpid():
            continue
        try:
            places = [os.readlink(f"/proc/{p}/cwd")]
            places += [os.readlink(f"/proc/{p}/fd/{f}") for f in os.listdir(f"/proc/{p}/fd")]
        except OSError:
            continue
        if any(x.startswith(base + "/") for x in places):
            found.append(int(p))
    return found


class Run:
    """Deliveries over some connections and a client that looks on, until told to stop."""

    def __init__(self, suite, first):
        self.suite, self.next, self.lock, self.ends = suite, first, threading.Lock(), False
        self.acked = []  # (i, user)
        self.seen = {u: {} for u in USERS}  # uid: message id
        self.flagged = {u: set() for u in USERS}  # uids flagged before a delivery that was acknowledged
        self.threads = [threading.Thread(target=self.send, daemon=True) for _ in range(6)]
        self.threads += [threading.Thread(target=self.look, args=(u,), daemon=True) for u in USERS]
        for t in self.threads:
            t.start()

    def send(self):
        conn = None
        while not self.ends:
            with self.lock:
                i = self.next
                self.next += 1
            user = USERS[i % 3]
            try:
                if conn is None:
                    conn = Lmtp("127.0.0.1", self.suite.port(10024), timeout=10)
                # small ones, and some that make segments roll over
                raw = message(f"p{i}", 300 if i % 7 else 20000)
                if conn.send("s@elsewhere.example", [f"{user}@example.test"], raw)[0][0] == 250:
                    with self.lock:
                        self.acked.append((i, user))
            except (OSError, ValueError):
                conn = None
                time.sleep(0.02)

    def look(self, user):
        try:
            m = self.suite.imap(user)
            m.select("INBOX")
            while not self.ends:
                last = max(self.seen[user] or [0])
                _, data = m.uid("FETCH", f"{last + 1}:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
                for d in data:
                    if isinstance(d, tuple):
                        uid, mid = int(re.search(rb"UID (\d+)", d[0]).group(1)), re.search(rb"<(\w+)@", d[1])
                        self.seen[user][uid] = mid.group(1)
                self.flag(m, user)
                time.sleep(0.02)
        except (OSError, imaplib.IMAP4.error, ValueError):
            pass

    def flag(self, m, user):
        """A flag, then a delivery to the same log that is acknowledged: that sync covers the flag."""
        if not self.seen[user]:
            return
        uid = random.choice(sorted(self.seen[user]))
        if m.uid("STORE", str(uid), "+FLAGS.SILENT", "(\\Flagged)")[0] != "OK":
            return
        with self.lock:
            i = self.next
            self.next += 1
        with Lmtp("127.0.0.1", self.suite.port(10025), timeout=10) as l:
            if l.send("s@elsewhere.example", [f"{user}@example.test"], message(f"p{i}"))[0][0] == 250:
                with self.lock:
                    self.acked.append((i, user))
                self.flagged[user].add(uid)

    def stop(self):
        self.ends = True
        for t in self.threads:
            t.join(30)


def inbox(suite, user):
    """uid: (message id, is flagged) of what is there and readable."""
    m, out = suite.imap(user), {}
    m.select("INBOX", readonly=True)
    _, data = m.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[])")
    for d in data:
        if isinstance(d, tuple):
            uid = int(re.search(rb"UID (\d+)", d[0]).group(1))
            assert uid not in out, uid
            mid = re.search(rb"Message-ID: <(\w+)@", d[1]).group(1)
            assert b"This is message " + mid + b"." in d[1], d[1]
            out[uid] = (mid, b"\\Flagged" in d[0])
    m.logout()
    return out


def cut(fs, suite, run, rng):
    time.sleep(rng.uniform(1.0, 3.5))
    top = suite.proc.pid
    fs.cut_power()
    time.sleep(0.3)  # an answer that comes now must be true all the same
    kill_all(suite.base, top)
    run.stop()
    suite.proc.wait()
    suite.proc = None
    try:
        suite.out.close()
    except OSError:
        pass  # XFS tells of the cut here too
    fs.umount()
    fs.mount()
    suite.start()


def check(suite, acked, run, ever):
    boxes = {u: inbox(suite, u) for u in USERS}
    redundant = suite.redundant_ids()
    for i, user in acked:
        mid = b"p%d" % i
        assert any(x[0] == mid for x in boxes[user].values()), f"{mid} of {user} was acknowledged and is lost"
        assert mid in redundant, f"{mid} is not in the redundant spool"
    for u in USERS:
        ever[u].update(run.seen[u])
        for uid, (mid, _) in boxes[u].items():
            assert ever[u].setdefault(uid, mid) == mid, f"uid {uid} of {u} was {ever[u][uid]}, is {mid}"
        for uid in run.flagged[u]:
            assert boxes[u][uid][1], f"uid {uid} of {u} lost its flag"
    return {u: max(ever[u] or [0]) for u in USERS}


def power_fails(suite):
    rng, acked, ever, n = random.Random(suite.seed), [], {u: {} for u in USERS}, 0
    for u in USERS:
        suite.deliver(message("p0"), [u])
    nflags = 0
    for _ in range(suite.rounds):
        run = Run(suite, n + 1)
        cut(suite.fs, suite, run, rng)
        n = run.next
        acked += run.acked
        assert run.acked and any(run.seen.values()), "nothing happened before the cut"
        highest = check(suite, acked, run, ever)
        nflags += sum(map(len, run.flagged.values()))
        for u in USERS:
            n += 1
            deadline = time.time() + 20
            said = suite.deliver(message(f"p{n}"), [u])
            while said[0][0] == 451 and time.time() < deadline:     # rotated is not there yet
                time.sleep(0.1)
                said = suite.deliver(message(f"p{n}"), [u])
            assert said[0][0] == 250, (said, suite.fs.free())
            acked.append((n, u))
            new = {uid for uid, x in inbox(suite, u).items() if x[0] == b"p%d" % n}
            assert new and min(new) > highest[u], (u, new, highest[u])
    nseen = sum(map(len, ever.values()))
    note(f"{suite.rounds} cuts on {suite.fs.kind} (seed {suite.seed}): {len(acked)} acknowledged messages and {nflags} synced flags "
         f"are there, no uid of {nseen} came again")


class PowerSuite(Suite):
    def redundant_ids(self):
        found = set()
        for f in glob.glob(f"{self.base}/spool/redundant/*/*.log"):
            found |= set(re.findall(rb"Message-ID: <(\w+)@", open(f, "rb").read()))
        return found


def cuts(kind, rounds, seed):
    try:
        fs = loopfs.LoopFs(1000, kind)
    except Skip as e:
        print(f"ok 1 - power_fails on {kind} # SKIP {e}")
        return 0
    os.mkdir(fs.at + "/s")
    s = PowerSuite(base=fs.at + "/s", conf={"spoold": "segment_max = 256k\nreserve = 16m\n"})
    s.fs, s.rounds, s.seed = fs, rounds, seed
    s.expect(r"(warn|fatal)\.")
    status = main(s, [power_fails])
    s.close()
    fs.close()
    return status


if __name__ == "__main__":
    worst = 0
    for kind, rounds in KINDS.items():
        end = time.time() + (int(sys.argv[1]) if len(sys.argv) > 1 else 0)
        if len(sys.argv) == 1:
            worst |= cuts(kind, rounds, 7)
        while time.time() < end and not worst:
            worst |= cuts(kind, ROUNDS, random.randrange(1 << 30))
    sys.exit(worst)
