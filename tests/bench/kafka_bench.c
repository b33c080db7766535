/*
 * A Kafka client that measures: librdkafka for bulk and latency, requests made by hand
 * (kafka_raw.c) where a client library would cost more than the server. Prints one line "name value
 * unit"; the driver (run.py) reads the server's CPU time around it.
 *
 *   kafka_bench produce  HOST:PORT TOPIC COUNT SIZE CODEC [PRODUCERS]   bulk, acks=all, all
 *                        partitions in turns; each producer is a client of its own
 *   kafka_bench consume  HOST:PORT TOPIC COUNT               from the start, all partitions
 *   kafka_bench tail     HOST:PORT TOPIC COUNT SIZE          from the end, while a producer writes
 *   kafka_bench pipeline HOST:PORT TOPIC COUNT SIZE DEPTH [RECORDS PARTITIONS]   one batch a
 *                        request, DEPTH in flight, acks=all, partitions in turns
 *   kafka_bench latency  HOST:PORT TOPIC RATE SECONDS        produce to consume, no linger
 *   kafka_bench answer   HOST:PORT TOPIC SECONDS             the first acknowledgement's time
 *
 * Values are random bytes; with a codec they are words of a small vocabulary, which lz4 brings to a
 * third.
 */
#include "kafka_bench.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void die(const char *what, const char *why) {
    fprintf(stderr, "kafka_bench: %s: %s\n", what, why);
    exit(1);
}

static uint64_t random_state = 88172645463325252ULL;
static uint64_t random_next(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}
void fill_random(char *out, size_t size) {
    for (size_t i = 0; i < size; i++) {
        out[i] = (char)random_next();
    }
}

/* Words of six letters out of 256, so that a codec has something to find. */
static void fill_words(char *out, size_t size) {
    static char words[256][6];
    fill_random(words[0], sizeof words);
    for (size_t i = 0; i < size; i += 6) {
        memcpy(out + i, words[random_next() & 255], size - i < 6 ? size - i : 6);
    }
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char error[512];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK) {
        die(name, error);
    }
}

/* ---- bulk produce ---- */

struct load {
    const char *bootstrap, *topic, *codec;
    long count;
    size_t size;
    long delivered, failed;
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk;
    struct load *load = opaque;
    if (load) {
        message->err ? load->failed++ : load->delivered++;
    }
}

/* Little beside the load of a row: else the threads of 16 producers take the processors from the
 * broker until all is queued, and what is timed is a broker that ends its backlog alone. */
#define QUEUE_KIB "8192"

static rd_kafka_t *producer_new(const char *bootstrap, const char *codec, const char *linger,
                                struct load *load) {
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "acks", "all");
    set(conf, "linger.ms", linger);
    set(conf, "compression.codec", codec);
    set(conf, "queue.buffering.max.messages", "1000000");
    set(conf, "queue.buffering.max.kbytes", QUEUE_KIB);
    set(conf, "batch.num.messages", "100000");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, load);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (!rk) {
        die("producer", error);
    }
    return rk;
}

static char pool[1 << 20];

static void *produce_load(void *arg) {
    struct load *load = arg;
    rd_kafka_t *rk = producer_new(load->bootstrap, load->codec, "5", load);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, load->topic, NULL);
    const struct rd_kafka_metadata *metadata;
    if (rd_kafka_metadata(rk, 0, rkt, &metadata, 10000)) {
        die("metadata", load->topic);
    }
    int partitions = metadata->topics[0].partition_cnt;
    for (long i = 0; i < load->count; i++) {
        const char *value = pool + (size_t)i * 997 % (sizeof pool - load->size);
        while (rd_kafka_produce(rkt, (int)(i % partitions), RD_KAFKA_MSG_F_COPY,
                                (void *)(uintptr_t)value, load->size, NULL, 0, NULL) != 0) {
            rd_kafka_poll(rk, 5);
        }
        if (i % 1000 == 0) {
            rd_kafka_poll(rk, 0);
        }
    }
    while (load->delivered + load->failed < load->count) {
        rd_kafka_poll(rk, 50);
    }
    rd_kafka_topic_destroy(rkt);
    rd_kafka_destroy(rk);
    return NULL;
}

enum { PRODUCERS_MAX = 64 };

static int run_produce(const struct load *all, int producers) {
    pthread_t threads[PRODUCERS_MAX];
    struct load loads[PRODUCERS_MAX];
    long failed = 0;
    if (producers < 1 || producers > PRODUCERS_MAX) {
        die("produce", "1 to 64 producers");
    }
    strcmp(all->codec, "none") == 0 ? fill_random(pool, sizeof pool)
                                    : fill_words(pool, sizeof pool);
    double begun = now_s();
    for (int i = 0; i < producers; i++) {
        loads[i] = *all;
        loads[i].count = all->count / producers;
        pthread_create(&threads[i], NULL, produce_load, &loads[i]);
    }
    for (int i = 0; i < producers; i++) {
        pthread_join(threads[i], NULL);
        failed += loads[i].failed;
    }
    printf("produce %.0f records/s %ld failed\n", (double)all->count / (now_s() - begun), failed);
    return failed ? 1 : 0;
}

/* ---- consume ---- */

static int64_t end_offset(rd_kafka_t *rk, const char *topic, int partition) {
    int64_t low, high;
    if (rd_kafka_query_watermark_offsets(rk, topic, partition, &low, &high, 10000)) {
        die("end offset", topic);
    }
    return high;
}

/*
 * Reads from the start, or from where the end is now: by number, so that what is written from here
 * on is read whenever the consumer's first request comes.
 */
static rd_kafka_t *consumer_new(const char *bootstrap, const char *topic, bool from_end) {
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "group.id", "bench");
    set(conf, "enable.auto.commit", "false");
    set(conf, "fetch.wait.max.ms", "100");
    set(conf, "check.crcs", "false");
    /* Else it stops asking whenever its own queue is full for a moment, and the row measures that.
     */
    set(conf, "queued.min.messages", "10000000");
    set(conf, "queued.max.messages.kbytes", "1048576");
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    if (!rk) {
        die("consumer", error);
    }
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    const struct rd_kafka_metadata *metadata;
    if (rd_kafka_metadata(rk, 0, rkt, &metadata, 10000) || !metadata->topics[0].partition_cnt) {
        die("metadata", topic);
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (int i = 0; i < metadata->topics[0].partition_cnt; i++) {
        rd_kafka_topic_partition_list_add(list, topic, i)->offset =
            from_end ? end_offset(rk, topic, i) : 0;
    }
    rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_topic_destroy(rkt);
    return rk;
}

static void consume_count(rd_kafka_t *rk, long count) {
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    rd_kafka_message_t *messages[2000];
    double end = now_s() + 120;
    for (long seen = 0; seen < count;) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 1000, messages, 2000);
        for (ssize_t i = 0; i < n; i++) {
            seen += messages[i]->err == 0;
            rd_kafka_message_destroy(messages[i]);
        }
        if (now_s() > end) {
            die("consume", "no end after 120 s");
        }
    }
    rd_kafka_queue_destroy(queue);
}

/* A consumer's orderly end takes longer than the run. */
static _Noreturn void leave(int status) {
    fflush(stdout);
    _exit(status);
}

static int run_consume(const char *bootstrap, const char *topic, long count) {
    rd_kafka_t *rk = consumer_new(bootstrap, topic, false);
    double begun = now_s();
    consume_count(rk, count);
    printf("consume %.0f records/s\n", (double)count / (now_s() - begun));
    leave(0);
}

static int run_tail(struct load *load) {
    rd_kafka_t *rk = consumer_new(load->bootstrap, load->topic, true);
    fill_random(pool, sizeof pool);
    pthread_t producer;
    double begun = now_s();
    pthread_create(&producer, NULL, produce_load, load);
    consume_count(rk, load->count);
    printf("tail %.0f records/s\n", (double)load->count / (now_s() - begun));
    leave(0);
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
    rd_kafka_t *rk = producer_new(paced->bootstrap, "none", "0", NULL);
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
    rd_kafka_t *consumer = consumer_new(bootstrap, topic, true);
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
    leave(seen == paced.count ? 0 : 1);
}

static long number(int argc, char **argv, int at, long otherwise) {
    return argc > at ? atol(argv[at]) : otherwise;
}

int main(int argc, char **argv) {
    const char *what = argc > 3 ? argv[1] : "";
    long first = number(argc, argv, 4, 1), second = number(argc, argv, 5, 100);
    struct load load = {.bootstrap = argc > 2 ? argv[2] : NULL,
                        .topic = argc > 3 ? argv[3] : NULL,
                        .codec = argc > 6 ? argv[6] : "none",
                        .count = first,
                        .size = (size_t)second};
    struct raw_load raw = {load.bootstrap,
                           load.topic,
                           first,
                           number(argc, argv, 6, 64),
                           number(argc, argv, 7, 1),
                           load.size,
                           number(argc, argv, 8, 1)};
    if (load.size >= sizeof pool) {
        die("size", "records are smaller than 1 MiB");
    }
    if (strcmp(what, "produce") == 0) {
        return run_produce(&load, (int)number(argc, argv, 7, 1));
    }
    if (strcmp(what, "consume") == 0) {
        return run_consume(load.bootstrap, load.topic, first);
    }
    if (strcmp(what, "tail") == 0) {
        return run_tail(&load);
    }
    if (strcmp(what, "pipeline") == 0) {
        return run_raw(&raw);
    }
    if (strcmp(what, "latency") == 0) {
        return run_latency(load.bootstrap, load.topic, first, second);
    }
    if (strcmp(what, "answer") == 0) {
        return run_first_answer(load.bootstrap, load.topic, first);
    }
    fprintf(stderr, "usage: kafka_bench produce|consume|tail|pipeline|latency|answer HOST:PORT "
                    "TOPIC ...\n");
    return 2;
}
