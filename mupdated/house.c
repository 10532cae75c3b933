/*
 * The parent's side of mupdated: directories and listeners, the two children, and the link between
 * them. It reads from its children the one verb READY and nothing else; it never opens the map.
 */
#include "house.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc.h"
#include "log.h"
#include "map.h"
#include "net.h"
#include "parent.h"
#include "verb.h"

static void
end_give(struct child *c, int fd)
{
	const char verb = VERB_LINK;

	/* One that has just died is reported as such; its successor will be READY. */
	if (child_chan(c) >= 0 && ipc_send(child_chan(c), (struct slice){&verb, 1}, &fd, 1) < 0 && errno != EPIPE &&
	    errno != ECONNRESET)
		LOG("warn.link.failed", log_i64("pid", child_pid(c)), log_i64("errno", errno));
	close(fd);
}

/* A child that loses its link says READY again, so a link that reached only one of them is replaced. */
static void
link_make(struct house *h)
{
	int pair[2];

	if (!h->net_is_ready || !h->map_is_ready)
		return;
	if (ipc_pair(SOCK_SEQPACKET, pair) < 0) {
		LOG("warn.link.failed", log_i64("pid", 0), log_i64("errno", errno));
		return;
	}
	end_give(h->map, pair[0]);
	end_give(h->net, pair[1]);
}

static void
child_verb(struct child *c, void *arg, struct slice msg, int *fds, size_t nfds)
{
	struct house *h = arg;

	ipc_close_fds(fds, nfds);
	if (msg.n != 1 || msg.p[0] != VERB_READY)
		return;
	if (c == h->net)
		h->net_is_ready = true;
	else
		h->map_is_ready = true;
	link_make(h);
}

static void
child_gone(struct child *c, void *arg)
{
	struct house *h = arg;

	if (c == h->net)
		h->net_is_ready = false;
	else
		h->map_is_ready = false;
}

static void
dir_or_die(const char *path, uid_t uid, gid_t gid, mode_t mode)
{
	if (dir_make(path, uid, gid, mode) < 0)
		DIE(EXIT_TEMP, "fatal.dir", log_str("path", path));
}

/* The directory a socket lies in. */
static void
socket_dir_make(const char *path)
{
	char dir[4096];
	const char *slash = strrchr(path, '/');

	if (slash == NULL || slash == path)
		return;
	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	dir_or_die(dir, (uid_t)-1, (gid_t)-1, 0755);
}

static void
listeners_open(struct house *h, struct parent *parent)
{
	const struct config *conf = h->config;
	char where[128];

	for (size_t i = 0; i < conf->listen.n; i++)
		h->listeners[h->nlisteners++] = parent_listen(parent, conf->listen.v[i], false, (uid_t)-1, (gid_t)-1, 0);
	if (conf->socket[0] == '\0')
		return;
	socket_dir_make(conf->socket);
	(void)snprintf(where, sizeof(where), "unix:%s", conf->socket);
	h->listeners[h->nlisteners++] = parent_listen(parent, where, false, (uid_t)-1, (gid_t)-1, 0666);
	h->has_unix = true;
}

void
house_start(struct house *h, struct parent *parent, const struct config *conf)
{
	const struct conf_user *owner = &conf->map_user;
	struct child_spec map = {.name = "mupdated/map", .run = map_main, .arg = h, .verb = child_verb, .ended = child_gone};
	struct child_spec net = {.name = "mupdated/net", .run = net_main, .arg = h, .verb = child_verb, .ended = child_gone};

	h->config = conf;
	if (conf->hostname[0] != '\0')
		(void)snprintf(h->hostname, sizeof(h->hostname), "%s", conf->hostname);
	else if (gethostname(h->hostname, sizeof(h->hostname) - 1) < 0)
		DIE(EXIT_TEMP, "fatal.hostname", log_str("what", "gethostname"));
	h->nclients = conf_uids(&conf->map_clients, h->clients, HOUSE_CLIENTS_MAX);
	/* Readers of other daemons are in the group; what is made in it has that group too. */
	dir_or_die(conf->map_dir, owner->is_set ? owner->uid : (uid_t)-1, owner->is_set ? owner->gid : (gid_t)-1, 02770);
	dir_or_die(conf->chroot_dir, (uid_t)-1, (gid_t)-1, 0755);
	listeners_open(h, parent);
	net.keep = h->listeners;
	net.nkeep = h->nlisteners;
	h->map = parent_spawn(parent, &map);
	h->net = parent_spawn(parent, &net);
}
