"""make soak: thousands of kill -9 at random moments under load. Deliveries that are sent again as an MTA does, sessions that
append, flag and expunge, rotations, reloads and upkeep go on; processes of every kind die, the engine's most often,
sometimes several at once or again while they come back. What was acknowledged is there, once, in both spools.

  soak_kill.py [--kills N] [--seconds N] [--seed N]
"""
import argparse
import collections
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

from suite import BUILD, Suite, message, note
from test_kill import Run, check

WEIGHTS = {"spoold/commit": 20, "spoold/deliver": 15, "spoold/worker": 15, "spoold/lot": 8, "spoold/upkeep": 8, "lmtpd/net": 8,
           "rotated/days": 6, "relayd/net": 4, "spoold": 3, "rotated": 2, "lmtpd": 2}
OTHERS = 1


class Client:
    """A session that appends, flags and expunges in a mailbox of its own, and knows what it was told."""

    def __init__(self, suite, number, stop):
        self.suite, self.box, self.stop = suite, f"Soak{number}", stop
        self.there = {}		# id -> flagged: acknowledged, not expunged
        self.maybe = set()	# ids of which nobody knows
        self.uids = {}		# uid -> id, for ever
        self.validity = None
        self.ops = self.broken = 0
        self.next = number * 1000000
        self.imap = None
        self.faults = []
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def connect(self):
        self.imap = self.suite.imap("carol")
        self.imap.create(self.box)
        typ, data = self.imap.select(self.box)
        if typ != "OK":
            raise OSError(data)
        v = self.imap.response("UIDVALIDITY")[1][0]
        if self.validity not in (None, v):
            self.faults.append(f"{self.box}: UIDVALIDITY {v}, was {self.validity}")
        self.validity = v

    def look(self):
        """{id: (uid, flagged)}; UIDs are compared with all that was ever seen."""
        found = collections.defaultdict(list)
        typ, data = self.imap.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        for d in data:
            if isinstance(d, tuple):
                uid = int(re.search(rb"UID (\d+)", d[0]).group(1))
                ident = int(re.search(rb"<k(\d+)@", d[1]).group(1))
                if self.uids.setdefault(uid, ident) != ident:
                    self.faults.append(f"{self.box}: uid {uid} was k{self.uids[uid]}, is k{ident}")
                found[ident].append((uid, b"\\Flagged" in d[0]))
        return found

    def step(self):
        what = random.random()
        if what < 0.5 or not self.there:
            self.next += 1
            ident = self.next
            self.maybe.add(ident)
            typ, data = self.imap.append(self.box, None, None, message(f"k{ident}", random.choice((500, 4000, 90000))))
            if typ == "OK":
                self.maybe.discard(ident)
                self.there[ident] = False
            return
        ident = random.choice(list(self.there))
        rows = self.look().get(ident, [])
        if len(rows) != 1:
            self.faults.append(f"{self.box}: k{ident} is there {len(rows)} times")
            del self.there[ident]
            return
        uid = str(rows[0][0])
        if what < 0.8:
            typ, _ = self.imap.uid("STORE", uid, "+FLAGS", "(\\Flagged)")
            if typ == "OK":
                self.there[ident] = True
        else:
            del self.there[ident]
            self.maybe.add(ident)
            self.imap.uid("STORE", uid, "+FLAGS", "(\\Deleted)")
            typ, _ = self.imap.expunge()

    def work(self):
        while not self.stop.is_set():
            try:
                if self.imap is None:
                    self.connect()
                self.step()
                self.ops += 1
            except Exception:
                self.broken += 1
                self.imap = None
                time.sleep(0.1)

    def end(self):
        self.thread.join(60)
        for _ in range(100):
            try:
                self.connect()
                found = self.look()
                break
            except Exception:
                time.sleep(0.2)
        for ident, flagged in self.there.items():
            rows = found.get(ident, [])
            if len(rows) != 1:
                self.faults.append(f"{self.box}: k{ident} acknowledged and there {len(rows)} times")
            elif flagged and not rows[0][1]:
                self.faults.append(f"{self.box}: k{ident} has lost its flag")
        self.imap.logout()


def sizes(suite):
    out = collections.defaultdict(lambda: [0, 0, 0])
    for pid, name in suite.pids().items():
        try:
            rss = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1))
            fds = len(os.listdir(f"/proc/{pid}/fd"))
        except (OSError, AttributeError):
            continue
        out[name][0] += 1
        out[name][1] = max(out[name][1], rss)
        out[name][2] = max(out[name][2], fds)
    return ", ".join(f"{n} {v[0]}x {v[1]} KiB {v[2]} fds" for n, v in sorted(out.items()) if n.startswith(("spoold", "lmtpd", "rotated")))


def pick(rng, pids):
    return rng.choices(list(pids), [WEIGHTS.get(k, OTHERS) / sum(1 for x in pids.values() if x == k) for k in pids.values()])[0]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--kills", type=int, default=2000)
    a.add_argument("--seconds", type=int, default=1200)
    a.add_argument("--seed", type=int, default=int(time.time()))
    args = a.parse_args()
    rng = random.Random(args.seed)
    suite = Suite(conf={"spoold": "segment_max = 1m\nexpunge_keep = 1\ncompact_waste = 5\n"})
    suite.expect(r"warn\.")
    stop = threading.Event()
    note(f"seed {args.seed}; at the start: {sizes(suite)}")
    run = Run(suite, 1000000, 0, pace=0.05)
    clients = [Client(suite, n, stop) for n in range(1, 4)]
    kinds, began, last = collections.Counter(), time.time(), 0
    while sum(kinds.values()) < args.kills and time.time() - began < args.seconds:
        pids = suite.pids()
        for _ in range(1 if rng.random() < 0.8 else 3):
            if not pids:
                break
            pid = pick(rng, pids)
            try:
                os.kill(pid, signal.SIGKILL)
                kinds[pids[pid]] += 1
            except ProcessLookupError:
                pass
            pids.pop(pid)
        n = sum(kinds.values())
        if n // 50 != last:
            last = n // 50
            verb = last % 3
            if verb == 0:
                subprocess.run([BUILD + "/rotatectl", "-s", suite.base + "/run/rotated/control", "rotate"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
            elif verb == 1:
                subprocess.Popen([BUILD + "/spoolctl", "-fs", suite.base + "/run/spoold/upkeep", "upkeep", "-a"],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            else:
                try:
                    os.kill(int(open(f"{suite.base}/sv/spoold/supervise/pid").read()), signal.SIGHUP)
                except (OSError, ValueError):
                    pass
        time.sleep(rng.uniform(0.05, 0.5))
    seconds = time.time() - began
    stop.set()
    with run.lock:
        dropped = run.todo.qsize()
        while not run.todo.empty():
            run.todo.get_nowait()
        run.left -= dropped
    failed = []
    try:
        run.wait(240)
        seen = check(suite, run.acked)
    except AssertionError as e:
        failed.append(str(e))
        seen = 0
    for c in clients:
        c.end()
        failed += c.faults
    for _ in range(50):
        p = subprocess.run([BUILD + "/spoolck", "-c", suite.base + "/etc/spoold.conf", "verify", "-a"], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
        if p.returncode != 111:
            break
        time.sleep(0.2)
    # the torn ends that kills left behind are no damage; anything else is
    bad = [l for l in p.stdout.splitlines() if "findings" not in l and "no record" not in l]
    failed += ["spoolck: " + l for l in bad[:10]] + ([f"spoolck ended with {p.returncode}"] if p.returncode > 1 else [])
    bugs = [l for l in suite.strays() if " bug." in l] + [l for d in ("spoold", "lmtpd", "rotated")
                                                           for l in suite.log(d).splitlines() if re.search(r" bug\.", l)]
    failed += bugs[:5]
    note(f"at the end: {sizes(suite)}")
    note(f"{sum(kinds.values())} kills in {seconds:.0f} s: " + ", ".join(f"{k} {n}" for k, n in kinds.most_common()))
    note(f"{len(run.acked)} deliveries acknowledged, {run.resent} sent again, {seen} messages in the spools; "
         f"{sum(c.ops for c in clients)} steps of sessions, {sum(c.broken for c in clients)} broken off")
    for f in failed[:30]:
        print("    " + f)
    if failed:
        os.environ["TS_KEEP"] = "1"
        print("    left: " + suite.base)
    print(f"{'not ok' if failed else 'ok'} 1 - {sum(kinds.values())} kills, nothing lost, nothing doubled", flush=True)
    suite.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
