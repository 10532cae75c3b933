/*
 * lmtpd's keys: the table, the man page and the commented configuration say the same. Run in the top folder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "settings.h"

static char *
read_file(const char *path)
{
	char	*text = calloc(1, 65536);
	FILE	*f = fopen(path, "re");

	if (f == NULL)
		fail_msg("%s cannot be opened", path);
	assert_non_null(text);
	assert_true(fread(text, 1, 65535, f) > 0);
	fclose(f);
	return text;
}

static size_t
count(const char *in, const char *what)
{
	size_t	n = 0;

	for (const char *p = in; (p = strstr(p, what)) != NULL; p++)
		n++;
	return n;
}

/* The default as the man page writes it, within the key's own entry. */
static void
check_man(const struct conf_key *k, const char *man)
{
	char		 want[512];
	const char	*at, *end;

	snprintf(want, sizeof(want), ".It Ic %s\n", k->key);
	if ((at = strstr(man, want)) == NULL || strncmp(at + strlen(want), k->help, strlen(k->help)) != 0)
		fail_msg("%s is not in the man page as in the table", k->key);
	snprintf(want, sizeof(want), k->def[0] == '\0' ? "Default: empty" : "%s", k->def);
	end = strstr(at + 1, "\n.It ");
	at = strstr(at, want);
	if (at == NULL || (end != NULL && at > end))
		fail_msg("%s has another default in the man page", k->key);
}

static void
test_same(void **state)
{
	char	*man = read_file("man/lmtpd.conf.5"), *conf = read_file("conf/lmtpd.conf");
	char	 want[1024];

	(void)state;
	for (size_t i = 0; i < config_nkeys; i++) {
		const struct conf_key	*k = &config_keys[i];

		check_man(k, man);
		snprintf(want, sizeof(want), "# %s\n#%s =%s%s\n", k->help, k->key, k->def[0] == '\0' ? "" : " ", k->def);
		if (strstr(conf, want) == NULL)
			fail_msg("%s is not in conf/lmtpd.conf as in the table", k->key);
	}
	assert_int_equal(count(man, "\n.It Ic "), config_nkeys);
	assert_int_equal(count(conf, "\n#"), config_nkeys * 2);
	free(man);
	free(conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
