"""Mail clients that work on the same mailboxes at once, for test_concurrency.py: each does operations at random and
believes only what the server tells it. An Actor is one client and its cache, a World what all of them did together.
A disagreement is an AssertionError, of the strict client (imapcheck.py) or of what is written here.

What holds at any time, also while processes are killed:
- A message of the shared mailboxes is there once, moved as often as it may be, until a client that means to remove or
  replace it has said so (World.doom).
- Pool and Bag of an actor hold a multiple of TEN messages, and so does Own: ten are copied, moved or appended at once.
"""
import collections
import random
import re
import ssl
import threading
import time

from imapcheck import Client, uid_set
from suite import DOMAIN, message

SHARED = ["INBOX", "Work", "Play"]
TEMPORARY = ["T0", "T1", "T2", "T3"]	# created, renamed and deleted by all
TEN = 10
FLAGS = ["\\Seen", "\\Flagged", "\\Answered", "$A", "$B"]
MODES = ["plain", "condstore", "qresync"]
USER = "carol"
ID = re.compile(rb"(?i)message-id: <([^@]+)@")


class World:
    def __init__(self, suite):
        self.suite = suite
        self.lock = threading.Lock()
        self.made = set()	# ids of messages that must be there once
        self.doomed = set()	# ids that a client is about to remove
        self.ids = {}		# (UIDVALIDITY, UID): id
        self.copies = []	# ((UIDVALIDITY, UID), (UIDVALIDITY, UID)): the same message
        self.wrong = []		# disagreements
        self.count = collections.Counter()
        self.is_killing = False
        self.next = 0

    def new_id(self):
        with self.lock:
            self.next += 1
            return f"c{self.next}"

    def doom(self, ids):
        with self.lock:
            self.doomed |= set(ids)
            self.made -= set(ids)

    def keep(self, name, where=None):
        """It is acknowledged; another client may have removed it already."""
        with self.lock:
            if name not in self.doomed:
                self.made.add(name)
            if where:
                self.ids[where] = name

    def learn(self, where, name):
        with self.lock:
            was = self.ids.setdefault(where, name)
        assert was == name, f"{where} was {was}, now {name}"

    def disagree(self, who, error, trace):
        with self.lock:
            self.wrong.append(f"{who}: {error!r}; last commands: {list(trace)}")


class Actor:
    def __init__(self, world, number, seed):
        self.world, self.number = world, number
        self.rnd = random.Random(seed)
        self.mode = MODES[number % len(MODES)]
        self.name = f"client {number} ({self.mode}{', TLS' if number % 2 else ''})"
        self.box = self.target = None	# the mailbox selected; that, or the one that a SELECT is to select
        self.cache = {}		# mailbox: (UIDVALIDITY, modseq, {uid: flags})
        self.trace = collections.deque(maxlen=6)
        self.c = None
        self.own, self.pool, self.bag = f"Own{number}", f"Pool{number}", f"Bag{number}"
        self.connect()

    # --- connections
    def connect(self):
        suite = self.world.suite
        deadline = time.time() + 60
        while True:
            try:
                tls = suite.tls() if self.number % 2 else None
                self.c = Client(suite.port(10993 if tls else 10143), tls, timeout=60)
                self.c.login(USER)
                break
            except (OSError, AssertionError):
                if not self.world.is_killing or time.time() > deadline:
                    raise
                time.sleep(0.05)
        if self.mode != "plain":
            self.c.cmd("ENABLE " + self.mode.upper())
        self.box = None

    def validity(self):
        return int([x for x in self.c.codes if x.startswith(b"UIDVALIDITY")][-1].split()[1])

    def cmd(self, command, want="OK"):
        """want None: NO is an answer, too. While processes are killed it always is."""
        self.trace.append(command[:100])
        self.world.count[command.split()[0 if command[:3] != "UID" else 1]] += 1
        if self.world.is_killing:
            want = None
        return self.c.cmd(command, want)

    def remember(self):
        """The cache of the mailbox that is left: what a QRESYNC client may keep, and no hole in it."""
        c = self.c
        if self.mode == "qresync" and self.box and c.msgs is not None and c.modseq:
            if all(m["uid"] for m in c.msgs):
                self.cache[self.box] = (self.validity(), c.modseq, {m["uid"]: m["flags"] for m in c.msgs})
            else:
                self.cache.pop(self.box, None)

    def may_be_lost(self, e):
        """Who has a mailbox selected, or is about to, that another deletes is told BYE."""
        return self.world.is_killing or (self.target in TEMPORARY and "BYE" in str(e))

    def lost(self):
        if self.c.cached is None:	# else the cache from before is what is known
            self.remember()
        self.c.close()
        self.connect()

    def select(self, box):
        if self.box and self.c.msgs is not None:
            self.learn()
            self.remember()
        self.box, self.target = None, box
        known = self.cache.get(box)
        c = self.c
        self.trace.append(f"SELECT {box} {known and known[:2]}")
        self.world.count["SELECT"] += 1
        before = len(c.codes)
        if known and known[2]:
            self.world.count["SELECT (QRESYNC)"] += 1
            c.select_again(box, known[0], known[1], known[2], self.rnd.random() < 0.5, want=None)
        else:
            c.cmd(f"SELECT {box}", None)
        if c.msgs is None:	# NO
            assert box in TEMPORARY or self.world.is_killing, f"{box} is not there"
            return False
        c.codes = c.codes[before:]
        self.box = box
        self.learn()
        return True

    def learn(self):
        """Asks for what was not told yet."""
        c = self.c
        unknown = [i for i, m in enumerate(c.msgs) if m["uid"] is None or m["flags"] is None]
        if unknown:
            self.cmd(f"FETCH {unknown[0] + 1}:{unknown[-1] + 1} (UID FLAGS)")

    # --- rounds
    def run(self, until):
        while time.time() < until:
            try:
                if not self.box and not self.select(self.rnd.choice(SHARED)):
                    time.sleep(0.02)	# somebody was killed
                    continue
                self.step()
                if self.rnd.random() < 0.7 and self.c.msgs is not None:
                    self.learn()
                if self.c.msgs is None:
                    self.box = None
            except (OSError, ConnectionError, ssl.SSLError) as e:
                if not self.may_be_lost(e):
                    self.world.disagree(self.name, e, self.trace)
                self.world.count["connections lost"] += 1
                self.lost()
            except AssertionError as e:
                self.world.disagree(self.name, e, self.trace)
                self.cache.clear()
                self.c.close()
                self.connect()
            # about as long as a worker lingers before it parks a session
            time.sleep(self.rnd.choice([0, 0, 0, 0.001, 0.005, 0.018, 0.0195, 0.02, 0.0205, 0.021]))

    def quiet(self):
        """Everybody has stopped: after one NOOP the client must know all. (UIDVALIDITY, [(uid, flags)])."""
        for _ in range(20):
            try:
                if not self.box and not self.select(self.rnd.choice(SHARED)):
                    continue
                self.c.cmd("NOOP")
                mine = [(m["uid"], m["flags"]) for m in self.c.msgs]
                where = self.validity()
                if mine:
                    self.c.cmd("FETCH 1:* (UID FLAGS)")	# numbers as they are in the session
                now = [(m["uid"], m["flags"]) for m in self.c.msgs]
                return where, mine, now
            except (OSError, ConnectionError) as e:
                if not self.may_be_lost(e):
                    raise
                self.lost()
        raise AssertionError(f"{self.name} cannot select anything")

    # --- operations
    def step(self):
        ops = [(8, self.append), (6, self.deliver), (7, self.noop), (6, self.idle), (8, self.switch), (4, self.look),
               (5, self.temporary), (5, self.ten)]
        if self.c.msgs:
            ops += [(14, self.fetch), (22, self.store), (9, self.move), (5, self.copy), (7, self.remove), (2, self.replace)]
        self.rnd.choices([op for _, op in ops], [w for w, _ in ops])[0]()

    def pick(self, most=4):
        """Some neighbours: (sequence set, messages)."""
        n = len(self.c.msgs)
        a = self.rnd.randint(1, n)
        b = min(n, a + self.rnd.randint(0, most - 1))
        return f"{a}:{b}" if b > a or self.rnd.random() < 0.5 else f"{a}", self.c.msgs[a - 1:b]

    def pick_uids(self):
        """A UID set of the same kind, or None where they are not known."""
        _, msgs = self.pick()
        if not all(m["uid"] for m in msgs):
            return None, msgs
        return ",".join(str(m["uid"]) for m in msgs), msgs

    def append(self):
        name = self.world.new_id()
        box = self.rnd.choice(SHARED * 2 + TEMPORARY)
        raw = message(name, self.rnd.choice([0, 0, 300, 9000]))
        flags = self.rnd.choice(["", "(\\Seen) ", "($A \\Flagged) "])
        code, _ = self.cmd(f"APPEND {box} {flags}{{{len(raw)}+}}\r\n{raw.decode()}", None)
        if code and code.startswith(b"APPENDUID"):
            where = (int(code.split()[1]), int(code.split()[2]))
            if box in SHARED:
                self.world.keep(name, where)
            else:
                self.world.learn(where, name)
        else:
            assert box in TEMPORARY or self.world.is_killing, f"APPEND {box} failed: {code}"

    def deliver(self):
        name = self.world.new_id()
        self.world.count["LMTP"] += 1
        deadline = time.time() + 60
        while True:
            try:
                code, text = self.world.suite.deliver(message(name), [USER])[0]
            except (OSError, ConnectionError) as e:
                code, text = 451, repr(e)
            if code == 250:
                return self.world.keep(name)
            assert self.world.is_killing and code // 100 == 4 and time.time() < deadline, (code, text)
            time.sleep(0.05)

    def noop(self):
        self.cmd(self.rnd.choice(["NOOP", "NOOP", "CHECK"]) if self.c.msgs is not None else "NOOP")

    def idle(self):
        self.trace.append("IDLE")
        self.world.count["IDLE"] += 1
        try:
            self.c.idle(self.rnd.choice([0.001, 0.02, 0.03, 0.1]))
        except AssertionError as e:
            if "BYE" in str(e):
                raise ConnectionError(str(e)) from e
            raise

    def switch(self):
        box = self.rnd.choice(SHARED * 3 + TEMPORARY)
        if self.rnd.random() < 0.15 and self.c.msgs is not None:
            self.learn()
            self.remember()
            self.box = None
            self.cmd("UNSELECT")
        self.select(box)

    def look(self):
        c = self.c
        r = self.rnd.random()
        if r < 0.4 or not c.msgs:
            self.cmd(self.rnd.choice(["STATUS INBOX (MESSAGES UIDNEXT UNSEEN HIGHESTMODSEQ)", 'LIST "" * RETURN (STATUS (MESSAGES))']))
            return
        command = self.rnd.choice(["SEARCH UNSEEN", "UID SEARCH RETURN (ALL COUNT) KEYWORD $A", "SORT (ARRIVAL) UTF-8 ALL", "UID SORT (SUBJECT) UTF-8 SEEN",
                                   "THREAD REFERENCES UTF-8 ALL", "SEARCH RETURN (MIN MAX COUNT) ALL", "UID SEARCH ALL"])
        _, out = self.cmd(command)
        if command.startswith("UID"):
            return
        # sequence numbers of the answer are of the client's view
        for r in out:
            numbers = r[1].get(b"ALL", []) + [r[1][x] for x in (b"MIN", b"MAX") if x in r[1]] if r[0] == b"ESEARCH" else \
                [n for _, n in r[1]] if r[0] == b"THREAD" else r[1] if r[0] in (b"SEARCH", b"SORT") else []
            assert all(1 <= n <= len(c.msgs) for n in numbers), (command, numbers, len(c.msgs))

    def fetch(self):
        where, _ = self.pick(9)
        r = self.rnd.random()
        if r < 0.25 and self.c.modseq:
            since = max(1, self.c.modseq - self.rnd.choice([0, 1, 5, 30]))
            vanished = " VANISHED" if self.mode == "qresync" else ""
            self.cmd(f"UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE {since}{vanished})")
        elif r < 0.5:
            self.cmd(f"UID FETCH {self.rnd.randint(1, 400)}:* (FLAGS)")
        else:
            self.cmd(f"FETCH {where} (UID FLAGS{self.rnd.choice(['', ' BODY[]', ' BODY.PEEK[HEADER]', ' ENVELOPE'])})")

    def store(self):
        uids, msgs = self.pick_uids()
        if uids is None or self.rnd.random() < 0.5:
            where, msgs = self.pick()
            command = f"STORE {where}"
        else:
            command = f"UID STORE {uids}"
        op, flags = self.rnd.choice(["+", "+", "-", ""]), self.rnd.sample(FLAGS, self.rnd.randint(1, 2))
        if self.mode != "plain" and self.c.modseq and self.rnd.random() < 0.3:
            command += f" (UNCHANGEDSINCE {max(1, self.c.modseq - self.rnd.choice([0, 0, 20]))})"
            self.cmd(f"{command} {op}FLAGS ({' '.join(flags)})")
            return
        silent = self.rnd.random() < 0.5
        changed = []
        if silent:	# taken as done until told otherwise (RFC 3501 6.4.6)
            new = {f.encode() for f in flags}
            for m in msgs:
                if m["flags"] is not None:
                    m["flags"] = m["flags"] | new if op == "+" else m["flags"] - new if op == "-" else set(new)
                    changed.append((m, m["flags"]))
        is_done = False
        try:
            before = len(self.c.answers)
            self.cmd(f"{command} {op}FLAGS{'.SILENT' * silent} ({' '.join(flags)})", None)
            is_done = self.c.answers[before:] == ["OK"]
            assert is_done or self.world.is_killing, "STORE failed"
        finally:
            for m, guess in changed if not is_done else []:
                if m["flags"] is guess:
                    m["flags"] = None
        if self.rnd.random() < 0.1:	# it knows of changes that are newer than expunges which it could not be told yet
            self.switch()

    def copyuid(self, code, asked, to):
        """COPYUID is of messages that were asked for, and of each that this client still counts."""
        if code is None or not code.startswith(b"COPYUID"):
            return None
        _, validity, source, new = code.split()
        source, new = uid_set(source), uid_set(new)
        assert len(source) == len(new) and new == sorted(new), code
        assert to in TEMPORARY or new == list(range(new[0], new[0] + len(new))), code	# one record; of all mailboxes one counter
        known = [m["uid"] for m in asked]
        if None not in known:
            assert set(source) <= set(known), (code, known)
        return int(validity), source, new

    def transfer(self, verb, to):
        """MOVE or COPY of a few: {source uid: new uid}."""
        uids, msgs = self.pick_uids()
        is_uid = uids is not None and self.rnd.random() < 0.5
        if not is_uid:
            where, msgs = self.pick()
        mine = self.validity()
        before = len(self.c.answers)
        code, out = self.cmd(f"{'UID ' * is_uid}{verb} {uids if is_uid else where} {to}", None)
        status = self.c.answers[before:][-1]
        if verb == "MOVE":
            codes = [r[1] for r in out if r[0] == b"OK" and r[1] and r[1].startswith(b"COPYUID")]
            code = codes[0] if codes else None
        if status != "OK":
            assert self.world.is_killing or to in TEMPORARY, (verb, to, status, code)
            return
        got = self.copyuid(code, msgs, to)
        if got is None:
            return
        validity, source, new = got
        with self.world.lock:
            self.world.copies += [((mine, a), (validity, b)) for a, b in zip(source, new)]
        counted = {m["uid"] for m in self.c.msgs}
        if verb == "MOVE":
            assert not counted & set(source), f"moved, and still counted: {counted & set(source)}"
        else:
            missing = {m["uid"] for m in msgs} - {None} - set(source)
            assert not missing & counted, f"not copied, and still counted: {missing & counted}"

    def move(self):
        if self.box in SHARED:
            self.transfer("MOVE", self.rnd.choice(SHARED))

    def copy(self):
        self.transfer("COPY", self.rnd.choice(TEMPORARY))

    def known_ids(self):
        """Some messages of a shared mailbox with their ids: ("uid,uid", ids), or None."""
        uids, _ = self.pick_uids()
        if uids is None or self.box not in SHARED:
            return None
        _, out = self.cmd(f"UID FETCH {uids} (UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        found = {r[2][b"UID"]: ID.search(r[2][b"BODY[HEADER.FIELDS (MESSAGE-ID)]"]).group(1).decode()
                 for r in out if r[0] == b"FETCH" and b"BODY[HEADER.FIELDS (MESSAGE-ID)]" in r[2]}
        for u, name in found.items():
            self.world.learn((self.validity(), u), name)
        return (",".join(map(str, found)), list(found.values())) if found else None

    def remove(self):
        known = self.known_ids()
        if not known:
            return
        uids, ids = known
        self.world.doom(ids)
        self.cmd(f"UID STORE {uids} +FLAGS{self.rnd.choice(['', '.SILENT'])} (\\Deleted)", None)
        for m in self.c.msgs:	# of .SILENT it takes nothing for granted here
            if str(m["uid"]) in uids.split(",") and m["flags"] is not None and b"\\Deleted" not in m["flags"]:
                m["flags"] = None
        r = self.rnd.random()
        if r < 0.4:
            self.cmd(f"UID EXPUNGE {uids}")
        elif r < 0.8:
            self.cmd("EXPUNGE")

    def replace(self):
        known = self.known_ids()
        if not known:
            return
        uids, ids = known
        self.world.doom(ids[:1])
        name = self.world.new_id()
        raw = message(name)
        self.cmd(f"UID REPLACE {uids.split(',')[0]} {self.rnd.choice(SHARED)} {{{len(raw)}+}}\r\n{raw.decode()}", None)

    def temporary(self):
        a, b = self.rnd.sample(TEMPORARY, 2)
        command = self.rnd.choice([f"CREATE {a}", f"CREATE {b}", f"RENAME {a} {b}", f"DELETE {a}"])
        before = len(self.c.answers)
        self.cmd(command, None)
        # Who deletes what it has selected has nothing selected; only others are told BYE. It may have another name by now.
        if command.startswith("DELETE") and self.box in TEMPORARY and self.c.answers[before:] == ["OK"]:
            self.box = self.c.msgs = None

    def count_of(self, box):
        """MESSAGES of one of this actor's own mailboxes, or None."""
        _, out = self.cmd(f"STATUS {box} (MESSAGES)", None)
        n = [r[1][1][b"MESSAGES"] for r in out if r[0] == b"STATUS"]
        assert n or self.world.is_killing, f"{box} is not there"
        assert not n or n[0] % TEN == 0, f"{box} holds {n[0]}: a command of {TEN} was done in part"
        return n[0] if n else None

    def ten(self):
        """All or nothing: ten appended, copied or moved between mailboxes that nobody else writes."""
        r = self.rnd.random()
        if r < 0.2:
            pieces = "".join(f" {{{len(raw)}+}}\r\n{raw.decode()}" for raw in [message(f"o{i}") for i in range(TEN)])
            self.cmd(f"APPEND {self.own}{pieces}", None)
            self.count_of(self.own)
            return
        pool, bag = self.count_of(self.pool), self.count_of(self.bag)
        if pool is None or bag is None:
            return
        assert sorted((pool, bag)) == [0, TEN], f"{pool} in {self.pool}, {bag} in {self.bag}"
        here, there = (self.pool, self.bag) if pool else (self.bag, self.pool)
        if not self.select(here):
            return
        if r < 0.6:
            if (self.count_of(self.own) or 0) >= 30 * TEN:
                self.cmd(f"DELETE {self.own}", None)
                self.cmd(f"CREATE {self.own}", None)
            self.cmd(f"COPY 1:* {self.own}")
            self.count_of(self.own)
        else:
            self.cmd(f"MOVE 1:* {there}")
            if self.count_of(there) == TEN:
                assert self.c.msgs == [], "moved, and still counted"
        self.select(self.rnd.choice(SHARED))
