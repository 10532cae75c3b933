"""A small ext4 with a journal, or an XFS, in a file, for tests that fill a disk or cut its power. Needs root and loop mounts."""
import atexit
import fcntl
import glob
import os
import shutil
import struct
import subprocess
import tempfile
import time

from suite import Skip

# linux/fs.h: _IOR('X', 125, __u32); ext4 knows it as EXT4_IOC_SHUTDOWN, XFS, whose it was, as XFS_IOC_GOINGDOWN
FS_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2

MAKE = {
    "ext4": (["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "has_journal", "-E", "lazy_itable_init=0"], "loop,errors=remount-ro"),
    "xfs": (["mkfs.xfs", "-q", "-f"], "loop"),
}


class LoopFs:
    def __init__(self, megabytes, kind="ext4"):
        if os.geteuid() != 0:
            raise Skip("needs root")
        self.dir = tempfile.mkdtemp(prefix="tsloop.", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.image, self.at = self.dir + "/image", self.dir + "/fs"
        self.is_mounted = False
        self.kind = kind
        os.mkdir(self.at)
        atexit.register(self.close)
        with open(self.image, "wb") as f:
            f.truncate(megabytes << 20)
        try:
            self.run(*MAKE[kind][0], self.image)
            self.mount()
        except (FileNotFoundError, subprocess.CalledProcessError) as e:
            self.close()
            raise Skip(f"no loop-mounted {kind} here: {e}")
        os.chmod(self.at, 0o755)

    @staticmethod
    def run(*argv):
        env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)

    def mount(self):
        self.run("mount", "-t", self.kind, "-o", MAKE[self.kind][1], self.image, self.at)
        self.is_mounted = True

    def break_it(self):
        """The kernel finds an error in it and turns it read-only, as with a failing disk."""
        dev = os.stat(self.at).st_dev
        name = os.path.basename(os.path.realpath(f"/sys/dev/block/{os.major(dev)}:{os.minor(dev)}"))
        try:
            with open(f"/sys/fs/ext4/{name}/trigger_fs_error", "w") as f:
                f.write("1")
        except OSError as e:
            raise Skip(f"no way to turn it read-only while it is in use: {e}")

    def umount(self):
        """Waits for those who are just dying."""
        for i in range(100):
            try:
                self.run("umount", self.at)
                self.is_mounted = False
                break
            except subprocess.CalledProcessError:
                if i == 99:
                    raise
                time.sleep(0.1)
        # A process with mounts of its own, also of somebody else's, that began meanwhile has it still: to mount it
        # again would be to share what is shut down.
        deadline = time.time() + 60
        while self.is_held():
            if time.time() > deadline:
                raise RuntimeError(f"{self.at} is still mounted for some other process")
            time.sleep(0.02)

    def is_held(self):
        for name in glob.glob("/sys/block/loop*/loop/backing_file"):
            try:
                with open(name) as f:
                    if f.read().strip() == self.image:
                        return True
            except OSError:
                pass
        return False

    def cut_power(self):
        """From here on nothing more reaches the image: what the page cache and the open transaction hold is gone."""
        fd = os.open(self.at, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, FS_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(fd)

    def free(self):
        v = os.statvfs(self.at)
        return v.f_bavail * v.f_frsize

    def fill(self, leave):
        """Leaves that many bytes free; the name of the file that takes the rest."""
        name = f"{self.at}/filler.{len(os.listdir(self.at))}.{time.time_ns()}"
        with open(name, "wb", buffering=0) as f:
            try:
                want = self.free() - leave
                if want > 0:
                    os.posix_fallocate(f.fileno(), 0, want)
                while leave == 0:
                    f.seek(0, 2)
                    f.write(b"x" * 4096)
            except OSError:
                pass
        return name

    def close(self):
        if self.is_mounted:
            try:
                self.umount()
            except subprocess.CalledProcessError:
                subprocess.run(["umount", "-l", self.at], check=False)
                self.is_mounted = False
        if not os.path.ismount(self.at):
            shutil.rmtree(self.dir, ignore_errors=True)
