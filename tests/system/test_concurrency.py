"""Many clients on the same mailboxes at once (imapactor.py): at each moment of quiet what every client believes is what
the server says, and so what the others believe; first in peace, then while workers of spoold are killed at random.
Part of `make check` for a few seconds; `make concurrency` runs it for CONCURRENCY_SECONDS.

  TS_SECONDS  in all, half of it with kills       TS_CLIENTS  how many       TS_SEED  what a run printed, to do it again
"""
import os
import random
import signal
import sys
import threading
import time

from imapactor import ID, SHARED, TEN, USER, Actor, World
from imapcheck import Client
from suite import Suite, main, message, note

SECONDS = float(os.environ.get("TS_SECONDS", "12"))
CLIENTS = int(os.environ.get("TS_CLIENTS", "6"))
ROUND_S = 2.0	# between two moments of quiet
REST_S = 0.3	# who found the index busy may be told of a moment ago for so long (store/change.c)
SHOWN = 5	# disagreements in full


class Watcher(threading.Thread):
    """Asks how many are in the mailboxes that change by ten: never another number."""

    def __init__(self, world, actors, until):
        super().__init__(daemon=True)
        self.world, self.until = world, until
        self.boxes = [b for a in actors for b in (a.own, a.pool, a.bag)]

    def run(self):
        c = None
        while time.time() < self.until:
            try:
                c = c or Client(self.world.suite.port(10143)).login(USER)
                for box in self.boxes:
                    _, out = c.cmd(f"STATUS {box} (MESSAGES)", None)
                    n = [r[1][1][b"MESSAGES"] for r in out if r[0] == b"STATUS"]
                    self.world.count["STATUS by the watcher"] += 1
                    if n and n[0] % TEN:
                        self.world.disagree("watcher", f"{box} holds {n[0]}", [])
            except (OSError, AssertionError) as e:
                if not self.world.is_killing:
                    self.world.disagree("watcher", e, [])
                c = None
            time.sleep(0.01)
        if c:
            c.close()


class Killer(threading.Thread):
    """kill -9 of workers, as they come."""

    def __init__(self, suite, rnd, until):
        super().__init__(daemon=True)
        self.suite, self.rnd, self.until, self.kills = suite, rnd, until, 0

    def run(self):
        while time.time() < self.until:
            workers = sorted(p for p, name in self.suite.pids("spoold").items() if "worker" in name)
            if workers:
                try:
                    os.kill(self.rnd.choice(workers), signal.SIGKILL)
                    self.kills += 1
                except ProcessLookupError:
                    pass
            time.sleep(self.rnd.uniform(0.1, 0.5))


def truth(world):
    """{UIDVALIDITY: [(uid, flags)]} as a new client sees it, and the ids in the shared mailboxes: {id: how often}."""
    c = Client(world.suite.port(10143)).login(USER)
    boxes = [r[1][0].decode() for r in c.cmd('LIST "" *')[1] if r[0] == b"LIST"]
    what, ids = {}, {}
    for box in boxes:
        c.codes = []
        c.cmd(f"EXAMINE {box}")
        _, out = c.cmd("FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])") if c.msgs else (None, [])
        where = int([x for x in c.codes if x.startswith(b"UIDVALIDITY")][-1].split()[1])
        what[where] = [(m["uid"], m["flags"]) for m in c.msgs]
        assert len([r for r in out if r[0] == b"FETCH"]) == len(c.msgs), box
        for r in out:
            name = ID.search(r[2][b"BODY[HEADER.FIELDS (MESSAGE-ID)]"]).group(1).decode()
            world.learn((where, r[2][b"UID"]), name)
            if box in SHARED:
                ids[name] = ids.get(name, 0) + 1
    c.close()
    return what, ids


def differ(mine, want):
    """The first difference of what a client believes from what is; None: unknown to it."""
    if len(mine) != len(want):
        return f"{len(mine)} messages, {len(want)} there"
    for n, ((uid, flags), (u, f)) in enumerate(zip(mine, want), 1):
        if uid not in (None, u):
            return f"message {n} is UID {u}, believed {uid}"
        if flags is not None and flags != f:
            return f"UID {u} has {sorted(f)}, believed {sorted(flags)}"
    return None


def sync(world, actors):
    """Quiet: everybody knows all that is."""
    believed = []
    time.sleep(REST_S)
    for a in actors:
        try:
            believed.append((a,) + a.quiet())
        except (AssertionError, OSError) as e:
            world.disagree(a.name, e, a.trace)
    what, ids = truth(world)
    for a, where, mine, now in believed:
        wrong = differ(mine, what[where]) if where in what else "its mailbox is not there"
        wrong = wrong or differ(now, what[where])
        if wrong:
            try:
                time.sleep(0.5)
                wrong += "; " + ("late" if not differ(a.quiet()[1], what[where]) else "for good")
            except (AssertionError, OSError, KeyError) as e:
                wrong += f"; then {e!r}"
        if wrong:
            world.disagree(f"{a.name} in {a.box} ({where})", wrong, a.trace)
            a.cache.clear()
            a.c.close()
            a.connect()
        world.count["messages compared"] += len(mine)
    for name in world.made:
        if ids.get(name, 0) != 1:
            world.disagree("all", f"message {name} is there {ids.get(name, 0)} times", [])
    world.made &= set(ids)
    for a, b in world.copies:
        if a in world.ids and b in world.ids and world.ids[a] != world.ids[b]:
            world.disagree("all", f"COPYUID {a} {b}: {world.ids[a]} became {world.ids[b]}", [])
    world.copies.clear()
    return len(believed)


def rounds(world, actors, seconds, rnd):
    end, n, kills = time.time() + seconds, 0, 0
    before = len(world.wrong)
    while time.time() < end:
        until = min(end, time.time() + ROUND_S)
        threads = [threading.Thread(target=a.run, args=(until,), daemon=True) for a in actors] + [Watcher(world, actors, until)]
        killer = Killer(world.suite, rnd, until) if world.is_killing else None
        for t in threads + ([killer] if killer else []):
            t.start()
        for t in threads:
            t.join(120)
            assert not t.is_alive(), "a client hangs"
        if killer:
            killer.join(30)
            kills += killer.kills
        sync(world, actors)
        n += 1
    wrong = world.wrong[before:]
    done = dict(world.count)
    world.count.clear()
    compared, lost, watched = (done.pop(k, 0) for k in ("messages compared", "connections lost", "STATUS by the watcher"))
    note(f"{sum(done.values())} operations by {len(actors)} clients in {seconds:.0f} s ({', '.join(f'{k} {v}' for k, v in sorted(done.items()))})")
    note(f"{n} moments of quiet, {compared} messages compared, {watched} counts watched, {kills} kills, {lost} connections lost, "
         f"{len(wrong)} disagreements")
    assert not wrong, "\n".join(str(w) for w in wrong[:SHOWN])


def peace(suite):
    seed = int(os.environ.get("TS_SEED", "0")) or random.randrange(1, 1 << 30)
    note(f"TS_SEED={seed}")
    c = Client(suite.port(10143)).login(USER)
    for box in SHARED[1:] + [f"{kind}{i}" for kind in ("Own", "Pool", "Bag") for i in range(CLIENTS)]:
        c.cmd(f"CREATE {box}")
    world = World(suite)
    for i in range(20):
        name = world.new_id()
        c.append("INBOX", message(name))
        world.keep(name)
    for i in range(CLIENTS):
        for k in range(TEN):
            c.append(f"Pool{i}", message(f"p{i}-{k}"))
    c.close()
    suite.rnd = random.Random(seed)
    suite.world, suite.actors = world, [Actor(world, i, seed + i) for i in range(CLIENTS)]
    rounds(world, suite.actors, SECONDS / 2, suite.rnd)


def killed_workers(suite):
    suite.expect(r"warn\.(session\.lost|child\.died name=spoold/worker|deliver\.|session\.unreachable)")
    suite.world.is_killing = True
    rounds(suite.world, suite.actors, SECONDS / 2, suite.rnd)
    for a in suite.actors:
        a.c.close()


if __name__ == "__main__":
    sys.exit(main(Suite(), [peace, killed_workers]))
