"""Run as root: every kind of process has a uid of its own, no new privileges, a seccomp filter, and the processes that
parse the network have an empty root. Started in a folder of its own; without root only what needs no root is looked at."""
import os
import re
import sys
import time

from suite import Skip, Suite, main, message, note

ROOT_PARENTS = {"proxyd", "relayd", "lmtpd", "spoold", "rotated", "mupdated"}
# process: (uid, has an empty or private root, may read these trees)
WANT = {
    "proxyd/net": (64801, True), "proxyd/auth": (64802, False), "proxyd/login": (64802, False), "proxyd/key": (64803, False),
    "lmtpd/net": (64811, True), "relayd/net": (64821, True), "relayd/route": (64822, False),
    "spoold/lot": (64831, False), "spoold/worker": (64832, False), "spoold/deliver": (64832, False),
    "spoold/upkeep": (64832, False), "spoold/commit": (64833, False), "rotated/days": (64841, False), "mupdated/net": (64851, True),
    "mupdated/map": (64852, False),
}


def status(pid, key):
    return re.search(rf"^{key}:\s+(.*)$", open(f"/proc/{pid}/status").read(), re.M).group(1)


def everything_runs(suite):
    assert suite.deliver(message(1), ["alice"])[0][0] == 250
    m = suite.imap("alice")
    m.select("INBOX")
    suite.session = m
    kinds = set(suite.pids().values())
    missing = (set(WANT) | ROOT_PARENTS) - kinds
    assert not missing, f"{missing} not among {kinds}"
    unknown = kinds - set(WANT) - ROOT_PARENTS
    assert not unknown, f"processes nobody described: {unknown}"


def settled(check):
    """A process just born is not confined yet: what is seen must become right within three seconds."""
    def test(suite):
        deadline = time.time() + 3
        while True:
            try:
                return check(suite)
            except (AssertionError, AttributeError, OSError, KeyError):
                if time.time() > deadline:
                    raise
            time.sleep(0.1)
    test.__name__ = check.__name__
    return test


@settled
def confined(suite):
    for pid, kind in suite.pids().items():
        if kind in ROOT_PARENTS:
            continue
        assert status(pid, "NoNewPrivs") == "1", kind
        assert status(pid, "Seccomp") == "2", kind


@settled
def uids(suite):
    if os.getuid() != 0:
        raise Skip("needs root")
    for pid, kind in suite.pids().items():
        if kind in ROOT_PARENTS:
            continue
        want = str(WANT[kind][0])
        assert status(pid, "Uid").split() == [want] * 4, (kind, status(pid, "Uid"))
        caps = int(status(pid, "CapEff"), 16)
        assert caps == (1 << 9 if kind == "rotated/days" else 0), (kind, hex(caps))


@settled
def roots(suite):
    if os.getuid() != 0:
        raise Skip("needs root")
    for pid, kind in suite.pids().items():
        if kind in WANT and WANT[kind][1]:
            root = os.readlink(f"/proc/{pid}/root")
            assert root != "/", kind
            assert os.listdir(f"/proc/{pid}/root/") == [], (kind, os.listdir(f"/proc/{pid}/root/"))


def secrets_not_readable(suite):
    """What each uid could open if it were captured."""
    if os.getuid() != 0:
        raise Skip("needs root")
    files = {
        "key": f"{suite.base}/tls/key.pem", "sasldb": f"{suite.base}/auth/sasldb2", "map": f"{suite.base}/map/data.mdb",
    }
    for d, top in (("active", f"{suite.base}/spool/active"), ("redundant", f"{suite.base}/spool/redundant")):
        for folder, _, names in os.walk(top):
            for n in names:
                if n.endswith(".log") or n.startswith("log."):
                    files[d] = os.path.join(folder, n)
    assert set(files) == {"key", "sasldb", "map", "active", "redundant"}, files
    may = {"sasldb": {64802, 64852}, "map": {64802, 64822, 64852}, "active": {64832}, "redundant": {64841}, "key": set()}
    groups = {64802: [64802, 64860], 64822: [64822, 64860], 64852: [64860, 64861]}
    for name, path in files.items():
        for uid in sorted({w[0] for w in WANT.values()}):
            pid = os.fork()
            if pid == 0:
                os.setgroups(groups.get(uid, [uid]))
                os.setgid(groups.get(uid, [uid])[0])
                os.setuid(uid)
                try:
                    os.close(os.open(path, os.O_RDONLY))
                    os._exit(0)
                except OSError:
                    os._exit(1)
            readable = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            assert readable == (uid in may[name]), f"uid {uid} {'can' if readable else 'cannot'} read {name} {path}"


def descriptors(suite):
    """What a captured process would find open: nothing that is another's."""
    m = suite.imap("alice")
    m.select("INBOX")
    p = suite.pop3("bob")
    may = {	# files by kind; sockets and pipes are looked at below
        "proxyd/net": r"^$", "proxyd/auth": r"^$", "proxyd/key": r"^$", "proxyd/login": r"/map/(data|lock)\.mdb$",
        "lmtpd/net": r"/tmp/lmtpd$|/tmp/lmtpd/#\d+ \(deleted\)$", "relayd/net": r"/tmp/relayd$|/tmp/relayd/#\d+ \(deleted\)$",
        "relayd/route": r"/map/(data|lock)\.mdb$", "mupdated/net": r"^$", "mupdated/map": r"/map/(data\.mdb|lock\.mdb|writer\.lock)$",
        "spoold/lot": r"/active/default/lock$|/index/default/[0-9a-f]+/~pop3-[a-z]+$",
        "spoold/worker": r"/(active|index)/default/", "spoold/deliver": r"/(active|index)/default/", "spoold/upkeep": r"/(active|index)/default/",
        "spoold/commit": r"/active/default(/lock)?$|/active/default/[0-9a-f]{2}/[^/]+/log\.\d+$|/redundant/[^/]+/default\.log$", "rotated/days": r"/spool/redundant",
    }
    holders = {}
    for pid, kind in suite.pids().items():
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                what = os.readlink(f"/proc/{pid}/fd/{fd}")
            except FileNotFoundError:
                continue
            if what.startswith("socket:"):
                holders.setdefault(what, {})[pid] = kind
            elif kind not in ROOT_PARENTS and what.startswith("/") and not what.startswith(("/dev/null", "/memfd:")):
                assert re.search(may[kind], what), f"{kind} holds {what}"
        if kind not in ROOT_PARENTS:
            limits = open(f"/proc/{pid}/limits").read()
            assert re.search(r"Max core file size +0 +0 ", limits), kind
            assert status(pid, "CapBnd") == status(pid, "CapPrm") or os.getuid() != 0, kind
    # A socket that children share is a listener, or belongs to one kind on each side; channels are a child's own.
    names = {l.split()[6]: (l.split()[7] if len(l.split()) > 7 else "") for l in open("/proc/net/unix").read().splitlines()[1:]}
    tcp = {l.split()[9] for f in ("tcp", "tcp6") for l in open("/proc/net/" + f).read().splitlines()[1:] if l.split()[3] == "0A"}
    for what, who in holders.items():
        kinds = sorted({k for k in who.values() if k not in ROOT_PARENTS})
        inode = what[8:-1]
        if len([k for k in who.values() if k not in ROOT_PARENTS]) < 2 or inode in tcp or names.get(inode):
            continue
        # The pipe to the lots into which all who change spools write.
        assert set(kinds) <= {"spoold/worker", "spoold/deliver", "spoold/commit", "spoold/lot", "spoold/upkeep"}, (what, kinds)
    m.logout()
    p.quit()


def groups_are_listed(suite):
    if os.getuid() != 0:
        raise Skip("needs root")
    want = {"proxyd/auth": "64802 64860", "proxyd/login": "64802 64860", "relayd/route": "64822 64860", "mupdated/map": "64860 64861"}
    for pid, kind in suite.pids().items():
        if kind not in ROOT_PARENTS:
            assert status(pid, "Groups").strip() == want.get(kind, str(WANT[kind][0])), (kind, status(pid, "Groups"))


def no_parser_has_the_map_open(suite):
    for pid, kind in suite.pids().items():
        if kind in ("proxyd/net", "lmtpd/net", "relayd/net", "mupdated/net"):
            maps = open(f"/proc/{pid}/maps").read()
            assert "data.mdb" not in maps and "lock.mdb" not in maps, kind


def parents_of(suite):
    """{daemon: pid}. The process that checks a configuration before a reload has the daemon's name too; it is listed later."""
    found = {}
    for pid, kind in suite.pids().items():
        if kind in ROOT_PARENTS:
            found.setdefault(kind, pid)
    return found


def reload_keeps_sessions(suite):
    """SIGHUP: same pid, new children; a session that was open goes on."""
    parents = parents_of(suite)
    old = suite.pids()
    for d in ("proxyd", "spoold", "lmtpd", "relayd", "rotated", "mupdated"):
        os.kill(parents[d], 1)
    deadline = time.time() + 20
    while True:
        try:
            m = suite.imap("alice")
            m.logout()
            if suite.deliver(message("reload%d" % int(time.time() * 1000)), ["alice"])[0][0] == 250:
                break
        except (OSError, EOFError, AssertionError):
            pass
        except Exception as e:
            if "UNAVAILABLE" not in str(e):
                raise
        assert time.time() < deadline
        time.sleep(0.2)
    new = parents_of(suite)
    assert new == parents, (parents, new)
    fresh = set(suite.pids()) - set(old)
    assert len(fresh) >= 6, fresh
    assert suite.session.noop()[0] == "OK"
    assert suite.session.fetch("1", "(BODY.PEEK[])")[0] == "OK"


def broken_configuration_is_refused(suite):
    suite.expect(r"warn\.reload\.refused")
    suite.expect(r"fatal\.conf .*key=nonsense")
    path = f"{suite.base}/etc/lmtpd.conf"
    good = open(path).read()
    with open(path, "w") as f:
        f.write(good + "nonsense = 1\n")
    pid = [p for p, k in suite.pids().items() if k == "lmtpd"][0]
    os.kill(pid, 1)
    suite.wait_log("lmtpd", r"warn\.reload\.refused")
    assert suite.deliver(message("refused"), ["bob"])[0][0] == 250
    with open(path, "w") as f:
        f.write(good)


def broken_certificate_is_refused(suite):
    suite.expect(r"fatal\.conf .*key=tls_certificate ")
    path = f"{suite.base}/tls/cert.pem"
    context = suite.tls()
    suite.tls = lambda: context     # made while the file was good
    good = open(path).read()
    parent = parents_of(suite)["proxyd"]
    before = suite.pids("proxyd")
    with open(path, "w") as f:
        f.write("garbage\n")
    try:
        os.kill(parent, 1)
        suite.wait_log("proxyd", r"warn\.reload\.refused")
        now = suite.pids("proxyd")
        assert parent in now and set(now) <= set(before), (before, now)     # who still drained may have ended
        suite.imap("alice").logout()
    finally:
        with open(path, "w") as f:
            f.write(good)


if __name__ == "__main__":
    sys.exit(main(Suite(), [everything_runs, confined, uids, roots, secrets_not_readable, descriptors, groups_are_listed,
                            no_parser_has_the_map_open, reload_keeps_sessions, broken_configuration_is_refused,
                            broken_certificate_is_refused]))
