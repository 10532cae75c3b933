/* Metadata entries in the index. Contract of metadata.c for apply.c; what sessions call is in store.h. */
#ifndef TS_STORE_METADATA_H
#define TS_STORE_METADATA_H

#include "store/index.h"

/* The id that stands for the user as a whole. */
bool	metadata_is_server(const unsigned char *id);

/* Bytes of a mailbox's entries, names and values. */
uint64_t metadata_bytes(struct index *, const unsigned char *id);

/* ---- apply.c only ---- */

void	metadata_put(struct index *, const unsigned char *id, const struct meta_change *);
/* All of a mailbox that goes. */
void	metadata_drop(struct index *, const unsigned char *id);
void	metadata_copy(struct index *, const unsigned char *from, const unsigned char *to);

#endif
