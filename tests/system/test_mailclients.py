"""Mail clients as Debian ships them, through proxyd with TLS: what each leaves behind is what a client of the test's own
finds. Whole mailboxes of thousands go both ways; nobody here knows of the others' messages but by the protocol.
"""
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time

from imapcheck import Client
from suite import PASSWORD, Suite, main, message, note

SYNC_MESSAGES = 5000
SYNC_S = 40	# each of mbsync's runs; here they take 3 s
MANY = 250	# messages of one APPEND
LETTERS = {"S": b"\\Seen", "F": b"\\Flagged", "R": b"\\Answered", "D": b"\\Draft", "T": b"\\Deleted"}


def user(n):
    return f"user{n:05d}"


def client(suite, n):
    return Client(suite.port(10143)).login(user(n))


class Home:
    """A home directory for a client, and how it is run there."""

    def __init__(self, suite):
        self.dir = tempfile.mkdtemp(dir=suite.base)
        self.ca = f"{suite.base}/tls/cert.pem"
        self.env = dict(os.environ, HOME=self.dir, TERM="dumb", LANG="C.UTF-8")

    def write(self, name, text, mode=0o600):
        path = f"{self.dir}/{name}"
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(path, mode)
        return path

    def run(self, *args, seconds=60):
        p = subprocess.run(args, env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=seconds)
        assert p.returncode == 0, (args, p.returncode, p.stdout[-2000:].decode(errors="replace"))
        return p.stdout.decode(errors="replace")

    def run_on_terminal(self, *args):
        pid, tty = pty.fork()
        if pid == 0:
            os.chdir(self.dir)
            os.execvpe(args[0], args, dict(self.env, TERM="xterm"))
        screen = b""
        try:
            while select.select([tty], [], [], 20)[0]:
                screen = (screen + os.read(tty, 4096))[-4000:]
        except OSError:
            pass	# it has ended
        os.close(tty)
        assert os.waitpid(pid, 0)[1] == 0, screen


def fill(c, box, names, flags=""):
    """Messages by their names, as many as fit in one APPEND at once."""
    names = list(names)
    for at in range(0, len(names), MANY):
        raws = [message(n) for n in names[at:at + MANY]]
        c.cmd(f"APPEND {box}".encode() + b"".join(b" (%s) {%d+}\r\n%s" % (flags.encode(), len(r), r) for r in raws))


def there(c, box):
    """{name: flags} of a mailbox, each name once."""
    c.cmd(f"SELECT {box}")
    out = c.cmd("FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1] if c.msgs else []
    found = {re.search(rb"<([^@]+)@", r[2][b"BODY[HEADER.FIELDS (MESSAGE-ID)]"]).group(1).decode(): c.msgs[r[1] - 1]["flags"]
             for r in out if r[0] == b"FETCH"}
    assert len(found) == len(c.msgs), "a message is there twice"
    return found


def maildir(path):
    """{name: (file, flags)}"""
    found = {}
    for sub in ("cur", "new"):
        for f in os.listdir(f"{path}/{sub}"):
            with open(f"{path}/{sub}/{f}", "rb") as m:
                name = re.search(rb"(?m)^Message-ID: <([^@]+)@", m.read(4096)).group(1).decode()
            assert name not in found, f"{name} is there twice"
            letters = f.rpartition(":2,")[2] if ":2," in f else ""
            found[name] = (f"{path}/{sub}/{f}", {LETTERS[x] for x in letters if x in LETTERS})
    return found


def mark(file, letters):
    folder, name = os.path.split(file)
    os.rename(file, f"{os.path.dirname(folder)}/cur/{name.split(':')[0]}:2,{letters}")


def put(path, name, letters=""):
    with open(f"{path}/cur/{time.time():.6f}.{name}.host:2,{letters}", "wb") as f:
        f.write(message(name).replace(b"\r\n", b"\n"))


def mbsync(suite):
    """Thousands down, then flags, new and removed ones of both sides at once."""
    home, c = Home(suite), client(suite, 0)
    c.cmd("CREATE Sync")
    fill(c, "Sync", [f"s{i}" for i in range(SYNC_MESSAGES)])
    rc = home.write("rc", f"FSync no\n\nIMAPAccount t\nHost localhost\nPort {suite.port(10993)}\nUser {user(0)}\nPass {PASSWORD}\nSSLType IMAPS\n"
                    f"CertificateFile {home.ca}\n\nIMAPStore far\nAccount t\n\nMaildirStore near\nPath {home.dir}/m/\nInbox {home.dir}/m/INBOX\n"
                    "SubFolders Verbatim\n\nChannel c\nFar :far:\nNear :near:\nPatterns Sync\nCreate Both\nExpunge Both\nSyncState *\n")
    os.mkdir(f"{home.dir}/m")
    took = []

    def sync():
        began = time.time()
        home.run("mbsync", "-c", rc, "c", seconds=SYNC_S)
        took.append(f"{time.time() - began:.1f} s")
    sync()
    path = f"{home.dir}/m/Sync"
    near = maildir(path)
    assert len(near) == SYNC_MESSAGES, len(near)
    for i in range(500):
        mark(near[f"s{i}"][0], "FS")
    for i in range(500, 600):
        mark(near[f"s{i}"][0], "ST")	# removed here
    for i in range(200):
        put(path, f"n{i}", "R" if i % 2 else "")
    c.cmd("SELECT Sync")
    c.cmd("STORE 1001:1500 +FLAGS.SILENT (\\Answered)")
    c.cmd("STORE 1501:1600 +FLAGS.SILENT (\\Deleted)")
    c.cmd("EXPUNGE")
    fill(c, "Sync", [f"f{i}" for i in range(300)], "\\Flagged")
    sync()
    sync()
    far, near = there(c, "Sync"), {n: f for n, (_, f) in maildir(path).items()}
    assert far == near, [(n, far.get(n), near.get(n)) for n in far.keys() | near.keys() if far.get(n) != near.get(n)][:10]
    want = {f"s{i}" for i in range(SYNC_MESSAGES) if not 500 <= i < 600 and not 1500 <= i < 1600} | \
        {f"n{i}" for i in range(200)} | {f"f{i}" for i in range(300)}
    assert set(far) == want, sorted(set(far) ^ want)[:10]
    assert far["s7"] == {b"\\Seen", b"\\Flagged"} and far["s1007"] == {b"\\Answered"} and far["f7"] == {b"\\Flagged"} and far["n1"] == {b"\\Answered"}
    note(f"mbsync, {SYNC_MESSAGES} messages: all {took[0]}, both sides changed {took[1]}, nothing changed {took[2]}")
    c.close()


def offlineimap(suite, n=300):
    home, c = Home(suite), client(suite, 1)
    c.cmd("CREATE Off")
    fill(c, "Off", [f"o{i}" for i in range(n)])
    rc = home.write("rc", f"[general]\naccounts = a\nui = basic\nfsync = False\nmetadata = {home.dir}/state\n[Account a]\nlocalrepository = l\n"
                    f"remoterepository = r\n[Repository l]\ntype = Maildir\nlocalfolders = {home.dir}/m\n[Repository r]\ntype = IMAP\n"
                    f"remotehost = localhost\nremoteport = {suite.port(10993)}\nremoteuser = {user(1)}\nremotepass = {PASSWORD}\nssl = yes\n"
                    f"sslcacertfile = {home.ca}\nfolderfilter = lambda f: f == 'Off'\nmaxconnections = 3\n")
    home.run("offlineimap", "-c", rc, "-o")
    path = f"{home.dir}/m/Off"
    near = maildir(path)
    assert len(near) == n, len(near)
    for i in range(20):
        mark(near[f"o{i}"][0], "FS")
    os.unlink(near["o20"][0])
    for i in range(5):
        put(path, f"p{i}", "S")
    c.cmd("SELECT Off")
    c.cmd("STORE 101:120 +FLAGS.SILENT (\\Answered)")
    c.cmd("STORE 150 +FLAGS.SILENT (\\Deleted)")
    c.cmd("EXPUNGE")
    home.run("offlineimap", "-c", rc, "-o")
    far, near = there(c, "Off"), {x: f for x, (_, f) in maildir(path).items()}
    assert far == near, [(x, far.get(x), near.get(x)) for x in far.keys() | near.keys() if far.get(x) != near.get(x)][:10]
    assert len(far) == n + 3 and "o20" not in far and "o149" not in far and far["o5"] == {b"\\Seen", b"\\Flagged"}, len(far)
    c.close()


def imapfilter(suite):
    home, c = Home(suite), client(suite, 2)
    fill(c, "INBOX", [f"i{i}" for i in range(40)])
    rc = home.write("config.lua", f"""
options.certificates = true
options.create = true
options.subscribe = true
a = IMAP {{ server = 'localhost', port = {suite.port(10993)}, username = '{user(2)}', password = '{PASSWORD}', ssl = 'auto' }}
a.INBOX:check_status()
odd = a.INBOX:contain_subject('message i1')
odd:move_messages(a['Filtered/ones'])
a.INBOX:contain_subject('message i2'):mark_flagged()
twos = a.INBOX:is_flagged() * a.INBOX:is_unseen()
twos:copy_messages(a['Copies'])
a.INBOX:contain_field('Message-ID', 'i3@'):delete_messages()
all, sub = a:list_all('', '*')
""")
    home.env["SSL_CERT_FILE"] = home.ca
    home.run("imapfilter", "-c", rc, "-t", home.ca)
    ones, twos = {f"i{i}" for i in range(40) if str(i).startswith("1")}, {f"i{i}" for i in range(40) if str(i).startswith("2")}
    assert set(there(c, "Filtered/ones")) == ones
    assert set(there(c, "Copies")) == twos
    inbox = there(c, "INBOX")
    assert set(inbox) == {f"i{i}" for i in range(40)} - ones - {"i3"} and {x for x, f in inbox.items() if b"\\Flagged" in f} == twos, inbox
    c.close()


def perl_imapclient(suite):
    home, c = Home(suite), client(suite, 3)
    fill(c, "INBOX", [f"p{i}" for i in range(30)])
    script = home.write("x.pl", r"""
use strict; use warnings; use Mail::IMAPClient;
my ($port, $user, $password, $ca) = @ARGV;
my $m = Mail::IMAPClient->new(Server => 'localhost', Port => $port, User => $user, Password => $password, Uid => 1, Peek => 1,
    Ssl => [SSL_ca_file => $ca, SSL_verify_mode => 1]) or die "connect: $@";
sub must { my ($what, $got) = @_; die "$what: " . $m->LastError . "\n" unless defined $got; $got }
must('authenticated', $m->IsAuthenticated || undef);
die "no IDLE" unless $m->has_capability('IDLE');
must('create', $m->create('Perl'));
must('select', $m->select('INBOX'));
die 'count' unless $m->message_count('INBOX') == 30 && $m->unseen_count('INBOX') == 30;
my @ids = $m->search('ALL');
my @sorted = $m->sort('REVERSE SUBJECT', 'UTF-8', 'ALL');
die "sort @sorted" unless @sorted == 30 && $sorted[0] == $ids[9];
my $threads = must('thread', $m->thread('REFERENCES', 'UTF-8', 'ALL'));
die 'threads' unless 30 == grep { ref $_ ? 0 : 1 } map { ref $_ ? @$_ : $_ } @$threads;
must('move', $m->move('Perl', [@ids[0..4]]));
must('expunge', $m->expunge);
must('flag', $m->set_flag('Flagged', @ids[5..9]));
must('see', $m->see($ids[10]));
my $h = must('fetch_hash', scalar $m->fetch_hash('FLAGS', 'RFC822.SIZE', 'INTERNALDATE'));
die 'hash' unless keys(%$h) == 25 && $h->{$ids[6]}->{FLAGS} =~ /Flagged/;
my $p = must('headers', scalar $m->parse_headers($ids[7], 'Subject', 'Message-ID'));
die 'headers' unless $p->{Subject}[0] eq 'message p7';
my $b = must('structure', $m->get_bodystructure($ids[8]));
die 'structure ' . $b->bodytype unless uc($b->bodytype) eq 'TEXT';
my $e = must('envelope', $m->get_envelope($ids[8]));
die 'envelope' unless $e->subject eq 'message p8';
die 'body' unless $m->message_string($ids[9]) =~ /This is message p9\./;
my $new = must('append', $m->append_string('Perl', "Subject: by perl\r\nMessage-ID: <perl\@x>\r\n\r\nhello\r\n", '\\Seen'));
my $idle = must('idle', $m->idle);
$m->idle_data(0.2);
must('done', $m->done($idle));
die 'folders' unless grep { $_ eq 'Perl' } $m->folders;
must('logout', $m->logout);
print "done\n";
""")
    assert home.run("perl", script, str(suite.port(10993)), user(3), PASSWORD, home.ca).endswith("done\n")
    assert set(there(c, "Perl")) == {f"p{i}" for i in range(5)} | {"perl"}
    inbox = there(c, "INBOX")
    assert set(inbox) == {f"p{i}" for i in range(5, 30)} and inbox["p7"] == {b"\\Flagged"} and inbox["p10"] == {b"\\Seen"}, inbox
    c.close()


def getmail(suite):
    """New mail into files, and removed there; what came later is left for the next run."""
    home, c = Home(suite), client(suite, 4)
    fill(c, "INBOX", [f"g{i}" for i in range(60)])
    os.makedirs(f"{home.dir}/m/cur")
    os.makedirs(f"{home.dir}/m/new")
    os.mkdir(f"{home.dir}/.getmail", 0o700)
    mda = home.write("mda", f"#!/bin/sh\ncat >{home.dir}/m/new/$$\n", 0o700)
    home.write(".getmail/getmailrc", f"[retriever]\ntype = SimpleIMAPSSLRetriever\nserver = localhost\nport = {suite.port(10993)}\nusername = {user(4)}\n"
               f"password = {PASSWORD}\nca_certs = {home.ca}\nmailboxes = (\"INBOX\",)\n[destination]\ntype = MDA_external\npath = {mda}\nallow_root_commands = true\n"
               "[options]\nread_all = false\ndelete = true\ndelivered_to = false\nreceived = false\n")
    home.run("getmail", "--quiet")
    assert len(maildir(f"{home.dir}/m")) == 60 and there(c, "INBOX") == {}
    assert suite.deliver(message("later"), [user(4)])[0][0] == 250
    home.run("getmail", "--quiet")
    assert len(maildir(f"{home.dir}/m")) == 61
    c.close()


def neomutt(suite):
    """With its header cache: the second time it comes by QRESYNC, and acts on what changed meanwhile."""
    home, c = Home(suite), client(suite, 5)
    url = f"imaps://localhost:{suite.port(10993)}"
    c.cmd("CREATE Neo")
    c.cmd("CREATE Picked")
    fill(c, "Neo", [f"x{i}" for i in range(100)])
    rc = home.write("rc", f"set certificate_file={home.ca} imap_user={user(5)} imap_pass={PASSWORD} folder={url}\n"
                    f"set header_cache={home.dir}/cache imap_condstore=yes imap_qresync=yes quit=yes delete=yes confirm_append=no confirm_create=no\n"
                    "set ssl_force_tls=yes mail_check=1 wait_key=no move=no mark_old=no\n")
    os.mkdir(f"{home.dir}/cache")

    def session(keys):
        home.run_on_terminal("neomutt", "-n", "-F", rc, "-f", f"{url}/Neo", "-e", f"push '{keys}'")
    session("<tag-pattern>~A<enter><tag-prefix><set-flag>!<quit>")
    assert all(f == {b"\\Flagged"} for f in there(c, "Neo").values())
    c.cmd("STORE 11:20 -FLAGS.SILENT (\\Flagged)")
    c.cmd("STORE 31:40 +FLAGS.SILENT (\\Deleted)")
    c.cmd("EXPUNGE")
    fill(c, "Neo", [f"y{i}" for i in range(10)])
    session("<tag-pattern>!~F<enter><tag-prefix><copy-message>=Picked<enter><quit>")
    assert set(there(c, "Picked")) == {f"x{i}" for i in range(10, 20)} | {f"y{i}" for i in range(10)}
    session("<delete-pattern>~F<enter><sync-mailbox><quit>")
    assert set(there(c, "Neo")) == {f"x{i}" for i in range(10, 20)} | {f"y{i}" for i in range(10)}
    c.close()



def curl(suite):
    home, c = Home(suite), client(suite, 6)
    fill(c, "INBOX", [f"c{i}" for i in range(5)])

    def ask(path, *args):
        return home.run("curl", "-sS", "--cacert", home.ca, "-u", f"{user(6)}:{PASSWORD}", f"imaps://localhost:{suite.port(10993)}/{path}", *args)
    assert "This is message c2." in ask("INBOX;MAILINDEX=3")
    assert "Subject: message c1" in ask("INBOX;MAILINDEX=2;SECTION=HEADER.FIELDS%20(SUBJECT)")
    assert re.search(r"\* SEARCH 4\r\n", ask("INBOX?SUBJECT%20c3"))
    assert "FLAGS (\\Flagged" in ask("INBOX", "-X", "STORE 1 +FLAGS (\\Flagged)")
    assert "* LIST" in ask("")
    ask("", "-X", "CREATE Curled")
    ask("Curled", "-T", home.write("up", message("curled")))
    assert set(there(c, "Curled")) == {"curled"} and there(c, "INBOX")["c0"] == {b"\\Flagged"}
    c.close()


if __name__ == "__main__":
    sys.exit(main(Suite(users=7), [mbsync, offlineimap, imapfilter, perl_imapclient, getmail, neomutt, curl]))
