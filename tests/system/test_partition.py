"""A partition whose disk fails is out of service, alone: its users are told that they are unavailable, mail to them is
deferred, nobody gets a second spool; all others go on, also over a restart. Once the disk is repaired a SIGHUP brings the
partition back with all its mail. Needs root and loop mounts."""
import imaplib
import os
import subprocess
import sys
import time

import loopfs
from suite import Skip, Suite, main, message, note

SENT = {"n": 0}


def count(suite, user):
    m = suite.imap(user)
    n = int(m.select("INBOX", readonly=True)[1][0])
    m.logout()
    return n


def code(suite, user):
    """Of one more message, unlike any before: a repeat would be dropped."""
    SENT["n"] += 1
    return suite.deliver(message(f"p{SENT['n']}"), [user])[0][0]


def refused(suite, user):
    try:
        suite.imap(user).logout()
    except imaplib.IMAP4.error as e:
        assert "UNAVAILABLE" in str(e), e
        return True
    return False


def wait_up(suite, user, seconds=20):
    deadline = time.time() + seconds
    while code(suite, user) != 250:
        assert time.time() < deadline, "the partition does not come back"
        time.sleep(0.2)


def is_placed(suite, partition, user):
    return any(user in dirs for _, dirs, _ in os.walk(f"{suite.base}/spool/active/{partition}"))


def placed_on_two(suite):
    wait_up(suite, "alice")
    suite.stop()
    second = suite.base + "/spool/active/second"
    os.mkdir(second)
    suite.fs.run("mount", "--bind", suite.fs.at, second)
    with open(suite.conf_dir + "/spoold.conf", "a") as f:
        f.write("partitions = default second\n")
    suite.start()
    wait_up(suite, "bob")
    wait_up(suite, "alice")
    assert is_placed(suite, "second", "bob") and is_placed(suite, "default", "alice")


def fails_alone(suite):
    suite.expect(r"warn\.(store|sync|index|partition|session|epoch|deliver|commit|place)\.")
    suite.fs.break_it()
    for i in range(5):
        assert code(suite, "bob") == 451
        assert code(suite, "alice") in (250, 451)  # the committer is replaced when a sync fails
    wait_up(suite, "alice")
    for i in range(5):
        assert code(suite, "alice") == 250
        assert code(suite, "bob") == 451
    count(suite, "alice")


def spoold_pid(suite):
    with open(suite.base + "/sv/spoold/supervise/pid") as f:
        return int(f.read())


def reload_and_reload(suite):
    """A SIGHUP does not end spoold over a partition that is down, nor the one after it."""
    pid = spoold_pid(suite)
    for _ in range(3):
        suite.sv("hup", "spoold")
        time.sleep(0.5)
        wait_up(suite, "alice")
        assert code(suite, "bob") == 451
    assert spoold_pid(suite) == pid


def reload_while_it_fails(suite):
    suite.expect(r"warn\.(child|mupdate|map)\.")
    reload_and_reload(suite)
    suite.wait_log("spoold", r"warn\.partition\.down partition=second")


def fails_again(suite):
    fails_alone(suite)


def restart_without_it(suite):
    suite.stop()
    suite.start()
    suite.wait_log("spoold", r"warn\.partition\.down partition=second")
    wait_up(suite, "alice")
    n = count(suite, "alice")
    assert code(suite, "alice") == 250 and count(suite, "alice") == n + 1
    assert code(suite, "bob") == 451
    assert refused(suite, "bob")
    # who may be on it gets no second spool
    assert code(suite, "carol") == 451
    assert refused(suite, "carol")
    assert not is_placed(suite, "default", "bob") and not is_placed(suite, "default", "carol")
    reload_and_reload(suite)
    assert not is_placed(suite, "default", "bob") and not is_placed(suite, "default", "carol")


def repair(suite):
    second = suite.base + "/spool/active/second"
    suite.fs.run("umount", "-l", second)
    suite.fs.umount()
    subprocess.run(["e2fsck", "-fy", suite.fs.image], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
                   env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin"))
    suite.fs.mount()
    suite.fs.run("mount", "--bind", suite.fs.at, second)
    suite.sv("hup", "spoold")
    wait_up(suite, "bob")
    assert count(suite, "bob") >= 2
    assert code(suite, "alice") == 250


def back_after_reloads(suite):
    pid = spoold_pid(suite)
    repair(suite)
    suite.sv("hup", "spoold")
    wait_up(suite, "bob")
    assert spoold_pid(suite) == pid


def back_after_restart(suite):
    repair(suite)
    assert code(suite, "carol") == 250
    note(f"bob has {count(suite, 'bob')} messages, alice {count(suite, 'alice')}")
    suite.stop()
    suite.fs.run("umount", suite.base + "/spool/active/second")
    suite.fs.run("umount", suite.base + "/spool/active/default")


if __name__ == "__main__":
    try:
        fs = loopfs.LoopFs(300)
    except Skip as e:
        print(f"1..1\nok 1 - partition # SKIP {e}")
        sys.exit(0)
    s = Suite(conf={"spoold": "reserve = 1m\n"}, start=False)
    s.fs = fs
    os.makedirs(s.base + "/spool/active/default")
    # new spools go where there is more room: to the second, once it is there
    fs.run("mount", "-t", "tmpfs", "-o", "size=64m,mode=755", "tmpfs", s.base + "/spool/active/default")
    s.start()
    status = main(s, [placed_on_two, fails_alone, reload_while_it_fails, back_after_reloads, fails_again, restart_without_it,
                      back_after_restart])
    s.close()
    for at in ("second", "default"):
        subprocess.run(["umount", "-l", f"{s.base}/spool/active/{at}"], stderr=subprocess.DEVNULL)
    fs.close()
    sys.exit(status)
