"""A file system of the benchmark's own on a loop device: ext4 with a journal, or XFS. Without root there is none, and
the build folder's takes its place."""
import os
import shutil
import subprocess
import time

from suite import BUILD


def run(*argv, **kw):
    env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, **kw)


class Disk:
    def __init__(self, kind, gib=8):
        self.kind = kind
        self.image = os.path.join(BUILD, f"bench.{kind}.img")
        self.mount = f"/tmp/tsbench.{kind}.{os.getpid()}"
        self.dir = None
        if os.getuid() == 0:
            with open(self.image, "wb") as f:
                f.truncate(gib << 30)
            os.makedirs(self.mount)
            mkfs = ["mkfs.ext4", "-q", "-F", self.image] if kind == "ext4" else ["mkfs.xfs", "-q", "-f", self.image]
            if run(*mkfs).returncode == 0 and run("mount", "-o", "loop", self.image, self.mount).returncode == 0:
                self.dir = self.mount
                self.what = "loop-mounted ext4 with a journal" if kind == "ext4" else "loop-mounted XFS"
                return
            self.close()
        if kind != "ext4":
            raise RuntimeError(f"no {kind} here")
        self.what = "the build folder's file system (no root: no loop mount)"
        self.dir = os.path.join(BUILD, "bench.%d" % os.getpid())
        os.makedirs(self.dir)

    def fresh(self, name):
        """A new directory; what an earlier round left is removed, so that every round has the same disk."""
        base = os.path.join(self.dir, name)
        os.makedirs(base)
        os.chmod(base, 0o755)
        return base

    def drop(self, base):
        run("chattr", "-R", "-a", base)
        shutil.rmtree(base, ignore_errors=True)
        run("sync", "-f", self.dir)

    def close(self):
        if os.path.ismount(self.mount):
            for _ in range(50):
                # a peer's last process may still be leaving
                if run("umount", self.mount).returncode == 0:
                    break
                time.sleep(0.2)
            else:
                run("umount", "-l", self.mount)
        if os.path.isdir(self.mount):
            os.rmdir(self.mount)
        elif self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)
        if os.path.exists(self.image):
            os.unlink(self.image)


def used(path):
    """Bytes of disk that a tree takes."""
    total = 0
    for d, dirs, files in os.walk(path):
        for n in dirs + files:
            try:
                total += os.lstat(os.path.join(d, n)).st_blocks * 512
            except OSError:
                pass
    return total
