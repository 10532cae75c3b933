#!/usr/bin/env python3
"""make bench: deliveries of lmtpd (both copies synced) beside Dovecot and Cyrus IMAP from Debian's packages and the floor
of the disk, in one run on the same file systems: ext4 with a journal and XFS on loop devices. Medians of several rounds
with the spread; every round in a new directory, the systems taking turns. Ends with tables in Markdown.

  bench.py [--quick] [--rounds N] [--fs ext4,xfs] [--only delivery,disk] [--systems TEXT,...] [--json FILE] [--plot FILE]

--quick: one round, 1 and 64 connections, 4 KiB, ext4, three systems: some minutes.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/system"))
from disk import Disk  # noqa: E402
from peers import SYSTEMS, USERS, Twinspool, cpu_seconds  # noqa: E402
from suite import BUILD  # noqa: E402

FLOOR = "floor: appends and one sync for all that wait"
# name, size, recipients, connections
CASES = [
    ("4 KiB", "4096", 1, (1, 16, 64, 256)),
    ("mix", "mix", 1, (1, 64)),
    ("4 KiB, 10 recipients", "4096", 10, (1, 64)),
]


def machine():
    cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    mem = int(re.search(r"MemTotal:\s+(\d+)", open("/proc/meminfo").read()).group(1)) / (1 << 20)
    return f"{os.cpu_count()} cores ({cpu.group(1) if cpu else '?'}), {mem:.0f} GiB, Linux {os.uname().release}"


def messages_of(name, connections, size, rcpts):
    """A few seconds' worth for each; the slower ones need fewer for the same certainty."""
    n = 400 if connections == 1 else 8000 if name in (Twinspool.name, FLOOR) else 1500
    n = n // 4 if size == "mix" or rcpts > 1 else n
    return max(n, connections * 4)


def load(port, connections, messages, size, rcpts, user):
    p = subprocess.run([BUILD + "/tests/bench/lmtpload", "127.0.0.1", str(port), str(connections), str(messages), size,
                        str(rcpts), user, str(USERS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if p.returncode:
        raise RuntimeError(p.stderr)
    n, s, rate, p50, p99, failed, sent = p.stdout.split()
    if failed != "0":
        raise RuntimeError(f"{failed} messages were not taken: {p.stderr}")
    return float(rate), float(p50), float(p99)


def one(disk, name, case, connections, rnd):
    """A round of one system: {rate, p50, p99, cpu}."""
    what, size, rcpts, _ = case
    base = disk.fresh(re.sub(r"\W", "", f"{name}{what}{connections}r{rnd}"))
    n = messages_of(name, connections, size, rcpts)
    try:
        if name == FLOOR:
            p = subprocess.run([BUILD + "/tests/bench/floor", base, str(connections), str(n), size,
                                str(rcpts)], stdout=subprocess.PIPE, text=True, check=True)
            return {"rate": float(p.stdout.split()[2])}
        system = SYSTEMS[name](base)
        try:
            system.prepare()
            # warm: every process there, every mailbox made
            load(system.port, min(connections, 16), 200, "4096", 1, system.user)
            before = cpu_seconds(system.pids())
            rate, p50, p99 = load(system.port, connections, n, size, rcpts, system.user)
            cpu = (cpu_seconds(system.pids()) - before) / n
            return {"rate": rate, "p50": p50, "p99": p99, "cpu_ms": cpu * 1000}
        finally:
            system.stop()
    finally:
        disk.drop(base)


def delivery(disk, names, cases, rounds, out):
    for rnd in range(rounds):
        for case in cases:
            for connections in case[3]:
                for name in names + [FLOOR]:
                    r = one(disk, name, case, connections, rnd)
                    out.append(dict(r, fs=disk.kind, system=name, case=case[0], connections=connections, round=rnd))
                    print(f"{disk.kind} round {rnd + 1} {case[0]}, {connections} connections, {name}: {r['rate']:.0f}/s", flush=True)


def calls(disk, names, out):
    """System calls and syncs a message, by strace: how much each does, and that each syncs at all."""
    for name in names:
        base = disk.fresh(re.sub(r"\W", "", "calls" + name))
        system = SYSTEMS[name](base)
        try:
            system.prepare()
            load(system.port, 16, 200, "4096", 1, system.user)
            log = base + ".strace"
            argv = ["strace", "-f", "-c", "-o", log] + [a for p in system.pids() for a in ("-p", str(p))]
            s = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
            time.sleep(1)
            load(system.port, 16, 500, "4096", 1, system.user)
            s.terminate()
            s.wait(30)
            total = syncs = 0
            for line in open(log):
                f = line.split()
                if len(f) >= 5 and f[0][0].isdigit() and f[-1] != "total":
                    total += int(f[3])
                    syncs += int(f[3]) if f[-1] in ("fsync", "fdatasync", "syncfs", "msync") else 0
            os.unlink(log)
            out.append({"system": name, "calls": total / 500, "syncs": syncs / 500})
            print(f"{name}: {total / 500:.0f} system calls and {syncs / 500:.2f} syncs a message", flush=True)
        finally:
            system.stop()
            disk.drop(base)


def disk_cost(disk, names, out):
    """Bytes on the disk beyond the messages' own, 10,000 messages."""
    for size in ("4096", "mix"):
        for name in names:
            base = disk.fresh(re.sub(r"\W", "", f"disk{size}{name}"))
            system = SYSTEMS[name](base)
            try:
                system.prepare()
                before = system.disk()
                p = subprocess.run([BUILD + "/tests/bench/lmtpload", "127.0.0.1", str(system.port), "16", "10000", size, "1",
                                    system.user, str(USERS)], stdout=subprocess.PIPE, text=True, check=True)
                sent = int(p.stdout.split()[6])
                subprocess.run(["sync", "-f", base], check=False)
                for part, n in system.disk().items():
                    over = (n - before[part] - (0 if part in ("index", "databases") else sent)) / 10000
                    out.append({"system": name, "size": size, "part": part, "beyond": over, "own": sent / 10000})
                    print(f"{name}, {size}, {part}: {over:.0f} bytes beyond a message's own {sent / 10000:.0f}", flush=True)
            finally:
                system.stop()
                disk.drop(base)


# --- tables

def spread(rows, key):
    v = [r[key] for r in rows if key in r]
    return (statistics.median(v), min(v), max(v)) if v else None


def table(results, fs, case, names, connections):
    """A column for each number of connections: the rate with its spread, then p50 and p99."""
    lines = ["| messages a second; p50 / p99 ms | " + " | ".join(f"{c} conn." for c in connections) + " | CPU ms |",
             "|---" * (len(connections) + 2) + "|"]
    for name in names + [FLOOR]:
        cells = []
        for c in connections:
            rows = [r for r in results if r["fs"] == fs and r["case"] == case and r["system"] == name and r["connections"] == c]
            s, p50, p99 = (spread(rows, k) for k in ("rate", "p50", "p99"))
            cell = f"{s[0]:,.0f} ({s[1]:,.0f}-{s[2]:,.0f})" if s else ""
            cells.append(cell + (f"; {p50[0]:.1f} / {p99[0]:.1f}" if p50 and p99 else ""))
        at = [r for r in results if r["fs"] == fs and r["case"] == case and r["system"] == name and r["connections"] == 64]
        cpu = spread(at, "cpu_ms")
        cells.append(f"{cpu[0]:.2f}" if cpu else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report(data):
    print("\n" + data["machine"] + f"; {USERS} users, {data['rounds']} rounds; median (lowest-highest); p50 / p99; CPU of the server's "
          "processes at 64 connections\n")
    names = data["systems"]
    for fs in sorted({r["fs"] for r in data["delivery"]}):
        for case in dict.fromkeys(r["case"] for r in data["delivery"]):
            conns = sorted({r["connections"] for r in data["delivery"] if r["case"] == case})
            print(f"{fs}, {case}:\n\n{table(data['delivery'], fs, case, names, conns)}\n")
    if data.get("calls"):
        print("| a message, 16 connections | system calls | syncs |\n|---|---|---|")
        for r in data["calls"]:
            print(f"| {r['system']} | {r['calls']:.0f} | {r['syncs']:.2f} |")
        print()
    if data.get("disk"):
        print("| bytes on the disk beyond a message's own | 4 KiB | mix |\n|---|---|---|")
        for name, part in dict.fromkeys((r["system"], r["part"]) for r in data["disk"]):
            v = {r["size"]: r["beyond"] for r in data["disk"] if (r["system"], r["part"]) == (name, part)}
            print(f"| {name}: {part} | {v.get('4096', 0):,.0f} | {v.get('mix', 0):,.0f} |")
        print()


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--quick", action="store_true")
    a.add_argument("--rounds", type=int)
    a.add_argument("--fs", default="ext4,xfs")
    a.add_argument("--only", default="delivery,calls,disk")
    a.add_argument("--systems", help="only those whose name has one of these words")
    a.add_argument("--json", default=os.path.join(BUILD, "bench.json"))
    a.add_argument("--plot", default=os.path.join(BUILD, "delivery.svg"))
    args = a.parse_args()
    names, cases, fss, rounds = list(SYSTEMS), CASES, args.fs.split(","), args.rounds or 3
    if args.quick:
        names = [Twinspool.name, "Dovecot 2.3.19 sdbox, always", "Cyrus IMAP 3.6.1"]
        cases, fss, rounds, args.only = [("4 KiB", "4096", 1, (1, 64))], ["ext4"], args.rounds or 1, "delivery"
    if args.systems:
        names = [n for n in names if any(w in n for w in args.systems.split(","))]
    if os.geteuid() != 0:
        names = [Twinspool.name]
        print("the peers need root (mount namespaces): without them")
    data = {"machine": machine(), "rounds": rounds, "systems": names, "delivery": [], "calls": [], "disk": []}
    for fs in fss:
        try:
            disk = Disk(fs)
        except RuntimeError as e:
            print(e)
            continue
        try:
            print(f"{machine()}, {disk.what}", flush=True)
            if "delivery" in args.only:
                delivery(disk, names, cases, rounds, data["delivery"])
            if fs == fss[0] and "calls" in args.only and os.geteuid() == 0:
                calls(disk, names, data["calls"])
            if fs == fss[0] and "disk" in args.only:
                disk_cost(disk, names, data["disk"])
        finally:
            disk.close()
    with open(args.json, "w") as f:
        json.dump(data, f, indent=1)
    report(data)
    if data["delivery"]:
        # Debian's own, which its matplotlib is for
        python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
        subprocess.run([python, os.path.join(TOP, "tests/bench/plot.py"), args.json, args.plot], check=False)


if __name__ == "__main__":
    main()
