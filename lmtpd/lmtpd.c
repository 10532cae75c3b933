/*
 * lmtpd: takes mail over LMTP (RFC 2033) and gives it to spoold. main() opens the listeners and starts the
 * network processes; as their parent it connects to spoold for them and never reads from the network.
 */
#include "settings.h"
#include "lmtpnet.h"
#include "log.h"
#include "net.h"
#include "parent.h"

#define STOP_MS	10000	/* for deliveries that are on their way when we are told to stop */

int
main(int argc, char **argv)
{
	static struct config	 conf;
	static struct net	 net = {.config = &conf};
	struct child_spec	 spec = {.name = "lmtpd/net", .run = net_main, .arg = &net, .verb = net_verb};
	struct parent		*parent;

	conf_check_with(config_check);
	conf_main(argc, argv, "lmtpd", config_keys, config_nkeys, &conf);
	if (dir_make(conf.tmp_dir, conf.net_user.is_set ? conf.net_user.uid : (uid_t)-1,
	    conf.net_user.is_set ? conf.net_user.gid : (gid_t)-1, 0700) < 0)
		DIE(EXIT_TEMP, "fatal.dir", log_str("path", conf.tmp_dir));
	parent = parent_make(argv, STOP_MS);
	net.listeners = lmtpnet_listen(parent, &conf.listen);
	net.nlisteners = conf.listen.n;
	spec.keep = net.listeners;
	spec.nkeep = net.nlisteners;
	for (uint64_t i = 0; i < conf.processes; i++)
		parent_spawn(parent, &spec);
	return parent_run(parent);
}
