"""Peers that are dead, hung or rude: each caller answers within its own time, with a temporary code for exactly the
recipients concerned, and nobody else waits. Times are made short by configuration; those without a key are 10 s."""
import os
import signal
import socket
import sys
import threading
import time

from suite import DOMAIN, NextHop, Suite, main, message, note

HOP_S = 3
CONF = {"relayd": f"hop_timeout_s = {HOP_S}\ntransaction_timeout_s = 5\nconnect_timeout_s = 1\n", "lmtpd": "hop_timeout_s = 2\n"}
AWAY = f"away@{DOMAIN}"
STEP_S = 10	# of a talk with mupdated, and of a look-up


class Rude(NextHop):
    """A next hop that goes wrong at one place."""

    def __init__(self, port, how):
        self.how = how
        super().__init__(port)

    def serve(self, c):
        how = self.how
        f = c.makefile("rb")

        def silent():
            while f.readline():
                pass
        try:
            if how == "silent":
                return silent()
            if how == "refuse":
                c.sendall(b"554 go away\r\n")
                return silent()
            if how == "endless":
                while True:
                    c.sendall(b"220-" + b"x" * 100 + b"\r\n")
            if how == "noline":
                while True:
                    c.sendall(b"2" * 1000)
            c.sendall(b"220 hop ESMTP\r\n")
            verbs = {b"EHLO": b"250-hop\r\n250 PIPELINING\r\n", b"MAIL": b"250 ok\r\n", b"RCPT": b"250 ok\r\n", b"DATA": b"354 go\r\n"}
            if how == "inject":		# bytes nobody asked for
                verbs[b"EHLO"] = b"250 hop\r\n250 ok\r\n250 ok\r\n354 go\r\n250 all yours\r\n"
            if how == "rcpt421":
                verbs[b"RCPT"] = b"421 4.3.2 closing\r\n"
            if how == "forge":
                verbs[b"RCPT"] = b"550 5.1.1 no \x1b[31m%n%s\tuser=root\x7f\xff\r\n"
            while True:
                line = f.readline()
                if not line:
                    return
                verb = line[:4].upper()
                if how == "close" + verb.decode():
                    c.shutdown(socket.SHUT_RDWR)
                    return
                if how == "hang" + verb.decode():
                    return silent()
                c.sendall(verbs.get(verb, b"250 ok\r\n"))
                if verb == b"DATA":
                    if how == "closedata":
                        c.shutdown(socket.SHUT_RDWR)
                        return
                    while f.readline() not in (b".\r\n", b""):
                        pass
                    if how == "closedot":
                        c.shutdown(socket.SHUT_RDWR)
                        return
                    if how == "hangdot":
                        return silent()
                    c.sendall(b"250 kept\r\n")
        except OSError:
            pass


def timed(fn):
    at = time.time()
    got = fn()
    return got, time.time() - at


class stopped:
    """SIGSTOP to every process of that name inside a with."""

    def __init__(self, suite, name):
        self.pids = [p for p, k in suite.pids().items() if k == name]
        assert self.pids, name

    def __enter__(self):
        for p in self.pids:
            os.kill(p, signal.SIGSTOP)

    def __exit__(self, *a):
        for p in self.pids:
            os.kill(p, signal.SIGCONT)


class Beside(threading.Thread):
    """Something slow beside the test; its result and time at join()."""

    def __init__(self, fn):
        super().__init__(daemon=True)
        self.fn = fn
        self.start()

    def run(self):
        try:
            self.got, self.seconds = timed(self.fn)
        except Exception as e:
            self.got, self.seconds = e, -1

    def end(self):
        self.join(60)
        if isinstance(self.got, Exception):
            raise self.got
        return self.got, self.seconds


def warm(suite):
    for u in ("alice", "bob", "carol"):
        assert suite.deliver(message(f"warm {u}"), [u])[0][0] == 250


def rude_next_hops(suite):
    """Local recipients of the same message get theirs; the forward is deferred, or refused where the hop said so."""
    rows = [("refuse", 451), ("silent", 451), ("endless", 451), ("noline", 451), ("closeEHLO", 451), ("closeMAIL", 451), ("closeRCPT", 451),
            ("closeDATA", 451), ("hangMAIL", 451), ("hangRCPT", 451), ("hangDATA", 451), ("closedata", 451), ("closedot", 451), ("hangdot", 451),
            ("inject", 451), ("rcpt421", 421), ("forge", 550)]
    for how, want in rows:
        hop = Rude(suite.port(10587), how)
        got, seconds = timed(lambda: suite.deliver(message(f"rude {how}"), ["alice", AWAY, "bob"]))
        codes = [g[0] for g in got]
        assert codes[0] == codes[2] == 250, (how, got)
        assert codes[1] in (want, 451 if want == 421 else want), (how, got)
        assert seconds < HOP_S + 1.5, (how, seconds)
        assert not any(ord(ch) < 32 or ord(ch) == 127 for ch in got[1][1]), (how, got)
        hop.close()
    # none at all, and one that is well again
    got, seconds = timed(lambda: suite.deliver(message("no hop"), [AWAY, "alice"]))
    assert [g[0] for g in got] == [451, 250] and seconds < 2, (got, seconds)
    hop = NextHop(suite.port(10587))
    assert suite.deliver(message("well"), [AWAY])[0][0] == 250
    assert len(hop.got) == 1
    hop.close()


def a_hung_hop_delays_nobody(suite):
    hop = Rude(suite.port(10587), "silent")
    slow = [Beside(lambda: suite.deliver(message("hung"), [AWAY])) for _ in range(12)]
    time.sleep(0.2)
    got, seconds = timed(lambda: suite.deliver(message("beside"), ["alice"]))
    assert got[0][0] == 250 and seconds < 1, (got, seconds)
    for s in slow:
        got, seconds = s.end()
        assert got[0][0] == 451 and HOP_S - 1 < seconds < HOP_S + 2, (got, seconds)
    hop.close()


def lmtpd_down_and_hung(suite):
    hop = NextHop(suite.port(10587))
    suite.sv("down", "lmtpd")
    got, seconds = timed(lambda: suite.deliver(message("down"), ["alice", AWAY]))
    assert [g[0] for g in got] == [451, 250] and seconds < 3, (got, seconds)
    suite.sv("up", "lmtpd")
    suite.wait_port(10025)
    assert suite.deliver(message("up"), ["alice"])[0][0] == 250
    with stopped(suite, "lmtpd/net"):
        slow = Beside(lambda: suite.deliver(message("hung lmtpd"), ["alice", AWAY]))
        got, seconds = timed(lambda: suite.deliver(message("away beside"), [AWAY]))
        assert got[0][0] == 250 and seconds < 1, (got, seconds)
        got, seconds = slow.end()
        assert [g[0] for g in got] == [451, 250] and seconds < HOP_S + 2, (got, seconds)
    assert suite.deliver(message("lmtpd goes on"), ["alice"])[0][0] == 250
    hop.close()


def spoold_down(suite):
    suite.expect(r"warn\.session\.unreachable")
    suite.sv("down", "spoold")
    got, seconds = timed(lambda: suite.deliver(message("no spoold"), ["alice"], port=10025))
    assert got[0][0] == 451 and seconds < 12, (got, seconds)
    c = suite.imap(None)
    typ, seconds = timed(lambda: try_login(c))
    assert typ == "NO [UNAVAILABLE]" and seconds < 12, (typ, seconds)
    suite.sv("up", "spoold")
    deadline = time.time() + 15
    while suite.deliver(message("spoold again"), ["alice"])[0][0] != 250:
        assert time.time() < deadline
        time.sleep(0.2)


def try_login(c):
    try:
        c.login("alice", "twinspool")
        return "OK"
    except c.error as e:
        text = str(e)
        return "NO [UNAVAILABLE]" if "[UNAVAILABLE]" in text else "NO " + text


def one_hung_deliverer(suite):
    """One of two delivering processes hangs: what it holds is deferred in time, the rest goes on through the other."""
    for pid in [p for p, k in suite.pids().items() if k == "spoold/deliver"]:
        os.kill(pid, signal.SIGSTOP)
        try:
            many = [Beside(lambda i=i: suite.deliver(message(f"one hung {pid} {i}"), ["bob"])) for i in range(12)]
            got = [m.end() for m in many]
            good = [g for g in got if g[0][0][0] == 250]
            assert all(g[0][0][0] in (250, 451) and g[1] < HOP_S + 2 for g in got), got
            note(f"{len(good)} of {len(got)} delivered beside a hung process; the slowest answer took {max(g[1] for g in got):.1f} s")
            # Connections that stayed silent were given up: sooner or later all are with the process that works.
            deadline = time.time() + 30
            row = 0
            while row < 4:
                row = row + 1 if suite.deliver(message("through the other"), ["bob"])[0][0] == 250 else 0
                assert time.time() < deadline, "nobody delivers though a process could"
        finally:
            os.kill(pid, signal.SIGCONT)
    assert suite.deliver(message("all deliver again"), ["bob"])[0][0] == 250


def map_and_route_hang(suite):
    """mupdated stands still during first deliveries and CREATE; after that route does. Sessions do not notice."""
    suite.expect(r"warn\.mupdate\.(unreachable|temp)")
    m, other = suite.imap("alice"), suite.imap("bob")
    for name in ("mupdated/net",):
        with stopped(suite, name):
            user = "user0000%d" % (0 if name == "mupdated/net" else 1)
            first = Beside(lambda: suite.deliver(message("first"), [user]))
            create = Beside(lambda: m.create("during-" + name.replace("/", "-")))
            time.sleep(0.3)
            longest = 0
            for i in range(4):
                got, seconds = timed(lambda: suite.deliver(message(f"{name} {i}"), ["bob"], port=10025))
                # The process that makes the new user's spool waits for mupdated, and whom it serves next with it.
                assert got[0][0] == 250 and seconds < 5, (name, i, got, seconds)
                longest = max(longest, seconds)
            note(f"{name} stopped: a known user's delivery waited {longest:.1f} s at most")
            got, seconds = timed(lambda: other.select("INBOX"))
            assert got[0] == "OK" and seconds < 1, (name, got, seconds)
            third, seconds = timed(lambda: suite.imap("carol"))
            assert seconds < 2, (name, seconds)
            third.logout()
            got, seconds = create.end()
            assert got[0] == "NO" and b"UNAVAILABLE" in got[1][0] and seconds < 2 * STEP_S + 2, (name, got, seconds)
            got, seconds = first.end()
            assert got[0][0] == 451 and seconds < 2 * STEP_S + 2, (name, got, seconds)
        assert m.create("after-" + name.replace("/", "-"))[0] == "OK", name
        # what hung is not asked for five seconds
        deadline = time.time() + 8
        while suite.deliver(message("first again"), [user])[0][0] != 250:
            assert time.time() < deadline, name
            time.sleep(0.5)
    with stopped(suite, "relayd/route"):
        got, seconds = timed(lambda: suite.deliver(message("no route"), ["alice", "bob", AWAY]))
        assert [g[0] for g in got] == [451] * 3 and seconds < STEP_S + 2, (got, seconds)
    assert suite.deliver(message("route again"), ["alice"])[0][0] == 250
    m.logout()
    other.logout()


def all_still_well(suite):
    assert [g[0] for g in suite.deliver(message("well after all"), ["alice", "bob", "carol"])] == [250] * 3
    # a deferred message that was given again is there once
    m = suite.imap("alice")
    m.select("INBOX")
    for subject in ("rude hangdot", "rude closedot", "beside", "up"):
        assert len(m.search(None, "SUBJECT", f'"message {subject}"')[1][0].split()) == 1, subject
    m.logout()


if __name__ == "__main__":
    sys.exit(main(Suite(users=4, conf=CONF), [warm, rude_next_hops, a_hung_hop_delays_nobody, lmtpd_down_and_hung, spoold_down, one_hung_deliverer,
                                              map_and_route_hang, all_still_well]))
