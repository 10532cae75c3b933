"""kill -9 of every kind of process in the middle of a delivery run: what was acknowledged is readable, once, and in
the redundant spool; what was not is sent again, as an MTA does; and the process is back."""
import glob
import os
import queue
import random
import re
import signal
import subprocess
import sys
import threading
import time

from suite import BUILD, Lmtp, Suite, main, message, note

USERS = ["alice", "bob", "carol"]


class Run:
    """Sends n messages over some connections; sends again what got no 250."""

    def __init__(self, suite, n, first, connections=8, pace=0.0):
        self.suite, self.pace = suite, pace
        self.todo = queue.Queue()
        self.acked, self.resent, self.lock = set(), 0, threading.Lock()
        self.perm = []
        self.left = n
        for i in range(first, first + n):
            self.todo.put(i)
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(connections)]
        for t in self.threads:
            t.start()

    def work(self):
        conn = None
        while True:
            try:
                i = self.todo.get(timeout=0.2)
            except queue.Empty:
                with self.lock:
                    if self.left == 0:
                        return
                continue
            try:
                if conn is None:
                    conn = Lmtp("127.0.0.1", self.suite.port(10024), timeout=60)
                code, text = conn.send("sender@elsewhere.example", [f"{USERS[i % 3]}@example.test"],
                                       message(f"k{i}", 4096))[0]
            except (OSError, ConnectionError, ValueError):
                code = 0
                if conn:
                    conn.close()
                conn = None
                time.sleep(0.05)
            with self.lock:
                if code == 250:
                    self.acked.add(i)
                    self.left -= 1
                    if self.pace:
                        time.sleep(self.pace)
                    continue
                if code // 100 == 5:
                    self.perm.append((i, text))
                    self.left -= 1
                    continue
                self.resent += 1
            time.sleep(0.05)
            self.todo.put(i)

    def wait(self, seconds):
        deadline = time.time() + seconds
        for t in self.threads:
            t.join(max(0.1, deadline - time.time()))
        assert self.left == 0, f"{self.left} messages were not accepted in {seconds} s"
        assert not self.perm, self.perm[:5]


def check(suite, acked):
    """Every acknowledged message is there once, and in a redundant log."""
    seen = {}
    for u in USERS:
        m = suite.imap(u)
        m.select("INBOX", readonly=True)
        _, data = m.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        for d in data:
            if isinstance(d, tuple):
                x = re.search(rb"<k(\d+)@", d[1])
                if x:
                    seen[int(x.group(1))] = seen.get(int(x.group(1)), 0) + 1
        m.logout()
    lost = [i for i in acked if i not in seen]
    double = [i for i in acked if seen.get(i, 0) > 1]
    in_redundant = set()
    for log in glob.glob(f"{suite.base}/spool/redundant/*/*.log"):
        for x in re.finditer(rb"Message-ID: <k(\d+)@", open(log, "rb").read()):
            in_redundant.add(int(x.group(1)))
    missing = [i for i in acked if i not in in_redundant]
    assert not lost, f"lost: {lost[:10]} ({len(lost)})"
    assert not missing, f"not in the redundant spool: {missing[:10]} ({len(missing)})"
    assert not double, f"doubled: {double[:10]} ({len(double)})"
    return len(seen)


NEXT = {"n": 0}


def kill_each_kind(suite):
    suite.expect(r"warn\.|fatal\.(parent|listen) ")
    kinds = sorted(set(suite.pids().values()))
    note("process kinds: " + ", ".join(kinds))
    run = Run(suite, 2000, NEXT["n"], pace=0.01)
    NEXT["n"] += 2000
    kills = 0
    for kind in kinds:
        if run.left == 0:
            break
        pids = [p for p, k in suite.pids().items() if k == kind]
        if not pids:
            continue
        pid = random.choice(pids)
        before = len(pids)
        os.kill(pid, signal.SIGKILL)
        kills += 1
        deadline = time.time() + 30
        while True:
            now = suite.pids()
            if pid not in now and sum(1 for k in now.values() if k == kind) >= before:
                break
            # a worker made for a burst need not come back
            if kind.endswith("/worker") and pid not in now:
                break
            assert time.time() < deadline, f"{kind} is not back: {now}"
            time.sleep(0.05)
        time.sleep(0.1)
    run.wait(180)
    n = check(suite, run.acked)
    note(f"{kills} kinds of process killed in turn; {len(run.acked)} acknowledged, {run.resent} sent again, {n} in the spools")
    assert kills == len(kinds), "the run ended before every kind was killed"


def kill_at_random(suite, seconds=20):
    suite.expect(r"warn\.|fatal\.(parent|listen) ")
    run = Run(suite, 100 * seconds, NEXT["n"], pace=0.02)
    NEXT["n"] += 100 * seconds
    rng = random.Random(1)
    kills, end = 0, time.time() + seconds
    while time.time() < end and run.left:
        pids = suite.pids()
        if pids:
            pid = rng.choice(sorted(pids))
            try:
                os.kill(pid, signal.SIGKILL)
                kills += 1
            except ProcessLookupError:
                pass
        time.sleep(rng.uniform(0.2, 1.0))
    run.wait(300)
    n = check(suite, run.acked)
    note(f"{kills} kills at random moments; {len(run.acked)} acknowledged, {run.resent} sent again, {n} in the spools")


def reload_under_load(suite):
    """SIGHUP again and again: two committers append to the day's log, and every record in it can be read."""
    suite.expect(r"warn\.|fatal\.(parent|listen) ")
    run, first, hups = Run(suite, 2000, NEXT["n"], pace=0.01), NEXT["n"], 0
    NEXT["n"] += 2000
    while run.left > 100:
        os.kill(int(open(f"{suite.base}/sv/spoold/supervise/pid").read()), signal.SIGHUP)
        hups += 1
        time.sleep(0.25)
    run.wait(180)
    check(suite, run.acked)
    listed, missing = set(), 0
    for log in glob.glob(f"{suite.base}/spool/redundant/*/*.log"):
        p = subprocess.run([BUILD + "/redundantcat", log], stdout=subprocess.PIPE, text=True, check=True)
        listed |= {tuple(l.split()[1:4:2]) for l in p.stdout.splitlines() if l.startswith("M ")}
    for u in USERS:
        m = suite.imap(u)
        m.select("INBOX", readonly=True)
        for d in m.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1]:
            x = re.search(rb"<k(\d+)@", d[1]) if isinstance(d, tuple) else None
            if x and first <= int(x.group(1)) in run.acked:
                missing += (u, re.search(rb"UID (\d+)", d[0]).group(1).decode()) not in listed
        m.logout()
    # of one that was sent again either copy may be the one that is kept
    assert missing <= run.resent, f"{missing} records cannot be read, {run.resent} sent again"
    note(f"{hups} reloads; {len(run.acked)} acknowledged, {run.resent} sent again, {len(listed)} redundant records read")


if __name__ == "__main__":
    s = Suite()
    tests = [reload_under_load, kill_each_kind, kill_at_random]
    sys.exit(main(s, tests))
