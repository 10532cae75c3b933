#!/usr/bin/env python3
"""make bench: deliveries per second of lmtpd (both copies synced) beside Dovecot's LMTP server (mdbox,
mail_fsync=always) from Debian's packages and the bare floor of the disk, in one run on one file system:
a loop-mounted ext4 with a journal where root allows, else the file system of the build folder.
Medians of several rounds with the spread; every round in a new directory, the systems taking turns.

  bench.py [--rounds N] [--messages N] [--connections 1,16,64] [--bytes 4096]
"""
import argparse
import glob
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/system"))
from suite import Suite, BUILD, message  # noqa: E402

PEERS = os.path.join(TOP, "build/peers")
USERS = 100
DOVECOT = ["dovecot-core", "dovecot-lmtpd"]


def run(*argv, **kw):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)


class Disk:
    """A file system of the benchmark's own: ext4 with a journal on a loop device."""

    def __init__(self, gib=8):
        self.dir = None
        self.image = os.path.join(BUILD, "bench.img")
        self.mount = os.path.join("/tmp", "tsbench.%d" % os.getpid())
        if os.getuid() == 0:
            with open(self.image, "wb") as f:
                f.truncate(gib << 30)
            os.makedirs(self.mount)
            if run("mkfs.ext4", "-q", "-F", self.image).returncode == 0 and \
                    run("mount", "-o", "loop", self.image, self.mount).returncode == 0:
                self.dir = self.mount
                self.what = "loop-mounted ext4 with a journal"
                return
        self.what = "the build folder's file system (no root: no loop mount)"
        self.dir = os.path.join(BUILD, "bench.%d" % os.getpid())
        os.makedirs(self.dir)

    def close(self):
        if self.dir == self.mount:
            for _ in range(50):
                # a peer's last process may still be leaving
                if run("umount", self.mount).returncode == 0:
                    break
                time.sleep(0.2)
            os.rmdir(self.mount)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        if os.path.exists(self.image):
            os.unlink(self.image)


def unpack_dovecot():
    """Debian's Dovecot unpacked, not installed: nothing of the machine is changed."""
    root = os.path.join(PEERS, "dovecot")
    if not os.path.exists(root + "/usr/sbin/dovecot"):
        debs = os.path.join(PEERS, "debs")
        os.makedirs(debs + "/partial", exist_ok=True)
        p = run("apt-get", "install", "-y", "--no-install-recommends", "--download-only", "-o",
                f"Dir::Cache::archives={debs}", "-o", "APT::Sandbox::User=root", *DOVECOT)
        if p.returncode:
            # not root: only the packages themselves, by download
            p = subprocess.run(["apt-get", "download", *DOVECOT], cwd=debs, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
        for deb in glob.glob(debs + "/*.deb"):
            run("dpkg", "-x", deb, root)
        if not os.path.exists(root + "/usr/sbin/dovecot"):
            raise RuntimeError("Dovecot could not be unpacked: " + p.stdout)
    return root


class Dovecot:
    name = "Dovecot mdbox, mail_fsync=always"

    def __init__(self, base, port):
        root = unpack_dovecot()
        self.port = port
        os.makedirs(base + "/run")
        os.makedirs(base + "/home")
        os.makedirs(base + "/state")
        uid = os.getuid() or 64900
        os.chmod(base, 0o755)
        os.chown(base + "/home", uid, -1)
        with open(base + "/conf", "w") as f:
            f.write(f"""
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
info_log_path = /dev/null
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = daemon
protocols = lmtp
ssl = no
listen = 127.0.0.1
mail_location = mdbox:~/mdbox
mail_fsync = always
first_valid_uid = 1
userdb {{
  driver = static
  args = uid={uid} gid={uid} home={base}/home/%n allow_all_users=yes
}}
passdb {{
  driver = static
  args = password=x
}}
service lmtp {{
  process_min_avail = 2
  process_limit = 128
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service stats {{
  process_limit = 1
}}
""")
        # Dovecot finds its parts under /usr: it sees them there, in a mount namespace of its own
        self.proc = subprocess.Popen(["unshare", "-m", "sh", "-c", 'mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr &&'
                                      ' exec dovecot -F -c "$2"', "dovecot", root, base + "/conf"],
                                     stdout=subprocess.DEVNULL, stderr=open(base + "/stderr", "wb"))
        self.base = base
        wait_port(port, lambda: open(base + "/stderr").read() + "".join(open(p).read() for p in glob.glob(base + "/log")))

    def prepare(self):
        pass

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        self.proc.wait(30)


class Twinspool:
    name = "twinspool lmtpd, two copies synced"

    def __init__(self, base, port):
        self.suite = Suite(users=USERS, base=base)
        self.port = self.suite.port(10025)

    def prepare(self):
        # the spools are made by the relay's first delivery to each
        with self.suite.lmtp(10024) as l:
            for i in range(0, USERS, 50):
                r = l.send("sender@elsewhere.example", ["user%05d@example.test" % u for u in range(i, i + 50)],
                           message("prepare%d" % i))
                assert all(c == 250 for c, _ in r), r

    def stop(self):
        self.suite.stop()


def wait_port(port, why):
    deadline = time.time() + 30
    while time.time() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("nothing answers on %d: %s" % (port, why()))


def load(port, connections, messages, size):
    p = subprocess.run([BUILD + "/tests/bench/lmtpload", "127.0.0.1", str(port), str(connections), str(messages),
                        str(size), "user%05d", str(USERS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if p.returncode:
        raise RuntimeError(p.stderr)
    n, s, rate, p50, p99, failed = p.stdout.split()
    assert failed == "0", p.stderr
    return float(rate), float(p50), float(p99)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--messages", type=int, default=0, help="per round; default by connections")
    a.add_argument("--connections", default="1,16,64")
    a.add_argument("--bytes", type=int, default=4096)
    args = a.parse_args()
    conns = [int(c) for c in args.connections.split(",")]
    disk = Disk()
    results = {}
    try:
        print(f"{os.cpu_count()} cores, {disk.what}, {args.bytes}-byte messages, {USERS} users, {args.rounds} rounds",
              flush=True)
        for rnd in range(args.rounds):
            for c in conns:
                n = args.messages or (1500 if c == 1 else 6000)
                for system in (Twinspool, Dovecot):
                    base = os.path.join(disk.dir, f"{system.__name__[0]}{rnd}.{c}")
                    os.makedirs(base)
                    peer = system(base, 21025)
                    try:
                        peer.prepare()
                        load(peer.port, min(c, 8), 300, args.bytes)
                        results.setdefault((system.name, c), []).append(load(peer.port, c, n, args.bytes))
                    finally:
                        peer.stop()
                base = os.path.join(disk.dir, f"floor{rnd}.{c}")
                os.makedirs(base)
                p = run(BUILD + "/tests/bench/floor", base, str(c), str(n), str(args.bytes))
                results.setdefault(("floor: two appends, one sync for all that wait", c), []).append(
                    (float(p.stdout.split()[2]), 0, 0))
        print(f"{'':50} {'connections':>11} {'messages/s':>11} {'spread':>15} {'p50 ms':>8} {'p99 ms':>8}")
        for (name, c), rows in sorted(results.items(), key=lambda x: (x[0][1], x[0][0])):
            rate = [r[0] for r in rows]
            print(f"{name:50} {c:11} {statistics.median(rate):11.0f} {f'{min(rate):.0f}-{max(rate):.0f}':>15} "
                  f"{statistics.median(r[1] for r in rows):8.2f} {statistics.median(r[2] for r in rows):8.2f}")
    finally:
        disk.close()


if __name__ == "__main__":
    main()
