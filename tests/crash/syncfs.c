/*
 * Preloaded into the daemons under the crash explorer: Linux does not tell a FUSE file system of syncfs(2), so
 * it becomes the one call that nobody makes otherwise, fdatasync of a directory (crashfs.c).
 */
#include <unistd.h>

int
syncfs(int fd)
{
	return fdatasync(fd);
}
