/*
 * A Kafka client that measures: librdkafka for bulk and latency, a raw socket for one record a
 * request with many requests in flight. Prints one line "name value unit"; the driver (run.py)
 * reads the server's CPU time around it.
 *
 *   kafka_bench produce  HOST:PORT TOPIC COUNT SIZE CODEC    bulk, acks=all, six partitions or what
 * the topic has kafka_bench consume  HOST:PORT TOPIC COUNT               from the start, all
 * partitions kafka_bench pipeline HOST:PORT TOPIC COUNT SIZE DEPTH    one record a request, DEPTH
 * in flight, acks=all kafka_bench latency  HOST:PORT TOPIC RATE SECONDS        produce to consume,
 * no linger; p50 and p99 in us
 */
#include <arpa/inet.h>
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what, const char *why) {
    fprintf(stderr, "kafka_bench: %s: %s\n", what, why);
    exit(1);
}

static uint64_t random_state = 88172645463325252ULL;
static uint64_t random_next(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}
static void fill_random(char *out, size_t size) {
    for (size_t i = 0; i < size; i++) {
        out[i] = (char)random_next();
    }
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char error[512];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK) {
        die(name, error);
    }
}

/* ---- bulk produce ---- */

static long delivered, failed;
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk, (void)opaque;
    message->err ? failed++ : delivered++;
}

static rd_kafka_t *producer_new(const char *bootstrap, const char *codec, const char *linger) {
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "acks", "all");
    set(conf, "linger.ms", linger);
    set(conf, "compression.codec", codec);
    set(conf, "queue.buffering.max.messages", "1000000");
    set(conf, "batch.num.messages", "100000");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (!rk) {
        die("producer", error);
    }
    return rk;
}

static int run_produce(const char *bootstrap, const char *topic, long count, size_t size,
                       const char *codec) {
    rd_kafka_t *rk = producer_new(bootstrap, codec, "5");
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    const struct rd_kafka_metadata *metadata;
    rd_kafka_metadata(rk, 0, rkt, &metadata, 10000);
    int partitions = metadata->topics[0].partition_cnt;
    static char pool[1 << 20];
    fill_random(pool, sizeof pool);
    double begun = now_s();
    for (long i = 0; i < count; i++) {
        const char *value = pool + random_next() % (sizeof pool - size);
        while (rd_kafka_produce(rkt, (int)(i % partitions), RD_KAFKA_MSG_F_COPY,
                                (void *)(uintptr_t)value, size, NULL, 0, NULL) != 0) {
            rd_kafka_poll(rk, 5);
        }
        if (i % 1000 == 0) {
            rd_kafka_poll(rk, 0);
        }
    }
    while (delivered + failed < count) {
        rd_kafka_poll(rk, 50);
    }
    double seconds = now_s() - begun;
    printf("produce %.0f records/s %ld failed\n", (double)count / seconds, failed);
    rd_kafka_topic_destroy(rkt);
    rd_kafka_destroy(rk);
    return failed ? 1 : 0;
}

/* ---- consume ---- */

static rd_kafka_t *consumer_new(const char *bootstrap, const char *topic, int64_t offset) {
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "group.id", "bench");
    set(conf, "enable.auto.commit", "false");
    set(conf, "fetch.wait.max.ms", "100");
    set(conf, "check.crcs", "false");
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    if (!rk) {
        die("consumer", error);
    }
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    const struct rd_kafka_metadata *metadata;
    if (rd_kafka_metadata(rk, 0, rkt, &metadata, 10000)) {
        die("metadata", topic);
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (int i = 0; i < metadata->topics[0].partition_cnt; i++) {
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = offset;
    }
    rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_topic_destroy(rkt);
    return rk;
}

static int run_consume(const char *bootstrap, const char *topic, long count) {
    rd_kafka_t *rk = consumer_new(bootstrap, topic, RD_KAFKA_OFFSET_BEGINNING);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    rd_kafka_message_t *messages[2000];
    double begun = now_s();
    for (long seen = 0; seen < count;) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 1000, messages, 2000);
        for (ssize_t i = 0; i < n; i++) {
            seen += messages[i]->err == 0;
            rd_kafka_message_destroy(messages[i]);
        }
        if (now_s() - begun > 120) {
            die("consume", "no end after 120 s");
        }
    }
    printf("consume %.0f records/s\n", (double)count / (now_s() - begun));
    rd_kafka_queue_destroy(queue);
    fflush(stdout);
    _exit(0); /* a consumer's orderly end takes longer than the run */
}

/* ---- one record a request ---- */

static uint32_t crc_table[256];
static uint32_t crc32c(const uint8_t *data, size_t size) {
    uint32_t crc = 0xffffffff;
    for (unsigned i = 0; i < 256 && !crc_table[255]; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) {
            c = c & 1 ? (c >> 1) ^ 0x82f63b78 : c >> 1;
        }
        crc_table[i] = c;
    }
    while (size--) {
        crc = crc_table[(crc ^ *data++) & 255] ^ (crc >> 8);
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

/* A Produce v7 request with one batch of one record; returns its bytes with the length in front. */
static size_t produce_request(uint8_t *out, const char *topic, size_t size) {
    uint8_t record[2048], *r = record;
    *r++ = 0;
    r = putv(putv(r, 0), 0);
    r = putv(r, -1);
    r = putv(r, (int64_t)size);
    fill_random((char *)r, size);
    r += size;
    r = putv(r, 0);
    uint8_t length[10];
    size_t length_size = (size_t)(putv(length, r - record) - length);
    uint8_t batch[4096], *b = batch + 21;
    uint64_t now_ms = (uint64_t)time(NULL) * 1000;
    b = put32(put16(b, 0), 0);
    b = put64(put64(b, now_ms), now_ms);
    b = put32(put16(put64(b, UINT64_MAX), -1), UINT32_MAX);
    b = put32(b, 1);
    memcpy(b, length, length_size);
    memcpy(b + length_size, record, (size_t)(r - record));
    b += length_size + (size_t)(r - record);
    uint8_t *h = put32(put32(put64(batch, 0), (uint32_t)(b - batch - 12)), UINT32_MAX);
    *h++ = 2;
    put32(h, crc32c(batch + 21, (size_t)(b - batch - 21)));
    uint8_t *p = out + 4;
    p = put32(put16(put16(p, 0), 7), 1);
    p = put16(p, 5);
    memcpy(p, "bench", 5);
    p = put16(p + 5, -1); /* transactional id */
    p = put32(put16(p, -1), 10000);
    p = put32(p, 1);
    p = put16(p, (int)strlen(topic));
    memcpy(p, topic, strlen(topic));
    p = put32(put32(p + strlen(topic), 1), 0);
    p = put32(p, (uint32_t)(b - batch));
    memcpy(p, batch, (size_t)(b - batch));
    p += b - batch;
    put32(out, (uint32_t)(p - out - 4));
    return (size_t)(p - out);
}

static int dial(const char *bootstrap) {
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
        die("connect", strerror(errno));
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    freeaddrinfo(found);
    return fd;
}

struct window {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    long sent, answered, errors, depth, count;
    int fd;
};

/* Answers of Produce v7 to our one topic have a fixed size; the error code stands at a fixed place.
 */
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
            const uint8_t *answer = bytes + at + 4;
            size_t name = (size_t)answer[8] << 8 | answer[9];
            const uint8_t *code = answer + 10 + name + 4 + 4;
            errors += code[0] || code[1];
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

static int run_pipeline(const char *bootstrap, const char *topic, long count, size_t size,
                        long depth) {
    enum { KINDS = 64 };
    static uint8_t requests[KINDS][4096];
    static uint8_t out[KINDS * 4096];
    size_t sizes[KINDS];
    struct window window = {PTHREAD_MUTEX_INITIALIZER,
                            PTHREAD_COND_INITIALIZER,
                            0,
                            0,
                            0,
                            depth,
                            count,
                            dial(bootstrap)};
    for (int i = 0; i < KINDS; i++) {
        sizes[i] = produce_request(requests[i], topic, size);
    }
    pthread_t reader;
    pthread_create(&reader, NULL, read_answers, &window);
    double begun = now_s();
    while (window.sent < count) {
        pthread_mutex_lock(&window.lock);
        while (window.sent - window.answered >= depth) {
            pthread_cond_wait(&window.moved, &window.lock);
        }
        long room = depth - (window.sent - window.answered);
        pthread_mutex_unlock(&window.lock);
        size_t bytes = 0;
        for (long i = 0; i < room && i < KINDS && window.sent < count; i++, window.sent++) {
            memcpy(out + bytes, requests[i], sizes[i]);
            bytes += sizes[i];
        }
        for (size_t at = 0; at < bytes;) {
            ssize_t n = write(window.fd, out + at, bytes - at);
            if (n < 0) {
                die("write", strerror(errno));
            }
            at += (size_t)n;
        }
    }
    pthread_join(reader, NULL);
    printf("pipeline %.0f requests/s %ld errors\n", (double)count / (now_s() - begun),
           window.errors);
    return window.errors ? 1 : 0;
}

/* ---- latency: each record carries the time at which it was given to the producer ---- */

static int compare_double(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct paced {
    const char *bootstrap, *topic;
    long rate, count;
};

static void *produce_paced(void *arg) {
    const struct paced *paced = arg;
    rd_kafka_t *rk = producer_new(paced->bootstrap, "none", "0");
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, paced->topic, NULL);
    char value[100];
    memset(value, 'x', sizeof value);
    double begun = now_s();
    for (long i = 0; i < paced->count; i++) {
        double due = begun + (double)i / (double)paced->rate;
        double wait = due - now_s();
        if (wait > 0) {
            usleep((useconds_t)(wait * 1e6));
        }
        double at = now_s();
        memcpy(value, &at, sizeof at);
        rd_kafka_produce(rkt, 0, RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK, value, sizeof value,
                         NULL, 0, NULL);
        rd_kafka_poll(rk, 0);
    }
    rd_kafka_flush(rk, 10000);
    rd_kafka_topic_destroy(rkt);
    return NULL;
}

static int run_latency(const char *bootstrap, const char *topic, long rate, long seconds) {
    struct paced paced = {bootstrap, topic, rate, rate * seconds};
    double *samples = calloc((size_t)paced.count, sizeof *samples);
    rd_kafka_t *consumer = consumer_new(bootstrap, topic, RD_KAFKA_OFFSET_END);
    for (int i = 0; i < 20; i++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
        if (message) {
            rd_kafka_message_destroy(message);
        }
    }
    pthread_t producer;
    pthread_create(&producer, NULL, produce_paced, &paced);
    double end = now_s() + (double)seconds * 3 + 10;
    long seen = 0;
    while (seen < paced.count && now_s() < end) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 1000);
        if (message && !message->err && message->len == 100) {
            double at;
            memcpy(&at, message->payload, sizeof at);
            samples[seen++] = (now_s() - at) * 1e6;
        }
        if (message) {
            rd_kafka_message_destroy(message);
        }
    }
    long skip = seen / 10; /* the first tenth warms up */
    qsort(samples + skip, (size_t)(seen - skip), sizeof *samples, compare_double);
    long n = seen - skip;
    printf("latency p50 %.0f us p99 %.0f us of %ld of %ld\n", n ? samples[skip + n / 2] : 0.0,
           n ? samples[skip + n * 99 / 100] : 0.0, seen, paced.count);
    fflush(stdout);
    _exit(seen == paced.count ? 0 : 1);
}

int main(int argc, char **argv) {
    if (argc >= 7 && strcmp(argv[1], "produce") == 0) {
        return run_produce(argv[2], argv[3], atol(argv[4]), (size_t)atol(argv[5]), argv[6]);
    }
    if (argc >= 5 && strcmp(argv[1], "consume") == 0) {
        return run_consume(argv[2], argv[3], atol(argv[4]));
    }
    if (argc >= 7 && strcmp(argv[1], "pipeline") == 0) {
        return run_pipeline(argv[2], argv[3], atol(argv[4]), (size_t)atol(argv[5]), atol(argv[6]));
    }
    if (argc >= 6 && strcmp(argv[1], "latency") == 0) {
        return run_latency(argv[2], argv[3], atol(argv[4]), atol(argv[5]));
    }
    fprintf(stderr, "usage: kafka_bench produce|consume|pipeline|latency HOST:PORT TOPIC ...\n");
    return 2;
}
