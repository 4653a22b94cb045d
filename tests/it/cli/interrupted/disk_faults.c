/* Disk faults in a process that preloads this library: the N-th call that changes the disk kills the
 * process or fails.
 *
 *   DISK_FAULT=before:N   killed before call N
 *   DISK_FAULT=within:N   killed after half of call N, if it is a write
 *   DISK_FAULT=after:N    killed after call N
 *   DISK_FAULT=fails:N    call N fails with ENOSPC, and all later ones but removals
 *   DISK_CALLS=FILE       the number of calls is written to FILE at the end of the process
 *
 * N counts from 1, over all threads. Only calls on regular files outside of /proc and /dev count.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum fault { NONE, BEFORE, WITHIN, AFTER, FAILS };

static enum fault fault = NONE;
static long at = -1;
static atomic_long calls;

__attribute__((constructor)) static void begin(void) {
    static const char* const names[] = {"", "before", "within", "after", "fails"};
    const char* text = getenv("DISK_FAULT");
    const char* colon = text ? strchr(text, ':') : NULL;
    if (!colon) return;
    for (int i = BEFORE; i <= FAILS; i++)
        if (strlen(names[i]) == (size_t)(colon - text) && !strncmp(text, names[i], strlen(names[i]))) fault = i;
    at = atol(colon + 1);
}

__attribute__((destructor)) static void end(void) {
    const char* path = getenv("DISK_CALLS");
    FILE* file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    fprintf(file, "%ld\n", atomic_load(&calls));
    fclose(file);
}

static void killed(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Counts a call; whether it must fail. */
static int fails(long* number, int removes) {
    *number = atomic_fetch_add(&calls, 1) + 1;
    if (*number == at && fault == BEFORE) killed();
    if (fault != FAILS || *number < at || removes) return 0;
    errno = ENOSPC;
    return 1;
}

static void done(long number) {
    if (number == at && (fault == AFTER || fault == WITHIN)) killed();
}

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

/* A call that takes a path or two and changes the disk. */
#define CHANGES(type, name, parameters, arguments, removes) \
    type name parameters {                                  \
        long number;                                        \
        if (fails(&number, removes)) return -1;             \
        type result = REAL(name) arguments;                 \
        int error = errno;                                  \
        done(number);                                       \
        errno = error;                                      \
        return result;                                      \
    }

CHANGES(int, rename, (const char* from, const char* to), (from, to), 0)
CHANGES(int, unlink, (const char* path), (path), 1)
CHANGES(int, link, (const char* from, const char* to), (from, to), 0)
CHANGES(int, linkat, (int a, const char* from, int b, const char* to, int flags), (a, from, b, to, flags), 0)
CHANGES(int, mkdir, (const char* path, mode_t mode), (path, mode), 0)
CHANGES(int, rmdir, (const char* path), (path), 1)
CHANGES(int, ftruncate64, (int file, off64_t length), (file, length), 1)
CHANGES(int, fsync, (int file), (file), 0)
CHANGES(int, fdatasync, (int file), (file), 0)

static int creates(const char* path, int flags) {
    return (flags & O_CREAT) && strncmp(path, "/dev/", 5) && strncmp(path, "/proc/", 6);
}

int open64(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    int (*real)(const char*, int, ...) = dlsym(RTLD_NEXT, "open64");
    if (!creates(path, flags)) return real(path, flags, mode);
    long number;
    if (fails(&number, 0)) return -1;
    int file = real(path, flags, mode), error = errno;
    done(number);
    errno = error;
    return file;
}

ssize_t write(int file, const void* bytes, size_t count) {
    struct stat about;
    if (file <= 2 || fstat(file, &about) || !S_ISREG(about.st_mode)) return REAL(write)(file, bytes, count);
    long number;
    if (fails(&number, 0)) return -1;
    ssize_t written = REAL(write)(file, bytes, number == at && fault == WITHIN ? count / 2 : count);
    int error = errno;
    done(number);
    errno = error;
    return written;
}
