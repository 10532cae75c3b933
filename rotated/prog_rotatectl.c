/*
 * rotatectl: an operator's orders to rotated. Connects to its control socket, sends one order, prints the answer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "control.h"
#include "ipc.h"
#include "log.h"

#define ROTATECTL_WAIT_S	3600	/* a purge of very large files */

static const struct {
	const char		*verb;
	enum control_order	 order;
} orders[] = {
	{"rotate", CONTROL_ROTATE},
	{"purge", CONTROL_PURGE},
	{"status", CONTROL_STATUS},
};

static _Noreturn void
usage(void)
{
	fprintf(stderr, "usage: rotatectl [-s socket] rotate | purge | status\n");
	exit(EXIT_CONF);
}

static _Noreturn void
trouble(const char *what, const char *why)
{
	fprintf(stderr, "rotatectl: %s: %s\n", what, why);
	exit(EXIT_TEMP);
}

static enum control_order
order_of(const char *verb)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (strcmp(orders[i].verb, verb) == 0)
			return orders[i].order;
	}
	usage();
}

/* One message of the answer. True when it was the last; *status_out is then the exit status. */
static bool
answer(struct slice msg, int *status_out)
{
	struct unpack u = unpack_make(msg.p, msg.n);
	struct slice text;
	bool is_done;

	switch (unpack_u8(&u)) {
	case CONTROL_TEXT:
		if (!control_unpack_text(&u, &text))
			break;
		fwrite(text.p, 1, text.n, stdout);
		return false;
	case CONTROL_END:
		if (!control_unpack_end(&u, &is_done, &text))
			break;
		if (text.n > 0)
			fprintf(is_done ? stdout : stderr, "%.*s\n", (int)text.n, text.p);
		*status_out = is_done ? 0 : 1;
		return true;
	}
	trouble("rotated", "speaks another language");
}

int
main(int argc, char **argv)
{
	static const struct timeval wait = {.tv_sec = ROTATECTL_WAIT_S};
	static char msg[CONTROL_MSG_MAX_BYTES];
	const char *path = "/run/twinspool/rotated/control";
	struct buf order = buf_make(16);
	int fds[IPC_FDS_MAX], fd, c, status = 1;
	size_t nfds;
	ssize_t n;

	opterr = 0;
	while ((c = getopt(argc, argv, "s:")) != -1) {
		if (c != 's')
			usage();
		path = optarg;
	}
	if (optind != argc - 1)
		usage();
	control_pack_order(&order, order_of(argv[optind]));
	if ((fd = ipc_connect(path, SOCK_SEQPACKET)) < 0)
		trouble(path, strerrordesc_np(errno));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (ipc_send(fd, buf_slice(&order), NULL, 0) < 0)
		trouble(path, strerrordesc_np(errno));
	do {
		if ((n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds)) <= 0)
			trouble(path, n == 0 ? "no answer: not allowed, or rotated ended" : strerrordesc_np(errno));
		ipc_close_fds(fds, nfds);
	} while (!answer((struct slice){msg, (size_t)n}, &status));
	buf_free(&order);
	close(fd);
	return fflush(stdout) == 0 ? status : EXIT_TEMP;
}
