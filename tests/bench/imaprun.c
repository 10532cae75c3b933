/*
 * One IMAP connection that waits for each answer. Used by imap.py against us and the peers.
 *   imaprun fill HOST PORT user-format first users password messages bytes
 * Fills the INBOX of each user by APPENDs of many messages (MULTIAPPEND, LITERAL+). The messages are like mail: three of
 * four plain text, one multipart/alternative with quoted-printable and base64; subjects and References make threads of ten.
 * One of a hundred has the word "xylophone" in its text. Prints: messages seconds bytes
 *   imaprun time HOST PORT user password repeats SETUP COMMAND
 * Logs in, sends SETUP once and COMMAND so many times. Prints a line each: ms bytes responses
 * An answer that is not OK ends the program.
 */
#include <stdarg.h>

#include "imapwire.h"

#define APPEND_MESSAGES	100		/* in one command; spoold takes 250 */
#define APPEND_BYTES	(8U << 20)	/* in one command, about */
#define MESSAGE_BYTES	(4U << 20)	/* the largest that is made */
#define THREAD_MESSAGES	10
#define TOPICS		2000		/* different subjects */
#define RARE		100		/* one of so many has the rare word */
#define WORDS		(sizeof(words) / sizeof(words[0]))

static const char *const words[] = {"about", "answer", "because", "budget", "change", "delivery", "evening", "figures",
    "garden", "however", "invoice", "journal", "kitchen", "letter", "meeting", "notice", "october", "please", "question",
    "report", "schedule", "tomorrow", "under", "version", "winter", "yesterday"};

struct text {
	char	*p;
	size_t	 n, size;
};

static int fd;
static struct wire wire;
static char input[WIRE_READ_BYTES];
static const char *awaited;
static bool is_answered;
static unsigned long responses;
static uint64_t seed;

static uint32_t
dice(uint32_t n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % n;
}

static void __attribute__((format(printf, 2, 3)))
add(struct text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->p + t->n, t->size - t->n, format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= t->size - t->n)
		errx(1, "message too large");
	t->n += (size_t)n;
}

/* Lines of words until the text has so many bytes more. */
static void
add_prose(struct text *t, size_t bytes, const char *between)
{
	size_t end = t->n + bytes, line = t->n;

	while (t->n < end) {
		add(t, "%s%s", words[dice(WORDS)], t->n - line > 60 ? between : " ");
		if (t->p[t->n - 1] == '\n')
			line = t->n;
	}
	add(t, "%s", between);
}

static void
add_base64(struct text *t, const char *p, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	/* whole groups only: the text is made so */
	for (size_t i = 0; i + 2 < n; i += 3) {
		uint32_t v = (uint32_t)(unsigned char)p[i] << 16 | (uint32_t)(unsigned char)p[i + 1] << 8 | (unsigned char)p[i + 2];

		add(t, "%c%c%c%c%s", digits[v >> 18], digits[v >> 12 & 63], digits[v >> 6 & 63], digits[v & 63],
		    i / 3 % 19 == 18 ? "\r\n" : "");
	}
	add(t, "\r\n");
}

static void
add_alternative(struct text *t, struct text *html, size_t bytes, const char *rare)
{
	add(t, "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"=_b\"\r\n\r\n"
	    "--=_b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n%s", rare);
	/* soft breaks, and a letter that needs the charset */
	add_prose(t, bytes / 3, " caf=C3=A9 =\r\n");
	add(t, "\r\n--=_b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n");
	html->n = 0;
	add(html, "<html><body><p>");
	add_prose(html, bytes / 2, "</p>\r\n<p>");
	add_base64(t, html->p, html->n);
	add(t, "--=_b--\r\n");
}

/* The message with that number: always the same for the same number and size. */
static void
make_message(struct text *t, struct text *html, unsigned long i, size_t bytes)
{
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	const char *rare = i % RARE == RARE / 2 ? "xylophone \r\n" : "";
	unsigned long topic = i / THREAD_MESSAGES % TOPICS;

	t->n = 0;
	seed = i * 2654435761U + 1;
	add(t, "Received: from mx.elsewhere.example by host.example with LMTP id %lu\r\n", i);
	add(t, "From: %s %s <person%u@elsewhere.example>\r\n", words[dice(WORDS)], words[dice(WORDS)], dice(500));
	add(t, "To: someone@example.test\r\nCc: person%u@elsewhere.example\r\n", dice(500));
	add(t, "Subject: %s%s %s, number %lu\r\n", i % THREAD_MESSAGES == 0 ? "" : "Re: ", words[topic % WORDS],
	    words[topic / WORDS % WORDS], topic);
	add(t, "Date: %u %s %u %02u:%02u:%02u +0000\r\n", 1 + dice(28), months[dice(12)], 2005 + dice(20), dice(24), dice(60), dice(60));
	add(t, "Message-ID: <%lu@elsewhere.example>\r\n", i);
	if (i % THREAD_MESSAGES != 0)
		add(t, "In-Reply-To: <%lu@elsewhere.example>\r\nReferences: <%lu@elsewhere.example>\r\n <%lu@elsewhere.example>\r\n",
		    i - 1, i / THREAD_MESSAGES * THREAD_MESSAGES, i - 1);
	if (i % 4 == 3) {
		add_alternative(t, html, bytes, rare);
		return;
	}
	add(t, "Content-Type: text/plain; charset=us-ascii\r\n\r\n%s", rare);
	if (bytes > t->n)
		add_prose(t, bytes - t->n, "\r\n");
}

static void
send_all(const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = send(fd, p, n, MSG_NOSIGNAL);

		if (w <= 0)
			err(1, "send");
		p += w;
		n -= (size_t)w;
	}
}

static bool
line(void *arg, const char *head)
{
	size_t n = strlen(awaited);

	(void)arg;
	if (strncmp(head, awaited, n) == 0 && strncmp(head + n, " OK", 3) == 0) {
		is_answered = true;
		return false;
	}
	if (strncmp(head, "* ", 2) != 0 || strncmp(head, "* BYE", 5) == 0)
		errx(1, "refused: %s", head);
	responses++;
	return true;
}

static void
wait_answer(const char *tag)
{
	awaited = tag;
	is_answered = false;
	responses = 0;
	wire.bytes = 0;
	while (!is_answered) {
		ssize_t n = recv(fd, input, sizeof(input), 0);

		if (n <= 0)
			errx(1, "connection ended");
		wire_quickack(fd);
		wire_feed(&wire, input, (size_t)n, line, NULL);
	}
}

static void __attribute__((format(printf, 1, 2)))
run(const char *format, ...)
{
	char text[4096];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text) - 2)
		errx(1, "command too long");
	memcpy(text + n, "\r\n", 2);
	send_all("a ", 2);
	send_all(text, (size_t)n + 2);
	wait_answer("a");
}

static void
log_in(const char *host, const char *port, const char *user, const char *password)
{
	fd = wire_connect(host, port);
	wire = (struct wire){0};
	wait_answer("*");
	run("LOGIN %s %s", user, password);
}

static void
log_out(void)
{
	send_all("a LOGOUT\r\n", 10);
	while (recv(fd, input, sizeof(input), 0) > 0)
		;
	close(fd);
}

static struct text
text_of(size_t size)
{
	struct text t = {malloc(size), 0, size};

	if (t.p == NULL)
		err(1, "malloc");
	return t;
}

static uint64_t
fill_inbox(unsigned long messages, size_t bytes)
{
	struct text all = text_of(APPEND_BYTES + 2 * MESSAGE_BYTES), one = text_of(MESSAGE_BYTES), html = text_of(MESSAGE_BYTES);
	unsigned long in_command = 0;
	uint64_t total = 0;

	for (unsigned long i = 0; i < messages; i++) {
		make_message(&one, &html, i, bytes);
		total += one.n;
		if (in_command++ == 0)
			add(&all, "a APPEND INBOX");
		add(&all, " () {%zu+}\r\n", one.n);
		memcpy(all.p + all.n, one.p, one.n);
		all.n += one.n;
		if (in_command == APPEND_MESSAGES || all.n >= APPEND_BYTES || i + 1 == messages) {
			add(&all, "\r\n");
			send_all(all.p, all.n);
			wait_answer("a");
			all.n = in_command = 0;
		}
	}
	free(all.p);
	free(one.p);
	free(html.p);
	return total;
}

static int
fill(char **argv)
{
	unsigned long first = strtoul(argv[3], NULL, 10), users = strtoul(argv[4], NULL, 10), messages = strtoul(argv[6], NULL, 10);
	size_t bytes = strtoul(argv[7], NULL, 10);
	uint64_t t0 = wire_now_us(), total = 0;

	if (bytes > MESSAGE_BYTES / 4)
		errx(100, "messages of %u bytes at most", MESSAGE_BYTES / 4);
	for (unsigned long u = first; u < first + users; u++) {
		char user[64];

		wire_user(user, sizeof(user), argv[2], u);
		log_in(argv[0], argv[1], user, argv[5]);
		total += fill_inbox(messages, bytes);
		log_out();
	}
	printf("%lu %.3f %llu\n", users * messages, (double)(wire_now_us() - t0) / 1e6, (unsigned long long)total);
	return 0;
}

static int
time_command(char **argv)
{
	unsigned long repeats = strtoul(argv[4], NULL, 10);

	log_in(argv[0], argv[1], argv[2], argv[3]);
	run("%s", argv[5]);
	for (unsigned long i = 0; i < repeats; i++) {
		uint64_t t0 = wire_now_us();

		run("%s", argv[6]);
		printf("%.3f %llu %lu\n", (double)(wire_now_us() - t0) / 1e3, (unsigned long long)wire.bytes, responses);
	}
	log_out();
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 10 && strcmp(argv[1], "fill") == 0)
		return fill(argv + 2);
	if (argc == 9 && strcmp(argv[1], "time") == 0)
		return time_command(argv + 2);
	errx(100, "usage: imaprun fill HOST PORT user-format first users password messages bytes\n"
	    "       imaprun time HOST PORT user password repeats SETUP COMMAND");
}
