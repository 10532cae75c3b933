/*
 * A temporary redundant spool, and a committer's way of writing into it. Used by the tests of this room.
 */
#ifndef TEST_FIXTURE_H
#define TEST_FIXTURE_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pack.h"
#include "record.h"

static char	fixture_dir[64];

/* A new directory; its descriptor. */
static inline int
fixture_make(void)
{
	snprintf(fixture_dir, sizeof(fixture_dir), "/tmp/test_rotated.XXXXXX");
	if (mkdtemp(fixture_dir) == NULL)
		abort();
	return open(fixture_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static inline void
fixture_remove(int dir)
{
	char command[256];

	close(dir);
	snprintf(command, sizeof(command), "chattr -R -a %s 2>/dev/null; rm -rf %s", fixture_dir, fixture_dir);
	if (system(command) != 0)
		abort();
}

/* A message record for n users "userI", user0's UID being uid. Written with one write, as the committer does. */
static inline void
fixture_message(int fd, uint32_t salt, uint64_t modseq, uint32_t uid, struct slice body, size_t nusers)
{
	struct record r = {.type = RECORD_MESSAGE, .modseq = modseq, .uid = uid, .date_ms = 1764000000000, .body_bytes = body.n};
	struct record_message m = {.sender = SLICE("s@example.test"), .qid = SLICE("q1"), .naddressees = nusers};
	struct buf extra = buf_make(1 << 20), out = buf_make(64 << 20);
	char names[RECORD_USER_CAP][32];

	for (size_t i = 0; i < nusers; i++) {
		snprintf(names[i], sizeof(names[i]), "user%zu", i);
		m.addressees[i].user = slice_of(names[i]);
		m.addressees[i].mailbox = i % 2 == 0 ? SLICE("") : SLICE("user.x.Some folder");
		m.addressees[i].modseq = modseq + i;
		m.addressees[i].uid = uid + (uint32_t)i;
	}
	r.guid[0] = (unsigned char)modseq;
	record_message_pack(&extra, &m);
	r.extra = buf_slice(&extra);
	record_pack_head(&out, &r, salt);
	(void)buf_add_slice(&out, body);
	r.body_crc = record_crc(salt, body);
	record_pack_trailer(&out, &r, salt);
	if (write(fd, out.p, out.n) != (ssize_t)out.n)
		abort();
	buf_free(&extra);
	buf_free(&out);
}

/* A change record (flags) of a user. */
static inline void
fixture_change(int fd, uint32_t salt, uint64_t modseq, const char *user)
{
	struct record r = {.type = RECORD_FLAGS, .modseq = modseq, .date_ms = 1764000000000};
	struct buf extra = buf_make(4096), out = buf_make(8192);

	pack_str(&extra, slice_of(user));
	pack_u32(&extra, 7);
	r.extra = buf_slice(&extra);
	record_pack_head(&out, &r, salt);
	r.body_crc = record_crc(salt, SLICE(""));
	record_pack_trailer(&out, &r, salt);
	if (write(fd, out.p, out.n) != (ssize_t)out.n)
		abort();
	buf_free(&extra);
	buf_free(&out);
}

#endif
