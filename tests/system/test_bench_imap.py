"""The session benchmark works: every part of it on a small suite, and each figure that the tables name is there."""
import json
import os
import subprocess
import sys
import tempfile

from suite import TOP, main

CASES = {
    "sessions": ["1 conn.", "4 conn."],
    "big": ["mailbox", "FETCH of all bodies, MB/s", "SEARCH TEXT of a word in 1 %, MB/s", "SORT (SUBJECT), ms",
            "SORT (REVERSE DATE), ms", "THREAD ORDEREDSUBJECT, ms", "THREAD REFERENCES, ms"],
    "select": ["SELECT of 150"],
    "idle": ["1 idling: delivery to EXISTS", "20 idling: memory each", "20 idling: delivery to EXISTS"],
}


def smoke(suite):
    with tempfile.NamedTemporaryFile(suffix=".json") as f:
        p = subprocess.run([sys.executable, os.path.join(TOP, "tests/bench/imap.py"), "--smoke", "--json", f.name],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert p.returncode == 0, p.stdout
        data = json.load(open(f.name))
    assert not data["failures"], data["failures"]
    for part, cases in CASES.items():
        rows = [r for r in data["results"] if r["part"] == part]
        assert [c for c in dict.fromkeys(r["case"] for r in rows)] == cases, (part, rows)
        # memory can fall beside so few sessions
        assert all(r["value"] > 0 for r in rows if "memory" not in r["case"]), rows
        assert not any(r.get("missed") for r in rows), rows
        assert f"imap.py --smoke --only {part}`" in p.stdout, p.stdout


if __name__ == "__main__":
    sys.exit(main(None, [smoke]))
