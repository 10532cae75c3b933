#!/usr/bin/env python3
"""make bench-imap: sessions of spoold behind proxyd beside Dovecot and Cyrus IMAP from Debian's packages, in one run on the
same file system (loop-mounted ext4 with a journal). Medians of several rounds with the spread, the systems taking turns, each
round in a new directory. Ends with tables in Markdown and, under each, the command that shows it alone.

  imap.py [--quick | --smoke] [--rounds N] [--only sessions,big,select,idle] [--systems TEXT,...] [--idle N,...]
          [--json FILE]

sessions  whole sessions a second: login, select, 50 envelopes, 3 messages, a flag, logout, one command after the other
big       a mailbox of 20,000 messages of about 4 KiB: FETCH of all, SEARCH TEXT, SORT, THREAD; the first time and again in
          a new session
select    SELECT of 1,000 and 100,000 messages; ours also of 1,000,000
idle      memory of so many idling sessions (1, 1,000 and 10,000; as many as leave 4 GiB free), and the time from an acknowledged
          delivery to EXISTS at 1 and 1,000

--quick: one round, small sizes: some minutes. --smoke: ours alone, a few seconds, only to see that it works (make check).
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/system"))
sys.path.insert(0, os.path.join(TOP, "tests/bench"))
from bench import machine  # noqa: E402
from disk import Disk  # noqa: E402
from imappeers import DovecotHibernate, DovecotReused, ImapCyrus, ImapDovecot, Twinspool, TwinspoolTls  # noqa: E402
from peers import cpu_seconds  # noqa: E402
from suite import BUILD  # noqa: E402

HOST = "127.0.0.1"
KEEP_FREE_GIB = 4	# memory that opening sessions must leave
SYSTEMS = {
    "sessions": [Twinspool, TwinspoolTls, ImapDovecot, DovecotReused, ImapCyrus],
    "big": [Twinspool, ImapDovecot, ImapCyrus],
    "select": [Twinspool, ImapDovecot, ImapCyrus],
    "idle": [Twinspool, ImapDovecot, DovecotHibernate, ImapCyrus],
}
FULL = {
    "rounds": 3, "users": 100, "messages": 60, "bytes": 4096, "sessions": {1: 600, 16: 4000, 64: 8000}, "big": 20000, "again": 3,
    "select": (1000, 100000), "select_store": 1000000, "select_repeats": 200, "idle": (1, 1000, 10000), "idle_users": 1000,
    "deliveries": 100, "told": (1, 1000), "settle_s": 20,
}
QUICK = dict(FULL, rounds=1, users=30, sessions={1: 200, 16: 600, 64: 1000}, big=2000, again=2, select=(1000, 5000), select_store=0,
             idle=(1, 200), idle_users=50, deliveries=20, told=(1, 200))
SMOKE = dict(QUICK, users=4, sessions={1: 8, 4: 24}, big=150, again=1, select=(150,), select_repeats=5, idle=(1, 20), idle_users=4,
             deliveries=4, told=(1, 20), settle_s=0.2)
COMMANDS = [
    ("FETCH of all bodies, MB/s", "FETCH 1:* (BODY.PEEK[])"),
    ("SEARCH TEXT of a word in 1 %, MB/s", "SEARCH TEXT xylophone"),
    ("SORT (SUBJECT), ms", "SORT (SUBJECT) UTF-8 ALL"),
    ("SORT (REVERSE DATE), ms", "SORT (REVERSE DATE) UTF-8 ALL"),
    ("THREAD ORDEREDSUBJECT, ms", "THREAD ORDEREDSUBJECT UTF-8 ALL"),
    ("THREAD REFERENCES, ms", "THREAD REFERENCES UTF-8 ALL"),
]


class Folder:
    """In place of a Disk, for the smoke."""
    what = "a folder"

    def __init__(self):
        self.made = []

    def fresh(self, name):
        # a Unix socket's path is short
        self.made.append(tempfile.mkdtemp(prefix="tsimap.", dir="/tmp"))
        return self.made[-1]

    def drop(self, base):
        if os.path.isdir(base):
            subprocess.run(["chattr", "-R", "-a", base], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            shutil.rmtree(base, ignore_errors=True)

    def close(self):
        for base in self.made:
            self.drop(base)


class Running:
    """A system that runs in a new directory for one round, and what was measured of it."""

    def __init__(self, disk, kind, part, users, rnd, out):
        self.disk, self.kind, self.part, self.rnd, self.out = disk, kind, part, rnd, out
        self.base = disk.fresh(re.sub(r"\W", "", f"{kind.__name__}{part}r{rnd}"))
        self.users = users
        self.system = None

    def __enter__(self):
        self.system = self.kind(self.base, self.users)
        # the load programs but imapload speak no TLS; of ours the port beside is meant
        self.plain = self.system.suite.port(10143) if hasattr(self.system, "suite") else self.system.imap
        return self

    def __exit__(self, *a):
        if self.system:
            self.system.stop()
        self.disk.drop(self.base)

    def say(self, case, value, unit, **more):
        self.out.append(dict(part=self.part, system=self.kind.name, case=case, round=self.rnd, value=value, unit=unit, **more))
        print(f"round {self.rnd + 1} {self.part}, {self.kind.name}: {case}: {value:,.3f} {unit}", flush=True)

    def run(self, program, *args):
        p = subprocess.run([f"{BUILD}/tests/bench/{program}", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True)
        if p.returncode:
            raise RuntimeError(f"{program} {' '.join(map(str, args))}: {p.stderr}")
        return p.stdout.split("\n")[:-1]

    def fill(self, first, users, messages, size):
        """Returns the bytes that a user was given."""
        s = self.system
        line = self.run("imaprun", "fill", HOST, self.plain, s.user, first, users, s.password, messages, size)[-1]
        return int(line.split()[2]) / users

    def time(self, user, repeats, setup, command):
        """[(ms, bytes, responses)], in one session."""
        s = self.system
        lines = self.run("imaprun", "time", HOST, self.plain, s.user % user, s.password, repeats, setup, command)
        return [(float(ms), int(n), int(responses)) for ms, n, responses in map(str.split, lines)]


def sessions(r, size):
    done = 0

    def load(connections, n):
        nonlocal done
        line = r.run("imapload", HOST, r.system.imap, r.system.tls, connections, n, done, r.system.user, r.users, r.system.password)
        done += n
        return [float(x) for x in line[0].split()]
    r.fill(0, r.users, size["messages"], size["bytes"])
    # warm: every process there, every mailbox opened once
    load(min(16, r.users), r.users)
    for connections, n in size["sessions"].items():
        # the slower ones need fewer for the same certainty
        n = n if r.kind in (Twinspool, TwinspoolTls) else max(n // 4, connections * 4)
        before = cpu_seconds(r.system.pids())
        _, _, rate, p50, p99, _ = load(connections, n)
        cpu = (cpu_seconds(r.system.pids()) - before) / n * 1000
        r.say(f"{connections} conn.", rate, "sessions/s", p50=p50, p99=p99, cpu_ms=cpu)


def big(r, size):
    n = size["big"]
    total = r.fill(0, 1, n, size["bytes"])
    r.say("mailbox", total / 1e6, "MB")
    for case, command in COMMANDS:
        for k in range(1 + size["again"]):
            ms, got, responses = r.time(0, 1, "SELECT INBOX", command)[0]
            if command.startswith("FETCH"):
                assert responses >= n and got >= total, (r.kind.name, command, responses, got)
            # a hit is a number of three digits and more
            least = n // 100 * 3 if command.startswith("SEARCH") else n * 3
            assert got >= least, (r.kind.name, command, got)
            value, unit = (total / 1e6 / ms * 1000, "MB/s") if case.endswith("MB/s") else (ms, "ms")
            r.say(case, value, unit, is_first=k == 0)


def select(r, size):
    for user, n in enumerate(size["select"]):
        r.fill(user, 1, n, 1024)
        select_one(r, user, n, size["select_repeats"])
    if size["select_store"] and r.kind is Twinspool:
        suite = r.system.suite
        r.fill(len(size["select"]), 1, 1, 1024)
        suite.stop()
        subprocess.run([f"{BUILD}/tests/bench/bigstore", "fill", suite.base + "/spool/active", suite.base + "/spool/index",
                        r.system.user % len(size["select"]), str(size["select_store"])], check=True, stderr=subprocess.DEVNULL)
        suite.start()
        select_one(r, len(size["select"]), size["select_store"], size["select_repeats"])


def select_one(r, user, n, repeats):
    # once in a session of its own, which also opens what is not open yet
    first = r.time(user, 1, "NOOP", "SELECT INBOX")[0][0]
    ms = sorted(x[0] for x in r.time(user, repeats, "NOOP", "SELECT INBOX"))
    r.say(f"SELECT of {n:,}", statistics.median(ms), "ms", p99=ms[len(ms) * 99 // 100], first=first)


# --- idling sessions

def pss_kib(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))
        except (OSError, AttributeError):
            pass
    return total


def available_kib():
    return int(re.search(r"MemAvailable:\s+(\d+)", open("/proc/meminfo").read()).group(1))


class Idlers:
    """Sessions that imapidle keeps idling."""

    def __init__(self, r, n):
        s = r.system
        argv = [f"{BUILD}/tests/bench/imapidle", HOST, r.plain, s.lmtp, s.user, r.users, s.password, n]
        self.proc = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     text=True)
        if self.proc.stdout.readline().split()[:1] != ["idle"]:
            raise RuntimeError(f"{r.kind.name}: {n} sessions: {self.proc.communicate()[1]}")

    def deliver(self, n):
        """(p50 ms, p99 ms, sessions that were not told in time)"""
        self.proc.stdin.write(f"{n}\n")
        self.proc.stdin.flush()
        line = self.proc.stdout.readline().split()
        if line[:1] != ["told"]:
            raise RuntimeError(self.proc.communicate()[1])
        return float(line[2]), float(line[3]), int(line[5])

    def close(self):
        self.proc.communicate()


def idle(r, size):
    r.fill(0, r.users, 2, 1024)
    each_kib = 0
    for n in size["idle"]:
        # sessions and processes of the step before have to end first, afterwards those that are idle now
        time.sleep(size["settle_s"])
        can = int((available_kib() - (KEEP_FREE_GIB << 20)) / each_kib / 1.2) // 100 * 100 if each_kib else n
        if can < n:
            print(f"{r.kind.name}: memory for {can} sessions, not {n}", flush=True)
            n = can
        before, parts_before, free_before = pss_kib(r.system.pids()), r.system.parts(), available_kib()
        parts_before = {d: pss_kib(pids) for d, pids in parts_before.items()}
        idlers = Idlers(r, n)
        try:
            time.sleep(size["settle_s"])
            if n >= 20:
                pids = r.system.pids()
                machine_kib = (free_before - available_kib()) / n
                parts = {d: (pss_kib(p) - parts_before[d]) / n for d, p in r.system.parts().items()}
                pss = (pss_kib(pids) - before) / n
                r.say(f"{n:,} idling: memory each", pss, "KiB PSS", machine_kib=machine_kib, parts=parts, processes=len(pids),
                      before_kib=before)
                # PSS leaves out what the kernel has for a process and a connection; others may have given memory back
                each_kib = max(machine_kib, pss, 1)
            if n in size["told"]:
                p50, p99, missed = idlers.deliver(size["deliveries"])
                r.say(f"{n:,} idling: delivery to EXISTS", p50, "ms", p99=p99, missed=missed)
        finally:
            idlers.close()


# --- tables

def text_of(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"


def spread(values):
    if not values:
        return ""
    s = text_of(statistics.median(values))
    return s if len(values) == 1 else f"{s} ({text_of(min(values))}-{text_of(max(values))})"


def cell(rows, part):
    """Median (lowest-highest) of the figure, and beside it those that belong to it."""
    def middle(key):
        return text_of(statistics.median(r[key] for r in rows))
    if not rows:
        return ""
    values = [r["value"] for r in rows if not r.get("is_first")]
    if part == "sessions":
        return f"{spread(values)}; {middle('p50')} / {middle('p99')}; {middle('cpu_ms')}"
    if part == "select":
        return f"{spread(values)}; {middle('p99')}; {middle('first')}"
    if any("is_first" in r for r in rows):
        return f"{spread(values)}; first {text_of(statistics.median(r['value'] for r in rows if r['is_first']))}"
    if "machine_kib" in rows[0]:
        of = ", ".join(f"{d} {text_of(statistics.median(r['parts'][d] for r in rows))}" for d in rows[0]["parts"])
        before = text_of(statistics.median(r["before_kib"] for r in rows) / 1024)
        return f"{spread(values)}{f' ({of})' if of else ''}; {middle('machine_kib')}; {before}"
    if "missed" in rows[0]:
        missed = sum(r["missed"] for r in rows)
        return f"{spread(values)} / {middle('p99')}{f'; {missed} not told' if missed else ''}"
    return spread(values)


MEANING = {
    "sessions": "sessions a second; p50 / p99 of a session, ms; CPU of the server's processes for one, ms",
    "big": "again in a new session; the first time after the mailbox was filled",
    "select": "SELECT in an open session, ms; p99; the first in a new session",
    "idle": "memory: KiB of PSS each, all processes of the server; KiB each by which the machine's available memory fell, the "
            "client's side of the connections included; MiB of PSS of the server before. Delivery to EXISTS: median / p99, ms",
}


def report(data):
    print(f"\n{data['machine']}, {data['where']}; rounds: {data['rounds']}; median (lowest-highest)\n")
    for part in MEANING:
        rows = [r for r in data["results"] if r["part"] == part]
        if not rows:
            continue
        systems = list(dict.fromkeys(r["system"] for r in rows))
        print(f"{part}: {MEANING[part]}\n\n| | " + " | ".join(systems) + " |\n" + "|---" * (len(systems) + 1) + "|")
        for case in dict.fromkeys(r["case"] for r in rows):
            print(f"| {case} | " + " | ".join(cell([r for r in rows if r["case"] == case and r["system"] == s], part)
                                              for s in systems) + " |")
        print(f"\n`tests/bench/imap.py {data['mode']}--only {part}`\n")
    for f in data["failures"]:
        print("failed:", f)


MEASURES = {"sessions": sessions, "big": big, "select": select, "idle": idle}


def smoke(disk, parts, size, data):
    """All parts on one suite: starting one takes longer than all that is measured."""
    with Running(disk, Twinspool, "smoke", size["users"], 0, data["results"]) as r:
        for r.part in parts:
            MEASURES[r.part](r, size)


def measure(disk, part, size, names, rounds, data):
    users = {"sessions": size["users"], "idle": size["idle_users"]}.get(part, len(size["select"]) + 1)
    for rnd in range(rounds):
        for kind in SYSTEMS[part]:
            if not any(n in kind.name for n in names):
                continue
            try:
                with Running(disk, kind, part, users, rnd, data["results"]) as r:
                    MEASURES[part](r, size)
            except (RuntimeError, AssertionError, OSError, subprocess.SubprocessError) as e:
                # the others go on; the run fails at its end
                data["failures"].append(f"{part}, {kind.name}, round {rnd + 1}: {e}")
                print("failed:", data["failures"][-1], flush=True)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--quick", action="store_true")
    a.add_argument("--smoke", action="store_true")
    a.add_argument("--rounds", type=int)
    a.add_argument("--only", default="sessions,big,select,idle")
    a.add_argument("--systems", default="", help="only those whose name has one of these words")
    a.add_argument("--idle", help="numbers of idling sessions")
    a.add_argument("--json", default=os.path.join(BUILD, "bench-imap.json"))
    args = a.parse_args()
    size = SMOKE if args.smoke else QUICK if args.quick else FULL
    if args.idle:
        size = dict(size, idle=[int(n) for n in args.idle.split(",")])
    names = args.systems.split(",")
    if args.smoke or os.geteuid() != 0:
        names = [Twinspool.name]
        if not args.smoke:
            print("the peers need root (mount namespaces): without them")
    rounds = args.rounds or size["rounds"]
    # also then what runs is stopped and the file system unmounted
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    disk = Folder() if args.smoke else Disk("ext4", 16)
    data = {"machine": machine(), "where": disk.what, "rounds": rounds, "results": [], "failures": [],
            "mode": "--smoke " if args.smoke else "--quick " if args.quick else ""}
    try:
        if args.smoke:
            smoke(disk, args.only.split(","), size, data)
        for part in args.only.split(",") if not args.smoke else ():
            measure(disk, part, size, names, rounds, data)
    finally:
        disk.close()
    with open(args.json, "w") as f:
        json.dump(data, f, indent=1)
    report(data)
    return 1 if data["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
