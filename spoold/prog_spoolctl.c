/*
 * spoolctl: an operator's orders to spoold's upkeep process. Connects to its socket, sends one order a
 * user, shows how far it is, prints what came of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "progress.h"
#include "upkeepmsg.h"

static const struct {
	const char	*verb;
	uint8_t		 what;
} orders[] = {
	{"checkpoint", UPKEEP_CHECKPOINT},
	{"purge", UPKEEP_PURGE},
	{"compact", UPKEEP_COMPACT},
	{"upkeep", UPKEEP_ALL},
};

static _Noreturn void
usage(void)
{
	fprintf(stderr, "usage: spoolctl [-fq] [-s socket] checkpoint | purge | compact | upkeep -a | user ...\n");
	exit(EXIT_CONF);
}

static _Noreturn void
trouble(const char *what, const char *why)
{
	fprintf(stderr, "spoolctl: %s: %s\n", what, why);
	exit(EXIT_TEMP);
}

static uint8_t
what_of(const char *verb)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (strcmp(orders[i].verb, verb) == 0)
			return orders[i].what;
	usage();
}

/* One message of the answer. True when it was the last. */
static bool
answer(struct slice msg, struct progress *bar, struct upkeep_end *out)
{
	struct unpack u = unpack_make(msg.p, msg.n);
	struct upkeep_progress p;
	char user[USER_MAX_BYTES + 1];

	switch (unpack_u8(&u)) {
	case UPKEEP_PROGRESS:
		if (!upkeep_unpack_progress(&u, &p))
			break;
		(void)snprintf(user, sizeof(user), "%.*s", (int)p.user.n, p.user.p);
		progress_total(bar, p.total);
		progress_step(bar, p.done, user);
		return false;
	case UPKEEP_END:
		if (upkeep_unpack_end(&u, out))
			return true;
		break;
	}
	trouble("spoold", "speaks another language");
}

/* 0: done, 1: not for all. */
static int
give(const char *socket, const struct upkeep_order *order, bool quiet)
{
	struct buf b = buf_make(UPKEEP_MSG_MAX_BYTES);
	char msg[UPKEEP_MSG_MAX_BYTES];
	struct upkeep_end end = {0};
	struct progress bar;
	int fds[IPC_FDS_MAX], fd = ipc_connect(socket, SOCK_SEQPACKET);
	size_t nfds;
	ssize_t n;

	upkeep_pack_order(&b, order);
	/* A stranger's connection may be gone before the order is sent. */
	if (fd < 0 || (ipc_send(fd, buf_slice(&b), NULL, 0) < 0 && errno != EPIPE))
		trouble(socket, strerrordesc_np(errno));
	progress_begin(&bar, "users", 1, quiet);
	do {
		if ((n = ipc_recv(fd, msg, sizeof(msg), fds, &nfds)) <= 0) {
			progress_end(&bar);
			trouble(socket, n == 0 || errno == ECONNRESET ? "no answer: not allowed, or spoold ended" : strerrordesc_np(errno));
		}
		ipc_close_fds(fds, nfds);
	} while (!answer((struct slice){msg, (size_t)n}, &bar, &end));
	progress_end(&bar);
	printf("%.*s%susers %u failed %u purged %llu segments %u damaged %u freed_bytes %llu%s\n", (int)order->user.n,
	    order->user.n > 0 ? order->user.p : "", order->user.n > 0 ? ": " : "", end.users, end.failed,
	    (unsigned long long)end.purged, end.segments, end.damaged, (unsigned long long)(end.before_bytes - end.after_bytes),
	    end.is_cut ? " cut" : "");
	close(fd);
	buf_free(&b);
	return end.failed > 0 || end.damaged > 0 || end.is_cut;
}

int
main(int argc, char **argv)
{
	const char *socket = "/run/twinspool/spoold/upkeep";
	struct upkeep_order order = {.is_forced = false};
	bool quiet = false, all = false;
	int c, status = 0;

	opterr = 0;
	while ((c = getopt(argc, argv, "+fqs:")) != -1) {
		if (c == 'f')
			order.is_forced = true;
		else if (c == 'q')
			quiet = true;
		else if (c == 's')
			socket = optarg;
		else
			usage();
	}
	if (optind >= argc - 1)
		usage();
	order.what = what_of(argv[optind++]);
	all = strcmp(argv[optind], "-a") == 0;
	if (all && optind != argc - 1)
		usage();
	if (all)
		status = give(socket, &order, quiet);
	for (int i = optind; i < argc && !all; i++) {
		order.user = slice_of(argv[i]);
		if (!user_is_valid(order.user))
			trouble(argv[i], "not a user's name");
		status |= give(socket, &order, quiet);
	}
	return fflush(stdout) == 0 ? status : EXIT_TEMP;
}
