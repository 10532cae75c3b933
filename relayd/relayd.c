/*
 * relayd: takes mail over LMTP (RFC 2033) and sends each recipient's copy on: to the lmtpd of the user's host, or
 * to the next hop. main() reads the routing table, resolves the hosts, opens the listeners and starts the
 * network processes and the route process; as their parent it never reads from the network.
 */
#include <errno.h>
#include <stdlib.h>

#include "settings.h"
#include "ipc.h"
#include "lmtpnet.h"
#include "log.h"
#include "net.h"
#include "parent.h"
#include "route.h"

#define STOP_MS		10000	/* for deliveries that are on their way when we are told to stop */
#define PROCESSES_MAX	64	/* of the key "processes" */

static struct config		 conf;
static const struct table	*table;
static struct lmtpc_hop		*hosts;		/* as in conf.hosts */
static struct lmtpc_hop		 next_hop = {.name = "next_hop", .is_smtp = true};
static struct child		*nets[PROCESSES_MAX];
static int			 pairs[PROCESSES_MAX][2];	/* net's end, route's end; both stay open here */

/* As a check's last word. */
static bool
setup_fault(struct conf_wrong *out, const char *key, const char *value, const char *why)
{
	*out = (struct conf_wrong){key, value, why};
	return false;
}

static struct table *
setup_table(void)
{
	unsigned		 line = 0;
	const char		*why = "";
	struct table		*t = table_load(conf.table, conf.recipient_delimiter[0], &line, &why);

	errno = 0;
	if (t == NULL)
		DIE(EXIT_CONF, "fatal.table", log_str("path", conf.table), log_u64("line", line), log_str("why", why));
	return t;
}

static bool
setup_hosts(struct conf_wrong *out)
{
	const char	*why;

	if ((hosts = calloc(conf.hosts.n, sizeof(*hosts))) == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "hosts"));
	for (size_t i = 0; i < conf.hosts.n; i++) {
		char	*eq = strchr(conf.hosts.v[i], '=');

		if (eq == NULL || eq == conf.hosts.v[i])
			return setup_fault(out, "hosts", conf.hosts.v[i], "not NAME=WHERE");
		hosts[i].name = strndup(conf.hosts.v[i], (size_t)(eq - conf.hosts.v[i]));
		if (hosts[i].name == NULL)
			DIE(EXIT_TEMP, "fatal.memory", log_str("what", "hosts"));
		if (resolve_host(&conf.hosts, slice_of(hosts[i].name)) != i)
			return setup_fault(out, "hosts", conf.hosts.v[i], "name given twice");
		if (!lmtpc_resolve(eq + 1, &hosts[i], &why))
			return setup_fault(out, "hosts", conf.hosts.v[i], why);
	}
	return true;
}

/* conf_main's check: finds and fills all that a configuration says and that can be wrong. */
static bool
setup(void *loaded, struct conf_wrong *out)
{
	const char	*why;

	if (!config_check(loaded, out))
		return false;
	table = setup_table();
	if (!setup_hosts(out))
		return false;
	if (resolve_host(&conf.hosts, slice_of(conf.placement)) == conf.hosts.n)
		return setup_fault(out, "placement", conf.placement, "not one of hosts");
	if (!lmtpc_resolve(conf.next_hop, &next_hop, &why))
		return setup_fault(out, "next_hop", conf.next_hop, why);
	return next_hop.path == NULL || setup_fault(out, "next_hop", conf.next_hop, "not ADDR:PORT");
}

/* route was started anew: what it had been asked is lost. */
static void
route_ended(struct child *c, void *arg)
{
	(void)c;
	(void)arg;
	for (uint64_t i = 0; i < conf.processes; i++)
		if (nets[i] != NULL)
			net_route_again(nets[i]);
}

static void
spawn_nets(struct parent *parent)
{
	int	*listeners = lmtpnet_listen(parent, &conf.listen);

	for (uint64_t i = 0; i < conf.processes; i++) {
		struct net		*net = calloc(1, sizeof(*net));
		int			*keep = calloc(conf.listen.n + 1, sizeof(*keep));
		struct child_spec	 spec = {.name = "relayd/net", .run = net_main, .arg = net, .verb = net_verb};

		if (net == NULL || keep == NULL)
			DIE(EXIT_TEMP, "fatal.memory", log_str("what", "net"));
		*net = (struct net){
			.config = &conf, .listeners = listeners, .nlisteners = conf.listen.n, .hosts = hosts,
			.next_hop = &next_hop, .route_fd = pairs[i][0],
		};
		memcpy(keep, listeners, conf.listen.n * sizeof(*keep));
		keep[conf.listen.n] = pairs[i][0];
		spec.keep = keep;
		spec.nkeep = conf.listen.n + 1;
		nets[i] = parent_spawn(parent, &spec);
		free(keep);
	}
}

static void
spawn_route(struct parent *parent)
{
	static struct route	 route = {.config = &conf};
	static int		 ends[PROCESSES_MAX];
	struct child_spec	 spec = {.name = "relayd/route", .run = route_main, .arg = &route,
		.ended = route_ended};

	for (uint64_t i = 0; i < conf.processes; i++)
		ends[i] = pairs[i][1];
	route.nets = ends;
	route.nnets = conf.processes;
	route.resolve = (struct resolve_conf){
		.table = table, .hosts = &conf.hosts, .hostname = conf.hostname,
		.placement = resolve_host(&conf.hosts, slice_of(conf.placement)),
	};
	spec.keep = ends;
	spec.nkeep = conf.processes;
	parent_spawn(parent, &spec);
}

int
main(int argc, char **argv)
{
	struct parent	*parent;

	conf_check_with(setup);
	conf_main(argc, argv, "relayd", config_keys, config_nkeys, &conf);
	if (dir_make(conf.tmp_dir, conf.net_user.is_set ? conf.net_user.uid : (uid_t)-1,
	    conf.net_user.is_set ? conf.net_user.gid : (gid_t)-1, 0700) < 0)
		DIE(EXIT_TEMP, "fatal.dir", log_str("path", conf.tmp_dir));
	parent = parent_make(argv, STOP_MS);
	for (uint64_t i = 0; i < conf.processes; i++)
		if (ipc_pair(SOCK_SEQPACKET | SOCK_NONBLOCK, pairs[i]) < 0)
			DIE(EXIT_TEMP, "fatal.socketpair", log_u64("net", i));
	spawn_route(parent);
	spawn_nets(parent);
	return parent_run(parent);
}
