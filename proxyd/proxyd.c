/*
 * proxyd: the door for mail clients. IMAP and POP3 with TLS and SASL up to the login, then a relay of
 * bytes to the user's session at spoold. See proxyd(8).
 */
#include "house.h"
#include "log.h"

#define STOP_MS	5000	/* net says goodbye within a second */

static struct house house;

static bool
check(void *conf, struct conf_wrong *out)
{
	(void)conf;	/* house.conf, loaded */
	return house_check(&house, out);
}

int
main(int argc, char **argv)
{
	struct parent *p;

	conf_check_with(check);
	conf_main(argc, argv, "proxyd", settings_keys, settings_nkeys, &house.conf);
	house_prepare(&house);
	p = parent_make(argv, STOP_MS);
	house_start(&house, p);
	LOG("proxyd.ready", log_u64("listeners", house.nlisteners));
	return parent_run(p);
}
