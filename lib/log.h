/*
 * The log: one event, one line, one write(2) to stderr: "daemon event key=value ...".
 * The event is a literal `object.outcome` listed in twinspool-log(5), never data. Values are
 * escaped here, so no peer can forge a line: a value with a space, quote, control byte, '=' or
 * byte over 0x7e is put in double quotes with \", \\ and \xHH. A value is cut at LOG_VALUE_MAX_BYTES
 * and ends in "..." then. A line is cut at 4,096 bytes at a key's border.
 * First key sid, then qid. Never a password or a message body.
 */
#ifndef TS_LOG_H
#define TS_LOG_H

#include <stdint.h>

#include "slice.h"

#define LOG_VALUE_MAX_BYTES	512

struct log_kv {
	const char	*key;		/* NULL ends the list */
	enum { LOG_KV_SLICE, LOG_KV_U64, LOG_KV_I64 } type;
	struct slice	 s;
	uint64_t	 u;
	int64_t		 i;
};

static inline struct log_kv
log_str(const char *key, const char *v)
{
	return (struct log_kv){.key = key, .type = LOG_KV_SLICE, .s = v ? slice_of(v) : SLICE("")};
}

static inline struct log_kv
log_slice(const char *key, struct slice v)
{
	return (struct log_kv){.key = key, .type = LOG_KV_SLICE, .s = v};
}

static inline struct log_kv
log_u64(const char *key, uint64_t v)
{
	return (struct log_kv){.key = key, .type = LOG_KV_U64, .u = v};
}

static inline struct log_kv
log_i64(const char *key, int64_t v)
{
	return (struct log_kv){.key = key, .type = LOG_KV_I64, .i = v};
}

/* The daemon's name, for every line ("spoold"; a child process says "spoold/lot"). Kept, not copied. */
void	log_init(const char *daemon);
/* Writes one line. Keeps errno. LOG("deliver.done", log_str("sid", sid), log_u64("ms", ms)); */
void	log_emit(const char *event, const struct log_kv *);
#define LOG(event, ...)	log_emit((event), (const struct log_kv[]){__VA_ARGS__, {.key = NULL}})
#define LOG0(event)	log_emit((event), (const struct log_kv[]){{.key = NULL}})

/* The process cannot go on: one line with the errno's text if errno is not 0, then exit. */
#define EXIT_CONF	100	/* usage or configuration: a restart will not help */
#define EXIT_TEMP	111	/* the system: try again */
_Noreturn void	log_die(int status, const char *event, const struct log_kv *);
#define DIE(status, event, ...)	\
	log_die((status), (event), (const struct log_kv[]){__VA_ARGS__, {.key = NULL}})

/* Milliseconds: wall clock since the epoch; monotonic for deadlines and durations. */
int64_t	now_ms(void);
int64_t	mono_ms(void);

#endif
