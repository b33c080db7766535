/* What the parts of floor.c share. */
#pragma once

#include <netinet/in.h>
#include <stddef.h>

enum { FLOOR_ALIGN = 4096, JOURNAL_BYTES = 16 << 20 };

struct listener {
    struct sockaddr_in address;
    int fd;
};

_Noreturn void die(const char *what); /* with errno's text */
double now_s(void);
double cpu_s(int who); /* of getrusage() */
int open_in(const char *folder, const char *name, int flags);
int open_numbered(const char *folder, long file);
/** aligned_bytes() - memory that is touched, for O_DIRECT */
void *aligned_bytes(size_t bytes);
/** open_journal() - JOURNAL_BYTES in @folder that are written already, past the page cache */
int open_journal(const char *folder);
struct listener listen_on_loopback(void);
/** connect_to() - a socket connected to @listener */
int connect_to(const struct listener *listener);
void watch(int poll, int fd);

/* floor_bulk.c */
struct bulk {
    const char *folder;
    long connections, files, mib;
    size_t request_bytes;
    size_t gathered_bytes; /* of requests that wait for more of their file, of all files */
    double client_s_gib;   /* CPU seconds of a client for each GiB that it sends */
};
void run_bulk(const struct bulk *bulk);
