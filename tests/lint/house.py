"""The house keeps its plan: nothing else at the top, no daemon includes another's headers, lib includes no daemon's,
every log event is in twinspool-log(5) and every event there is in the code, pages are clean, configuration files,
tables and pages name the same keys with the same defaults."""
import glob
import os
import re
import subprocess
import sys
import tempfile

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


def event_keys():
    """The keys of each event, as far as they stand in the call itself, are on its page."""
    page = {m[1]: set(re.findall(r"[a-z0-9_]+", m[2])) for m in re.finditer(
        r"^\.It Ic (\S+)\n((?:(?!\.It ).*\n)*)", open(f"{TOP}/man/twinspool-log.5").read(), re.M)}
    bad = []
    for room in DAEMONS + ["lib"]:
        for p in sources(room):
            for event, rest in re.findall(r'\b(?:LOG|DIE)\((?:[A-Z_]+,\s*)?"([a-z0-9_.]+)"(.*?)\);\n', open(p).read(), re.S):
                keys = set(re.findall(r'\blog_[a-z0-9]+\(\s*"([a-z0-9_]+)"', rest))
                bad += [f"{p}: {event} has {k}, which twinspool-log(5) does not say" for k in
                        sorted(keys - page.get(event, keys) - {"errno"})]
    return bad


def in_force(d, path):
    """What DAEMON -d prints with that file: {key: value}."""
    p = subprocess.run([f"{BUILD}/{d}", "-d", "-c", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if p.returncode:
        return None
    return {k.strip(): v.strip() for k, v in (line.split("=", 1) for line in p.stdout.splitlines() if " =" in line)}


def plain(value):
    """A value as -d prints it: bytes without k, m, g."""
    m = re.fullmatch(r"(\d+)([kmg])", value)
    return str(int(m[1]) << {"k": 10, "m": 20, "g": 30}[m[2]]) if m else value


def default_of(text):
    """The default that a key's paragraph in DAEMON.conf(5) states ("Default: x.", "The default is x.", "default x,"), or None."""
    text = re.sub(r"^\.(?:Dq|Pa|Ic|Sq) ", "", text, flags=re.M).replace("\n", " ")
    if re.search(r"(?i)\bempty, the default\b|\bno change, which is the default\b", text):
        return ""
    m = re.search(r"(?i)\bdefault(?: is|:)? (.+?)(?: ?[.,;:](?= |$)| \(|$)", text)
    return None if m is None else "" if m[1] in ("empty", "none") else m[1].strip("\u201c\u201d ")


def configuration():
    """The table (-d with an empty file), conf/DAEMON.conf and DAEMON.conf(5) agree on keys and defaults."""
    bad = []
    for d in DAEMONS:
        conf = open(f"{TOP}/conf/{d}.conf").read()
        table = in_force(d, "/dev/null")
        if table is None or in_force(d, f"{TOP}/conf/{d}.conf") is None:
            bad.append(f"{d} -d fails with an empty file or with conf/{d}.conf")
            continue
        filed = dict(re.findall(r"^#?([a-z][a-z0-9_]*) =[ \t]*(.*)$", conf, re.M))
        paragraphs = dict(re.findall(r"^\.It Ic ([a-z0-9_]+)\n((?:(?!\.It |\.El).*\n)*)",
                                     open(f"{TOP}/man/{d}.conf.5").read(), re.M))
        page = set(paragraphs)
        bad += [f"conf/{d}.conf says {k} = {filed[k]}, {d} -d {v}" for k, v in table.items()
                if plain(filed.get(k, v)) != v]
        for k, v in table.items():
            said = default_of(paragraphs.get(k, ""))
            if k in paragraphs and said is None:
                bad.append(f"{d}.conf(5) states no default of {k}")
            elif k in paragraphs and plain(said) != v:
                bad.append(f"{d}.conf(5) says that {k} is {said}, {d} -d {v}")
        bad += [f"conf/{d}.conf lacks {k}" for k in table if k not in filed]
        bad += [f"conf/{d}.conf has {k}, which {d} does not know" for k in filed if k not in table]
        bad += [f"{d}.conf(5) lacks {k}" for k in table if k not in page]
        bad += [f"{d}.conf(5) has {k}, which {d} does not know" for k in page if k not in table]
    return bad


# What no table of keys finds and a start would end with: daemon, line, the key that is named.
REFUSED = [(d, f"listen = {where}", "listen") for d in ("lmtpd", "relayd", "mupdated") for where in
           ("foo", "host:1", "127.0.0.1:70000", "127.0.0.1:", "[::1:25", "unix:foo", "unix:/" + 107 * "x", "127.0.0.1:1 127.0.0.1:1")]
REFUSED += [("proxyd", f"{k}_listen = {where}", f"{k}_listen") for k in ("imap", "imaps", "pop3", "pop3s") for where in
            ("127.0.0.1:99999", "host:1", "127.0.0.1")]
REFUSED += [(d, f"{k} = {who}", k) for d, k in (
    ("lmtpd", "lmtp_clients"), ("relayd", "lmtp_clients"), ("spoold", "deliver_clients"), ("spoold", "session_clients"),
    ("rotated", "redundant_clients"), ("rotated", "control_clients"), ("mupdated", "map_clients"))
    for who in ("nobody_such", "0 nobody_such", "4294967295")]
REFUSED += [
    ("proxyd", "imap_listen = 127.0.0.1:1\nimaps_listen = 127.0.0.1:1", "imaps_listen"), ("proxyd", "mech_list = a/b", "mech_list"),
    ("lmtpd", "trusted = foo", "trusted"), ("lmtpd", "trusted = unix 127.0.0.01", "trusted"), ("lmtpd", "trusted = 0::1", "trusted"),
    ("spoold", "mupdate = foo", "mupdate"), ("spoold", "mupdate = 127.0.0.1:65536", "mupdate"),
    ("spoold", "partitions = a/b", "partitions"), ("spoold", "partitions = a a", "partitions"),
    ("spoold", "workers_min = 9\nworkers_max = 8", "workers_min"), ("rotated", "rotate_at = 24:00", "rotate_at"),
    ("relayd", "table = {tmp}/empty\nhosts = foo", "hosts"), ("relayd", "table = {tmp}/empty\nplacement = foo", "placement"),
    ("relayd", "table = {tmp}/empty\nnext_hop = unix:/x", "next_hop"),
    ("proxyd", "tls_certificate = {tmp}/none\ntls_key = {tmp}/a.key", "tls_certificate"),
    ("proxyd", "tls_certificate = {tmp}/garbage\ntls_key = {tmp}/a.key", "tls_certificate"),
    ("proxyd", "tls_certificate = {tmp}/small.pem\ntls_key = {tmp}/small.key", "tls_certificate"),
    ("proxyd", "tls_certificate = {tmp}/ed.pem\ntls_key = {tmp}/ed.key", "tls_certificate"),
    ("proxyd", "tls_certificate = {tmp}/a.pem\ntls_key = {tmp}/none", "tls_key"),
    ("proxyd", "tls_certificate = {tmp}/a.pem\ntls_key = {tmp}/garbage", "tls_key"),
    ("proxyd", "tls_certificate = {tmp}/a.pem\ntls_key = {tmp}/b.key", "tls_key"),
    ("proxyd", "tls_certificate = {tmp}/a.pem\ntls_key = {tmp}/a.key", None),
    ("lmtpd", "trusted = unix 127.0.0.1 ::1 2001:db8::1", None), ("lmtpd", "listen = [::1]:65535 unix:/a", None),
    ("spoold", "mupdate =", None), ("spoold", "session_clients = root 64802", None),
]


def checks():
    """Every row of REFUSED: -n says 100 and the key, or is content where none is named."""
    bad = []
    with tempfile.TemporaryDirectory() as tmp:
        for name, kind in ("a", "ec:P-256"), ("b", "ec:P-256"), ("small", "rsa:1024"), ("ed", "ed25519"):
            algorithm, _, size = kind.partition(":")
            how = {"ec": ["ec", "-pkeyopt", f"ec_paramgen_curve:{size}"], "rsa": [kind], "ed25519": ["ed25519"]}[algorithm]
            subprocess.run(["openssl", "req", "-x509", "-nodes", "-subj", "/CN=x", "-newkey", *how, "-keyout", f"{tmp}/{name}.key",
                            "-out", f"{tmp}/{name}.pem"], check=True, stderr=subprocess.DEVNULL)
        with open(f"{tmp}/garbage", "w") as f:
            f.write("garbage\n")
        open(f"{tmp}/empty", "w").close()
        for d, text, key in REFUSED:
            with open(f"{tmp}/conf", "w") as f:
                f.write(text.format(tmp=tmp) + "\n")
            p = subprocess.run([f"{BUILD}/{d}", "-n", "-c", f"{tmp}/conf"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            good = p.returncode == 0 and not p.stderr if key is None else \
                p.returncode == 100 and re.fullmatch(rf"\S+ fatal\.conf at={tmp}/conf key={key} .*why=.*\n", p.stderr)
            if not good:
                bad.append(f"{d} -n: status {p.returncode}, {p.stderr.strip()} for {text!r}")
    return bad


def options():
    """-n and -d of every daemon, and status 100 with file:line for a file that is wrong."""
    bad = []
    with tempfile.TemporaryDirectory() as tmp:
        wrong = f"{tmp}/wrong.conf"
        for d in DAEMONS:
            for text, line in (("# nothing\nno_such_key = 1\n", 2), ("what is this\n", 1), ("hostname = a\nhostname = b\n", 2)):
                if d == "rotated":
                    text = text.replace("hostname", "user").replace("= a", "= 1:1")
                with open(wrong, "w") as f:
                    f.write(text)
                for option in "-n", "-d":
                    p = subprocess.run([f"{BUILD}/{d}", option, "-c", wrong], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
                    if p.returncode != 100 or p.stdout or f"fatal.conf at={wrong}:{line} " not in p.stderr:
                        bad.append(f"{d} {option}: status {p.returncode}, {p.stderr.strip()} for {text!r}")
            p = subprocess.run([f"{BUILD}/{d}", "-x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if p.returncode != 100 or "fatal.usage" not in p.stderr:
                bad.append(f"{d} -x: status {p.returncode}, {p.stderr.strip()}")
    return bad


def examples():
    """The commands of the EXAMPLES of pages of section 7 name files, programs, targets and keys that exist."""
    programs = set(DAEMONS) | {os.path.basename(p)[5:-2] for p in glob.glob(f"{TOP}/*/prog_*.c")}
    bad = []
    for page in "twinspool.7", "twinspool-security.7":
        text = open(f"{TOP}/man/{page}").read().split(".Sh EXAMPLES")[1].split(".Sh ")[0]
        shown = "\n".join(re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.M | re.S)).replace("\\e", "\\")
        made = set(re.findall(r"-(?:keyout|out) (/\S+?)\)?(?=\s)", shown))
        for path in set(re.findall(r"/(?:usr/share|etc)/(?:twinspool|sv)/[^\s;)'\"]*", shown)) - made:
            local = re.sub(r"^/etc/sv/|^/usr/share/twinspool/sv/", "sv/", path.replace("$d", DAEMONS[0]))
            local = re.sub(r"^/etc/twinspool/|^/usr/share/twinspool/", "", local)
            if not glob.glob(f"{TOP}/conf/{local}"):
                bad.append(f"{page}: {path} is not installed")
        for target in re.findall(r"\bmake ([a-z-]+)", shown):
            if not re.search(rf"^{target}:", open(f"{TOP}/Makefile").read(), re.M):
                bad.append(f"{page}: make has no target {target}")
        for word in re.findall(r"^for d in (.*); do", shown, re.M):
            bad += [f"{page}: there is no {w}" for w in word.split() if w not in DAEMONS]
        for word in re.findall(r"^((?:rotat|redundant|relay|lmtp|spool|mupdat|proxy)\w*) (?!=)", shown, re.M):
            if word not in programs:
                bad.append(f"{page}: there is no program {word}")
        for d, lines in re.findall(r"^cat >>/etc/twinspool/(\w+)\.conf <<END\n(.*?)^END", shown, re.M | re.S):
            known = in_force(d, "/dev/null") or {}
            bad += [f"{page}: {d} has no key {k}" for k in re.findall(r"^(\w+) =", lines, re.M) if k not in known]
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
    verdict("the keys of log events are on the page", event_keys())
    verdict("options of the daemons, and a configuration that is wrong", options())
    verdict("-n refuses what a start would", checks())
    verdict("what the EXAMPLES name exists", examples())
    verdict("format strings are checked", formats())
    verdict("clang compiles it without a warning", clang())
    sys.exit(1 if N[1] else 0)
