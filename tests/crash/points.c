/*
 * Loaded into covirtd by LD_PRELOAD: writes down every effect on the world outside, and ends the process at a chosen one.
 *
 * In the folder that COVIRT_CRASH_POINTS names, the file `rule` says where: "EFFECT PROCEDURE NTH MOMENT", for example
 * "request 34 1 after". The file `trace` has a line "EFFECT PROCEDURE MOMENT" for every effect, and "died" at the end.
 *
 *   append   the first write to the journal after what was written before is durable
 *   sync     what was written is made durable
 *   request  a call is sent to libvirtd; its procedure
 *   answer   libvirtd's answer to a call has come, and the caller does not have it yet; its procedure
 *   reply    a client is sent something
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { PROGRAM = 0x20008086, CALL = 0, REPLY = 1, MAX = 512 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char rule[MAX];
static unsigned seen;
static int unsynced;

static int open_in_folder(const char *name, int flags)
{
    char path[MAX];
    const char *folder = getenv("COVIRT_CRASH_POINTS");
    if (!folder)
        return -1;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
}

static void note(int trace, const char *line)
{
    syscall(SYS_write, trace, line, strlen(line));
}

/* Under the lock. */
static void happens_now(const char *effect, unsigned procedure, const char *moment)
{
    char now[MAX] = "", wanted[MAX], at[MAX], line[MAX];
    unsigned of, nth;
    int from = open_in_folder("rule", O_RDONLY), trace = open_in_folder("trace", O_WRONLY | O_APPEND | O_CREAT);
    if (from >= 0) {
        syscall(SYS_read, from, now, sizeof now - 1);
        syscall(SYS_close, from);
    }
    if (strcmp(now, rule)) {
        strcpy(rule, now);
        seen = 0;
    }
    snprintf(line, sizeof line, "%s %u %s\n", effect, procedure, moment);
    note(trace, line);
    if (sscanf(rule, "%63s %u %u %63s", wanted, &of, &nth, at) == 4 && !strcmp(effect, wanted) && of == procedure &&
        !strcmp(moment, at) && ++seen == nth) {
        note(trace, "died\n");
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;)
            pause();
    }
    syscall(SYS_close, trace);
}

static void happens(const char *effect, unsigned procedure, const char *moment)
{
    pthread_mutex_lock(&lock);
    happens_now(effect, procedure, moment);
    pthread_mutex_unlock(&lock);
}

static int is_journal(int fd)
{
    char link[64], path[MAX] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1) > 0 && strstr(path, "/state/");
}

static int is_socket(int fd, long which, const char *name)
{
    struct sockaddr_un address = { 0 };
    socklen_t length = sizeof address;
    return !syscall(which, fd, &address, &length) && address.sun_family == AF_UNIX && strstr(address.sun_path, name);
}

static unsigned word(const char *from)
{
    unsigned value;
    memcpy(&value, from, sizeof value);
    return ntohl(value);
}

/* Which procedure this is a message about, or -1; its length stands before it, or was read already. */
static long procedure_of(const char *message, ssize_t length, unsigned type)
{
    for (int at = 0; at <= 4; at += 4)
        if (length >= at + 16 && word(message + at) == PROGRAM && word(message + at + 12) == type)
            return word(message + at + 8);
    return -1;
}

static void writes(int fd, const char *data, ssize_t length, const char *moment)
{
    long procedure = procedure_of(data, length, CALL);
    if (procedure >= 0 && is_socket(fd, SYS_getpeername, "libvirt-sock"))
        happens("request", (unsigned)procedure, moment);
    else if (is_socket(fd, SYS_getsockname, "api.sock"))
        happens("reply", 0, moment);
}

static void has_read(int fd, const char *data, ssize_t length)
{
    long procedure = procedure_of(data, length, REPLY);
    if (procedure >= 0 && is_socket(fd, SYS_getpeername, "libvirt-sock"))
        happens("answer", (unsigned)procedure, "before");
}

static void appends(int fd)
{
    if (!is_journal(fd))
        return;
    pthread_mutex_lock(&lock);
    if (!unsynced)
        happens_now("append", 0, "before");
    unsynced = 1;
    pthread_mutex_unlock(&lock);
}

static int syncs(int fd, long which)
{
    if (!is_journal(fd))
        return (int)syscall(which, fd);
    happens("sync", 0, "before");
    int result = (int)syscall(which, fd);
    pthread_mutex_lock(&lock);
    unsynced = 0;
    pthread_mutex_unlock(&lock);
    happens("sync", 0, "after");
    return result;
}

int fsync(int fd) { return syncs(fd, SYS_fsync); }
int fdatasync(int fd) { return syncs(fd, SYS_fdatasync); }

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at)
{
    appends(fd);
    return syscall(SYS_pwrite64, fd, data, length, at);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return pwrite64(fd, data, length, at); }

#define SENDING(call)                               \
    writes(fd, data, (ssize_t)length, "before");    \
    ssize_t result = call;                          \
    if (result >= 0)                                \
        writes(fd, data, (ssize_t)length, "after"); \
    return result

ssize_t write(int fd, const void *data, size_t length) { SENDING(syscall(SYS_write, fd, data, length)); }

ssize_t send(int fd, const void *data, size_t length, int flags)
{
    SENDING(syscall(SYS_sendto, fd, data, length, flags, NULL, 0));
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    const char *data = count > 0 ? parts[0].iov_base : "";
    size_t length = count > 0 ? parts[0].iov_len : 0;
    SENDING(syscall(SYS_writev, fd, parts, count));
}

#define READING(call)                 \
    ssize_t result = call;            \
    if (result > 0)                   \
        has_read(fd, data, result);   \
    return result

ssize_t read(int fd, void *data, size_t length) { READING(syscall(SYS_read, fd, data, length)); }

ssize_t recv(int fd, void *data, size_t length, int flags)
{
    READING(syscall(SYS_recvfrom, fd, data, length, flags, NULL, NULL));
}
