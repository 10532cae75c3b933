#!/usr/bin/env python3
"""Runs tests and counts them. Called by the Makefile; ends with "N passed, N failed[, N skipped]".

  run.py unit            cmocka programs and fuzz corpora of $TS_BUILD (default build)
  run.py lint            manual pages, configuration against manual, log events against twinspool-log(5)
  run.py system [NAME]   tests/system/test_*.py: real daemons, real peers
  run.py all             the three of them
  run.py fuzz [--seconds N]   coverage-guided, from $TS_BUILD/fuzz
  run.py soak            2,000 kills at random moments under load
  run.py concurrency     clients on the same mailboxes at once, for TS_SECONDS
  run.py powercut [--seconds N]   the power cut again and again, so long on each file system
  run.py crash           a sample of the crash states

Every test prints TAP lines ("ok 1 - name", "not ok 2 - name", "ok 3 - name # SKIP why"). A program that
ends with another status than 0, or prints no verdict, counts as one failure.
"""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, os.environ.get("TS_BUILD", "build"))
LINE = re.compile(r"^(not )?ok(?: \d+)?(?: -)? ?(.*)$")


class Count:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.bad = []
        self.unsteady = []

    def add(self, program, output, status, seconds):
        seen = passed = failed = skipped = 0
        for line in output.splitlines():
            m = LINE.match(line)
            if not m:
                continue
            seen += 1
            # cmocka says "not ok" of what it skips
            if "# SKIP" in m.group(2):
                skipped += 1
            elif m.group(1):
                failed += 1
                self.bad.append(f"{program}: {m.group(2)}")
            else:
                passed += 1
        if status != 0 and not failed:
            failed += 1
            self.bad.append(f"{program}: ended with status {status}")
        elif not seen:
            failed += 1
            self.bad.append(f"{program}: printed no verdict")
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        word = "FAIL" if failed else "ok"
        print(f"{word:5}{program} ({passed} passed{f', {failed} failed' if failed else ''}"
              f"{f', {skipped} skipped' if skipped else ''}, {seconds:.1f} s)", flush=True)
        if failed:
            print("\n".join("    " + l for l in output.splitlines()[-200:]), flush=True)
        else:
            for line in output.splitlines():
                # Figures and reasons that a test wants read.
                if (line.startswith("# ") and not line.startswith(("# ok", "# not ok"))) or "# SKIP" in line:
                    print("    " + line, flush=True)


def is_good(out, status):
    return status == 0 and not any(m.group(1) and "# SKIP" not in m.group(2)
                                   for m in map(LINE.match, out.splitlines()) if m)


def judge(count, name, first, argv, timeout, env=None):
    """Tests with real processes meet real clocks: a failure is tried once more, and that is told."""
    out, status, s = first
    if not is_good(out, status):
        print(f"again: {name}, which failed:\n" + "\n".join("    " + l for l in out.splitlines()[-60:]), flush=True)
        out, status, s = run(argv, timeout, env)
        if is_good(out, status):
            count.unsteady.append(name)
    count.add(name, out, status, s)


def run(argv, timeout, env=None):
    t = time.time()
    e = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", TS_BUILD=BUILD, PYTHONDONTWRITEBYTECODE="1",
             UBSAN_OPTIONS="print_stacktrace=1", **(env or {}))
    p = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                         env=e, cwd=TOP, errors="replace", text=True)
    try:
        out, _ = p.communicate(timeout=timeout)
        status = p.returncode
    except subprocess.TimeoutExpired:
        p.terminate()
        try:
            out, _ = p.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            p.kill()
            out, _ = p.communicate()
        out += f"\ntimed out after {timeout} s\n"
        status = -1
    return out, status, time.time() - t


def unit(count):
    programs = sorted(glob.glob(os.path.join(BUILD, "tests/*/test_*")))
    programs = [p for p in programs if os.access(p, os.X_OK) and not p.endswith((".o", ".d"))]
    if not programs:
        count.add("unit", "", 1, 0)

    def one(p):
        return p, run([p], 300)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for p, (out, status, s) in pool.map(one, programs):
            judge(count, os.path.relpath(p, BUILD), (out, status, s), [p], 300)
    for p in sorted(glob.glob(os.path.join(BUILD, "tests/*/fuzz_*"))):
        if p.endswith((".o", ".d")):
            continue
        room, name = p.split("/")[-2:]
        corpus = os.path.join(TOP, "tests", room, "corpus_" + name[len("fuzz_"):])
        out, status, s = run([p, corpus], 120)
        if status == 0:
            n = len(glob.glob(corpus + "/*"))
            out = f"ok - corpus of {n} inputs\n" if n else "not ok - corpus is empty\n"
        else:
            out += "not ok - corpus\n"
        count.add(os.path.relpath(p, BUILD), out, status, s)


def lint(count):
    for p in sorted(glob.glob(os.path.join(TOP, "tests/lint/*.py"))):
        out, status, s = run(["python3", p], 300)
        count.add(os.path.relpath(p, TOP), out, status, s)


def system(count, only=None):
    for p in sorted(glob.glob(os.path.join(TOP, "tests/system/test_*.py"))):
        if only and only not in p:
            continue
        # Daemons end without giving back what they kept for their life: that is no leak.
        argv, env = ["python3", p], {"ASAN_OPTIONS": "detect_leaks=0"}
        judge(count, os.path.relpath(p, TOP), run(argv, 900, env), argv, 900, env)


def crash(count, *args):
    argv = ["python3", "tests/crash/crash.py", *args]
    judge(count, "tests/crash/crash.py", run(argv, 1800), argv, 1800)


def fuzz(count, seconds):
    for p in sorted(glob.glob(os.path.join(BUILD, "fuzz/tests/*/fuzz_*"))):
        if p.endswith((".o", ".d")):
            continue
        room, name = p.split("/")[-2:]
        found = os.path.join(BUILD, "fuzz", "found_" + name)
        os.makedirs(found, exist_ok=True)
        out, status, s = run([p, f"-max_total_time={seconds}", "-rss_limit_mb=2048", "-timeout=10",
                              f"-artifact_prefix={found}/crash-", found,
                              os.path.join(TOP, "tests", room, "corpus_" + name[len("fuzz_"):])], seconds + 120)
        runs = re.findall(r"^#(\d+)", out, re.M)
        out += f"\n# {runs[-1] if runs else 0} runs in {s:.0f} s\n{'ok' if status == 0 else 'not ok'} - {name}\n"
        count.add(os.path.relpath(p, BUILD), out, status, s)


def main(argv):
    count = Count()
    what = argv[1:] or ["all"]
    seconds = 120
    if "--seconds" in what:
        i = what.index("--seconds")
        seconds = int(what[i + 1])
        del what[i:i + 2]
    start = time.time()
    if what[0] == "unit":
        unit(count)
        for name in what[1:]:
            system(count, name)
    elif what[0] == "lint":
        lint(count)
    elif what[0] == "system":
        for name in what[1:] or [None]:
            system(count, name)
    elif what[0] == "fuzz":
        fuzz(count, seconds)
    elif what[0] == "soak":
        out, status, s = run(["python3", "tests/system/soak_kill.py"], 3600)
        count.add("tests/system/soak_kill.py", out, status, s)
    elif what[0] == "concurrency":
        name = "tests/system/test_concurrency.py"
        out, status, s = run(["python3", name], 600 + 2 * float(os.environ.get("TS_SECONDS", "12")))
        count.add(name, out, status, s)
    elif what[0] == "powercut":
        out, status, s = run(["python3", "tests/system/test_powercut.py", str(seconds)], 4 * seconds + 1200)
        count.add("tests/system/test_powercut.py", out, status, s)
    elif what[0] == "crash":
        crash(count, *what[1:])
    elif what[0] == "all":
        unit(count)
        lint(count)
        crash(count, "--most", "2000", "--eio", "1,3")
        system(count)
    else:
        print(__doc__, file=sys.stderr)
        return 100
    for b in count.bad:
        print("failed:", b)
    for u in count.unsteady:
        print("unsteady (failed, then passed):", u)
    print(f"{time.time() - start:.0f} seconds")
    tail = f", {count.skipped} skipped" if count.skipped else ""
    print(f"{count.passed} passed, {count.failed} failed{tail}")
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
