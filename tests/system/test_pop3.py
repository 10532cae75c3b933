#!/usr/bin/env python3
"""
POP3 through proxyd and spoold: CAPA in each state, UTF8 carried over the login, headers that are not ASCII, LOGIN-DELAY over
all processes, and clients that fetch and remove: poplib, getmail, fetchmail, curl.
"""
import email
import email.policy
import os
import poplib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from suite import PASSWORD, Suite, main
from test_clients import client, pop_raw

BOTH = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "UTF8", "LANG", "LOGIN-DELAY 3600 USER"]
RAW = ("From: J\u00e4n <j@b.example>, <\u00e4@b.example>\r\nSubject: Gr\u00fc\u00dfe  und \u4f60\u597d\r\n"
       "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain; charset=utf-8; name=\"\u00fc.txt\"\r\n"
       "Content-Transfer-Encoding: 8bit\r\n\r\n.gr\u00fcn\r\n--x--\r\n").encode()


def capa(text):
    return re.findall(rb"\+OK capability list follows\r\n(.*?)\r\n\.\r\n", text, re.S)[0].decode().split("\r\n")


def run(*args, **how):
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, **how)
    assert p.returncode == 0, (args, p.returncode, p.stdout[-2000:], p.stderr[-2000:])
    return p.stdout


def again(suite, user):
    """Takes the time of the last login away: the next one comes in time."""
    for top, _, names in os.walk(suite.base):
        for n in names:
            if n == "~pop3-" + user:
                os.unlink(os.path.join(top, n))


def capabilities(suite):
    """What is announced before login is after it, but that LOGIN-DELAY is exact and STLS is not allowed any more."""
    out = pop_raw(suite, "alice", b"CAPA\r\nLANG en\r\nQUIT\r\n", before=b"CAPA\r\nLANG\r\nAUTH\r\n")
    before = capa(out)
    assert before[:9] == BOTH, before
    sasl = [l for l in before if l.startswith("SASL ")][0]
    assert "PLAIN" in sasl.split() and "USER" in before and "STLS" in before
    assert "+OK mechanisms follow\r\n" + "\r\n".join(sasl.split()[1:]) + "\r\n.\r\n" in out.decode()
    assert out.count(b"\r\nen English\r\n.\r\n") == 1 and out.count(b"+OK en ") == 1
    after = capa(out[out.index(b"Logged in"):])
    want = [l.replace(" USER", "") if l.startswith("LOGIN-DELAY") else l for l in before if l != "STLS"]
    assert after[:-1] == want and after[-1].startswith("IMPLEMENTATION twinspool-"), (after, want)
    again(suite, "alice")


def utf8(suite):
    """With UTF8 the bytes that came; without it nothing in a header but ASCII, and a parser finds what was meant."""
    c = client(suite, "bob")
    c.cmd("ENABLE UTF8=ACCEPT")
    c.append("INBOX", RAW)
    ask = b"LIST\r\nRETR 1\r\nTOP 1 0\r\nQUIT\r\n"
    out = pop_raw(suite, "bob", ask, before=b"UTF8\r\n")
    assert b"\r\n1 %d\r\n.\r\n+OK %d octets\r\n" % (len(RAW), len(RAW)) + RAW.replace(b"\r\n.gr", b"\r\n..gr") + b".\r\n" in out
    again(suite, "bob")
    out = pop_raw(suite, "bob", ask)
    n, text, top = re.search(rb"\+OK (\d+) octets\r\n(.*?)\r\n\.\r\n\+OK top[^\n]*\n(.*?)\r\n\.\r\n", out, re.S).groups()
    text = text.replace(b"\r\n..", b"\r\n.") + b"\r\n"
    assert int(n) == len(text)
    head, _, body = text.partition(b"--x\r\n")
    assert head.isascii() and body.partition(b"\r\n\r\n")[0].isascii() and b".gr\xc3\xbcn\r\n" in body and top == head[:-2]
    m = email.message_from_bytes(text, policy=email.policy.default)
    assert m["Subject"] == "Gr\u00fc\u00dfe  und \u4f60\u597d", m["Subject"]
    assert m["From"].addresses[0].display_name == "J\u00e4n" and m["From"].addresses[0].addr_spec == "j@b.example"
    assert m["From"].addresses[1].addr_spec == "invalid@internationalized-address.invalid"
    assert m.get_payload()[0].get_filename() == "\u00fc.txt" or m.get_payload()[0].get_param("name")[2] == "\u00fc.txt"
    again(suite, "bob")


def delay(suite):
    """The second login is refused whatever process it meets, by USER as by AUTH, and another user's is not."""
    assert b"+OK Logged in" in pop_raw(suite, "carol", b"QUIT\r\n")
    for _ in range(8):
        try:
            suite.pop3("carol")
            raise AssertionError("too soon, and taken")
        except poplib.error_proto as e:
            assert str(e).find("-ERR [LOGIN-DELAY] ") >= 0, e
    again(suite, "carol")
    p = suite.pop3("carol")
    p.quit()
    again(suite, "carol")


def clients(suite):
    """Each fetches all there is and removes it; what was fetched is what was kept."""
    ca, port = f"{suite.base}/tls/cert.pem", suite.port(10995)
    d = tempfile.mkdtemp(prefix="pop3.", dir=suite.base)
    c = client(suite, "carol")
    c.cmd("ENABLE UTF8=ACCEPT")

    def fill():
        for i in range(7):
            c.append("INBOX", RAW if i == 3 else b"Message-ID: <%d@x.example>\r\nSubject: s\r\n\r\n.dot\r\n%d\r\n" % (i, i))

    def empty():
        again(suite, "carol")
        p = suite.pop3("carol")
        n = p.stat()[0]
        p.quit()
        again(suite, "carol")
        return n == 0
    fill()
    with open(d + "/getmailrc", "w") as f:
        f.write(f"[retriever]\ntype = SimplePOP3SSLRetriever\nserver = localhost\nport = {port}\nusername = carol\npassword = {PASSWORD}\n"
                f"ca_certs = {ca}\n\n[destination]\ntype = MDA_external\npath = /bin/sh\n"
                f"arguments = ('-c', 'cat >>{d}/gotten')\nallow_root_commands = true\n\n[options]\ndelete = true\nread_all = true\n")
    os.chmod(d + "/getmailrc", 0o600)
    run("getmail", "-g", d, "-r", d + "/getmailrc", "-q", env=dict(os.environ, HOME=d))
    assert open(d + "/gotten", "rb").read().count(b"\n.dot\n") == 6 and empty()
    fill()
    with open(d + "/fetchmailrc", "w") as f:
        f.write(f"poll localhost service {port} protocol pop3 uidl user carol password {PASSWORD} ssl sslcertfile {ca} fetchall no keep\n"
                f" mda \"cat >>{d}/got\"\n")
    os.chmod(d + "/fetchmailrc", 0o600)
    run("fetchmail", "-f", d + "/fetchmailrc", "--nosyslog", "--pidfile", d + "/pid", env=dict(os.environ, FETCHMAILHOME=d))
    assert open(d + "/got", "rb").read().count(b"\n.dot\n") == 6 and empty()
    fill()
    url = f"pop3s://localhost:{port}/"
    listed = run("curl", "-sS", "--cacert", ca, "-u", f"carol:{PASSWORD}", url)
    assert len(listed.split(b"\r\n")) == 8, listed
    again(suite, "carol")
    assert run("curl", "-sS", "--cacert", ca, "-u", f"carol:{PASSWORD}", url + "2").endswith(b"\r\n.dot\r\n1\r\n")
    again(suite, "carol")
    for _ in range(7):
        run("curl", "-sS", "--cacert", ca, "-u", f"carol:{PASSWORD}", "-X", "DELE", "-l", url + "1")
        again(suite, "carol")
    assert empty()


if __name__ == "__main__":
    sys.exit(main(Suite(users=1, conf={"spoold": "pop3_login_delay = 3600\n", "proxyd": "pop3_login_delay_s = 3600\n"}),
                  [capabilities, utf8, delay, clients]))
