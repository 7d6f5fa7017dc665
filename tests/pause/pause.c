/*
 * Holds a process at one change of its file system, for tests: preloaded into it, this stands
 * between the process and the calls that give a file its name.
 *
 * The call that is held is the LAKE_TEST_PAUSE_NTH one, counted from 1, whose destination contains
 * LAKE_TEST_PAUSE_AT. LAKE_TEST_PAUSE_WHEN says whether it is held before or after it is performed.
 * When it is held, the file LAKE_TEST_PAUSE_MARKER is created; it is held until somebody removes
 * that file. Other threads of the process go on.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *at;
static const char *marker;
static int nth = 1;
static int after;
static atomic_int seen;

__attribute__((constructor)) static void read_environment(void)
{
    const char *text = getenv("LAKE_TEST_PAUSE_AT");
    const char *number = getenv("LAKE_TEST_PAUSE_NTH");
    const char *when = getenv("LAKE_TEST_PAUSE_WHEN");
    marker = getenv("LAKE_TEST_PAUSE_MARKER");
    if (number != NULL)
        nth = atoi(number);
    after = when != NULL && strcmp(when, "after") == 0;
    if (marker != NULL)
        at = text;
}

static int is_held(const char *to)
{
    return at != NULL && strstr(to, at) != NULL && atomic_fetch_add(&seen, 1) + 1 == nth;
}

static void hold(void)
{
    const struct timespec moment = {0, 10 * 1000 * 1000};
    int file = open(marker, O_CREAT | O_WRONLY, 0644);
    if (file >= 0)
        close(file);
    while (access(marker, F_OK) == 0)
        nanosleep(&moment, NULL);
}

/* The function that would have been called. */
static void *next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    return found;
}

/* Performs a call that gives the file `to` its name. */
#define PERFORM(to, call)             \
    int held = is_held(to);           \
    if (held && !after)               \
        hold();                       \
    int answer = (call);              \
    int error = errno;                \
    if (held && after && answer == 0) \
        hold();                       \
    errno = error;                    \
    return answer

typedef int two_paths(const char *, const char *);
typedef int two_places(int, const char *, int, const char *);
typedef int two_places_flags(int, const char *, int, const char *, int);
typedef int two_places_unsigned(int, const char *, int, const char *, unsigned int);

int link(const char *from, const char *to)
{
    two_paths *real = (two_paths *)next("link");
    PERFORM(to, real(from, to));
}

int linkat(int fromdir, const char *from, int todir, const char *to, int flags)
{
    two_places_flags *real = (two_places_flags *)next("linkat");
    PERFORM(to, real(fromdir, from, todir, to, flags));
}

int rename(const char *from, const char *to)
{
    two_paths *real = (two_paths *)next("rename");
    PERFORM(to, real(from, to));
}

int renameat(int fromdir, const char *from, int todir, const char *to)
{
    two_places *real = (two_places *)next("renameat");
    PERFORM(to, real(fromdir, from, todir, to));
}

int renameat2(int fromdir, const char *from, int todir, const char *to, unsigned int flags)
{
    two_places_unsigned *real = (two_places_unsigned *)next("renameat2");
    PERFORM(to, real(fromdir, from, todir, to, flags));
}
