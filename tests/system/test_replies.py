"""A reply for each recipient that means what it says: local, forwarded, unknown, next hop down, no redundant spool."""
import re
import sys
import time

from suite import NextHop, Suite, body_of, main, message


def three_recipients(suite):
    hop = NextHop(suite.port(10587))
    raw = message(1)
    r = suite.deliver(raw, ["alice", "away", "bob"])
    assert [c for c, _ in r] == [250, 250, 250], r
    assert len(hop.got) == 1, hop.got
    sender, rcpts, data = hop.got[0]
    assert rcpts == [b"RCPT TO:<away@elsewhere.example>\r\n"], rcpts
    assert body_of(data) == raw, data
    for user in ("alice", "bob"):
        m = suite.imap(user)
        m.select("INBOX")
        assert body_of(m.fetch("1", "(BODY.PEEK[])")[1][0][1]) == raw
        m.logout()
    hop.close()


def next_hop_down(suite):
    r = suite.deliver(message(2), ["alice", "away", "bob"])
    assert r[0][0] == 250 and r[2][0] == 250, r
    assert r[1][0] // 100 == 4, r


def unknown_is_permanent(suite):
    r = suite.deliver(message(3), ["alice", "nobody", "bob@elsewhere.example"])
    assert r[0][0] == 250, r
    assert r[1][0] == 550 and "5.1.1" in r[1][1], r
    assert r[2][0] // 100 == 5, r
    # lmtpd itself does not make a spool for whoever is named to it
    r = suite.deliver(message(3), ["nobody"], port=10025)
    assert r[0][0] == 550 and "5.1.1" in r[0][1], r


def repeat_is_not_a_second_copy(suite):
    raw = message("twice")
    for _ in range(3):
        assert suite.deliver(raw, ["carol"])[0][0] == 250
    m = suite.imap("carol")
    assert int(m.select("INBOX")[1][0]) == 1, "an MTA's repeat became a second copy"
    m.logout()


def without_rotated_deferred(suite):
    suite.expect(r"warn\.redundant\.absent")
    suite.expect(r"warn\.commit\.")
    suite.sv("down", "rotated")
    deadline = time.time() + 10
    while True:
        r = suite.deliver(message("norot%d" % int(time.time() * 1000)), ["alice", "bob"])
        if all(c == 451 for c, _ in r):
            break
        assert time.time() < deadline, r
        time.sleep(0.1)
    suite.wait_log("spoold", r"warn\.redundant\.absent")
    # what is there can be read meanwhile
    m = suite.imap("alice")
    assert int(m.select("INBOX")[1][0]) >= 1
    m.logout()
    suite.sv("up", "rotated")
    deadline = time.time() + 20
    while suite.deliver(message("back"), ["alice"])[0][0] != 250:
        assert time.time() < deadline
        time.sleep(0.1)


def mupdated_down(suite):
    """Known users go on; the map is only needed for what is new."""
    suite.expect(r"warn\.(place|mupdate|map)\.")
    suite.sv("down", "mupdated")
    try:
        assert suite.deliver(message("nomup"), ["alice"])[0][0] == 250
        m = suite.imap("alice")
        assert m.create("New")[0] == "NO"
        m.select("INBOX")
        m.logout()
    finally:
        suite.sv("up", "mupdated")
        suite.wait_port(13905)
    m = suite.imap("alice")
    assert m.create("New")[0] == "OK"
    m.logout()


if __name__ == "__main__":
    sys.exit(main(Suite(), [three_recipients, next_hop_down, unknown_is_permanent, repeat_is_not_a_second_copy,
                            without_rotated_deferred, mupdated_down]))
