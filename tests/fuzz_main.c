/*
 * main() of a fuzzer that is not built with libFuzzer: replays the files given (or all files of the
 * folders given) and prints how many. make check runs the corpora through it.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static unsigned long files;

static void
replay_file(const char *path, size_t n)
{
	FILE *f = fopen(path, "re");
	uint8_t *bytes = malloc(n + 1);	/* exactly n are shown, so that ASan sees a read past them */
	uint8_t *exact;

	if (f == NULL || bytes == NULL || fread(bytes, 1, n + 1, f) != n || (exact = malloc(n > 0 ? n : 1)) == NULL) {
		fprintf(stderr, "%s: cannot read\n", path);
		exit(1);
	}
	fclose(f);
	for (size_t i = 0; i < n; i++)
		exact[i] = bytes[i];
	free(bytes);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	files++;
}

static void
replay(const char *path)
{
	struct dirent *e;
	struct stat st;
	char at[4096];
	DIR *d;

	if (stat(path, &st) < 0) {
		fprintf(stderr, "%s: cannot read\n", path);
		exit(1);
	}
	if (!S_ISDIR(st.st_mode)) {
		replay_file(path, (size_t)st.st_size);
		return;
	}
	if ((d = opendir(path)) == NULL)
		exit(1);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(at, sizeof(at), "%s/%s", path, e->d_name);
		replay(at);
	}
	closedir(d);
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%s: %lu files\n", argv[0], files);
	return files == 0;
}
