#!/usr/bin/env python3
"""make bench-big: what a mailbox of a million messages costs. First below the protocol (bigstore: each step
in a process of its own, other sessions and deliveries timed meanwhile), then through the whole suite: a
client on proxyd, TLS and all, with a second one beside it.

  big.py [--messages N] [--store-only]
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/system"))
from suite import Suite, BUILD  # noqa: E402

BIGSTORE = os.path.join(BUILD, "tests/bench/bigstore")


def say(name, value, unit):
    print(f"{name:66} {value:14,.3f} {unit}", flush=True)


def store(messages):
    base = tempfile.mkdtemp(prefix="tsbig.", dir="/tmp")
    try:
        p = subprocess.Popen([BIGSTORE, base, str(messages)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             text=True)
        for line in p.stdout:
            name, value, unit = line.rstrip("\n").split("\t")
            say(name, float(value), unit)
        if p.wait() != 0:
            sys.exit("bigstore failed: %d" % p.returncode)
    finally:
        shutil.rmtree(base, ignore_errors=True)


class Client:
    """Sends a command and counts the lines of the answer; imaplib's own parsing would be what is measured."""

    def __init__(self, suite):
        self.m = suite.imap("alice")
        self.n = 0

    def run(self, command):
        self.n += 1
        tag = b"x%d" % self.n
        began = time.monotonic()
        self.m.send(tag + b" " + command.encode() + b"\r\n")
        lines = 0
        while True:
            line = self.m.file.readline()
            if not line:
                raise RuntimeError(command + ": closed")
            if line.startswith(tag + b" "):
                break
            if line.startswith(b"* BYE"):
                raise RuntimeError(command + ": " + line.decode())
            lines += 1
        if not line.startswith(tag + b" OK"):
            raise RuntimeError(command + ": " + line.decode())
        return (time.monotonic() - began) * 1000, lines


class Beside(threading.Thread):
    """Another session of the user that goes on while the first one changes a great deal."""

    def __init__(self, suite):
        super().__init__()
        self.c = Client(suite)
        self.c.run("EXAMINE INBOX")
        self.is_over = False
        self.ms, self.told = [], []

    def run(self):
        while not self.is_over:
            for command in ("FETCH 1000:1100 (FLAGS)", "STATUS INBOX (MESSAGES UNSEEN)"):
                ms, lines = self.c.run(command)
                # the answer that also tells of the change is that change's size, not a wait
                (self.told if lines > 1000 else self.ms).append(ms)
            time.sleep(0.002)

    def end(self, name):
        self.is_over = True
        self.join()
        ms = sorted(self.ms)
        say(f"IMAP: {name}: beside it FETCH, STATUS p50", statistics.median(ms), "ms")
        say(f"IMAP: {name}: beside it FETCH, STATUS worst of {len(ms)}", ms[-1], "ms")
        if self.told:
            say(f"IMAP: {name}: beside it the answer that tells all of it", max(self.told), "ms")


def memory(suite):
    """RssAnon of the largest worker, KiB."""
    most = 0
    for pid, name in suite.pids("spoold").items():
        if "worker" in name:
            for line in open(f"/proc/{pid}/status"):
                if line.startswith("RssAnon"):
                    most = max(most, int(line.split()[1]))
    return most


def through_suite(messages):
    suite = Suite()
    try:
        suite.imap("alice").logout()
        suite.stop()
        subprocess.run([BIGSTORE, "fill", suite.base + "/spool/active", suite.base + "/spool/index", "alice",
                        str(messages)], check=True, stderr=subprocess.DEVNULL)
        suite.start()
        c = Client(suite)
        say("IMAP: first SELECT: index made, checkpoint written", c.run("SELECT INBOX")[0], "ms")
        say("IMAP: RssAnon of the worker", memory(suite), "KiB")
        say("IMAP: SELECT warm, median of 50", statistics.median(c.run("SELECT INBOX")[0] for _ in range(50)), "ms")
        say("IMAP: NOOP, median of 50", statistics.median(c.run("NOOP")[0] for _ in range(50)), "ms")
        say("IMAP: FETCH one in the middle (FLAGS), median of 50",
            statistics.median(c.run("FETCH %d (FLAGS)" % (messages // 2))[0] for _ in range(50)), "ms")
        ms, lines = c.run("FETCH 1:* (FLAGS)")
        say("IMAP: FETCH 1:* (FLAGS)", lines / ms * 1000, "messages/s")
        for name, command in (("STORE 1:* +FLAGS.SILENT", "STORE 1:* +FLAGS.SILENT (\\Seen)"),
                              ("STORE 1:* +FLAGS", "STORE 1:* +FLAGS (\\Flagged)"),
                              ("COPY of 100,000", "COPY 1:100000 Archive"),
                              ("STORE 1:100000 +FLAGS.SILENT (\\Deleted)", "STORE 1:100000 +FLAGS.SILENT (\\Deleted)"),
                              ("EXPUNGE of 100,000", "EXPUNGE"),
                              ("STORE 1:* +FLAGS.SILENT (\\Deleted)", "STORE 1:* +FLAGS.SILENT (\\Deleted)"),
                              ("EXPUNGE of all", "EXPUNGE")):
            beside = Beside(suite)
            beside.start()
            time.sleep(0.05)
            ms, lines = c.run(command)
            say(f"IMAP: {name}: {lines:,} lines", ms, "ms")
            beside.end(name)
            say(f"IMAP: {name}: RssAnon of the largest worker", memory(suite), "KiB")
    finally:
        suite.close()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--messages", type=int, default=1000000)
    ap.add_argument("--store-only", action="store_true")
    args = ap.parse_args()
    store(args.messages)
    if not args.store_only:
        through_suite(args.messages)


if __name__ == "__main__":
    main()
