/*
 * The whole of proxyd in one process tree, with a fake spoold behind it and real TLS and SASL clients in front:
 * logins of every kind, backends that refuse, die or keep silent, injections, floods, dead children, the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sasl/sasl.h>
#include <sasl/saslutil.h>

#include "house.h"
#include "ipc.h"
#include "log.h"

#define WAIT_S		20
#define PER_ADDRESS	40
#define LOAD_BYTES	(6 * 1024 * 1024)
#define LINE_BYTES	(16 * 1024)

enum { IMAP, IMAPS, POP3, POP3S };

static char dir[] = "/tmp/ts-proxyd-XXXXXX";
static char path[512];
static int ports[4];
static pid_t daemon_pid, spoold_pid;
static unsigned nconns;		/* opened by this test: as many conn.end there must be */
static SSL_CTX *tls;

struct client {
	int	fd;
	SSL	*ssl;
	char	in[LINE_BYTES];
	size_t	n;
};

static const char *
in_dir(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* ---- the fake spoold ---- */

__attribute__((format(printf, 2, 3))) static void
stream_puts(int fd, const char *fmt, ...)
{
	char line[2048];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (write(fd, line, (size_t)n) != n)
		_exit(0);
}

/* Sends or takes many bytes of a known pattern. */
static void
stream_load(int fd, bool send_it)
{
	unsigned char block[8192];
	size_t done = 0;
	ssize_t n;

	while (done < LOAD_BYTES) {
		for (size_t i = 0; i < sizeof(block) && send_it; i++)
			block[i] = (unsigned char)((done + i) % 251);
		n = send_it ? write(fd, block, sizeof(block)) : read(fd, block, sizeof(block));
		if (n <= 0)
			_exit(0);
		for (size_t i = 0; i < (size_t)n && !send_it; i++)
			if (block[i] != (unsigned char)((done + i) % 251))
				_exit(0);
		done += (size_t)n;
	}
}

/* Says back what it hears, a line at a time; "LOAD" sends, "TAKE" receives many bytes, "END" ends. */
static void
session_serve(int fd)
{
	FILE *f = fdopen(fd, "r");
	char line[LINE_BYTES];

	setvbuf(f, NULL, _IONBF, 0);
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\r\n")] = '\0';
		if (strcmp(line, "LOAD") == 0)
			stream_load(fd, true);
		else if (strcmp(line, "TAKE") == 0)
			stream_load(fd, false), stream_puts(fd, "TAKEN\r\n");
		else if (strcmp(line, "END") == 0)
			_exit(0);
		else
			stream_puts(fd, "SAID %s\r\n", line);
	}
	_exit(0);
}

static bool
is_user(const struct sessopen *o, const char *name)
{
	return slice_is(o->user, slice_of(name));
}

static void
session_begin(const struct sessopen *o, int conn, int fd)
{
	char answer = is_user(o, "busy") ? SESSOPEN_BUSY : SESSOPEN_OK;
	bool imap = o->proto == SESS_IMAP;

	if (is_user(o, "silent"))
		pause();
	if (ipc_send(conn, (struct slice){&answer, 1}, NULL, 0) == -1 || is_user(o, "dies") || is_user(o, "busy"))
		_exit(0);
	if (is_user(o, "refused")) {
		if (imap)
			stream_puts(fd, "%.*s NO [UNAVAILABLE] broken\r\n", (int)o->tag.n, o->tag.p);
		else
			stream_puts(fd, "-ERR [SYS/TEMP] broken\r\n");
		_exit(0);
	}
	if (imap)
		stream_puts(fd, "%.*s OK [CAPABILITY IMAP4rev1 FAKE] ", (int)o->tag.n, o->tag.p);
	else
		stream_puts(fd, "+OK ");
	stream_puts(fd, "user=%.*s addr=%.*s tls=%d id=%.*s\r\n", (int)o->user.n, o->user.p, (int)o->addr.n, o->addr.p,
	    o->is_tls, (int)o->client_id.n, o->client_id.p);
	session_serve(fd);
}

static void
spoold_run(int listener)
{
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		char msg[4096];
		int conn = accept(listener, NULL, NULL), fds[IPC_FDS_MAX];
		struct sessopen o;
		size_t nfds;
		ssize_t n;

		if (conn == -1)
			_exit(1);
		n = ipc_recv(conn, msg, sizeof(msg), fds, &nfds);
		if (n > 0 && nfds == 1 && sessopen_unpack((struct slice){msg, (size_t)n}, &o) && fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);	/* "silent" never ends by itself */
			close(listener);
			session_begin(&o, conn, fds[0]);
		}
		ipc_close_fds(fds, nfds);
		close(conn);
	}
}

/* ---- the daemon ---- */

static struct house house;

static void
daemon_run(void)
{
	int log = open(in_dir("log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
	struct conf_wrong wrong;
	struct parent *p;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(log, STDERR_FILENO);
	log_init("proxyd");
	conf_load(settings_keys, settings_nkeys, in_dir("conf"), &house.conf);
	if (!house_check(&house, &wrong))
		_exit(EXIT_CONF);
	house_prepare(&house);
	p = parent_make((char *[]){(char[]){"proxyd"}, NULL}, 5000);
	house_start(&house, p);
	_exit(parent_run(p));
}

static void
cert_write(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	FILE *f;

	X509_set_version(x, 2);
	X509_gmtime_adj(X509_getm_notBefore(x), -10);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_sign(x, key, EVP_sha256());
	f = fopen(in_dir("cert"), "w");
	PEM_write_X509(f, x);
	fclose(f);
	f = fopen(in_dir("key"), "w");
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

static int
port_free(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	close(fd);
	return ntohs(sa.sin_port);
}

static void
conf_write(void)
{
	FILE *f;

	for (size_t i = 0; i < 4; i++)
		ports[i] = port_free();
	f = fopen(in_dir("conf"), "w");
	fprintf(f, "imap_listen = 127.0.0.1:%d\nimaps_listen = 127.0.0.1:%d\npop3_listen = 127.0.0.1:%d\n"
	    "pop3s_listen = 127.0.0.1:%d\n", ports[0], ports[1], ports[2], ports[3]);
	fprintf(f, "tls_certificate = %s/cert\ntls_key = %s/key\nsasldb_path = %s/db\nmap_dir =\nsession_socket = %s/session\n"
	    "chroot_dir = %s/empty\n", dir, dir, dir, dir, dir);
	fprintf(f, "processes = 1\nauth_failures_max = 2\nlogin_timeout_s = 6\nper_address_max = %d\n", PER_ADDRESS);
	fclose(f);
}

static int
setup(void **state)
{
	static const char *const users[] = {"alice", "refused", "dies", "busy", "silent"};
	char command[1024];
	int listener;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(dir) == NULL)
		return -1;
	cert_write();
	conf_write();
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		snprintf(command, sizeof(command), "printf s3cret | /usr/sbin/saslpasswd2 -c -p -f %s -u example.test %s",
		    in_dir("db"), users[i]);
		if (system(command) != 0)
			return -1;
	}
	listener = ipc_listen(in_dir("session"), SOCK_SEQPACKET, 0600, 64);
	if (listener == -1)
		return -1;
	spoold_pid = fork();
	if (spoold_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		spoold_run(listener);
	}
	close(listener);
	daemon_pid = fork();
	if (daemon_pid == 0)
		daemon_run();
	tls = SSL_CTX_new(TLS_client_method());
	return sasl_client_init(NULL) == SASL_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	char command[128];

	(void)state;
	if (daemon_pid > 0)
		kill(daemon_pid, SIGKILL);
	kill(spoold_pid, SIGKILL);
	SSL_CTX_free(tls);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* ---- clients ---- */

static void
connect_to(struct client *c, int which)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {.tv_sec = WAIT_S};
	int r = -1;

	*c = (struct client){.fd = -1};
	sa.sin_port = htons((uint16_t)ports[which]);
	for (int i = 0; i < 100 && r != 0; i++) {
		if (c->fd != -1)
			close(c->fd);
		c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		r = connect(c->fd, (struct sockaddr *)&sa, sizeof(sa));
		if (r != 0)
			usleep(50000);
	}
	assert_int_equal(r, 0);
	nconns++;
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

static bool
secure(struct client *c)
{
	c->ssl = SSL_new(tls);
	SSL_set_fd(c->ssl, c->fd);
	return SSL_connect(c->ssl) == 1;
}

static ssize_t
get_some(struct client *c, void *p, size_t n)
{
	return c->ssl != NULL ? SSL_read(c->ssl, p, (int)n) : read(c->fd, p, n);
}

static bool
put_some(struct client *c, const void *p, size_t n)
{
	return n == 0 || (c->ssl != NULL ? SSL_write(c->ssl, p, (int)n) == (int)n : send(c->fd, p, n, MSG_NOSIGNAL) == (ssize_t)n);
}

__attribute__((format(printf, 2, 3))) static void
put(struct client *c, const char *fmt, ...)
{
	char line[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	assert_true(put_some(c, line, strlen(line)));
}

/* The next line without its CRLF, "" at the end; a static buffer. */
static const char *
get(struct client *c)
{
	static char line[LINE_BYTES];
	char *lf;
	ssize_t n;
	size_t len;

	while ((lf = memchr(c->in, '\n', c->n)) == NULL) {
		assert_true(c->n < sizeof(c->in));
		n = get_some(c, c->in + c->n, sizeof(c->in) - c->n);
		if (n <= 0)
			return "";
		c->n += (size_t)n;
	}
	len = (size_t)(lf + 1 - c->in);
	snprintf(line, sizeof(line), "%.*s", (int)(len >= 2 ? len - 2 : 0), c->in);
	memmove(c->in, c->in + len, c->n - len);
	c->n -= len;
	return line;
}

static void
expect_at(struct client *c, const char *want, int at)
{
	const char *got = get(c);

	if (strncmp(got, want, strlen(want)) != 0 || (want[0] == '\0' && got[0] != '\0'))
		fail_msg("line %d: '%s' not '%s'", at, got, want);
}
#define expect(c, want)	expect_at((c), (want), __LINE__)

static void
hang_up(struct client *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
}

static void
open_client(struct client *c, int which)
{
	connect_to(c, which);
	if (which == IMAPS || which == POP3S)
		assert_true(secure(c));
	expect(c, which <= IMAPS ? "* OK [CAPABILITY IMAP4rev1 " : "+OK ");
}

/* ---- the tests ---- */

static void
logins(void **state)
{
	struct client c;

	(void)state;
	open_client(&c, IMAPS);
	put(&c, "a ID (\"name\" \"test\")\r\nb LOGIN Alice@EXAMPLE.test s3cret\r\nhello\r\nthere\r\n");
	expect(&c, "* ID ");
	expect(&c, "a OK");
	expect(&c, "b OK [CAPABILITY IMAP4rev1 FAKE] user=alice addr=127.0.0.1 tls=1 id=name=test");
	expect(&c, "SAID hello");
	expect(&c, "SAID there");
	put(&c, "END\r\n");
	expect(&c, "");
	hang_up(&c);

	open_client(&c, IMAP);
	put(&c, "a LOGIN alice s3cret\r\n");
	expect(&c, "a NO [PRIVACYREQUIRED]");
	put(&c, "b ID (\"name\" \"forgotten\")\r\nc STARTTLS\r\n");
	expect(&c, "* ID ");
	expect(&c, "b OK");
	expect(&c, "c OK");
	assert_true(secure(&c));
	put(&c, "d CAPABILITY\r\n");
	expect(&c, "* CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-1 AUTH=SCRAM-SHA-256");
	expect(&c, "d OK");
	put(&c, "e LOGIN {5}\r\n");
	expect(&c, "+ ");
	put(&c, "alice {6+}\r\ns3cret\r\n");
	expect(&c, "e OK [CAPABILITY IMAP4rev1 FAKE] user=alice addr=127.0.0.1 tls=1 id=");
	hang_up(&c);

	open_client(&c, POP3S);
	put(&c, "USER alice\r\nPASS s3cret\r\nSTAT\r\n");
	expect(&c, "+OK");
	expect(&c, "+OK user=alice addr=127.0.0.1 tls=1");
	expect(&c, "SAID STAT");
	hang_up(&c);

	open_client(&c, POP3);
	put(&c, "USER alice\r\n");
	expect(&c, "-ERR");
	put(&c, "STLS\r\n");
	expect(&c, "+OK");
	assert_true(secure(&c));
	put(&c, "AUTH PLAIN AGFsaWNlAHMzY3JldA==\r\nSTAT\r\n");
	expect(&c, "+OK user=alice");
	expect(&c, "SAID STAT");
	hang_up(&c);
}

static const char *the_password;

static int
give_name(void *context, int id, const char **out, unsigned *n)
{
	(void)context;
	*out = id == SASL_CB_AUTHNAME ? "alice" : "";
	if (n != NULL)
		*n = (unsigned)strlen(*out);
	return SASL_OK;
}

static int
give_password(sasl_conn_t *conn, void *context, int id, sasl_secret_t **out)
{
	static union {
		sasl_secret_t	s;
		char		room[128];
	} secret;

	(void)conn;
	(void)context;
	(void)id;
	secret.s.len = strlen(the_password);
	strcpy(secret.room + offsetof(sasl_secret_t, data), the_password);
	*out = &secret.s;
	return SASL_OK;
}

#define CALLBACK(fn)	((int (*)(void))(void (*)(void))(fn))

static void
put_base64(struct client *c, const char *p, unsigned n)
{
	char line[2048] = "";

	assert_int_equal(sasl_encode64(p, n, line, sizeof(line), NULL), SASL_OK);
	put(c, "%s\r\n", line);
}

/* AUTHENTICATE or AUTH with libsasl as the client; the last line is left to be read. */
static void
authenticate(struct client *c, const char *mech, bool initial, bool imap)
{
	static sasl_callback_t callbacks[] = {{SASL_CB_USER, CALLBACK(give_name), NULL}, {SASL_CB_AUTHNAME, CALLBACK(give_name), NULL},
	    {SASL_CB_PASS, CALLBACK(give_password), NULL}, {SASL_CB_LIST_END, NULL, NULL}};
	const char *out = NULL, *used, *line;
	sasl_conn_t *s = NULL;
	char in[2048];
	unsigned n = 0;

	assert_int_equal(sasl_client_new(imap ? "imap" : "pop", "localhost", NULL, NULL, callbacks, 0, &s), SASL_OK);
	assert_true(sasl_client_start(s, mech, NULL, initial ? &out : NULL, &n, &used) >= 0);
	put(c, "%s %s%s", imap ? "a AUTHENTICATE" : "AUTH", mech, initial && out != NULL ? " " : "\r\n");
	if (initial && out != NULL)
		put_base64(c, out, n);
	for (;;) {
		line = get(c);
		if (line[0] != '+' || line[1] != ' ')
			break;
		assert_int_equal(sasl_decode64(line + 2, (unsigned)strlen(line + 2), in, sizeof(in), &n), SASL_OK);
		assert_true(sasl_client_step(s, in, n, NULL, &out, &n) >= 0);
		put_base64(c, out, out != NULL ? n : 0);
	}
	snprintf(c->in, sizeof(c->in), "%s\r\n", line);
	c->n = strlen(c->in);
	sasl_dispose(&s);
}

static void
mechanisms(void **state)
{
	static const char *const names[] = {"PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256"};
	struct client c;

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		the_password = "s3cret";
		open_client(&c, IMAPS);
		authenticate(&c, names[i / 2], i % 2, true);
		expect(&c, "a OK [CAPABILITY IMAP4rev1 FAKE] user=alice");
		hang_up(&c);
		open_client(&c, POP3S);
		authenticate(&c, names[i / 2], i % 2, false);
		/* "+OK" is no challenge: the loop stopped at it. */
		expect(&c, "+OK user=alice");
		hang_up(&c);
		the_password = "wrong";
		open_client(&c, IMAPS);
		authenticate(&c, names[i / 2], i % 2, true);
		expect(&c, "a NO [AUTHENTICATIONFAILED]");
		hang_up(&c);
	}
	/* A SCRAM login needs no TLS. */
	the_password = "s3cret";
	open_client(&c, IMAP);
	authenticate(&c, "SCRAM-SHA-256", true, true);
	expect(&c, "a OK [CAPABILITY IMAP4rev1 FAKE] user=alice addr=127.0.0.1 tls=0");
	hang_up(&c);
}

static void
wrong_passwords(void **state)
{
	struct client c;
	int64_t from = mono_ms();

	(void)state;
	open_client(&c, IMAPS);
	put(&c, "a LOGIN alice x\r\nb LOGIN alice y\r\nc NOOP\r\n");
	expect(&c, "a NO [AUTHENTICATIONFAILED]");
	assert_true(mono_ms() - from >= 1000);
	expect(&c, "b NO [AUTHENTICATIONFAILED]");
	assert_true(mono_ms() - from >= 3000);
	expect(&c, "* BYE");
	expect(&c, "");
	hang_up(&c);
	open_client(&c, POP3S);
	put(&c, "USER nobody\r\nPASS x\r\n");
	expect(&c, "+OK");
	expect(&c, "-ERR [AUTH]");
	hang_up(&c);
}

/* Backends that do not take the login: the client is told, what it pipelined is answered, and it may try again. */
static void
bad_backends(void **state)
{
	static const char *const users[] = {"refused", "dies", "busy"};
	struct client c;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		open_client(&c, IMAPS);
		put(&c, "a LOGIN %s s3cret\r\nb NOOP\r\nc LOGIN alice s3cret\r\nhello\r\n", users[i]);
		expect(&c, "a NO [UNAVAILABLE]");
		expect(&c, "b OK done");
		expect(&c, "c OK [CAPABILITY IMAP4rev1 FAKE] user=alice");
		expect(&c, "SAID hello");
		hang_up(&c);
		open_client(&c, POP3S);
		put(&c, "USER %s\r\nPASS s3cret\r\nUSER alice\r\nPASS s3cret\r\nSTAT\r\n", users[i]);
		expect(&c, "+OK");
		expect(&c, "-ERR [SYS/TEMP]");
		expect(&c, "+OK");
		expect(&c, "+OK user=alice");
		expect(&c, "SAID STAT");
		hang_up(&c);
	}
	open_client(&c, IMAPS);
	put(&c, "a LOGIN silent s3cret\r\n");
	expect(&c, "a NO [UNAVAILABLE]");
	hang_up(&c);
}

static void
injections(void **state)
{
	static const char *const text[] = {"x STARTTLS\r\ny NOOP\r\n", "STLS\r\nCAPA\r\n"};
	struct client c;
	char in[4096];
	ssize_t n;

	(void)state;
	for (size_t p = 0; p < 2; p++) {
		for (size_t cut = 1; cut <= strlen(text[p]); cut++) {
			size_t got = 0;

			open_client(&c, p == 0 ? IMAP : POP3);
			assert_true(put_some(&c, text[p], cut));
			usleep(3000);
			(void)send(c.fd, text[p] + cut, strlen(text[p]) - cut, MSG_NOSIGNAL);
			shutdown(c.fd, SHUT_WR);
			while (got < sizeof(in) - 1 && (n = read(c.fd, in + got, sizeof(in) - 1 - got)) > 0)
				got += (size_t)n;
			in[got] = '\0';
			if (strstr(in, "y OK") != NULL || strstr(in, "TOP") != NULL)
				fail_msg("%zu cut at %zu: %s", p, cut, in);
			hang_up(&c);
		}
	}
}

static void
alpn(void **state)
{
	static const struct {
		const char	*offer;
		int		 which;
		bool		 want;
	} rows[] = {{"\4imap", IMAPS, true}, {"\4pop3", POP3S, true}, {"\4pop3", IMAPS, false}, {"\10http/1.1", IMAPS, false},
	    {"\4imap", POP3S, false}};
	struct client c;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		connect_to(&c, rows[i].which);
		c.ssl = SSL_new(tls);
		SSL_set_fd(c.ssl, c.fd);
		SSL_set_alpn_protos(c.ssl, (const unsigned char *)rows[i].offer, (unsigned)strlen(rows[i].offer));
		assert_int_equal(SSL_connect(c.ssl) == 1, rows[i].want);
		hang_up(&c);
	}
}

/* The pid of a child of the daemon by its name as in ps ("proxyd/net"), after having waited for it; of the first one. */
static pid_t
child_of(const char *name)
{
	for (int i = 0; i < 100; i++) {
		DIR *d = opendir("/proc");
		struct dirent *e;
		pid_t found = 0;

		while ((e = readdir(d)) != NULL) {
			char file[300], text[512] = "", comm[64] = "";
			int ppid = 0;
			FILE *f;

			snprintf(file, sizeof(file), "/proc/%s/stat", e->d_name);
			f = fopen(file, "re");
			if (f == NULL)
				continue;
			if (fgets(text, sizeof(text), f) != NULL && sscanf(text, "%*d (%63[^)]) %*c %d", comm, &ppid) == 2 &&
			    ppid == daemon_pid && strcmp(comm, name) == 0)
				found = (pid_t)atoi(e->d_name);
			fclose(f);
		}
		closedir(d);
		if (found != 0)
			return found;
		usleep(50000);
	}
	fail_msg("no %s", name);
	return 0;
}

static long
rss_kib(pid_t pid)
{
	char file[64], line[128];
	long kib = 0;
	FILE *f;

	snprintf(file, sizeof(file), "/proc/%d/status", (int)pid);
	f = fopen(file, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

static void
floods(void **state)
{
	static const char *const heads[] = {"a NOOP ", "a LOGIN \"", "a ID (", "", "a LOGIN {4096+}\r\n", "\x16\x03\x01"};
	static struct client c[24];
	pid_t net = child_of("proxyd/net");
	char block[8192];
	long before;

	(void)state;
	memset(block, '(', sizeof(block));
	before = rss_kib(net);
	for (size_t i = 0; i < 24; i++) {
		connect_to(&c[i], i % 2 == 0 ? IMAP : POP3);
		(void)put_some(&c[i], heads[i % 6], strlen(heads[i % 6]));
	}
	for (size_t k = 0; k < 10 * 1000 * 1000 / sizeof(block) / 24; k++)
		for (size_t i = 0; i < 24; i++)
			(void)send(c[i].fd, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (rss_kib(net) - before > 24 * 64)
		fail_msg("%ld KiB more for 24 connections", rss_kib(net) - before);
	for (size_t i = 0; i < 24; i++)
		hang_up(&c[i]);
}

static void
per_address(void **state)
{
	static struct client c[PER_ADDRESS + 1];
	int refused = 0;

	(void)state;
	usleep(300000);	/* those of the test before have gone */
	for (size_t i = 0; i <= PER_ADDRESS; i++) {
		connect_to(&c[i], IMAP);
		refused += strncmp(get(&c[i]), "* BYE", 5) == 0;
	}
	assert_int_equal(refused, 1);
	for (size_t i = 0; i <= PER_ADDRESS; i++)
		hang_up(&c[i]);
	usleep(300000);
}

/* Many bytes down to a slow client and up to a slow backend, over TLS. */
static void
loads(void **state)
{
	struct client c;
	unsigned char block[8192];
	size_t done = 0;
	ssize_t n;

	(void)state;
	open_client(&c, IMAPS);
	put(&c, "a LOGIN alice s3cret\r\n");
	expect(&c, "a OK");
	put(&c, "LOAD\r\n");
	usleep(300000);
	while (done < LOAD_BYTES) {
		n = get_some(&c, block, LOAD_BYTES - done < sizeof(block) ? LOAD_BYTES - done : sizeof(block));
		assert_true(n > 0);
		for (size_t i = 0; i < (size_t)n; i++)
			assert_int_equal(block[i], (done + i) % 251);
		done += (size_t)n;
	}
	put(&c, "TAKE\r\n");
	for (done = 0; done < LOAD_BYTES; done += sizeof(block)) {
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = (unsigned char)((done + i) % 251);
		assert_true(put_some(&c, block, sizeof(block)));
	}
	expect(&c, "TAKEN");
	hang_up(&c);
}

static void
child_kill(const char *name)
{
	pid_t pid = child_of(name);

	kill(pid, SIGKILL);
	while (kill(pid, 0) == 0)
		usleep(10000);
}

static void
login_works(void)
{
	struct client c;

	open_client(&c, IMAPS);
	put(&c, "a LOGIN alice s3cret\r\n");
	expect(&c, "a OK");
	hang_up(&c);
}

/* Every child is killed in the middle of something; what it had fails as temporary, and all is well after. */
static void
dead_children(void **state)
{
	struct client c, session;

	(void)state;
	open_client(&session, IMAPS);
	put(&session, "a LOGIN alice s3cret\r\n");
	expect(&session, "a OK");

	open_client(&c, IMAPS);
	put(&c, "a AUTHENTICATE PLAIN\r\n");
	expect(&c, "+ ");
	child_kill("proxyd/auth");
	expect(&c, "a NO [UNAVAILABLE]");
	put(&c, "b LOGIN alice s3cret\r\n");
	expect(&c, "b OK");
	hang_up(&c);

	open_client(&c, IMAPS);
	put(&c, "a AUTHENTICATE PLAIN\r\n");
	expect(&c, "+ ");
	child_kill("proxyd/login");
	child_kill("proxyd/login");
	expect(&c, "a NO [UNAVAILABLE]");
	put(&c, "b LOGIN alice s3cret\r\n");
	expect(&c, "b OK");
	hang_up(&c);

	child_kill("proxyd/key");
	login_works();
	put(&session, "still here\r\n");
	expect(&session, "SAID still here");
	hang_up(&session);
}

static void
deadlines(void **state)
{
	struct client imap, pop3, handshake;

	(void)state;
	open_client(&imap, IMAP);
	open_client(&pop3, POP3S);
	connect_to(&handshake, IMAPS);
	expect(&imap, "* BYE the login took too long");
	expect(&imap, "");
	expect(&pop3, "-ERR [SYS/TEMP]");
	expect(&pop3, "");
	expect(&handshake, "");
	hang_up(&imap);
	hang_up(&pop3);
	hang_up(&handshake);
}

/* What is counted from the log: "event key" lines. */
static unsigned
log_count(const char *text)
{
	FILE *f = fopen(in_dir("log"), "re");
	char line[8192];
	unsigned n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, text) != NULL;
	fclose(f);
	return n;
}

static void
the_end(void **state)
{
	struct client session, waiting;
	int status = -1;

	(void)state;
	open_client(&session, IMAPS);
	put(&session, "a LOGIN alice s3cret\r\n");
	expect(&session, "a OK");
	open_client(&waiting, POP3);
	kill(daemon_pid, SIGTERM);
	expect(&session, "* BYE");
	expect(&session, "");
	expect(&waiting, "-ERR [SYS/TEMP]");
	expect(&waiting, "");
	assert_int_equal(waitpid(daemon_pid, &status, 0), daemon_pid);
	daemon_pid = 0;
	assert_int_equal(status, 0);
	hang_up(&session);
	hang_up(&waiting);
	assert_int_equal(log_count(" conn.end "), nconns);
	assert_int_equal(log_count("s3cret"), 0);
	assert_int_equal(log_count("bug."), 0);
	/* One session is refused on purpose by "silent"; four children were killed. */
	assert_int_equal(log_count(" warn.session.refused "), 1);
	assert_int_equal(log_count(" warn.child.died "), 4);
	assert_int_equal(log_count(" warn."), 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(logins), cmocka_unit_test(mechanisms), cmocka_unit_test(wrong_passwords),
	    cmocka_unit_test(bad_backends), cmocka_unit_test(injections), cmocka_unit_test(alpn), cmocka_unit_test(floods),
	    cmocka_unit_test(per_address), cmocka_unit_test(loads), cmocka_unit_test(dead_children), cmocka_unit_test(deadlines),
	    cmocka_unit_test(the_end),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
