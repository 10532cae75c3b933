"""spoolimport beside a running suite: mbox, Maildir++ and mbx come in with dates, flags and keywords, byte for byte; killed
at random and started again it neither loses nor doubles a message; all of it is in the redundant spool too."""
import email.utils
import glob
import os
import random
import re
import signal
import subprocess
import sys
import time

from suite import BUILD, Suite, main, note

MESSAGES = 2000
rng = random.Random(5)


def argv(suite, *rest):
    return [BUILD + "/spoolimport", "-c", suite.base + "/etc/spoold.conf", *rest]


def spoolimport(suite, *rest, **kw):
    return subprocess.run(argv(suite, *rest), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120,
                          cwd=suite.base, **kw)


def body(n):
    lines = "".join(f"line {i} of {n} {'x' * rng.randrange(60)}\n" for i in range(rng.randrange(1, 60)))
    return f"From: a@elsewhere.example\nTo: b@example.test\nSubject: imported {n}\nMessage-ID: <i{n}@x>\n\n{lines}From here on quoted\n"


def date_of(n):
    return 1000000000 + n * 61


def flags_of(n):
    f = []
    if n % 2:
        f.append("\\Seen")
    if n % 3 == 0:
        f.append("\\Answered")
    if n % 5 == 0:
        f.append("\\Flagged")
    return f


def write_mbox(path, first, n):
    texts = {}
    with open(path, "w") as f:
        for i in range(first, first + n):
            text = texts[i] = body(i)
            head, rest = text.split("\n\n", 1)
            status = ("R" if i % 2 else "") + "O"
            x = ("A" if i % 3 == 0 else "") + ("F" if i % 5 == 0 else "")
            f.write(f"From a@elsewhere.example {time.asctime(time.gmtime(date_of(i)))} +0000\n{head}\nStatus: {status}\nX-Status: {x}\n"
                    f"X-Keywords: key{i % 4}\n\n" + re.sub(r"^(>*From )", r">\1", rest, flags=re.M) + "\n")
    return texts


def write_maildir(path, first, n):
    texts = {}
    for sub in ("cur", "new", "tmp"):
        os.makedirs(f"{path}/{sub}")
    with open(path + "/dovecot-keywords", "w") as f:
        f.write("0 key0\n1 key1\n2 key2\n3 key3\n")
    for i in range(first, first + n):
        texts[i] = body(i)
        letters = ("F" if i % 5 == 0 else "") + ("R" if i % 3 == 0 else "") + ("S" if i % 2 else "") + "abcd"[i % 4]
        name = f"{path}/cur/{date_of(i)}.M{i}.host:2,{letters}"
        with open(name, "w") as f:
            f.write(texts[i])
        os.utime(name, (date_of(i), date_of(i)))
    return texts


def write_mbx(path, first, n):
    texts = {}
    with open(path, "wb") as f:
        head = b"*mbx*\r\n%08x%08x\r\n" % (1, n) + b"".join(b"key%d\r\n" % k for k in range(4)) + b"\r\n"
        f.write(head + b"\0" * (2048 - len(head)))
        for i in range(first, first + n):
            texts[i] = body(i)
            data = texts[i].replace("\n", "\r\n").encode()
            flags = (1 if i % 2 else 0) | (8 if i % 3 == 0 else 0) | (4 if i % 5 == 0 else 0)
            when = time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime(date_of(i)))
            f.write(b"%s,%d;%08x%04x-%08x\r\n%s" % (when.encode(), len(data), 1 << (i % 4), flags, i + 1, data))
    return texts


def check(suite, mailbox, texts, user="bob"):
    """Each once, in order, with its bytes, flags, keyword and date."""
    imap = suite.imap(user)
    _, data = imap.select(f'"{mailbox}"', readonly=True)
    assert int(data[0]) == len(texts), (mailbox, data, len(texts))
    seen = []
    _, data = imap.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")
    for item in data:
        if not isinstance(item, tuple):
            continue
        n = int(re.search(rb"Message-ID: <i(\d+)@x>", item[1]).group(1))
        seen.append(n)
        assert item[1] == texts[n].replace("\n", "\r\n").encode(), (mailbox, n, item[1][:300])
        flags = set(re.search(rb"FLAGS \(([^)]*)\)", item[0]).group(1).decode().split()) - {"\\Recent"}
        assert flags == set(flags_of(n)) | {f"key{n % 4}"}, (mailbox, n, flags)
        when = re.search(rb'INTERNALDATE "([^"]*)"', item[0]).group(1).decode()
        at = email.utils.mktime_tz(email.utils.parsedate_tz(when.replace("-", " ")))
        assert at == date_of(n), (mailbox, n, when)
    assert seen == sorted(texts), f"{mailbox}: not in order"
    imap.logout()


def imports(suite):
    """Three kinds in one tree; nothing but what was there comes out."""
    suite.deliver(b"From: x\r\n\r\nx\r\n", to=("bob",))
    src = suite.base + "/src"
    os.makedirs(src)
    suite.texts = {"Old": write_mbox(src + "/Old", 0, MESSAGES)}
    os.makedirs(src + "/Lists")
    suite.texts["Lists/dev"] = write_mbx(src + "/Lists/dev", 10000, 300)
    suite.texts["Mail"] = write_maildir(src + "/Mail", 20000, 200)
    suite.texts["Mail/Sent/2001"] = write_maildir(src + "/Mail/.Sent.2001", 30000, 50)
    with open(src + "/notes", "w") as f:
        f.write("nothing of the kind\n")
    p = spoolimport(suite, "-n", "bob", src)
    assert p.returncode == 1 and "notes:0: neither" in p.stdout and "messages 2550 " in p.stdout, p
    began = time.time()
    p = spoolimport(suite, "bob", src)
    assert p.returncode == 1 and "messages 2550 skipped 0 bad 1" in p.stdout, p
    note(f"2550 messages imported in {time.time() - began:.1f} s")
    for mailbox, texts in suite.texts.items():
        check(suite, mailbox, texts)
    # it is known what was done: nothing comes twice
    p = spoolimport(suite, "bob", src)
    assert "messages 0 " in p.stdout, p
    check(suite, "Old", suite.texts["Old"])


def in_both_spools(suite):
    found = set()
    for log in glob.glob(f"{suite.base}/spool/redundant/*/*.log"):
        found |= {int(x) for x in re.findall(rb"Message-ID: <i(\d+)@x>", open(log, "rb").read())}
    missing = [n for texts in suite.texts.values() for n in texts if n not in found]
    assert not missing, missing[:10]


def killed(suite):
    """kill -9 again and again; each run goes on where the last one ended, while mail arrives."""
    src = suite.base + "/again"
    texts = write_mbox(src, 50000, 6000)
    kills = 0
    for i in range(200):
        p = subprocess.Popen(argv(suite, "-q", "-m", "Again", "-s", suite.base + "/state", "bob", src), cwd=suite.base,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(rng.uniform(0.012, 0.04))
        if kills < 20 and p.poll() is None:
            p.send_signal(signal.SIGKILL)
            p.communicate()
            kills += 1
            suite.deliver(b"From: x\r\n\r\nbeside\r\n", to=("bob",))
            continue
        out, err = p.communicate(timeout=60)
        assert p.returncode == 0, (out, err)
        break
    check(suite, "Again", texts)
    note(f"killed {kills} times")
    assert kills >= 3, kills


def says_what_is_wrong(suite):
    assert spoolimport(suite, "bob").returncode == 100
    p = spoolimport(suite, "bob", "/no/such/file")
    assert p.returncode == 111 and "No such file" in p.stderr, p
    p = spoolimport(suite, "nobody.here", suite.base + "/again")
    assert p.returncode == 111 and "no spool" in p.stderr, p
    link = suite.base + "/link"
    os.symlink("/etc/passwd", link)
    p = spoolimport(suite, "bob", link)
    assert p.returncode == 1 and "symbolic link" in p.stdout, p
    suite.sv("down", "spoold")
    p = spoolimport(suite, "bob", suite.base + "/again")
    assert p.returncode == 111 and "not running" in p.stderr, p
    suite.sv("up", "spoold")


if __name__ == "__main__":
    sys.exit(main(Suite(users=3), [imports, in_both_spools, killed, says_what_is_wrong]))
