/* Faults of the file system and of the clock, for a process that is started with this library preloaded.
 *
 * FAULT_PREFIX   a folder; only files below it are touched.
 * FAULT_CONTROL  a file of RULES rules, mapped here and written by the test (see shim.rs), so that a rule takes effect
 *                at once in every process that has it, and the hits that are counted in it are the signal that it did.
 * FAULT_CLOCK    a file of one number, mapped here and written by the test: microseconds by which the wall clock is off, from
 *                the moment it is written; clocks that only measure time are left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { RULES = 4 };
enum operation { WRITE = 1, SYNC = 2, TRUNCATE = 4, RENAME = 8, UNLINK = 16, ALLOCATE = 32 };
enum action { NONE, FULL, BROKEN, TORN, KILL_BEFORE, KILL_AFTER, HOLD };

struct rule {
    volatile uint32_t operations; /* a set of enum operation */
    volatile uint32_t action;
    int64_t skip;                 /* calls that pass before the first hit */
    int64_t left;                 /* hits until the rule is spent; negative: never */
    int64_t hits;
    char part[96];                /* of the path; empty: any */
};

static struct rule *rules;
static const char *prefix;
static const int64_t *clock_offset_us;

/* The C library's own function of this name. */
#define NEXT(name) \
    static __typeof__(name) *next; \
    if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* The file that a variable names, shared with the test; NULL where there is none. */
static void *shared(const char *variable, size_t size, int for_writing) {
    const char *path = getenv(variable);
    if (!path) return NULL;
    int fd = open(path, (for_writing ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0) return NULL;
    void *mapped = mmap(NULL, size, PROT_READ | (for_writing ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    close(fd);
    return mapped == MAP_FAILED ? NULL : mapped;
}

__attribute__((constructor)) static void begin(void) {
    clock_offset_us = shared("FAULT_CLOCK", sizeof *clock_offset_us, 0);
    prefix = getenv("FAULT_PREFIX");
    if (prefix) rules = shared("FAULT_CONTROL", RULES * sizeof(struct rule), 1);
}

static int below_prefix(const char *path) {
    size_t length = strlen(prefix);
    return strncmp(path, prefix, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* The action for this call, or NONE. */
static enum action meets(enum operation operation, const char *path, struct rule **met) {
    for (struct rule *rule = rules; rule < rules + RULES; rule++) {
        if (!(rule->operations & operation) || rule->action == NONE) continue;
        if (rule->part[0] && !strstr(path, rule->part)) continue;
        if (__atomic_fetch_sub(&rule->skip, 1, __ATOMIC_SEQ_CST) > 0) continue;
        int64_t left = __atomic_fetch_sub(&rule->left, 1, __ATOMIC_SEQ_CST);
        if (left == 0) {
            __atomic_fetch_add(&rule->left, 1, __ATOMIC_SEQ_CST);
            continue;
        }
        *met = rule;
        return rule->action;
    }
    return NONE;
}

static enum action meets_fd(enum operation operation, int fd, struct rule **met) {
    if (!rules) return NONE;
    char link[32], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return NONE;
    path[length] = 0;
    return below_prefix(path) ? meets(operation, path, met) : NONE;
}

static enum action meets_path(enum operation operation, const char *path, struct rule **met) {
    if (!rules) return NONE;
    char whole[PATH_MAX];
    const char *found = realpath(path, whole);
    if (!found) found = path;
    return below_prefix(found) ? meets(operation, found, met) : NONE;
}

static void hit(struct rule *rule) {
    __atomic_fetch_add(&rule->hits, 1, __ATOMIC_SEQ_CST);
}

/* Counts before it dies: nobody could afterwards. */
static void die(struct rule *rule) {
    hit(rule);
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static void hold(struct rule *rule) {
    hit(rule);
    struct timespec moment = {0, 1000000};
    while (rule->action == HOLD) nanosleep(&moment, NULL);
}

/* Runs CALL under the rules; -1 with ERRNO, or the call's own result. ENOSPC and EIO come without doing it. */
#define UNDER(ACTION, RULE, TYPE, FAILED, CALL) \
    do { \
        switch (ACTION) { \
        case NONE: return CALL; \
        case HOLD: hold(RULE); return CALL; \
        case KILL_BEFORE: die(RULE); __builtin_unreachable(); \
        case KILL_AFTER: { TYPE result = CALL; (void)result; die(RULE); __builtin_unreachable(); } \
        case FULL: case TORN: hit(RULE); FAILED(ENOSPC); \
        case BROKEN: hit(RULE); FAILED(EIO); \
        } \
        return CALL; \
    } while (0)
#define BY_ERRNO(code) do { errno = code; return -1; } while (0)
#define BY_RESULT(code) return code

/* A full disk still takes what overwrites; so only growing writes meet FULL and TORN. */
static int grows(int fd, off_t end) {
    struct stat now;
    return fstat(fd, &now) != 0 || end > now.st_size;
}

static off_t end_of_write(int fd, off_t offset, size_t count) {
    if (offset < 0) {
        struct stat now;
        int flags = fcntl(fd, F_GETFL);
        if (flags >= 0 && (flags & O_APPEND) && fstat(fd, &now) == 0) offset = now.st_size;
        else offset = lseek(fd, 0, SEEK_CUR);
    }
    return offset + (off_t)count;
}

static enum action of_write(int fd, off_t offset, size_t count, struct rule **met) {
    if (!rules || count == 0) return NONE;
    int growing = -1;
    for (struct rule *rule = rules; rule < rules + RULES; rule++) {
        if ((rule->operations & WRITE) && (rule->action == FULL || rule->action == TORN)) {
            growing = grows(fd, end_of_write(fd, offset, count));
            break;
        }
    }
    if (growing == 0) return NONE;
    return meets_fd(WRITE, fd, met);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    NEXT(write);
    struct rule *rule = NULL;
    enum action action = of_write(fd, -1, count, &rule);
    if (action == TORN && count > 1) {
        hit(rule);
        /* Half of it fits; what follows does not. */
        rule->action = FULL;
        return next(fd, bytes, count / 2);
    }
    UNDER(action, rule, ssize_t, BY_ERRNO, next(fd, bytes, count));
}

static size_t total(const struct iovec *parts, int count) {
    size_t bytes = 0;
    for (int n = 0; n < count; n++) bytes += parts[n].iov_len;
    return bytes;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    NEXT(writev);
    struct rule *rule = NULL;
    enum action action = of_write(fd, -1, total(parts, count), &rule);
    if (action == TORN) {
        hit(rule);
        rule->action = FULL;
        struct iovec half = {parts[0].iov_base, (parts[0].iov_len + 1) / 2};
        return next(fd, &half, 1);
    }
    UNDER(action, rule, ssize_t, BY_ERRNO, next(fd, parts, count));
}

#define WRITE_AT(name, type) \
    ssize_t name(int fd, const void *bytes, size_t count, type offset) { \
        NEXT(name); \
        struct rule *rule = NULL; \
        enum action action = of_write(fd, offset, count, &rule); \
        if (action == TORN && count > 1) { \
            hit(rule); \
            rule->action = FULL; \
            return next(fd, bytes, count / 2, offset); \
        } \
        UNDER(action, rule, ssize_t, BY_ERRNO, next(fd, bytes, count, offset)); \
    }
WRITE_AT(pwrite, off_t)
WRITE_AT(pwrite64, off64_t)

#define WRITE_PARTS_AT(name, type) \
    ssize_t name(int fd, const struct iovec *parts, int count, type offset) { \
        NEXT(name); \
        struct rule *rule = NULL; \
        enum action action = of_write(fd, offset, total(parts, count), &rule); \
        if (action == TORN) { \
            hit(rule); \
            rule->action = FULL; \
            struct iovec half = {parts[0].iov_base, (parts[0].iov_len + 1) / 2}; \
            return next(fd, &half, 1, offset); \
        } \
        UNDER(action, rule, ssize_t, BY_ERRNO, next(fd, parts, count, offset)); \
    }
WRITE_PARTS_AT(pwritev, off_t)
WRITE_PARTS_AT(pwritev64, off64_t)

int fsync(int fd) {
    NEXT(fsync);
    struct rule *rule = NULL;
    UNDER(meets_fd(SYNC, fd, &rule), rule, int, BY_ERRNO, next(fd));
}

int fdatasync(int fd) {
    NEXT(fdatasync);
    struct rule *rule = NULL;
    UNDER(meets_fd(SYNC, fd, &rule), rule, int, BY_ERRNO, next(fd));
}

int ftruncate(int fd, off_t length) {
    NEXT(ftruncate);
    struct rule *rule = NULL;
    UNDER(meets_fd(TRUNCATE, fd, &rule), rule, int, BY_ERRNO, next(fd, length));
}

int ftruncate64(int fd, off64_t length) {
    NEXT(ftruncate64);
    struct rule *rule = NULL;
    UNDER(meets_fd(TRUNCATE, fd, &rule), rule, int, BY_ERRNO, next(fd, length));
}

int posix_fallocate(int fd, off_t offset, off_t length) {
    NEXT(posix_fallocate);
    struct rule *rule = NULL;
    UNDER(meets_fd(ALLOCATE, fd, &rule), rule, int, BY_RESULT, next(fd, offset, length));
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    NEXT(posix_fallocate64);
    struct rule *rule = NULL;
    UNDER(meets_fd(ALLOCATE, fd, &rule), rule, int, BY_RESULT, next(fd, offset, length));
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
    NEXT(fallocate);
    struct rule *rule = NULL;
    UNDER(meets_fd(ALLOCATE, fd, &rule), rule, int, BY_ERRNO, next(fd, mode, offset, length));
}

int rename(const char *from, const char *to) {
    NEXT(rename);
    struct rule *rule = NULL;
    UNDER(meets_path(RENAME, from, &rule), rule, int, BY_ERRNO, next(from, to));
}

int unlink(const char *path) {
    NEXT(unlink);
    struct rule *rule = NULL;
    UNDER(meets_path(UNLINK, path, &rule), rule, int, BY_ERRNO, next(path));
}

/* The clock. */

/* Moves a time, whose fraction is counted in so many units a second. */
#define MOVE(seconds, fraction, units) \
    do { \
        int64_t offset_us = clock_offset_us ? __atomic_load_n(clock_offset_us, __ATOMIC_SEQ_CST) : 0; \
        int64_t moved = (int64_t)(fraction) + offset_us % 1000000 * ((units) / 1000000); \
        int64_t carried = moved < 0 ? -1 : moved >= (units) ? 1 : 0; \
        (seconds) += offset_us / 1000000 + carried; \
        (fraction) = moved - carried * (units); \
    } while (0)

int clock_gettime(clockid_t clock, struct timespec *time) {
    NEXT(clock_gettime);
    int result = next(clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) MOVE(time->tv_sec, time->tv_nsec, 1000000000);
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    NEXT(gettimeofday);
    int result = next(time, zone);
    if (result == 0) MOVE(time->tv_sec, time->tv_usec, 1000000);
    return result;
}

time_t time(time_t *place) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place) *place = now.tv_sec;
    return now.tv_sec;
}
