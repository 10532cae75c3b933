"""spoolck beside a running suite and on a stopped one: a good spool has no findings whatever goes on, planted damage is
named with its place, a rebuilt index is the same to clients, exit statuses are what the page says."""
import glob
import os
import re
import shutil
import subprocess
import sys
import threading
import time

from suite import BUILD, Suite, main, message, note, on_a_terminal

CONF = {"spoold": "segment_max = 64k\nexpunge_keep = 0\ncompact_waste = 5\nupkeep_rate = 1g\n"}


def argv(suite, *rest):
    verb = next(i for i, r in enumerate(rest) if r in ("verify", "rebuild", "show", "accept"))
    return [BUILD + "/spoolck", *rest[:verb], "-c", suite.base + "/etc/spoold.conf", *rest[verb:]]


def spoolck(suite, *rest):
    return subprocess.run(argv(suite, *rest), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)


def logs(suite, user="alice"):
    return sorted(glob.glob(f"{suite.base}/spool/active/default/*/{user}/log.*"))


def uids(imap):
    imap.select("INBOX", readonly=True)
    _, data = imap.fetch("1:*", "(UID FLAGS RFC822.SIZE)")
    return data


def good_under_load(suite):
    """Deliveries, sessions, upkeep and rebuilds go on; nothing is found, nothing is lost."""
    stop, faults, n = threading.Event(), [], [0]
    for i in range(100):
        suite.deliver(message(100000 + i, size=2000), to=("alice", "bob"))

    def deliver():
        with suite.lmtp() as l:
            while not stop.is_set():
                n[0] += 1
                r = l.send("s@elsewhere.example", ["alice@example.test", "bob@example.test"], message(n[0], size=2000))
                if any(c != 250 for c, _ in r):
                    faults.append(r)

    def read():
        while not stop.is_set():
            try:
                i = suite.imap("alice")
                i.select("INBOX")
                i.uid("store", "1:20", "+FLAGS", "(\\Seen $Label1)")
                i.uid("copy", "1:10", "Archive")
                i.uid("store", "11:15", "+FLAGS", "(\\Deleted)")
                i.expunge()
                i.logout()
            except Exception as e:
                faults.append(e)
    threads = [threading.Thread(target=deliver), threading.Thread(target=read)]
    for t in threads:
        t.start()
    runs = 0
    try:
        end = time.time() + 8
        while time.time() < end:
            p = spoolck(suite, "verify", "-a")
            assert p.returncode == 0 and "findings 0 failed 0" in p.stdout, p.stdout[-3000:] + p.stderr[-2000:]
            p = spoolck(suite, *(["-l"] if runs % 2 else []), "rebuild", "alice", "bob")
            assert p.returncode == 0, p
            p = suite.spoolctl("-f", "upkeep", "alice")
            assert p.returncode == 0, p
            runs += 1
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not faults, faults[:3]
    i = suite.imap("alice")
    _, data = i.select("INBOX")
    note(f"{runs} times verified, rebuilt and compacted during {n[0]} deliveries; {int(data[0])} messages then")
    i.logout()
    assert runs >= 2


def shows(suite):
    """What show prints agrees with IMAP."""
    p = spoolck(suite, "show", "alice")
    assert p.returncode == 0, p
    i = suite.imap("alice")
    _, data = i.select("INBOX", readonly=True)
    exists = int(data[0])
    validity = i.response("UIDVALIDITY")[1][0].decode()
    i.logout()
    assert re.search(rf"^mailbox user\.alice messages {exists} .* uidvalidity {validity} ", p.stdout, re.M), p.stdout
    assert re.search(r"^segment 1 generation \d+ bytes \d+$", p.stdout, re.M)
    p = spoolck(suite, "-r", "show", "alice")
    assert len(re.findall(r"^record \d+ \d+ M ", p.stdout, re.M)) >= exists / 2


def statuses(suite):
    """A script can tell what happened."""
    assert spoolck(suite, "verify").returncode == 100
    p = spoolck(suite, "verify", "no.such.user")
    assert p.returncode == 111 and "no spool" in p.stderr, p
    p = spoolck(suite, "verify", "../alice")
    assert p.returncode == 111, p
    p = spoolck(suite, "verify", "-p", "nowhere")
    assert p.returncode == 111, p
    assert not glob.glob(suite.base + "/spool/index/default/~ck*")


def shows_progress(suite):
    """The bar, there and only there."""
    out = on_a_terminal(argv(suite, "verify", "-a"))
    assert b"bytes" in out and b"left" in out and b"findings 0" in out, out
    assert spoolck(suite, "verify", "-a").stderr == ""


def stopped(suite):
    """Without spoold: verified as it is, nothing written; then damage of each kind is planted and named."""
    i = suite.imap("alice")
    before = uids(i)
    i.logout()
    suite.sv("down", "spoold")
    files = {f: open(f, "rb").read() for f in logs(suite)}
    p = spoolck(suite, "verify", "alice")
    assert p.returncode == 0, p
    assert {f: open(f, "rb").read() for f in logs(suite)} == files, "verify wrote to the log"
    p = spoolck(suite, "-l", "rebuild", "alice")
    assert p.returncode == 0, p

    segment = logs(suite)[1]
    number = int(segment.rsplit(".", 1)[1])
    good = files[segment]
    # a body's byte, a header's, a trailer's: of the third whole message of the segment
    heads = [m.start() for m in re.finditer(rb"TSR1 M ", good)]
    at = heads[2]
    size = int(good[at + 7:at + 15], 16)
    body = at + 160 + size + 40
    trailer = good.index(b"TST1 ", body)
    for name, place, want in (("body", body, rf"^alice {number} {at} body's checksum"),
                              ("header", at + 30, rf"^alice {number} {at} \d+ bytes are no record"),
                              ("trailer", trailer + 40, rf"^alice {number} {at} \d+ bytes are no record")):
        with open(segment, "r+b") as f:
            f.seek(place)
            f.write(bytes([good[place] ^ 1]))
        p = spoolck(suite, "verify", "alice")
        assert p.returncode == 1 and re.search(want, p.stdout, re.M), (name, p.stdout)
        with open(segment, "r+b") as f:
            f.seek(place)
            f.write(bytes([good[place]]))
    os.rename(segment, suite.base + "/aside")
    p = spoolck(suite, "verify", "alice")
    assert p.returncode in (1, 111) and re.search(rf"^alice {number} 0 segment is missing", p.stdout, re.M), p
    os.rename(suite.base + "/aside", segment)
    checkpoint = os.path.dirname(segment) + "/checkpoint"
    if os.path.exists(checkpoint):
        shutil.copy2(checkpoint, suite.base + "/aside")
        with open(checkpoint, "r+b") as f:
            f.truncate(os.path.getsize(checkpoint) // 2)
        p = spoolck(suite, "verify", "alice")
        assert p.returncode == 1 and "checkpoint: has no mark" in p.stdout, p
        shutil.copy2(suite.base + "/aside", checkpoint)
        shutil.chown(checkpoint, os.stat(segment).st_uid, os.stat(segment).st_gid)
    open(os.path.dirname(segment) + "/stray", "w").close()
    p = spoolck(suite, "verify", "alice")
    assert p.returncode == 1 and "none of a spool's" in p.stdout, p
    os.unlink(os.path.dirname(segment) + "/stray")
    assert spoolck(suite, "verify", "alice").returncode == 0
    up(suite)
    i = suite.imap("alice")
    assert uids(i) == before
    i.logout()


def compact(suite, verb="compact", user="bob"):
    return suite.spoolctl("-f", verb, user)


def readable(suite, user="bob"):
    """uid: body of what can be read."""
    i = suite.imap(user)
    i.select("INBOX", readonly=True)
    typ, data = i.uid("fetch", "1:*", "(BODY.PEEK[])")
    if typ == "NO":  # some are unavailable
        data = i.response("FETCH")[1]
    found = {int(re.search(rb"UID (\d+)", d[0]).group(1)): d[1] for d in data if isinstance(d, tuple)}
    i.logout()
    return found


def expunge_some(suite, user="bob"):
    """Something for compaction to take away, in every segment."""
    i = suite.imap(user)
    i.select("INBOX")
    _, data = i.uid("search", "ALL")
    uids = data[0].split()
    i.uid("store", b",".join(uids[::9]).decode(), "+FLAGS.SILENT", "(\\Deleted)")
    i.expunge()
    i.logout()


def up(suite):
    suite.expect(r"warn\.session\.unreachable")
    suite.sv("up", "spoold")
    deadline = time.time() + 30
    while True:
        try:
            suite.imap("bob").logout()
            return
        except Exception:
            assert time.time() < deadline
            time.sleep(0.2)


def refuses_to_accept(suite):
    """For somebody, never for all; not for nobody; and not where there is no log to say it in."""
    before = {f: os.path.getsize(f) for u in ("alice", "bob", "carol") for f in logs(suite, u)}
    for words in (["accept", "-a"], ["accept", "-p", "default"], ["accept"]):
        p = spoolck(suite, *words)
        assert p.returncode == 100 and "usage" in p.stderr, p
    for name in ("nobody.at.all", "../bob", "Bob"):
        p = spoolck(suite, "accept", name)
        assert p.returncode == 2 and "failed 1" in p.stdout and name in p.stderr, p
    assert {f: os.path.getsize(f) for u in ("alice", "bob", "carol") for f in logs(suite, u)} == before, "something was written"


def lose(suite, damage):
    """With the damage done while spoold is stopped (its processes have logs open), what bob has left."""
    suite.sv("down", "spoold")
    damage()
    up(suite)


def accepted(suite, is_running, want, damage):
    """bob loses something: verify says so, and compaction; accepted, both are content again and nothing else is lost."""
    suite.expect(r"warn\.(store\.missing|store\.damaged|compact\.damaged|store\.checkpoint|store\.body) .*user=bob")
    p = spoolck(suite, "verify", "bob")
    assert p.returncode == 0, p
    lose(suite, damage)
    p = spoolck(suite, "verify", "bob")
    assert p.returncode == 1 and re.search(want, p.stdout, re.M), p
    p = compact(suite)
    assert p.returncode == 1 and " damaged 1 " in p.stdout, p
    p = spoolck(suite, "-l", "rebuild", "bob")
    assert p.returncode == 0, p
    left = readable(suite)
    p = compact(suite)
    assert p.returncode == 1 and " damaged 1 " in p.stdout, p
    p = compact(suite, "checkpoint")
    assert p.returncode == 1 and " failed 1 " in p.stdout, p
    assert spoolck(suite, "verify", "bob").returncode == 1, "a rebuild alone is not enough"

    if not is_running:
        suite.sv("down", "spoold")
    p = spoolck(suite, "accept", "bob")
    assert p.returncode == 0 and re.match(r"bob \d+ \d+ .* given up\nusers 1 findings 0 failed 0\n$", p.stdout), p
    if not is_running:
        up(suite)
    assert readable(suite) == left
    expunge_some(suite)
    left = readable(suite)
    p = compact(suite, "upkeep")
    assert p.returncode == 0 and re.search(r" segments [1-9]\d* damaged 0 ", p.stdout), p
    p = spoolck(suite, "verify", "bob")
    assert p.returncode == 0 and "findings 0" in p.stdout, p
    assert re.search(r"^holes 0$", spoolck(suite, "show", "bob").stdout, re.M)
    # there is nothing more to be given up
    p = spoolck(suite, "accept", "bob")
    assert p.returncode == 0 and "nothing is missing" in p.stdout, p
    # from the log alone too
    assert spoolck(suite, "-l", "rebuild", "bob").returncode == 0
    assert readable(suite) == left
    assert suite.deliver(message(500000 + is_running, size=2000), to=("bob",))[0][0] == 250
    assert len(readable(suite)) == len(left) + 1
    assert spoolck(suite, "verify", "bob").returncode == 0
    return left


def is_sealed(name):
    """Neither the first, nor the one appended to, and with bodies in it."""
    return os.path.getsize(name) > 30000


def accept_a_segment(suite):
    """Beside a running suite."""
    for i in range(200):
        suite.deliver(message(300000 + i, size=2000), to=("bob",))
    name = [f for f in logs(suite, "bob")[1:-1] if is_sealed(f)][0]
    before = len(readable(suite))
    left = accepted(suite, True, rf"^bob {int(name.rsplit('.', 1)[1])} 0 segment is missing",
                    lambda: os.unlink(name))
    note(f"of {before} messages {len(left)} were left without a segment")
    assert len(left) < before - 3


def accept_a_record(suite):
    """On a stopped one: a record of which nothing is known any more."""
    for i in range(100):
        suite.deliver(message(400000 + i, size=2000), to=("bob",))
    name = [f for f in logs(suite, "bob")[1:-1] if is_sealed(f)][-1]
    number = int(name.rsplit(".", 1)[1])
    data = open(name, "rb").read()
    at = [m.start() for m in re.finditer(rb"TSR1 M ", data)][2]

    def damage():
        with open(name, "r+b") as f:
            f.seek(at + 30)
            f.write(bytes([data[at + 30] ^ 1]))
    accepted(suite, False, rf"^bob {number} {at} \d+ bytes are no record", damage)
    # Compaction left the bytes out.
    assert open(name, "rb").read() != data


def accept_the_first(suite):
    """Without its first segment a log cannot be opened, and so nothing be said in it."""
    suite.expect(r"(warn|fatal)\..*carol")
    suite.deliver(message(600000), to=("carol",))
    first = logs(suite, "carol")[0]
    suite.sv("down", "spoold")
    os.rename(first, suite.base + "/aside")
    p = spoolck(suite, "accept", "carol")
    assert p.returncode == 2, p
    os.rename(suite.base + "/aside", first)
    up(suite)
    assert spoolck(suite, "verify", "carol").returncode == 0


if __name__ == "__main__":
    sys.exit(main(Suite(users=3, conf=CONF), [good_under_load, shows, statuses, shows_progress, stopped,
                                                       refuses_to_accept, accept_a_segment, accept_a_record, accept_the_first]))
