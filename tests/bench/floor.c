/*
 * The floor of the disk: what two appends and one sync cost with nothing around them. G waiting messages
 * are appended to G files (R for each recipient) and to one common file, then one sync makes them durable;
 * repeated for N messages. No delivery of G at a time can be faster on this file system in this way.
 *   floor DIR group messages bytes|mix recipients
 * Prints: messages seconds rate
 */
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX	1024
#define LARGEST		(1024UL * 1024)

/* As lmtpload has them. */
static unsigned long
bytes_of(unsigned long i, bool is_mix, unsigned long bytes)
{
	unsigned long at = i * 37 % 100;

	return !is_mix ? bytes : at < 70 ? 4096 : at < 90 ? 20480 : at < 99 ? 102400 : LARGEST;
}

static void
append(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w <= 0)
			err(1, "write");
		p += w;
		n -= (size_t)w;
	}
}

int
main(int argc, char **argv)
{
	struct timespec a, b;
	unsigned long group, total, bytes, rcpts, files, n = 0, next = 0;
	int fds[FILES_MAX], common, dir;
	char path[4096], *buf;
	bool is_mix;
	double s;

	if (argc != 6)
		errx(100, "usage: floor DIR group messages bytes|mix recipients");
	group = strtoul(argv[2], NULL, 10);
	total = strtoul(argv[3], NULL, 10);
	is_mix = strcmp(argv[4], "mix") == 0;
	bytes = is_mix ? LARGEST : strtoul(argv[4], NULL, 10);
	rcpts = strtoul(argv[5], NULL, 10);
	files = group * rcpts < 100 ? group * rcpts : 100;
	if (group == 0 || rcpts == 0 || files > FILES_MAX || (buf = malloc(bytes + 1)) == NULL)
		errx(1, "group");
	memset(buf, 'x', bytes);
	if ((dir = open(argv[1], O_RDONLY | O_DIRECTORY)) < 0)
		err(1, "%s", argv[1]);
	for (unsigned long i = 0; i < files; i++) {
		snprintf(path, sizeof path, "%s/f%lu", argv[1], i);
		fds[i] = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	}
	snprintf(path, sizeof path, "%s/common", argv[1]);
	common = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	clock_gettime(CLOCK_MONOTONIC, &a);
	while (n < total) {
		for (unsigned long i = 0; i < group; i++, n++) {
			size_t size = bytes_of(n, is_mix, bytes);

			for (unsigned long r = 0; r < rcpts; r++)
				append(fds[next++ % files], buf, size);
			append(common, buf, size);
		}
		if (files == 1 ? fdatasync(fds[0]) != 0 || fdatasync(common) != 0 : syncfs(dir) != 0)
			err(1, "sync");
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("%lu %.3f %.1f\n", n, s, (double)n / s);
	return 0;
}
