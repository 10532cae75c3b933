/*
 * lmtpd's network process: LMTP sessions in front, connections to spoold behind. It lives in an empty
 * root directory; connections to spoold come from its parent, by the verb "C". Started by main().
 */
#include "net.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "deliver.h"
#include "ipc.h"
#include "lmtpproc.h"
#include "log.h"
#include "parent.h"

#define WAIT_MS		5000	/* for a connection while spoold is started again; an MTA waits 300 s for RCPT */
#define CHECK_MS	30000	/* spoold waits for a lock at most */
#define SPARE_FDS	64	/* listeners, channels, epoll, stderr */

void
net_verb(struct child *c, void *arg, struct slice msg, int *fds, size_t nfds)
{
	static bool		 is_absent;
	const struct net	*net = arg;
	int			 fd;

	ipc_close_fds(fds, nfds);
	if (!slice_is(msg, SLICE("C"))) {
		LOG("bug.child.verb", log_slice("verb", msg));
		return;
	}
	fd = lmtpproc_connect(net->config->deliver_socket, SOCK_SEQPACKET);
	if (fd < 0 && !is_absent)
		LOG("spool.absent", log_str("path", net->config->deliver_socket), log_str("why", strerror(errno)));
	if (fd >= 0 && is_absent)
		LOG("spool.present", log_str("path", net->config->deliver_socket));
	is_absent = fd < 0;
	if (ipc_send(child_chan(c), SLICE("C"), &fd, fd < 0 ? 0 : 1) < 0)
		LOG("child.deaf", log_str("why", strerror(errno)));
	if (fd >= 0)
		close(fd);
}

/* spool_conf.ask: where it cannot be asked now it is at the next tick. */
static void
ask_connection(void *arg)
{
	(void)lmtpproc_ask(arg, SLICE("C"));
}

static void
on_message(void *arg, struct slice msg, int *fds, size_t nfds)
{
	struct deliver	*d = arg;

	if (slice_is(msg, SLICE("C")) && nfds == 1)
		spool_take(d->spool, fds[0]);
	else
		ipc_close_fds(fds, nfds);
}

void
net_main(void *arg, int chan)
{
	const struct net	*net = arg;
	const struct config	*conf = net->config;
	struct inflight		 inflight = {.max = conf->inflight_max};
	struct lmtpproc		 proc;
	struct deliver		 deliver = {.users = {
		.domains = &conf->domains, .delimiter = conf->recipient_delimiter[0],
		.detail_mailbox = conf->detail_mailbox, .postmaster = conf->postmaster,
	}};
	struct lmtpnet_conf	 nc = {
		.listeners = net->listeners, .nlisteners = net->nlisteners, .connections_max = conf->connections_max,
		.command_timeout_ms = (int64_t)conf->command_timeout_s * 1000, .trusted = &conf->trusted,
		.session = {.hostname = conf->hostname, .size_max = conf->size_max, .inflight = &inflight},
		.ops = deliver_ops, .arg = &deliver,
	};
	struct spool_conf	 sc = {
		.nconns = conf->spoold_connections, .wait_ms = WAIT_MS, .check_timeout_ms = CHECK_MS,
		.submit_timeout_ms = (int64_t)conf->hop_timeout_s * 1000, .ask = ask_connection, .arg = &proc,
	};

	nc.nuids = conf_uids(&conf->lmtp_clients, nc.uids, LMTPNET_UIDS_MAX);
	inflight.dir_fd = lmtpproc_confine(conf->tmp_dir, &conf->net_user,
	    conf->connections_max * 2 + conf->spoold_connections + SPARE_FDS);
	lmtpproc_make(&proc, chan, conf->drain_max_s, on_message, &deliver);
	deliver.spool = spool_make(proc.base, &sc);
	lmtpproc_run(&proc, &nc);
	spool_free(deliver.spool);
}
