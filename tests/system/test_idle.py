"""1,000 parked IDLE sessions: what they cost in spoold, and that a change reaches all of them."""
import re
import select
import socket
import sys
import time

from suite import PASSWORD, Suite, main, message, note

N = 1000


def line_client(suite, user):
    s = socket.create_connection(("127.0.0.1", suite.port(10143)), 60)
    f = s.makefile("rb")
    assert f.readline().startswith(b"* OK")
    s.sendall(f"a LOGIN {user} {PASSWORD}\r\n".encode())
    r = f.readline()
    while r.startswith(b"*"):
        r = f.readline()
    assert r.startswith(b"a OK"), r
    return s, f


def until(f, tag):
    out = []
    while True:
        l = f.readline()
        if not l:
            raise ConnectionError(out)
        out.append(l)
        if l.startswith(tag):
            return out


def pss_kib(pids):
    total = 0
    for p in pids:
        try:
            total += int(re.search(r"^Pss:\s+(\d+)", open(f"/proc/{p}/smaps_rollup").read(), re.M).group(1))
        except FileNotFoundError:
            pass
    return total


def parked(suite):
    suite.deliver(message("first"), ["alice"])
    s, f = line_client(suite, "alice")
    s.sendall(b"b SELECT INBOX\r\nc LOGOUT\r\n")
    until(f, b"c OK")
    time.sleep(1)
    before = pss_kib(suite.pids("spoold"))
    clients = []
    users = [f"user{i:05d}" for i in range(suite.users)] + ["alice"]
    for i in range(N):
        s, f = line_client(suite, users[i % len(users)])
        s.sendall(b"b SELECT INBOX\r\nc IDLE\r\n")
        until(f, b"+")
        clients.append((s, f))
    time.sleep(2)
    after = pss_kib(suite.pids("spoold"))
    each = (after - before) / N
    note(f"{N} parked IDLE sessions: spoold {before} -> {after} KiB PSS, {each:.2f} KiB each")
    suite.clients = clients
    suite.user_of = [users[i % len(users)] for i in range(N)]
    assert each < 20, each


def change_reaches_all(suite):
    want = [i for i, u in enumerate(suite.user_of) if u == "alice"]
    t = time.time()
    assert suite.deliver(message("second"), ["alice"])[0][0] == 250
    worst = 0
    for i in want:
        s, f = suite.clients[i]
        s.settimeout(10)
        l = f.readline()
        while not re.match(rb"\* \d+ EXISTS", l):
            assert l, "closed"
            l = f.readline()
        worst = max(worst, time.time() - t)
    note(f"{len(want)} idling sessions of one user told of a delivery, the last after {worst * 1000:.0f} ms")
    others = [suite.clients[i][0] for i, u in enumerate(suite.user_of) if u != "alice"]
    assert not select.select(others[:500], [], [], 0.2)[0], "a session was told of somebody else's mail"


def done_ends(suite):
    for i in (0, N // 2, N - 1):
        s, f = suite.clients[i]
        # pipelined behind DONE, in one packet
        s.sendall(b"DONE\r\nd NOOP\r\ne FETCH 1:* (UID)\r\nf LOGOUT\r\n")
        out = until(f, b"f OK")
        assert any(l.startswith(b"c OK") for l in out) and any(l.startswith(b"e OK") for l in out), out
    for s, _ in suite.clients:
        s.close()


if __name__ == "__main__":
    sys.exit(main(Suite(users=100), [parked, change_reaches_all, done_ends]))
