"""20 sessions of a user, idling or with NOTIFY, under 1,000 deliveries: each is told of all of them, none of what is not there,
and how soon is printed. And NOTIFY over the real road: names, other mailboxes, a session that never idles."""
import re
import selectors
import socket
import sys
import threading
import time

from suite import DOMAIN, PASSWORD, Suite, main, message, note

N = 1000
SESSIONS = 20
NOTIFY = b"NOTIFY SET (personal (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))\r\n"


class Client:
    """Raw, because imaplib takes no line that it did not ask for."""

    def __init__(self, suite, user):
        self.s = socket.create_connection(("127.0.0.1", suite.port(10143)), 60)
        self.f = self.s.makefile("rb")
        assert self.f.readline().startswith(b"* OK")
        self.do(f"LOGIN {user} {PASSWORD}\r\n".encode())

    def do(self, command):
        self.s.sendall(b"t " + command)
        return self.until(b"t OK")

    def until(self, start):
        out = []
        while True:
            line = self.f.readline()
            assert line, out
            out.append(line)
            if line.startswith(start):
                return out

    def silent(self, seconds):
        self.s.settimeout(seconds)
        try:
            line = self.f.readline()
        except TimeoutError:
            line = b""
        # a file that timed out reads no more
        self.f = self.s.makefile("rb")
        self.s.settimeout(60)
        return line == b""

    def close(self):
        self.f.close()
        self.s.close()


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))]


def listen(clients, pattern, told, seconds):
    """For each session the times at which it was told that there are n messages, until all were told of N."""
    sel = selectors.DefaultSelector()
    rest = {}
    for c in clients:
        c.s.setblocking(False)
        rest[c] = b""
        told[c] = []
        sel.register(c.s, selectors.EVENT_READ, c)
    deadline = time.time() + seconds
    while time.time() < deadline and any(not told[c] or told[c][-1][1] < N for c in clients):
        for key, _ in sel.select(1):
            c = key.data
            data = c.s.recv(65536)
            now = time.monotonic()
            assert data, "closed"
            *lines, rest[c] = (rest[c] + data).split(b"\n")
            for m in (pattern.search(l) for l in lines):
                if m:
                    told[c].append((now, int(m.group(1))))
    for c in clients:
        c.s.setblocking(True)
        c.s.settimeout(60)


def load(suite):
    clients = []
    # the lowest number names both groups
    pattern = re.compile(rb"^\* (?:STATUS \"INBOX\" \(MESSAGES )?(\d+)(?= EXISTS| UIDNEXT)")
    for i in range(SESSIONS):
        c = Client(suite, "alice")
        if i % 2 == 0:
            c.do(b"SELECT INBOX\r\n")
            c.s.sendall(b"i IDLE\r\n")
            c.until(b"+")
        else:
            c.do(b"SELECT Sent\r\n")
            c.do(NOTIFY)
        clients.append(c)
    told, acknowledged = {}, []
    t = threading.Thread(target=listen, args=(clients, pattern, told, 120))
    t.start()
    begin = time.monotonic()
    with suite.lmtp(10025) as l:
        for i in range(N):
            assert l.send("s@elsewhere.example", [f"alice@{DOMAIN}"], message(f"load{i}"))[0][0] == 250
            acknowledged.append(time.monotonic())
    took = acknowledged[-1] - begin
    t.join()
    for name, group in (("EXISTS in IDLE", clients[0::2]), ("STATUS by NOTIFY", clients[1::2])):
        waits = []
        for c in group:
            numbers = [n for _, n in told[c]]
            assert numbers == sorted(set(numbers)), "told twice, or backwards"
            assert numbers and numbers[-1] == N, numbers[-1:]
            at = 0
            for when, n in told[c]:
                waits += [max(0, when - acknowledged[k]) for k in range(at, n)]
                at = n
        assert len(waits) == N * len(group)
        note(f"{N} deliveries in {took:.1f} s to {SESSIONS} sessions: from acknowledged to {name}: median "
             f"{percentile(waits, 50) * 1000:.1f} ms, p99 {percentile(waits, 99) * 1000:.1f} ms")
    suite.clients = clients


def single(suite):
    """One at a time, with nothing else to do: what a user waits for."""
    idle, notify = suite.clients[:2]
    for name, c, want in (("IDLE", idle, b"* "), ("NOTIFY", notify, b"* STATUS ")):
        waits = []
        for other in suite.clients:
            if other not in (idle, notify):
                other.close()
        suite.clients = [idle, notify]
        with suite.lmtp(10025) as l:
            for i in range(50):
                assert l.send("s@elsewhere.example", [f"alice@{DOMAIN}"], message(f"{name}{i}"))[0][0] == 250
                t = time.monotonic()
                c.until(want)
                waits.append(time.monotonic() - t)
                time.sleep(0.05)
        note(f"one delivery at a time, {name}: median {percentile(waits, 50) * 1000:.1f} ms, p99 {percentile(waits, 99) * 1000:.1f} ms")
    for c in suite.clients:
        c.close()


def names(suite):
    """Between two sessions that never idle; what a session does itself is not told to it."""
    a, b = Client(suite, "bob"), Client(suite, "bob")
    a.do(NOTIFY)
    b.do(b"CREATE Lists/one\r\n")
    assert b'"Lists/one"' in a.until(b'* LIST (\\HasNoChildren) "/" "Lists/one"')[-1]
    a.until(b'* LIST (\\NonExistent \\HasChildren) "/" "Lists"')
    a.until(b'* STATUS "Lists/one"')
    b.do(b"RENAME Lists/one Lists/two\r\n")
    a.until(b'* LIST (\\HasNoChildren) "/" "Lists/two" ("OLDNAME" ("Lists/one"))')
    a.until(b'* STATUS "Lists/two"')
    assert b.silent(0.3)
    a.do(b"CREATE mine\r\n")
    assert a.silent(0.3)
    suite.deliver(message("other"), ["bob"])
    a.until(b'* STATUS "INBOX" (MESSAGES 1 ')
    a.do(b"NOTIFY NONE\r\n")
    suite.deliver(message("more"), ["bob"])
    assert a.silent(0.3)
    a.close()
    b.close()


def selected(suite):
    """Mail comes as FETCH responses to a session that asked for them, with nothing asked in between."""
    c = Client(suite, "carol")
    c.do(b"SELECT INBOX\r\n")
    c.do(b"NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (Subject)]) MessageExpunge))\r\n")
    for i in range(3):
        suite.deliver(message(i, subject=f"pushed {i}"), ["carol"])
        out = b"".join(c.until(b")\r\n"))
        assert b"* %d EXISTS" % (i + 1) in out and b"* %d FETCH (UID " % (i + 1) in out and b"Subject: pushed %d" % i in out, out
    c.close()


if __name__ == "__main__":
    sys.exit(main(Suite(), [load, single, names, selected]))
