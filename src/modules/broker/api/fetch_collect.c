/*
 * Reading the partitions of a Fetch: each in turn -> enough? answer : park.
 *
 * "Enough" is Kafka's rule: min_bytes collected, or the deadline, or anything that the client
 * should know at once (an error met while reading, a diverging epoch). A topic or partition that
 * does not exist is no reason to hurry, as long as there is something else to wait for: a client
 * would ask again as fast as it can. Parked, a fetch waits at every partition it names; a wake
 * collects again at the end of the turn, so that one journal frame over many partitions costs one
 * collection. Reads may have to wait for the disk; partitions are read one after the other in the
 * order that the client gave, or that its session keeps.
 */
#include "fetch.h"

#include <eventbox/loop/op.h>

#include <stdlib.h>

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

/* ---- one part ---- */

void fetch_drop_data(struct fetch_part *part) {
    fetch_chunks_drop(part->chunks);
    free(part->chunks);
    part->chunks = NULL;
    part->bytes = 0;
    part->fetch->broker->answer_bytes -= part->memory_bytes;
    part->memory_bytes = 0;
}

void fetch_fail(struct fetch_part *part, int16_t error) {
    part->error = error;
    part->high_watermark = part->last_stable_offset = part->log_start_offset = -1;
    part->final = part->fetch->at_once = true;
}

static void set_marks(struct fetch_part *part) {
    const struct partition *partition = part->partition;

    part->high_watermark = partition->high_watermark;
    part->last_stable_offset = partition_last_stable_offset(partition);
    part->log_start_offset = partition->log_start_offset;
}

/* What a reader of this isolation level may not see begins here. */
static int64_t end_of(const struct fetch_part *part) {
    const struct fetch_request *body = part->fetch->request->body;

    return body->isolation_level == READ_COMMITTED ? part->last_stable_offset
                                                   : part->high_watermark;
}

/* The client's last epoch ended before the offset that it asks for: it has to truncate. */
static bool diverges(struct fetch_part *part) {
    int32_t last = part->wanted.last_fetched_epoch;
    int32_t epoch;
    int64_t end_offset;

    if (last < 0) {
        return false;
    }
    partition_epoch_end(part->fetch->broker->log, part->partition, last, &epoch, &end_offset);
    if (epoch < 0) {
        fetch_fail(part, KAFKA_OFFSET_OUT_OF_RANGE);
        return true;
    }
    if (epoch == last && end_offset >= part->wanted.offset) {
        return false;
    }
    part->diverging_epoch = epoch;
    part->diverging_end = end_offset;
    return true;
}

static int16_t gone_error(const struct fetch *fetch) {
    return fetch_by_id(fetch) ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

/* Fewer bytes than none cannot be read. Kafka counts down what a request may have, to 0 at least,
 * so that such a limit meets the first partition alone. */
static bool limit_is_negative(const struct fetch_part *part) {
    const struct fetch *fetch = part->fetch;
    const struct fetch_request *body = fetch->request->body;

    return part->wanted.max_bytes < 0 || (part == fetch->first && body->max_bytes < 0);
}

/* Everything about a part that needs no reading; marks it final when that is all. */
static void check_part(struct fetch_part *part) {
    const struct partition *partition = part->partition;
    int64_t offset = part->wanted.offset;
    int16_t error;

    if (part->topic->topic->deleted) {
        fetch_fail(part, gone_error(part->fetch));
        return;
    }
    error = leader_epoch_check(partition, MAX(part->wanted.current_leader_epoch, -1));
    if (error) {
        fetch_fail(part, error);
        return;
    }
    set_marks(part);
    if (diverges(part)) {
        part->final = part->fetch->at_once = true;
    } else if (offset < partition->log_start_offset || offset > partition->log_end_offset) {
        fetch_fail(part, KAFKA_OFFSET_OUT_OF_RANGE); /* with the marks at -1 */
    } else if (offset < end_of(part) && limit_is_negative(part)) {
        fetch_fail(part, KAFKA_UNKNOWN_SERVER_ERROR);
    }
}

/* ---- the end ---- */

static void end(struct fetch *fetch) {
    if (fetch->parked) {
        fetch->parked = false;
        list_remove(&fetch->link);
        fetch->broker->fetch_count--;
    }
    timer_stop(&fetch->timer);
    for (int32_t i = 0; fetch->waiting && i < fetch->part_count; i++) {
        partition_unwait(&fetch->parts[i].waiter);
    }
}

static void answer(struct fetch *fetch) {
    end(fetch);
    if (fetch->gone) {
        kafka_respond_none(fetch->request);
    } else {
        fetch_answer(fetch);
    }
}

/* ---- reading ---- */

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
    for (unsigned i = 0; i < read->chunk_count; i++) {
        part->memory_bytes += read->chunks[i].slice.buf ? read->chunks[i].slice.size : 0;
    }
    part->fetch->broker->answer_bytes += part->memory_bytes;
    read->chunk_count = 0; /* the references have moved */
    part->chunks = chunks;
    part->bytes = read->bytes;
    part->fetch->bytes += read->bytes;
    return true;
}

static void take_result(struct fetch_part *part, int status) {
    struct fetch *fetch = part->fetch;

    if (status == 0) {
        set_marks(part);
        if (!keep_chunks(part, &fetch->read)) {
            fetch_fail(part, KAFKA_STORAGE_ERROR);
        }
    } else if (status == TOPIC_E_UNKNOWN) {
        fetch_fail(part, gone_error(fetch));
    } else if (status == TOPIC_E_OUT_OF_RANGE) {
        fetch_fail(part, KAFKA_OFFSET_OUT_OF_RANGE);
    } else {
        fetch_fail(part, status == BROKER_E_CORRUPT ? KAFKA_CORRUPT_MESSAGE : KAFKA_STORAGE_ERROR);
    }
}

static void on_read(struct partition_read *read, int status) {
    struct fetch *fetch = container_of(read, struct fetch, read);

    fetch->reading = false;
    fetch->broker->answer_bytes -= fetch->reading_bytes;
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

/* Where too much is on its way to peers already, each fetch gets one batch, so that all go on. */
static size_t memory_left(const struct broker *broker) {
    return broker->answer_bytes_max - MIN(broker->answer_bytes, broker->answer_bytes_max);
}

/* Reads parts[next]. Return false when the disk is asked and on_read() follows. */
static bool read_part(struct fetch *fetch) {
    struct fetch_part *part = &fetch->parts[fetch->next];
    struct partition_read *read = &fetch->read;
    size_t left = fetch->max_bytes - MIN(fetch->max_bytes, fetch->bytes);
    int r;

    if (!part->partition || part->final) {
        return true;
    }
    check_part(part);
    part->starved = fetch->bytes > 0 && MIN(left, (size_t)MAX(part->wanted.max_bytes, 0)) == 0;
    if (part->final || part->wanted.offset >= end_of(part) || (fetch->bytes > 0 && left == 0)) {
        return true;
    }
    /* Field by field: the array of chunks is large. */
    read->partition = part->partition;
    read->offset = part->wanted.offset;
    read->max_bytes = MIN(left, (size_t)part->wanted.max_bytes);
    read->min_one_batch = fetch->bytes == 0; /* or a consumer would never pass it (KIP-74) */
    read->memory_only = false;
    read->done = on_read;
    read->chunk_count = 0;
    read->bytes = 0;
    read->max_bytes = MIN(read->max_bytes, memory_left(fetch->broker));
    if (read->max_bytes == 0 && !read->min_one_batch) {
        return true;
    }
    r = partition_read(fetch->broker->log, read);
    if (r == OP_WAIT) {
        fetch->reading = true;
        fetch->reading_bytes = read->max_bytes;
        fetch->broker->answer_bytes += read->max_bytes;
        wait_everywhere(fetch); /* what comes meanwhile must not be missed */
        return false;
    }
    take_result(part, r);
    return true;
}

static bool is_enough(const struct fetch *fetch) {
    const struct fetch_request *body = fetch->request->body;

    return fetch->ended || fetch->at_once || fetch->readable == 0 ||
           fetch->bytes >= (size_t)MAX(body->min_bytes, 0);
}

/* False: too much is parked already; the answer is what there is. */
static bool park(struct fetch *fetch) {
    if (!fetch->parked && !kafka_request_park(fetch->request)) {
        return false;
    }
    for (int32_t i = 0; fetch->bytes > 0 && i < fetch->part_count; i++) {
        fetch_drop_data(&fetch->parts[i]); /* a parked request holds no data */
    }
    fetch->bytes = 0;
    fetch->next = 0;
    if (fetch->parked) {
        return true;
    }
    fetch->parked = true;
    list_push_back(&fetch->broker->fetches, &fetch->link);
    fetch->broker->fetch_count++;
    wait_everywhere(fetch);
    timer_start(&fetch->timer, MAX(fetch->deadline_ns - loop_now_ns(fetch->broker->loop), 0));
    return true;
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
        if (!park(fetch)) {
            answer(fetch);
            return;
        }
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

void fetch_on_gone(struct kafka_request *request) {
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

void fetch_start(struct fetch *fetch) {
    const struct fetch_request *body = fetch->request->body;
    int64_t wait_ms = MAX(body->max_wait_ms, 0);

    fetch->ended = wait_ms == 0 || fetch->broker->draining;
    fetch->deadline_ns = loop_now_ns(fetch->broker->loop) + wait_ms * NS_PER_MS;
    fetch->again.run = on_again;
    timer_init(&fetch->timer, fetch->broker->loop, on_deadline);
    for (int32_t i = 0; i < fetch->part_count; i++) {
        fetch->parts[i].waiter.wake = on_wake;
    }
    collect(fetch);
}
