"""The house keeps its plan: nothing else at the top, no daemon includes another's headers, lib includes no daemon's,
every log event is in twinspool-log(5) and every event there is in the code, pages are clean, configuration files,
tables and pages name the same keys with the same defaults."""
import glob
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("TS_BUILD", "build"))
DAEMONS = ["proxyd", "relayd", "lmtpd", "spoold", "rotated", "mupdated"]
N = [0, 0]


def verdict(name, faults):
    N[0] += 1
    for f in faults[:20]:
        print("    " + f)
    print(f"{'not ok' if faults else 'ok'} {N[0]} - {name}")
    N[1] += bool(faults)


def sources(room):
    return glob.glob(f"{TOP}/{room}/**/*.[ch]", recursive=True)


def top_level():
    allowed = set(DAEMONS) | {"lib", "tests", "conf", "man", "Makefile", "README.md", "LICENSE", "CHANGES", ".ci",
                              ".clang-format", ".gitignore", ".git", "build", "run-state"}
    return [f"{e} is not in the plan of the house" for e in os.listdir(TOP) if e not in allowed]


def includes():
    bad = []
    for room in DAEMONS + ["lib"]:
        own = {os.path.relpath(p, f"{TOP}/{room}") for p in sources(room)}
        lib = {os.path.basename(p) for p in sources("lib")}
        for p in sources(room):
            for inc in re.findall(r'^#include "([^"]+)"', open(p).read(), re.M):
                here = os.path.normpath(os.path.join(os.path.dirname(os.path.relpath(p, f"{TOP}/{room}")), inc))
                if inc not in own and here not in own and inc not in lib:
                    bad.append(f"{p}: includes {inc}")
    return bad


def file_heads():
    return [p for room in DAEMONS + ["lib"] for p in sources(room) if not open(p).read().startswith("/*")]


def events():
    used = set()
    for room in DAEMONS + ["lib"]:
        for p in sources(room):
            text = open(p).read()
            used |= set(re.findall(r'\b(?:LOG|LOG0)\(\s*"([a-z0-9_.]+)"', text))
            used |= set(re.findall(r'\bDIE\([^"]*?"([a-z0-9_.]+)"', text))
            # an event chosen between two literals, or handed to a logging function of the file
            used |= set(re.findall(r'"((?:warn|fatal|bug|[a-z_]+)\.[a-z_]+(?:\.[a-z_]+)?)"', text)) & known_events()
    page = known_events()
    return [f"{e} is logged but not in twinspool-log(5)" for e in sorted(used - page)] + \
        [f"{e} is in twinspool-log(5) but nothing logs it" for e in sorted(page - used)]


def known_events():
    return set(re.findall(r"^\.It Ic (\S+)", open(f"{TOP}/man/twinspool-log.5").read(), re.M))


def pages():
    bad = []
    for p in sorted(glob.glob(f"{TOP}/man/*.[1-8]")):
        out = subprocess.run(["mandoc", "-Tlint", "-W", "warning", p], stdout=subprocess.PIPE, text=True).stdout
        bad += out.splitlines()
    for d in DAEMONS:
        for p in (f"{d}.8", f"{d}.conf.5"):
            if not os.path.exists(f"{TOP}/man/{p}"):
                bad.append(f"man/{p} is missing")
    for p in ("twinspool.7", "twinspool-log.5", "twinspool-security.7"):
        if not os.path.exists(f"{TOP}/man/{p}"):
            bad.append(f"man/{p} is missing")
    return bad


def configuration():
    """What -d prints with an empty file, conf/DAEMON.conf and DAEMON.conf(5) agree on keys and defaults."""
    bad = []
    for d in DAEMONS:
        conf = open(f"{TOP}/conf/{d}.conf").read()
        p = subprocess.run([f"{BUILD}/{d}", "-d", "-c", f"{TOP}/conf/{d}.conf"], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
        if p.returncode:
            bad.append(f"{d} -d: {p.stdout}")
            continue
        table = dict(l.split(" =", 1) for l in p.stdout.splitlines() if " =" in l)
        table = {k.strip(): v.strip() for k, v in table.items()}
        filed = dict(re.findall(r"^#?([a-z][a-z0-9_]*) =[ \t]*(.*)$", conf, re.M))
        page = set(re.findall(r"^\.It Ic ([a-z0-9_]+)", open(f"{TOP}/man/{d}.conf.5").read(), re.M))
        bad += [f"conf/{d}.conf lacks {k}" for k in table if k not in filed]
        bad += [f"conf/{d}.conf has {k}, which {d} does not know" for k in filed if k not in table]
        bad += [f"{d}.conf(5) lacks {k}" for k in table if k not in page]
        bad += [f"{d}.conf(5) has {k}, which {d} does not know" for k in page if k not in table]
    return bad


def formats():
    """No format string that is not a literal: gcc says so with -Wformat-security, an error in every build."""
    mk = open(f"{TOP}/Makefile").read()
    return [] if "-Werror=format-security" in mk else ["Makefile lacks -Werror=format-security"]


def clang():
    """The daemons compile under clang as well, warnings being errors."""
    p = subprocess.run(["make", "-s", "-j2", "CC=clang", f"B={BUILD}/clang", "all"], cwd=TOP, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True)
    return p.stdout.splitlines() if p.returncode else []


if __name__ == "__main__":
    verdict("nothing else at the top of the house", top_level())
    verdict("no room includes another's headers", includes())
    verdict("every source begins with its concept", file_heads())
    verdict("log events and twinspool-log(5) agree", events())
    verdict("manual pages are clean and complete", pages())
    verdict("configuration tables, files and pages agree", configuration())
    verdict("format strings are checked", formats())
    verdict("clang compiles it without a warning", clang())
    sys.exit(1 if N[1] else 0)
