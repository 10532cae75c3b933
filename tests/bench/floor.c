/*
 * The floor of the disk: what two appends and one sync cost with nothing around them. G waiting
 * messages of B bytes are appended to G files (one a "user") and to one common file, then one syncfs
 * makes them durable; repeated for N messages. No delivery of G at a time can be faster on this file system.
 *   floor DIR group messages bytes
 * Prints: messages seconds rate
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	struct timespec a, b;
	unsigned long group, total, bytes, i, n;
	int fds[1024], common, dir;
	char path[4096], *buf;
	double s;

	if (argc != 5)
		errx(100, "usage: floor DIR group messages bytes");
	group = strtoul(argv[2], NULL, 10);
	total = strtoul(argv[3], NULL, 10);
	bytes = strtoul(argv[4], NULL, 10);
	if (group == 0 || group > 1000 || (buf = malloc(bytes + 1)) == NULL)
		errx(1, "group");
	memset(buf, 'x', bytes);
	if ((dir = open(argv[1], O_RDONLY | O_DIRECTORY)) < 0)
		err(1, "%s", argv[1]);
	for (i = 0; i <= group; i++) {
		snprintf(path, sizeof path, "%s/f%lu", argv[1], i);
		fds[i < group ? i : 1023] = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	}
	common = fds[1023];
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (n = 0; n < total; n += group) {
		for (i = 0; i < group; i++)
			if (write(fds[i], buf, bytes) < 0 || write(common, buf, bytes) < 0)
				err(1, "write");
		if (group <= 2 ? fdatasync(fds[0]) != 0 || fdatasync(common) != 0 : syncfs(dir) != 0)
			err(1, "sync");
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("%lu %.3f %.1f\n", n, s, (double)n / s);
	return 0;
}
