/*
 * MUPDATE's commands (RFC 3656 4): what a client's line means, and what the map's answer means to it.
 */
#ifndef MUPDATED_COMMAND_H
#define MUPDATED_COMMAND_H

#include "conn.h"

/* The banner (RFC 3656 3.8), its OK line last. mechs: separated by spaces, NULL for no AUTH line. */
void	command_banner(struct conn *, const char *hostname, const char *mechs);
/* A whole line with its literals; p is changed. */
void	command_run(struct conn *, char *p, size_t n);
/* A line that was no line: bare CR or LF, a NUL. */
void	command_spoilt(struct conn *);
/* A line of a SASL exchange, without CRLF. */
void	command_sasl(struct conn *, struct slice line);
/* What the map said to the command under way. */
void	command_answer(struct conn *, const struct verb_answer *);
void	command_challenge(struct conn *, struct slice bytes);

#endif
