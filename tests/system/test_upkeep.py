"""Upkeep of a running suite: purge and compaction while sessions are open and mail arrives, its process killed at
random, and ordered by rotated after a rotation."""
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from suite import BUILD, Skip, Suite, main, message, note, on_a_terminal
from test_rotation import ctl

CONF = {"spoold": "expunge_keep = 0\nsegment_max = 64k\ncompact_waste = 10\nupkeep_rate = 1g\n"}
MESSAGES = 400
kept = {}	# uid -> bytes


def log_bytes(suite):
    total = 0
    for d, _, files in os.walk(suite.base + "/spool/active"):
        if d.endswith("/alice"):
            total += sum(os.stat(os.path.join(d, f)).st_size for f in files if f.startswith("log."))
    return total


def bodies(imap):
    imap.select("INBOX", readonly=True)
    out = {}
    _, data = imap.uid("fetch", "1:*", "(BODY.PEEK[])")
    for item in data:
        if isinstance(item, tuple):
            out[int(re.search(rb"UID (\d+)", item[0]).group(1))] = item[1]
    return out


def fill(suite):
    """Mail for alice, of which two thirds are expunged."""
    with suite.lmtp() as l:
        for i in range(MESSAGES):
            l.send("sender@elsewhere.example", ["alice@example.test"], message(i, size=2000))
    imap = suite.imap("alice")
    imap.select("INBOX")
    _, data = imap.uid("search", "ALL")
    uids = [int(u) for u in data[0].split()]
    assert len(uids) == MESSAGES, len(uids)
    imap.uid("store", ",".join(str(u) for u in uids if u % 3), "+FLAGS.SILENT", "(\\Deleted)")
    imap.expunge()
    kept.update(bodies(imap))
    assert len(kept) == sum(1 for u in uids if u % 3 == 0)
    imap.logout()


def compacts(suite):
    """What was expunged gives its room back; the rest is as it was, for a session that was open before too."""
    fill(suite)
    before = log_bytes(suite)
    old = suite.imap("alice")
    old.select("INBOX")
    p = suite.spoolctl("upkeep", "alice")
    assert p.returncode == 0, p
    assert re.search(r"alice: users 1 failed 0 purged %d segments [1-9]" % (MESSAGES - len(kept)), p.stdout), p.stdout
    assert p.stderr == "", "progress on a pipe: " + p.stderr
    after = log_bytes(suite)
    assert after < before * 0.6, (before, after)
    note(f"{before} bytes of log before, {after} after, for {len(kept)} of {MESSAGES} messages")
    assert bodies(old) == kept
    old.logout()
    new = suite.imap("alice")
    assert bodies(new) == kept
    new.logout()


def killed(suite):
    """Its process is killed again and again while mail comes and goes."""
    stop = threading.Event()
    added, faults = [], []

    def deliver():
        with suite.lmtp() as l:
            while not stop.is_set():
                r = l.send("sender@elsewhere.example", ["alice@example.test"], message(MESSAGES + len(added), size=3000))
                if r[0][0] != 250:
                    faults.append(r)
                added.append(1)
    t = threading.Thread(target=deliver)
    t.start()
    kills = 0
    suite.expect(r"warn\.child\.died .*spoold/upkeep")
    for i in range(12):
        order = subprocess.Popen(suite.spoolctl_argv("-f", "upkeep", "-a"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        imap = suite.imap("alice")
        imap.select("INBOX")
        _, data = imap.uid("search", "UID", "%d:*" % (max(kept) + 1))
        young = [u for u in data[0].split() if int(u) > max(kept)][:20]
        if young:
            imap.uid("store", b",".join(young).decode(), "+FLAGS.SILENT", "(\\Deleted)")
            imap.expunge()
        imap.logout()
        time.sleep(random.uniform(0, 0.15))
        for pid in suite.pids("spoold/upkeep"):
            os.kill(pid, signal.SIGKILL)
            kills += 1
        order.wait(60)
    stop.set()
    t.join()
    assert not faults, faults[:3]
    deadline = time.time() + 10
    while suite.spoolctl("upkeep", "-a").returncode == 111:
        assert time.time() < deadline
        time.sleep(0.1)
    p = suite.spoolctl("upkeep", "-a")
    assert p.returncode == 0, p
    imap = suite.imap("alice")
    now = bodies(imap)
    imap.logout()
    assert {u: b for u, b in now.items() if u in kept} == kept
    note(f"upkeep killed {kills} times, {len(added)} deliveries meanwhile")
    assert kills >= 6, kills


def rotation_orders(suite):
    """rotated orders it after a rotation."""
    seen = suite.log("spoold").count(" upkeep.done ")
    ctl(suite, "rotate")
    deadline = time.time() + 20
    while suite.log("spoold").count(" upkeep.done ") == seen:
        assert time.time() < deadline, "no upkeep after a rotation"
        time.sleep(0.1)
    assert " upkeep.ordered" in suite.log("rotated")


def refuses(suite):
    """A stranger gives no orders, a bad line is told from a bad day, and an unknown user is a failure."""
    assert suite.spoolctl("upkeep", "nobody.at.all").returncode == 1
    assert suite.spoolctl("upkeep").returncode == 100
    assert suite.spoolctl("shake", "-a").returncode == 100
    assert suite.spoolctl("upkeep", "../alice").returncode == 111
    if os.geteuid() != 0:
        raise Skip("needs root to be a stranger")
    suite.expect(r"warn\.peer\.refused")
    p = suite.spoolctl("upkeep", "-a", user=64999)
    assert p.returncode == 111 and "not allowed" in p.stderr, p


def answered(suite, *messages):
    """What spoolctl makes of an upkeep process that says just that, and then nothing more."""
    path = suite.base + "/upkeep-fake"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(1)

    def serve():
        conn, _ = listener.accept()
        conn.recv(4096)
        for m in messages:
            conn.send(m)
        conn.close()
    t = threading.Thread(target=serve)
    t.start()
    p = subprocess.run([BUILD + "/spoolctl", "-s", path, "upkeep", "alice"], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, timeout=60)
    t.join()
    listener.close()
    os.unlink(path)
    return p


def end_message(users=1, failed=0, damaged=0, is_cut=0):
    return b"\3" + struct.pack("<IIQIIQQB", users, failed, 7, 2, damaged, 1000, 400, is_cut)


def statuses(suite):
    """A script can tell what came of it: done, not for all, cannot be told."""
    progress = b"\2" + struct.pack("<QQI", 1, 3, 3) + b"bob"
    for status, out, msgs in (
            (0, "alice: users 1 failed 0 purged 7 segments 2 damaged 0 freed_bytes 600\n", [progress, end_message()]),
            (1, " failed 1 ", [end_message(failed=1)]),
            (1, " damaged 1 ", [end_message(damaged=1)]),
            (1, " cut\n", [end_message(is_cut=1)]),
            (111, "", []),
            (111, "", [progress]),
            (111, "", [progress[:-1]]),
            (111, "", [end_message()[:-1]]),
            (111, "", [end_message(is_cut=2)]),
            (111, "", [b"\7"])):
        p = answered(suite, *msgs)
        assert p.returncode == status and out in p.stdout, (status, msgs, p)
        assert (status == 111) == p.stderr.startswith("spoolctl: "), p
    nobody = subprocess.run([BUILD + "/spoolctl", "-s", suite.base + "/none", "upkeep", "-a"], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, timeout=60)
    assert nobody.returncode == 111 and "No such file" in nobody.stderr, nobody
    for words in (["-x", "upkeep", "-a"], ["upkeep", "-a", "alice"], ["-a"], []):
        assert suite.spoolctl(*words).returncode == 100, words
    # the first is done although the second is not known; the worst of both is told
    p = suite.spoolctl("checkpoint", "nobody.at.all", "alice")
    assert p.returncode == 1 and "alice: users 1 failed 0" in p.stdout, p
    p = suite.spoolctl("checkpoint", "alice")
    assert p.returncode == 0, p


def shows_progress(suite):
    """On a terminal, and only there."""
    out = on_a_terminal(suite.spoolctl_argv("-f", "upkeep", "-a"))
    assert b"users" in out and b"[" in out and b"%" in out, out


if __name__ == "__main__":
    sys.exit(main(Suite(users=5, conf=CONF), [compacts, killed, rotation_orders, refuses, statuses, shows_progress]))
