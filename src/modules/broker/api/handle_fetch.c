/*
 * Fetch. A request walks: check -> read each partition in turn -> enough? answer : park.
 *
 * "Enough" is Kafka's rule: min_bytes collected, or the deadline, or anything that the client
 * should know at once (an error, a diverging epoch). Parked, it waits at every partition it names;
 * a wake collects again at the end of the turn, so that one journal frame over many partitions
 * costs one collection. Reads may have to wait for the disk; partitions are read one after the
 * other in the order the client gave, which it rotates itself.
 *
 * Sessions (KIP-227) are not kept: session id 0 in the answer says so, and is legal.
 */
#include "api_private.h"

#include <eventbox/loop/op.h>

#include <stdlib.h>

enum { VERSION_SESSIONS = 7, VERSION_TOPIC_IDS = 13, READ_COMMITTED = 1 };

struct fetch;

struct fetch_part {
    struct partition_waiter waiter;
    struct fetch *fetch;
    struct topic *topic; /* with a reference; NULL when there is none */
    struct partition *partition;
    const struct fetch_request_partition *wanted;
    struct fetch_response_partition *row;
    struct fetch_chunks *chunks; /* NULL: nothing was read */
    bool final;                  /* row says all there is: an error or a diverging epoch */
};

struct fetch {
    struct list link; /* in broker.fetches while parked */
    struct kafka_request *request;
    struct broker *broker;
    struct fetch_response *answer;
    struct fetch_part *parts;
    int32_t part_count;
    int32_t next; /* part to read next */
    size_t bytes; /* collected */
    size_t max_bytes;
    int64_t deadline_ns;
    struct timer timer;
    struct loop_task again; /* collect at the end of the turn */
    bool again_posted;
    bool parked;
    bool waiting; /* its waiters are linked */
    bool reading; /* waits for the disk */
    bool woken;   /* while reading */
    bool ended;   /* the deadline has passed, or the server drains */
    bool at_once; /* some part is final */
    bool gone;
    struct partition_read read; /* of parts[next] */
};

static void collect(struct fetch *fetch);

void fetch_chunks_drop(struct fetch_chunks *chunks) {
    for (unsigned i = 0; chunks && i < chunks->count; i++) {
        buf_unref(chunks->chunks[i].slice.buf);
        if (chunks->chunks[i].file) {
            conn_file_unref(chunks->chunks[i].file);
        }
    }
    if (chunks) {
        chunks->count = 0;
    }
}

/* ---- the parts ---- */

static void drop_part(struct fetch_part *part) {
    fetch_chunks_drop(part->chunks);
    free(part->chunks);
    part->chunks = NULL;
    part->row->records = (struct kafka_records){.span = SPAN_LITERAL("")};
}

static void set_error(struct fetch_part *part, int16_t error) {
    part->row->error_code = error;
    part->row->high_watermark = part->row->last_stable_offset = part->row->log_start_offset = -1;
    part->final = part->fetch->at_once = true;
}

static void set_marks(struct fetch_part *part) {
    const struct partition *partition = part->partition;

    part->row->high_watermark = partition->high_watermark;
    part->row->last_stable_offset = partition->high_watermark; /* no transactions: all is stable */
    part->row->log_start_offset = partition->log_start_offset;
}

/* The client's last epoch ended before the offset that it asks for: it has to truncate. */
static bool diverges(struct fetch_part *part) {
    int32_t last = part->wanted->last_fetched_epoch;
    int32_t epoch;
    int64_t end_offset;

    if (last < 0) {
        return false;
    }
    partition_epoch_end(part->fetch->broker->log, part->partition, last, &epoch, &end_offset);
    if (epoch < 0) {
        set_error(part, KAFKA_OFFSET_OUT_OF_RANGE);
        return true;
    }
    if (epoch == last && end_offset >= part->wanted->fetch_offset) {
        return false;
    }
    part->row->diverging_epoch.epoch = epoch;
    part->row->diverging_epoch.end_offset = end_offset;
    return true;
}

/* Everything about a part that needs no reading; marks it final when that is all. */
static void check_part(struct fetch_part *part) {
    const struct partition *partition = part->partition;
    int64_t offset = part->wanted->fetch_offset;
    int16_t error;

    if (part->final) {
        return;
    }
    if (part->topic->deleted) {
        set_error(part, part->fetch->request->version >= VERSION_TOPIC_IDS
                            ? KAFKA_UNKNOWN_TOPIC_ID
                            : KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
        return;
    }
    error = leader_epoch_check(partition, MAX(part->wanted->current_leader_epoch, -1));
    if (error) {
        set_error(part, error);
        return;
    }
    set_marks(part);
    if (diverges(part)) {
        part->final = part->fetch->at_once = true;
    } else if (offset < partition->log_start_offset || offset > partition->log_end_offset) {
        set_error(part, KAFKA_OFFSET_OUT_OF_RANGE); /* with the marks at -1 */
    }
}

/* ---- reading ---- */

static void end(struct fetch *fetch) {
    if (fetch->parked) {
        fetch->parked = false;
        list_remove(&fetch->link);
        fetch->broker->fetch_count--;
    }
    timer_stop(&fetch->timer);
    for (int32_t i = 0; i < fetch->part_count; i++) {
        partition_unwait(&fetch->parts[i].waiter);
    }
}

/* The request's last moment: what was not handed to the connection is given back. */
static void on_free(struct kafka_request *request) {
    struct fetch *fetch = request->parked;

    for (int32_t i = 0; i < fetch->part_count; i++) {
        drop_part(&fetch->parts[i]);
        if (fetch->parts[i].topic) {
            topic_unref(fetch->parts[i].topic);
        }
    }
}

static void answer(struct fetch *fetch) {
    end(fetch);
    if (fetch->gone) {
        kafka_respond_none(fetch->request);
    } else {
        kafka_respond(fetch->request, fetch->answer);
    }
}

static bool keep_chunks(struct fetch_part *part, struct partition_read *read) {
    struct fetch_chunks *chunks;

    if (read->chunk_count == 0 || read->bytes == 0) {
        partition_read_release(read);
        return true;
    }
    chunks = malloc(sizeof *chunks + read->chunk_count * sizeof chunks->chunks[0]);
    if (!chunks) {
        partition_read_release(read);
        return false;
    }
    chunks->count = read->chunk_count;
    memcpy(chunks->chunks, read->chunks, read->chunk_count * sizeof chunks->chunks[0]);
    read->chunk_count = 0; /* the references have moved */
    part->chunks = chunks;
    part->row->records = (struct kafka_records){.foreign = chunks, .foreign_bytes = read->bytes};
    part->fetch->bytes += read->bytes;
    return true;
}

static void take_result(struct fetch_part *part, int status) {
    struct fetch *fetch = part->fetch;

    if (status == 0) {
        set_marks(part);
        if (!keep_chunks(part, &fetch->read)) {
            set_error(part, KAFKA_STORAGE_ERROR);
        }
    } else if (status == TOPIC_E_UNKNOWN) {
        set_error(part, fetch->request->version >= VERSION_TOPIC_IDS
                            ? KAFKA_UNKNOWN_TOPIC_ID
                            : KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    } else if (status == TOPIC_E_OUT_OF_RANGE) {
        set_error(part, KAFKA_OFFSET_OUT_OF_RANGE);
    } else {
        set_error(part, status == BROKER_E_CORRUPT ? KAFKA_CORRUPT_MESSAGE : KAFKA_STORAGE_ERROR);
    }
}

static void on_read(struct partition_read *read, int status) {
    struct fetch *fetch = container_of(read, struct fetch, read);

    fetch->reading = false;
    take_result(&fetch->parts[fetch->next++], status);
    collect(fetch);
}

static void wait_everywhere(struct fetch *fetch) {
    if (fetch->waiting) {
        return;
    }
    fetch->waiting = true;
    for (int32_t i = 0; i < fetch->part_count; i++) {
        if (fetch->parts[i].partition) {
            partition_wait(fetch->parts[i].partition, &fetch->parts[i].waiter);
        }
    }
}

/* Reads parts[next]. Return false when the disk is asked and on_read() follows. */
static bool read_part(struct fetch *fetch) {
    struct fetch_part *part = &fetch->parts[fetch->next];
    struct partition_read *read = &fetch->read;
    size_t left = fetch->max_bytes - MIN(fetch->max_bytes, fetch->bytes);
    int r;

    check_part(part);
    if (part->final || part->wanted->fetch_offset >= part->partition->high_watermark ||
        (fetch->bytes > 0 && left == 0)) {
        return true;
    }
    /* Field by field: the array of chunks is large. */
    read->partition = part->partition;
    read->offset = part->wanted->fetch_offset;
    read->max_bytes = MIN(left, (size_t)MAX(part->wanted->partition_max_bytes, 0));
    read->min_one_batch = fetch->bytes == 0; /* or a consumer would never pass it (KIP-74) */
    read->memory_only = false;
    read->done = on_read;
    read->chunk_count = 0;
    read->bytes = 0;
    read->gate = NULL;
    if (read->max_bytes == 0 && !read->min_one_batch) {
        return true;
    }
    r = partition_read(fetch->broker->log, read);
    if (r == OP_WAIT) {
        fetch->reading = true;
        wait_everywhere(fetch); /* what comes meanwhile must not be missed */
        return false;
    }
    take_result(part, r);
    return true;
}

static bool is_enough(const struct fetch *fetch) {
    const struct fetch_request *body = fetch->request->body;

    return fetch->ended || fetch->at_once || fetch->part_count == 0 ||
           fetch->bytes >= (size_t)MAX(body->min_bytes, 0);
}

static void park(struct fetch *fetch) {
    for (int32_t i = 0; i < fetch->part_count; i++) {
        drop_part(&fetch->parts[i]); /* a parked request holds no data */
    }
    fetch->bytes = 0;
    fetch->next = 0;
    if (fetch->parked) {
        return;
    }
    fetch->parked = true;
    list_push_back(&fetch->broker->fetches, &fetch->link);
    fetch->broker->fetch_count++;
    wait_everywhere(fetch);
    timer_start(&fetch->timer, MAX(fetch->deadline_ns - loop_now_ns(fetch->broker->loop), 0));
}

/* Goes on with parts[next]; ends in an answer, in parking, or in a wait for the disk. */
static void collect(struct fetch *fetch) {
    for (;;) {
        while (!fetch->gone && fetch->next < fetch->part_count) {
            if (!read_part(fetch)) {
                return;
            }
            fetch->next++;
        }
        if (fetch->gone || is_enough(fetch)) {
            answer(fetch);
            return;
        }
        park(fetch);
        if (!fetch->woken) {
            return;
        }
        fetch->woken = false;
    }
}

/* ---- parked ---- */

static void on_again(struct loop_task *task) {
    struct fetch *fetch = container_of(task, struct fetch, again);

    fetch->again_posted = false;
    collect(fetch);
}

static void collect_soon(struct fetch *fetch) {
    if (fetch->reading) {
        fetch->woken = true;
    } else if (!fetch->again_posted) {
        fetch->again_posted = true;
        loop_defer(fetch->broker->loop, &fetch->again);
    }
}

static void on_wake(struct partition_waiter *waiter) {
    collect_soon(container_of(waiter, struct fetch_part, waiter)->fetch);
}

static void on_deadline(struct timer *timer) {
    struct fetch *fetch = container_of(timer, struct fetch, timer);

    fetch->ended = true;
    collect_soon(fetch);
}

static void on_gone(struct kafka_request *request) {
    struct fetch *fetch = request->parked;

    fetch->gone = true;
    if (!fetch->reading && !fetch->again_posted) {
        answer(fetch);
    }
}

void fetch_drain(struct broker *broker) {
    list_for_each(link, &broker->fetches) {
        struct fetch *fetch = list_entry(link, struct fetch, link);

        fetch->ended = true;
        collect_soon(fetch);
    }
}

/* ---- the request ---- */

static void add_part(struct fetch *fetch, struct topic *topic, int16_t topic_error,
                     const struct fetch_request_partition *wanted,
                     struct fetch_response_partition *row) {
    const struct fetch_request *body = fetch->request->body;
    struct fetch_part *part = &fetch->parts[fetch->part_count++];

    part->fetch = fetch;
    part->wanted = wanted;
    part->row = row;
    part->waiter.wake = on_wake;
    row->partition_index = wanted->partition;
    row->records.span = SPAN_LITERAL("");
    row->aborted_transactions_count = body->isolation_level == READ_COMMITTED ? 0 : -1;
    part->partition = topic ? partition_get(topic, wanted->partition) : NULL;
    if (!part->partition) {
        set_error(part, topic ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : topic_error);
        return;
    }
    part->topic = topic_ref(topic);
}

static bool add_topic(struct fetch *fetch, const struct fetch_request_topic *wanted,
                      struct fetch_response_topic *row) {
    bool by_id = fetch->request->version >= VERSION_TOPIC_IDS;
    struct topic_log *log = fetch->broker->log;
    struct topic *topic =
        by_id ? topic_log_find_id(log, &wanted->topic_id) : topic_log_find(log, wanted->topic);
    struct fetch_response_partition *rows = KAFKA_NEW(
        fetch->request->arena, fetch_response_partition, MAX(wanted->partitions_count, 0));

    if (!rows) {
        return false;
    }
    row->topic = wanted->topic;
    row->topic_id = wanted->topic_id;
    row->partitions = rows;
    row->partitions_count = MAX(wanted->partitions_count, 0);
    for (int32_t i = 0; i < wanted->partitions_count; i++) {
        add_part(fetch, topic, by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                 &wanted->partitions[i], &rows[i]);
    }
    return true;
}

static struct fetch *fetch_new(struct kafka_request *request) {
    const struct fetch_request *body = request->body;
    struct broker *broker = request->userdata;
    struct fetch *fetch = arena_alloc(request->arena, sizeof *fetch);
    size_t parts = 0;

    for (int32_t i = 0; i < body->topics_count; i++) {
        parts += (size_t)MAX(body->topics[i].partitions_count, 0);
    }
    if (!fetch) {
        return NULL;
    }
    fetch->request = request;
    fetch->broker = broker;
    fetch->answer = KAFKA_NEW(request->arena, fetch_response, 1);
    fetch->parts = arena_alloc(request->arena, parts * sizeof *fetch->parts);
    if (!fetch->answer || !fetch->parts) {
        return NULL;
    }
    fetch->answer->responses =
        KAFKA_NEW(request->arena, fetch_response_topic, MAX(body->topics_count, 0));
    fetch->max_bytes = MIN((size_t)MAX(body->max_bytes, 0), broker->fetch_max_bytes);
    fetch->ended = body->max_wait_ms <= 0 || broker->draining;
    fetch->deadline_ns = loop_now_ns(broker->loop) + (int64_t)MAX(body->max_wait_ms, 0) * NS_PER_MS;
    fetch->again.run = on_again;
    timer_init(&fetch->timer, broker->loop, on_deadline);
    return fetch->answer->responses ? fetch : NULL;
}

void handle_fetch(struct kafka_request *request) {
    const struct fetch_request *body = request->body;
    struct fetch *fetch = fetch_new(request);

    if (!fetch) {
        out_of_memory(request);
        return;
    }
    if (request->version >= VERSION_SESSIONS && body->session_epoch > 0) {
        fetch->answer->error_code = KAFKA_FETCH_SESSION_ID_NOT_FOUND; /* we gave none */
        kafka_respond(request, fetch->answer);
        return;
    }
    request->parked = fetch;
    request->on_free = on_free;
    request->on_gone = on_gone;
    for (int32_t i = 0; i < body->topics_count; i++) {
        if (!add_topic(fetch, &body->topics[i], &fetch->answer->responses[i])) {
            out_of_memory(request);
            return;
        }
        fetch->answer->responses_count++;
    }
    collect(fetch);
}
