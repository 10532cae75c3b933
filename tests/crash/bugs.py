#!/usr/bin/env python3
"""make crash-bugs: does the crash explorer find what it is for? Each bug is planted alone in a copy of the tree, the copy
built and explored; the explorer must find violations. Nothing of the tree itself is changed. Needs root and /dev/fuse.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# name, then (file, what stands there, what is planted)
BUGS = [
    ("a missing sync: the redundant spool is written but not synced", [
        ("spoold/commit_sync.c", "job_add_file(c, p->ahead->dev, p->ahead->fd, bit(partition));", ""),
    ]),
    ("a missing sync: of several logs only the first is synced", [
        ("spoold/commit_sync.c", "\t\t\t\tjob_add_volume(c, volume);\n\t\t\t\treturn;\n\t\t\t}\n\t\t\tone = r->fds[i];",
         "\t\t\t\tcontinue;\n\t\t\t}\n\t\t\tone = r->fds[i];"),
    ]),
    ("a wrong order: a compacted segment takes its name before it is synced", [
        ("spoold/store/compact.c", "if (fsync(w->fd) != 0 || spool_follow(s->spool) != 0", "if (spool_follow(s->spool) != 0"),
        ("spoold/store/compact.c", "\tdone = exchange(s, n, old);", "\tdone = exchange(s, n, old);\n\t(void)fsync(w->fd);"),
    ]),
    ("an unchecked tail: a record's end is believed without its checksums", [
        ("lib/record.c", "if (f.bad || crc != record_crc(salt, (struct slice){in.p, TRAILER_SUMMED}))", "(void)salt;\n\tif (f.bad || crc == 1)"),
        ("spoold/store/body.c", "return ok && sum_is(fd, salt, b->offset, b->bytes, b->crc);",
         "(void)sum_is;\n\treturn ok;"),
    ]),
    ("a descriptor shared: a delivering worker syncs, too, with the one the committer relies on", [
        ("spoold/children.c", "\tkeep_add(&k, family.site->deliver_fd);\n",
         "\tkeep_add(&k, family.site->deliver_fd);\n\tkeep_add(&k, family.site->volumes[0].fd);\n"),
        ("spoold/deliver_submit.c", "\tif (link == NULL) {\n\t\tundo(s, partition);",
         "\t(void)!syncfs(s->conn->deliver->site->volumes[0].fd);\n\tif (link == NULL) {\n\t\tundo(s, partition);"),
    ]),
]


def run(argv, cwd):
    return subprocess.run(argv, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def main():
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("1..1\nok 1 - planted bugs # SKIP needs root and /dev/fuse")
        return 0
    work = tempfile.mkdtemp(prefix="tsbugs.", dir="/tmp")
    failed = 0
    try:
        files = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], TOP).stdout.split("\n")
        for f in filter(None, files):
            if os.path.exists(os.path.join(TOP, f)):
                os.makedirs(os.path.join(work, os.path.dirname(f)), exist_ok=True)
                shutil.copy2(os.path.join(TOP, f), os.path.join(work, f))
        print(f"1..{len(BUGS)}", flush=True)
        for n, (name, patches) in enumerate(BUGS, 1):
            kept = {}
            for f, old, new in patches:
                path = os.path.join(work, f)
                text = open(path).read()
                kept.setdefault(path, text)
                assert text.count(old) == 1, f"{f}: what the bug replaces stands there {text.count(old)} times"
                open(path, "w").write(text.replace(old, new))
            p = run(["make", "-s", "-j2", "NO_WERROR=1", "tests"], work)
            if p.returncode:
                print(p.stdout[-2000:])
            p = run([sys.executable, "tests/crash/crash.py", "--no-assert"], work)
            for path, text in kept.items():
                open(path, "w").write(text)
            found = sum(int(x) for x in re.findall(r", (\d+) violations", p.stdout))
            first = re.search(r"VIOLATION (.*)", p.stdout)
            states = re.search(r"# (\d+) states recovered", p.stdout)
            print(f"# {name}: {states.group(1) if states else 'no'} states, {found} violations"
                  + (f", first: {first.group(1)}" if first else ""))
            if not found:
                failed += 1
                print("\n".join(p.stdout.splitlines()[-10:]))
            print(f"{'ok' if found else 'not ok'} {n} - found: {name}", flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
