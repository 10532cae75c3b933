"""Rotation in the middle of a delivery run: no delivery fails, every message is in exactly one day."""
import glob
import os
import re
import subprocess
import sys
import time

from suite import BUILD, Suite, main, note
from test_kill import Run


def ctl(suite, verb):
    p = subprocess.run([BUILD + "/rotatectl", "-s", f"{suite.base}/run/rotated/control", verb], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=30)
    assert p.returncode == 0, p.stdout
    return p.stdout


def days(suite):
    found = {}
    for log in glob.glob(f"{suite.base}/spool/redundant/*/*.log"):
        day = log.split("/")[-2]
        for x in re.finditer(rb"Message-ID: <k(\d+)@", open(log, "rb").read()):
            found.setdefault(int(x.group(1)), []).append(day)
    return found


def rotate_in_the_middle(suite):
    run = Run(suite, 1500, 0)
    rotations = 0
    while run.left > 50:
        time.sleep(0.3)
        ctl(suite, "rotate")
        rotations += 1
    run.wait(120)
    assert rotations >= 2, "the run was over before it was rotated"
    assert run.resent == 0, f"{run.resent} deliveries failed"
    found = days(suite)
    assert len(found) == 1500, len(found)
    many = {i: d for i, d in found.items() if len(d) != 1}
    assert not many, list(many.items())[:5]
    note(f"{rotations} rotations during 1500 deliveries; days used: {len({d[0] for d in found.values()})}")


def finished_days_have_an_index(suite):
    deadline = time.time() + 20
    while True:
        logs = sorted(glob.glob(f"{suite.base}/spool/redundant/*/*.log"))
        missing = [l for l in logs if not os.path.exists(l[:-4] + ".index")]
        if len(missing) <= 1:
            break
        assert time.time() < deadline, missing
        time.sleep(0.2)
    assert len(logs) >= 3, logs


def status_tells(suite):
    out = ctl(suite, "status")
    assert time.strftime("%Y-%m-%d") in out, out


if __name__ == "__main__":
    sys.exit(main(Suite(), [rotate_in_the_middle, finished_days_have_an_index, status_tells]))
