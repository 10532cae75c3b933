/*
 * What POP3 answers alike before and after login: CAPA (RFC 2449 5), which must say the same in both states but for
 * the few lines that may differ, and LANG (RFC 6856 3). Used by proxyd before login and by spoold after it.
 */
#ifndef TS_POP3CAPA_H
#define TS_POP3CAPA_H

#include "buf.h"

struct pop3capa {
	struct slice	mechs;		/* SASL mechanisms offered here, a space before each; empty: none */
	uint64_t	login_delay_s;	/* 0: none */
	bool		is_before_login;
	bool		has_stls;	/* STLS is allowed now (RFC 2595 4) */
};

/* Appends the whole answer. No line passes 512 bytes (RFC 2449 5). 0, or -1 when out is full. */
int	pop3capa_put(struct buf *out, const struct pop3capa *);
/* Appends the whole answer to LANG; arg empty: the listing. 0, or -1 when out is full. */
int	pop3capa_lang(struct buf *out, struct slice arg);

#endif
