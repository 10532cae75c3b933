/*
 * Connections by address. See peraddr.h.
 */
#include "peraddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"

#define KEY_BYTES	16

struct peraddr_node {
	unsigned char	key[KEY_BYTES];
	uint64_t	n;
};

static int
node_compare(const void *a, const void *b)
{
	const struct peraddr_node *x = a, *y = b;

	return memcmp(x->key, y->key, KEY_BYTES);
}

/* As IPv6; of a native one only the network's half. */
static void
key_make(const struct sockaddr *sa, unsigned char key[KEY_BYTES])
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;

	memset(key, 0, KEY_BYTES);
	if (sa->sa_family == AF_INET) {
		memcpy(key, mapped, sizeof(mapped));
		memcpy(key + 12, &in->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(key, &in6->sin6_addr, IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) ? 16 : 8);
	}
}

struct peraddr_node *
peraddr_take(struct peraddr *p, const struct sockaddr *sa, uint64_t max)
{
	struct peraddr_node want = {.n = 0}, *node, **at;

	key_make(sa, want.key);
	at = tfind(&want, &p->root, node_compare);
	if (at == NULL) {
		node = malloc(sizeof(*node));
		if (node != NULL)
			*node = want;
		at = node != NULL ? tsearch(node, &p->root, node_compare) : NULL;
	}
	if (at == NULL)
		DIE(EXIT_TEMP, "fatal.memory", log_str("what", "address"));
	node = *at;
	if (node->n >= max)
		return NULL;
	node->n++;
	return node;
}

void
peraddr_drop(struct peraddr *p, struct peraddr_node *node)
{
	if (node == NULL || --node->n > 0)
		return;
	tdelete(node, &p->root, node_compare);
	free(node);
}

uint16_t
peraddr_text(const struct sockaddr *sa, char *out)
{
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;

	snprintf(out, PERADDR_TEXT_MAX_BYTES, "unknown");
	if (sa->sa_family == AF_INET) {
		inet_ntop(AF_INET, &in->sin_addr, out, PERADDR_TEXT_MAX_BYTES);
		return ntohs(in->sin_port);
	}
	if (sa->sa_family != AF_INET6)
		return 0;
	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, out, PERADDR_TEXT_MAX_BYTES);
	else
		inet_ntop(AF_INET6, &in6->sin6_addr, out, PERADDR_TEXT_MAX_BYTES);
	return ntohs(in6->sin6_port);
}
