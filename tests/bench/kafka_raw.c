/*
 * Produce requests by hand: what a server costs, not what a client library costs. The requests are
 * made once and sent again and again with another partition; nothing is compressed.
 */
#include "kafka_bench.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { KINDS = 16, OUT_BYTES = 1 << 20 };

/* ---- bytes ---- */

static uint32_t crc32c(const uint8_t *data, size_t size) {
    static uint32_t table[256];
    uint32_t crc = 0xffffffff;
    for (unsigned i = 0; i < 256 && !table[255]; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) {
            c = c & 1 ? (c >> 1) ^ 0x82f63b78 : c >> 1;
        }
        table[i] = c;
    }
    while (size--) {
        crc = table[(crc ^ *data++) & 255] ^ (crc >> 8);
    }
    return ~crc;
}

static uint8_t *put16(uint8_t *p, int v) {
    p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v;
    return p + 2;
}
static uint8_t *put32(uint8_t *p, uint32_t v) {
    return put16(put16(p, (int)(v >> 16)), (int)(v & 0xffff));
}
static uint8_t *put64(uint8_t *p, uint64_t v) {
    return put32(put32(p, (uint32_t)(v >> 32)), (uint32_t)v);
}
static uint8_t *putv(uint8_t *p, int64_t v) {
    uint64_t z = (uint64_t)(v << 1) ^ (uint64_t)(v >> 63);
    for (; z >= 128; z >>= 7) {
        *p++ = (uint8_t)(z | 128);
    }
    *p++ = (uint8_t)z;
    return p;
}

static uint8_t *put_record(uint8_t *p, long number, size_t size) {
    uint8_t head[64], *h = head;
    *h++ = 0;
    h = putv(putv(h, 0), number);
    h = putv(h, -1);
    h = putv(h, (int64_t)size);
    p = putv(p, (h - head) + (int64_t)size + 1);
    memcpy(p, head, (size_t)(h - head));
    p += h - head;
    fill_random((char *)p, size);
    return putv(p + size, 0);
}

/* ---- one request ---- */

struct request {
    uint8_t *bytes; /* with the length in front */
    size_t size, partition_at;
};

/* Produce v7, acks=all, one batch of @records records of random bytes. */
static struct request make_request(const char *topic, long records, size_t size) {
    struct request request = {0};
    uint8_t *batch = malloc(256 + (size_t)records * (size + 64)), *b = batch + 21;
    uint64_t now_ms = (uint64_t)time(NULL) * 1000;
    b = put32(put16(b, 0), (uint32_t)records - 1);
    b = put64(put64(b, now_ms), now_ms);
    b = put32(put16(put64(b, UINT64_MAX), -1), UINT32_MAX);
    b = put32(b, (uint32_t)records);
    for (long i = 0; i < records; i++) {
        b = put_record(b, i, size);
    }
    uint8_t *h = put32(put32(put64(batch, 0), (uint32_t)(b - batch - 12)), UINT32_MAX);
    *h++ = 2;
    put32(h, crc32c(batch + 21, (size_t)(b - batch - 21)));
    request.bytes = malloc((size_t)(b - batch) + 512);
    uint8_t *p = request.bytes + 4;
    p = put32(put16(put16(p, 0), 7), 1);
    p = put16(p, 5);
    memcpy(p, "bench", 5);
    p = put16(p + 5, -1); /* transactional id */
    p = put32(put16(p, -1), 10000);
    p = put32(p, 1);
    p = put16(p, (int)strlen(topic));
    memcpy(p, topic, strlen(topic));
    p = put32(p + strlen(topic), 1);
    request.partition_at = (size_t)(p - request.bytes);
    p = put32(put32(p, 0), (uint32_t)(b - batch));
    memcpy(p, batch, (size_t)(b - batch));
    p += b - batch;
    request.size = (size_t)(p - request.bytes);
    put32(request.bytes, (uint32_t)(request.size - 4));
    free(batch);
    return request;
}

/* -1 with errno when nobody listens. */
static int try_dial(const char *bootstrap) {
    char host[256];
    snprintf(host, sizeof host, "%s", bootstrap);
    char *colon = strrchr(host, ':');
    *colon = 0;
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
    if (getaddrinfo(host, colon + 1, &hints, &found)) {
        die("address", bootstrap);
    }
    int fd = socket(found->ai_family, SOCK_STREAM, 0), one = 1;
    if (connect(fd, found->ai_addr, found->ai_addrlen)) {
        int number = errno;
        close(fd);
        fd = -1;
        errno = number;
    } else {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    freeaddrinfo(found);
    return fd;
}

/* Answers of Produce v7 to our one topic have a fixed size; the error code stands at a fixed place.
 */
static int answer_error(const uint8_t *answer) {
    size_t name = (size_t)answer[8] << 8 | answer[9];
    const uint8_t *code = answer + 10 + name + 4 + 4;
    return code[0] << 8 | code[1];
}

/* ---- many in flight ---- */

struct window {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    long sent, answered, errors, count;
    int fd;
};

static void *read_answers(void *arg) {
    struct window *window = arg;
    static uint8_t bytes[1 << 16];
    size_t have = 0;
    long answered = 0;
    while (answered < window->count) {
        ssize_t n = read(window->fd, bytes + have, sizeof bytes - have);
        if (n <= 0) {
            die("pipeline", "the server closed the connection");
        }
        have += (size_t)n;
        size_t at = 0;
        long errors = 0;
        while (have - at >= 4) {
            uint32_t size = (uint32_t)bytes[at] << 24 | (uint32_t)bytes[at + 1] << 16 |
                            (uint32_t)bytes[at + 2] << 8 | bytes[at + 3];
            if (have - at < 4 + size) {
                break;
            }
            errors += answer_error(bytes + at + 4) != 0;
            at += 4 + size;
            answered++;
        }
        memmove(bytes, bytes + at, have - at);
        have -= at;
        pthread_mutex_lock(&window->lock);
        window->answered = answered;
        window->errors += errors;
        pthread_cond_signal(&window->moved);
        pthread_mutex_unlock(&window->lock);
    }
    return NULL;
}

static bool write_all(int fd, const uint8_t *bytes, size_t size) {
    for (size_t at = 0; at < size;) {
        ssize_t n = send(fd, bytes + at, size - at, MSG_NOSIGNAL);
        if (n < 0) {
            return false;
        }
        at += (size_t)n;
    }
    return true;
}

static long wait_for_room(struct window *window, long depth) {
    pthread_mutex_lock(&window->lock);
    while (window->sent - window->answered >= depth) {
        pthread_cond_wait(&window->moved, &window->lock);
    }
    long room = depth - (window->sent - window->answered);
    pthread_mutex_unlock(&window->lock);
    return room;
}

int run_raw(const struct raw_load *load) {
    static uint8_t out[OUT_BYTES];
    struct request requests[KINDS];
    struct window window = {.lock = PTHREAD_MUTEX_INITIALIZER,
                            .moved = PTHREAD_COND_INITIALIZER,
                            .count = load->count,
                            .fd = try_dial(load->bootstrap)};
    if (window.fd < 0) {
        die("connect", strerror(errno));
    }
    for (int i = 0; i < KINDS; i++) {
        requests[i] = make_request(load->topic, load->records, load->size);
    }
    if (requests[0].size > OUT_BYTES) {
        die("pipeline", "the batch is too large");
    }
    pthread_t reader;
    pthread_create(&reader, NULL, read_answers, &window);
    double begun = now_s();
    while (window.sent < load->count) {
        long room = wait_for_room(&window, load->depth);
        size_t bytes = 0;
        while (room-- > 0 && window.sent < load->count) {
            const struct request *request = &requests[window.sent % KINDS];
            if (bytes + request->size > OUT_BYTES) {
                break;
            }
            memcpy(out + bytes, request->bytes, request->size);
            put32(out + bytes + request->partition_at, (uint32_t)(window.sent % load->partitions));
            bytes += request->size;
            window.sent++;
        }
        if (!write_all(window.fd, out, bytes)) {
            die("write", strerror(errno));
        }
    }
    pthread_join(reader, NULL);
    printf("pipeline %.0f records/s %ld errors\n",
           (double)load->count * (double)load->records / (now_s() - begun), window.errors);
    return window.errors ? 1 : 0;
}

/* ---- after a restart ---- */

int run_first_answer(const char *bootstrap, const char *topic, long seconds) {
    struct request request = make_request(topic, 1, 100);
    double end = now_s() + (double)seconds;
    uint8_t answer[512];
    while (now_s() < end) {
        int fd = try_dial(bootstrap);
        if (fd >= 0) {
            struct timeval patience = {.tv_sec = 2};
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
            bool sent = write_all(fd, request.bytes, request.size);
            size_t have = 0;
            ssize_t n;
            while (sent && have < 28 + strlen(topic) &&
                   (n = read(fd, answer + have, sizeof answer - have)) > 0) {
                have += (size_t)n;
            }
            close(fd);
            if (have >= 28 + strlen(topic) && answer_error(answer + 4) == 0) {
                printf("answer %.3f\n", now_s());
                return 0;
            }
        }
        usleep(1000);
    }
    die("answer", "no record was acknowledged in time");
}
