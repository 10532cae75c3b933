"""The systems that are measured: ours, and Dovecot and Cyrus IMAP from Debian's packages, unpacked beside the build and
run from there in a mount namespace of their own: nothing of the machine is changed.

Each has the configuration an administrator would give a delivery host: no TLS and no authentication towards the MTA on the
same machine, as many processes as there are connections, logs kept small, and its own way of being sure that mail is on
the disk. Needs root for the peers.
"""
import glob
import os
import signal
import socket
import subprocess
import time

from disk import run, used
from suite import BUILD, Suite, message

PEERS = os.path.join(os.path.dirname(BUILD) if BUILD.endswith("/asan") else BUILD, "peers")
USERS = 100
PORT = 21025
DOVECOT = ["dovecot-core", "dovecot-imapd", "dovecot-lmtpd"]
CYRUS = ["cyrus-imapd", "cyrus-common"]


def unpack(name, packages, probe):
    """Debian's packages with what they need beyond the machine's own, into a folder."""
    root = os.path.join(PEERS, name)
    if not os.path.exists(root + probe):
        debs = os.path.join(PEERS, name + ".debs")
        os.makedirs(debs + "/partial", exist_ok=True)
        p = run("apt-get", "install", "-y", "--no-install-recommends", "--download-only", "-o",
                f"Dir::Cache::archives={debs}", "-o", "APT::Sandbox::User=root", *packages)
        for deb in glob.glob(debs + "/*.deb"):
            run("dpkg", "-x", deb, root)
        if not os.path.exists(root + probe):
            raise RuntimeError(f"{name} could not be unpacked: " + p.stdout)
    return root


def tree(pid):
    """A process and all below it."""
    found = [pid]
    for task in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            for child in open(task).read().split():
                found += tree(int(child))
        except OSError:
            pass
    return found


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        try:
            f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            total += sum(int(x) for x in f[11:15])
        except OSError:
            pass
    return total / os.sysconf("SC_CLK_TCK")


def wait_port(port, why):
    deadline = time.time() + 60
    while time.time() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as s:
                s.settimeout(5)
                if s.recv(3) == b"220":
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError("nothing answers on %d: %s" % (port, why()))


class Twinspool:
    name = "twinspool, two copies"
    user = "user%05d"

    def __init__(self, base):
        self.suite = Suite(users=USERS, base=base)
        self.base = base
        self.port = self.suite.port(10025)

    def prepare(self):
        # the spools are made by the relay's first delivery to each
        with self.suite.lmtp(10024) as l:
            for i in range(0, USERS, 50):
                r = l.send("sender@elsewhere.example", ["user%05d@example.test" % u for u in range(i, i + 50)],
                           message(i))
                assert all(c == 250 for c, _ in r), r

    def pids(self):
        return list(self.suite.pids())

    def disk(self):
        spool = self.base + "/spool"
        return {"active": used(spool + "/active"), "redundant": used(spool + "/redundant"), "index": used(spool + "/index")}

    def stop(self):
        self.suite.stop()


class Peer:
    user = "user%05d"
    port = PORT

    def begin(self, base, root, shell, env):
        """Runs a shell line with the package's files under /usr and a private /etc."""
        mounts = 'mount -t overlay overlay -o "lowerdir=$ROOT/usr:/usr" /usr && '
        self.base = base
        self.proc = subprocess.Popen(["unshare", "-m", "sh", "-c", mounts + shell],
                                     env=dict(os.environ, ROOT=root, BASE=base, **env), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=open(base + "/stderr", "wb"))
        try:
            wait_port(self.port, lambda: open(base + "/stderr").read() +
                      "".join(open(p, errors="replace").read()[-2000:] for p in glob.glob(base + "/log")))
        except RuntimeError:
            self.stop()
            raise

    def prepare(self):
        pass

    def pids(self):
        return tree(self.proc.pid)

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        try:
            self.proc.wait(30)
        except subprocess.TimeoutExpired:
            for pid in reversed(tree(self.proc.pid)):
                os.kill(pid, signal.SIGKILL)
            self.proc.wait(30)


class Dovecot(Peer):
    protocols = "lmtp"
    uid = 64900

    def accounts(self, base):
        return f"""
userdb {{
  driver = static
  args = uid={self.uid} gid={self.uid} home={base}/home/%n allow_all_users=yes
}}
passdb {{
  driver = static
  args = password=x
}}
"""

    def services(self):
        return """
service anvil {
  client_limit = 2000
}
service auth {
  client_limit = 2000
}
service stats {
  process_limit = 1
}
"""

    def __init__(self, base, form, fsync):
        root = unpack("dovecot", DOVECOT, "/usr/lib/dovecot/imap")
        for d in ("run", "home", "state"):
            os.makedirs(f"{base}/{d}")
        os.chown(base + "/home", self.uid, -1)
        with open(base + "/conf", "w") as f:
            f.write(f"""
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
info_log_path = /dev/null
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = daemon
protocols = {self.protocols}
ssl = no
listen = 127.0.0.1
mail_location = {form}:~/mail
mail_fsync = {fsync}
first_valid_uid = 1
default_vsz_limit = 1G
service lmtp {{
  process_min_avail = 4
  process_limit = 300
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {PORT}
  }}
}}
{self.accounts(base)}{self.services()}""")
        self.begin(base, root, 'exec dovecot -F -c "$BASE/conf"', {})

    def disk(self):
        return {"mail": used(self.base + "/home")}


class Cyrus(Peer):
    name = "Cyrus IMAP 3.6.1"
    settings = services = start = ""

    def __init__(self, base):
        root = unpack("cyrus", CYRUS, "/usr/sbin/cyrmaster")
        uid = 64901
        for d in ("conf", "mail", "run", "etc", "conf/socket", "conf/proc", "conf/db", "conf/log", "conf/msg"):
            os.makedirs(f"{base}/{d}")
        for d in ("", "/conf", "/mail", "/run", "/conf/socket", "/conf/proc", "/conf/db", "/conf/log", "/conf/msg"):
            os.chown(base + d, uid, uid)
        for name, line in (("passwd", f"cyrus:x:{uid}:{uid}::/nonexistent:/bin/false\n"), ("group", f"cyrus:x:{uid}:\nmail:x:8:\n")):
            with open(f"{base}/etc/{name}", "w") as f:
                f.write("\n".join(l for l in open("/etc/" + name).read().splitlines() if not l.startswith(("cyrus:", "mail:x:8")))
                        + "\n" + line)
        with open(base + "/imapd.conf", "w") as f:
            f.write(f"""
configdirectory: {base}/conf
defaultpartition: default
partition-default: {base}/mail
servername: bench.example
admins: cyrus
virtdomains: off
defaultdomain: example.test
autocreate_users: anyone
autocreate_post: 1
autocreate_quota: 0
lmtp_downcase_rcpt: 1
unixhierarchysep: no
allowplaintext: yes
syslog_prefix: cyrus
idlesocket: {base}/conf/socket/idle
lmtpsocket: {base}/conf/socket/lmtp
{self.settings.format(base=base)}""")
        with open(base + "/cyrus.conf", "w") as f:
            f.write(f"""
START {{
  recover cmd="/usr/lib/cyrus/bin/ctl_cyrusdb -C {base}/imapd.conf -r"
{self.start.format(base=base)}}}
SERVICES {{
  lmtp cmd="lmtpd -a -C {base}/imapd.conf" listen="127.0.0.1:{PORT}" prefork=4 maxchild=300
{self.services.format(base=base)}}}
EVENTS {{
}}
""")
        self.begin(base, root,
                   'mount --bind "$BASE/etc/passwd" /etc/passwd && mount --bind "$BASE/etc/group" /etc/group && '
                   'mount -t tmpfs tmpfs /run && mkdir -p /run/cyrus && chown 64901 /run/cyrus && '
                   'exec cyrmaster -D -C "$BASE/imapd.conf" -M "$BASE/cyrus.conf" -p "$BASE/run/pid"', {})

    def disk(self):
        return {"mail": used(self.base + "/mail"), "databases": used(self.base + "/conf")}


def dovecot(form, fsync):
    def make(base):
        d = Dovecot(base, form, fsync)
        return d
    make.title = f"Dovecot 2.3.19 {form}, {fsync}"
    return make


SYSTEMS = {
    Twinspool.name: Twinspool,
    "Dovecot 2.3.19 sdbox, always": dovecot("sdbox", "always"),
    "Dovecot 2.3.19 sdbox, optimized": dovecot("sdbox", "optimized"),
    "Dovecot 2.3.19 mdbox, always": dovecot("mdbox", "always"),
    "Dovecot 2.3.19 mdbox, optimized": dovecot("mdbox", "optimized"),
    Cyrus.name: Cyrus,
}
