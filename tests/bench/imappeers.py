"""The systems whose sessions are measured: ours, and Dovecot and Cyrus IMAP as peers.py has them, with IMAP beside LMTP.

Each is given what its documentation advises to a busy host, and nothing that slows it: login processes that serve many
(Dovecot's "performance mode"), passwords compared as they are, idled (Cyrus), no plugins, no full text index. How mail is
synced is each system's default. The connection is not encrypted, except where the name says TLS.
"""
import os
import socket
import subprocess
import time

from peers import Cyrus, Dovecot, Peer, tree
from suite import DAEMONS, PASSWORD, Suite, message

IMAP_PORT = 21143
OWN_UID = 66000


class Twinspool:
    name = "twinspool"
    user = "user%05d"
    password = PASSWORD
    tls = "plain"

    def __init__(self, base, users):
        self.suite = Suite(users=users, base=base)
        self.lmtp = self.suite.port(10025)
        self.imap = self.suite.port(10143)
        # until rotated has handed over the redundant spool, mail is deferred
        deadline = time.time() + 30
        while self.suite.deliver(message("first"), [self.user % 0])[0][0] != 250:
            if time.time() > deadline:
                self.stop()
                raise RuntimeError("no mail is taken")
            time.sleep(0.1)

    def pids(self, daemons=DAEMONS):
        found = set()
        for d in daemons:
            for pid in self.suite.pids(d):
                found.update(tree(pid))
        return sorted(found)

    def parts(self):
        """Processes that carry sessions, by daemon."""
        return {d: self.pids([d]) for d in ("proxyd", "spoold")}

    def stop(self):
        self.suite.stop()


class TwinspoolTls(Twinspool):
    name = "twinspool, TLS"
    tls = "tls"

    def __init__(self, base, users):
        super().__init__(base, users)
        self.imap = self.suite.port(10993)


class ImapPeer(Peer):
    password = "x"
    tls = "plain"
    imap = IMAP_PORT
    lmtp = Peer.port

    def parts(self):
        return {}

    def wait_greeting(self):
        deadline = time.time() + 60
        while time.time() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.imap), 1) as s:
                    s.settimeout(10)
                    if s.recv(4) == b"* OK":
                        return
            except OSError:
                time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"{self.name}: no IMAP greeting")


class ImapDovecot(ImapPeer, Dovecot):
    """Each user has a uid of its own: the kernel's inotify instances, which IDLE takes one of, are counted by uid, and one uid
    for all would have 128. So a process serves one session, which is the default."""
    name = "Dovecot 2.3.19 sdbox"
    protocols = "imap lmtp"
    imap_service = "process_min_avail = 4"
    more = ""

    def __init__(self, base, users):
        self.users = users
        super().__init__(base, "sdbox", "optimized")
        self.wait_greeting()

    def accounts(self, base):
        with open(base + "/users", "w") as f:
            for i in range(self.users):
                home = f"{base}/home/{self.user % i}"
                os.makedirs(home)
                os.chown(home, OWN_UID + i, OWN_UID + i)
                f.write(f"{self.user % i}:{{PLAIN}}{self.password}:{OWN_UID + i}:{OWN_UID + i}::{home}\n")
        where = f"driver = passwd-file\n  args = username_format=%n {base}/users"
        return f"userdb {{\n  {where}\n}}\npassdb {{\n  {where}\n}}\n"

    def services(self):
        # as many clients as the machine lets a process have files; a login process hands its connection on
        return "mail_max_userip_connections = 0\n" + "".join(
            f"service {name} {{\n  {conf}\n}}\n" for name, conf in (
                ("anvil", "client_limit = 19000"), ("auth", "client_limit = 19000"), ("stats", "client_limit = 19000"),
                ("imap-login", "service_count = 0\n  process_min_avail = 2\n  client_limit = 1000\n"
                 f"  inet_listener imap {{\n    address = 127.0.0.1\n    port = {IMAP_PORT}\n  }}"),
                ("imap", f"process_limit = 12000\n  {self.imap_service}"))) + self.more


class DovecotReused(ImapDovecot):
    """One uid for all, so that a process can serve one session after another."""
    name = "Dovecot 2.3.19 sdbox, imap processes reused"
    imap_service = "process_min_avail = 4\n  service_count = 500"

    def accounts(self, base):
        return Dovecot.accounts(self, base)


class DovecotHibernate(ImapDovecot):
    name = "Dovecot 2.3.19 sdbox, imap_hibernate"
    imap_service = "process_min_avail = 4\n  unix_listener imap-master {\n    user = nobody\n  }"
    more = """
imap_hibernate_timeout = 2s
service imap-hibernate {
  unix_listener imap-hibernate {
    mode = 0666
  }
}
"""


class ImapCyrus(ImapPeer, Cyrus):
    start = '  idled cmd="idled -C {base}/imapd.conf"\n'
    services = f'  imap cmd="imapd -C {{base}}/imapd.conf" listen="127.0.0.1:{IMAP_PORT}" prefork=4 maxchild=12000\n'
    settings = ("sasl_pwcheck_method: auxprop\nsasl_auxprop_plugin: sasldb\nsasl_sasldb_path: {base}/sasldb2\n"
                "sasl_mech_list: PLAIN\n")

    def __init__(self, base, users):
        for i in range(users):
            subprocess.run(["saslpasswd2", "-c", "-p", "-f", base + "/sasldb2", "-u", "bench.example", self.user % i],
                           input=self.password.encode(), check=True, env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin"))
        os.chmod(base + "/sasldb2", 0o644)
        super().__init__(base)
        self.wait_greeting()


ALL = [Twinspool, TwinspoolTls, ImapDovecot, DovecotReused, DovecotHibernate, ImapCyrus]
