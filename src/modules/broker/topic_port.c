/* In-process appends: sets of records become batches, batches become one atomic append. */
#include "topic_port_private.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <stdlib.h>
#include <string.h>

/* ---- placement: murmur2 with Java's seed, as the stock Java producer hashes keys ---- */

static uint32_t murmur2(const uint8_t *data, size_t size) {
    const uint32_t m = 0x5bd1e995;
    uint32_t h = 0x9747b28cU ^ (uint32_t)size;
    size_t left = size;
    for (; left >= 4; data += 4, left -= 4) {
        uint32_t k = get_le32(data);
        k *= m;
        k ^= k >> 24;
        k *= m;
        h *= m;
        h ^= k;
    }
    if (left == 3) {
        h ^= (uint32_t)data[2] << 16;
    }
    if (left >= 2) {
        h ^= (uint32_t)data[1] << 8;
    }
    if (left >= 1) {
        h ^= data[0];
        h *= m;
    }
    h ^= h >> 13;
    h *= m;
    return h ^ (h >> 15);
}

int32_t broker_topics_partition(struct span key, int32_t partition_count) {
    if (!key.data) {
        return 0;
    }
    return (int32_t)((murmur2(key.data, key.size) & 0x7fffffff) % (uint32_t)partition_count);
}

/* ---- append ---- */

/* One set on its way: a part for each partition that it touches. */
struct port_append {
    struct append append;
    struct topic_append *owner;
    struct append_part *parts;
    struct record_batch_builder *builders; /* beside parts */
    unsigned *record_part;                 /* part of each record */
    unsigned part_count;
};

static void port_append_free(struct port_append *set) {
    for (unsigned i = 0; i < set->part_count; i++) {
        record_batch_builder_deinit(&set->builders[i]);
    }
    free(set->parts);
    free(set->builders);
    free(set->record_part);
    free(set);
}

static struct port_append *port_append_new(struct topic_append *owner) {
    struct port_append *set = calloc(1, sizeof *set);
    if (!set) {
        return NULL;
    }
    set->owner = owner;
    set->parts = calloc(owner->record_count, sizeof *set->parts);
    set->builders = calloc(owner->record_count, sizeof *set->builders);
    set->record_part = calloc(owner->record_count, sizeof *set->record_part);
    if (!set->parts || !set->builders || !set->record_part) {
        port_append_free(set);
        return NULL;
    }
    return set;
}

static unsigned part_of(struct port_append *set, struct partition *partition) {
    for (unsigned i = 0; i < set->part_count; i++) {
        if (set->parts[i].partition == partition) {
            return i;
        }
    }
    set->parts[set->part_count].partition = partition;
    record_batch_builder_init(&set->builders[set->part_count]);
    return set->part_count++;
}

enum { HEADERS_MAX = 32 };

static int add_record(struct broker_topics *topics, struct port_append *set, size_t index) {
    const struct topic_record *record = &set->owner->records[index];
    struct record_header headers[HEADERS_MAX];
    struct topic *topic = topic_log_find(topics->log, span_text(record->topic));
    if (!topic) {
        return err_origin(TOPIC_E_UNKNOWN);
    }
    if (record->header_count > HEADERS_MAX) {
        return err_origin(TOPIC_E_TOO_LARGE);
    }
    int32_t number = record->partition >= 0
                         ? record->partition
                         : broker_topics_partition(record->key, topic->partition_count);
    struct partition *partition = partition_get(topic, number);
    if (!partition) {
        return err_origin(TOPIC_E_UNKNOWN);
    }
    for (size_t i = 0; i < record->header_count; i++) {
        headers[i] = (struct record_header){record->headers[i].name, record->headers[i].value};
    }
    int64_t timestamp_ms =
        record->timestamp_ms ? record->timestamp_ms : clock_wall_ms(loop_clock(topics->loop));
    unsigned part = part_of(set, partition);
    set->record_part[index] = part;
    record_batch_builder_add(&set->builders[part], timestamp_ms, record->key, record->value,
                             headers, record->header_count);
    return 0;
}

static void on_appended(struct append *append, int status) {
    struct port_append *set = container_of(append, struct port_append, append);
    struct topic_append *owner = set->owner;
    if (status == 0 && owner->ret_offsets) {
        for (size_t i = 0; i < owner->record_count; i++) {
            owner->ret_offsets[i] = set->parts[set->record_part[i]].base_offset++;
        }
    }
    port_append_free(set);
    owner->done(owner, status);
}

static int submit(struct broker_topics *topics, struct port_append *set) {
    int r = 0;
    for (unsigned i = 0; i < set->part_count && r == 0; i++) {
        struct buf *batch = record_batch_builder_finish(&set->builders[i], 0);
        if (!batch) {
            r = err_origin(-ENOMEM);
        } else {
            set->parts[i].batch = slice_of(batch, 0, batch->size);
        }
    }
    set->append.class = APPEND_RESERVED;
    set->append.parts = set->parts;
    set->append.part_count = set->part_count;
    set->append.done = on_appended;
    if (r == 0) {
        r = topic_log_append(topics->log, &set->append);
    }
    for (unsigned i = 0; i < set->part_count; i++) {
        buf_unref(set->parts[i].batch.buf); /* the log holds its own */
    }
    return r;
}

static int port_append(struct topic_port *port, struct topic_append *append) {
    struct broker_topics *topics = container_of(port, struct broker_topics, port);
    struct port_append *set = append->record_count > 0 ? port_append_new(append) : NULL;
    if (!set) {
        return err_origin(append->record_count > 0 ? -ENOMEM : -EINVAL);
    }
    int r = 0;
    for (size_t i = 0; i < append->record_count && r == 0; i++) {
        r = add_record(topics, set, i);
    }
    if (r == 0) {
        r = submit(topics, set);
    }
    if (r != 0) {
        port_append_free(set);
    }
    return err_trace(r);
}

/* ---- topics ---- */

struct declaration {
    struct topic_log_request request;
    struct broker_topics *topics;
    const char *consumer;
    void (*done)(void *userdata, int status);
    void *userdata;
};

/* From now on the log keeps what the consumer has not read, though it may begin much later. */
static int guard_for(struct broker_topics *topics, struct topic *topic, const char *consumer) {
    int r = 0;
    for (int32_t i = 0; consumer && i < topic->partition_count && r == 0; i++) {
        r = partition_guard_standing(topics->log, topic->partitions[i], consumer);
    }
    return r;
}

static void on_declared(struct topic_log_request *request, int status) {
    struct declaration *declaration = container_of(request, struct declaration, request);
    if (status == 0) {
        status = guard_for(declaration->topics, request->topic, declaration->consumer);
    }
    declaration->done(declaration->userdata, status);
    free(declaration);
}

static int port_declare(struct topic_port *port, const struct topic_declaration *wanted,
                        void (*done)(void *userdata, int status), void *userdata) {
    struct broker_topics *topics = container_of(port, struct broker_topics, port);
    struct topic *topic = topic_log_find(topics->log, span_text(wanted->name));
    if (topic) {
        topic->declared =
            true; /* it may have been a client's before; from now on it is the module's */
        int r = guard_for(topics, topic, wanted->consumer);
        if (r == 0) {
            done(userdata, 0);
        }
        return err_trace(r);
    }
    struct declaration *declaration = calloc(1, sizeof *declaration);
    if (!declaration) {
        return err_origin(-ENOMEM);
    }
    struct topic_spec spec = {
        .name = span_text(wanted->name),
        .partition_count = wanted->partitions,
        .internal = strncmp(wanted->name, "__", 2) == 0,
        .declared = true,
        .configs = wanted->configs,
    };
    declaration->request.done = on_declared;
    declaration->topics = topics;
    declaration->consumer = wanted->consumer;
    declaration->done = done;
    declaration->userdata = userdata;
    int r = topic_log_create(topics->log, &spec, &declaration->request);
    if (r != 0) {
        free(declaration);
    }
    return err_trace(r);
}

static int port_info(struct topic_port *port, const char *name, int32_t partition_index,
                     struct topic_info *ret_info) {
    struct broker_topics *topics = container_of(port, struct broker_topics, port);
    struct topic *topic = topic_log_find(topics->log, span_text(name));
    struct partition *partition = topic ? partition_get(topic, partition_index) : NULL;
    if (!partition) {
        return TOPIC_E_UNKNOWN;
    }
    *ret_info = (struct topic_info){topic->id, topic->partition_count, partition->log_start_offset,
                                    partition->high_watermark};
    return 0;
}

static int port_commit(struct topic_port *port, const char *group, const char *topic,
                       int32_t partition, int64_t offset) {
    struct broker_topics *topics = container_of(port, struct broker_topics, port);
    return err_trace(coordinator_commit(topics->coordinator, span_text(group), span_text(topic),
                                        partition, offset));
}

static const struct topic_port_ops port_ops = {
    .declare = port_declare,
    .append = port_append,
    .subscribe = broker_topics_subscribe,
    .next = broker_topics_next,
    .unsubscribe = broker_topics_unsubscribe,
    .info = port_info,
    .commit = port_commit,
};

int broker_topics_new(struct loop *loop, struct broker_topics **ret_topics) {
    struct broker_topics *topics = calloc(1, sizeof *topics);
    if (!topics) {
        return err_origin(-ENOMEM);
    }
    *topics = (struct broker_topics){.port = {&port_ops}, .loop = loop};
    *ret_topics = topics;
    return 0;
}

void broker_topics_attach(struct broker_topics *topics, struct topic_log *log,
                          struct coordinator *coordinator) {
    topics->log = log;
    topics->coordinator = coordinator;
}

void broker_topics_free(struct broker_topics *topics) {
    free(topics);
}

struct topic_port *broker_topics_port(struct broker_topics *topics) {
    return &topics->port;
}
