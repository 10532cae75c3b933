/*
 * relayd's network process: LMTP sessions in front, LMTP and SMTP clients behind, look-ups at the route
 * process. TCP connections it opens itself, to addresses that its parent resolved; connections to Unix sockets
 * come from the parent by the verb "C", since the root directory here is empty. Started by main().
 */
#include "net.h"

#include <errno.h>
#include <unistd.h>

#include "ipc.h"
#include "lmtpproc.h"
#include "log.h"
#include "pack.h"
#include "parent.h"
#include "relay.h"

#define VERB_CONNECT	'C'	/* net: u32 ticket, u16 host; the parent: u32 ticket, and a descriptor or none */
#define VERB_ROUTE	'R'	/* the parent: route was started anew */
#define VERB_BYTES	16
#define ROUTE_MS	10000	/* for an answer of the route process, its restart included */
#define IDLE_MS		10000	/* idle connections to hosts are kept */
#define SPARE_FDS	128	/* listeners, channels, idle connections, epoll, stderr */

struct process {
	struct lmtpproc	 proc;
	const struct net *net;
	struct relay	 relay;
};

/* ---- in the parent ---- */

void
net_verb(struct child *c, void *arg, struct slice msg, int *fds, size_t nfds)
{
	const struct net	*net = arg;
	struct unpack		 u = unpack_make(msg.p, msg.n);
	uint8_t			 verb = unpack_u8(&u);
	uint32_t		 ticket = unpack_u32(&u);
	uint16_t		 host = unpack_u16(&u);
	char			 room[VERB_BYTES];
	struct buf		 b = {.p = room, .size = sizeof(room), .cap = sizeof(room)};
	int			 fd;

	ipc_close_fds(fds, nfds);
	if (!unpack_end(&u) || verb != VERB_CONNECT || host >= net->config->hosts.n || net->hosts[host].path == NULL) {
		LOG("bug.child.verb", log_u64("bytes", msg.n));
		return;
	}
	fd = lmtpproc_connect(net->hosts[host].path, SOCK_STREAM);
	pack_u8(&b, VERB_CONNECT);
	pack_u32(&b, ticket);
	if (ipc_send(child_chan(c), buf_slice(&b), &fd, fd < 0 ? 0 : 1) < 0)
		LOG("child.deaf", log_str("why", strerror(errno)));
	if (fd >= 0)
		close(fd);
}

void
net_route_again(struct child *c)
{
	if (child_chan(c) >= 0 && ipc_send(child_chan(c), SLICE("R"), NULL, 0) < 0 && errno != EPIPE)
		LOG("child.deaf", log_str("why", strerror(errno)));
}

/* ---- in the child ---- */

/* lmtpc_conf.ask: where it cannot be asked, the client's own timeout answers. */
static void
ask_connection(void *arg, const struct lmtpc_hop *hop, uint32_t ticket)
{
	struct process	*p = arg;
	char		 room[VERB_BYTES];
	struct buf	 b = {.p = room, .size = sizeof(room), .cap = sizeof(room)};

	pack_u8(&b, VERB_CONNECT);
	pack_u32(&b, ticket);
	pack_u16(&b, (uint16_t)(hop - p->net->hosts));
	(void)lmtpproc_ask(&p->proc, buf_slice(&b));
}

static void
on_message(void *arg, struct slice msg, int *fds, size_t nfds)
{
	struct process	*p = arg;
	struct unpack	 u = unpack_make(msg.p, msg.n);
	uint8_t		 verb = unpack_u8(&u);
	uint32_t	 ticket;

	if (verb == VERB_ROUTE) {
		ipc_close_fds(fds, nfds);
		routec_again(p->relay.route);
		return;
	}
	ticket = unpack_u32(&u);
	if (verb == VERB_CONNECT && unpack_end(&u) && nfds <= 1)
		lmtpc_take(p->relay.client, ticket, nfds == 1 ? fds[0] : -1);
	else
		ipc_close_fds(fds, nfds);
}

void
net_main(void *arg, int chan)
{
	const struct net	*net = arg;
	const struct config	*conf = net->config;
	struct inflight		 inflight = {.max = conf->inflight_max};
	struct process		 p = {.net = net};
	const struct conf_list	 nobody = {.n = 0};
	struct lmtpnet_conf	 nc = {
		.listeners = net->listeners, .nlisteners = net->nlisteners, .connections_max = conf->connections_max,
		.command_timeout_ms = (int64_t)conf->command_timeout_s * 1000, .trusted = &nobody,
		.session = {.hostname = conf->hostname, .size_max = conf->size_max, .inflight = &inflight},
		.ops = relay_ops, .arg = &p.relay,
	};
	const struct lmtpc_conf	 cc = {
		.helo = conf->hostname, .connect_timeout_ms = (int64_t)conf->connect_timeout_s * 1000,
		.hop_timeout_ms = (int64_t)conf->hop_timeout_s * 1000, .idle_ms = IDLE_MS, .ask = ask_connection, .arg = &p,
	};

	nc.nuids = conf_uids(&conf->lmtp_clients, nc.uids, LMTPNET_UIDS_MAX);
	/* A session, its temporary file, a connection to each of a few hosts. */
	inflight.dir_fd = lmtpproc_confine(conf->tmp_dir, &conf->net_user, conf->connections_max * 5 + SPARE_FDS);
	lmtpproc_make(&p.proc, chan, conf->drain_max_s, on_message, &p);
	p.relay = (struct relay){
		.base = p.proc.base, .hosts = net->hosts, .next_hop = net->next_hop,
		.route = routec_make(p.proc.base, net->route_fd, conf->hosts.n, ROUTE_MS),
		.client = lmtpc_make(p.proc.base, &cc),
		.transaction_timeout_ms = (int64_t)conf->transaction_timeout_s * 1000,
	};
	lmtpproc_run(&p.proc, &nc);
}
