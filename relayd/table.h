/*
 * The routing table, relayd.table(5): addresses and domains, and what becomes of their mail. Read once
 * by the parent; the route process inherits it in memory.
 */
#ifndef RELAYD_TABLE_H
#define RELAYD_TABLE_H

#include "slice.h"

#define TABLE_LINE_MAX_BYTES	65536	/* 100 addresses */
#define TABLE_TARGETS_MAX	100	/* of one line: DELIVERY_RCPTS_MAX */

enum table_action { TABLE_LOCAL, TABLE_FORWARD, TABLE_ALIAS, TABLE_REFUSE };

struct table_entry {
	const char		*key;		/* lower case: "ann@b.example", "@b.example", "postmaster" */
	enum table_action	 action;
	const char		*text;		/* LOCAL: the user, NULL for "*"; REFUSE: the text, may be "" */
	char			**targets;	/* FORWARD, ALIAS: addresses without <> */
	size_t			 ntargets;
	unsigned		 line;
};

struct table;

/* NULL: line_out (0: the file as a whole) and why_out (a literal) say what is wrong. delimiter: 0 for none. */
struct table		*table_parse(struct slice text, char delimiter, unsigned *line_out, const char **why_out);
/* Reads path and parses. NULL as above; why_out may be the text of errno. */
struct table		*table_load(const char *path, char delimiter, unsigned *line_out, const char **why_out);
void			 table_free(struct table *);
size_t			 table_count(const struct table *);
/* The exact key, which must be in lower case. NULL: none. */
const struct table_entry *table_find(const struct table *, struct slice key);
/*
 * The entry for an address: itself, then without its detail, then its @domain; any case. NULL: none.
 * user_out: the local part without detail; detail_out: the detail, empty where there is none. They point into address.
 */
const struct table_entry *table_route(const struct table *, struct slice address, struct slice *user_out,
			    struct slice *detail_out);

#endif
