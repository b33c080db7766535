/*
 * The relay moves outbox rows to the topic log, in id order, exactly once: records and cursor are
 * one atomic append (topic __eventbox_relay holds the cursor). It wakes after each commit that
 * added rows; deleted rows follow later in batches. Thread: loop.
 */
#pragma once

#include <eventbox/store/outbox.h>

struct relay;

/* Keys of @topic (one partition) are decimal ids of rows of @table. */
struct relay_id_source {
    const char *topic, *table;
};

struct relay_config {
    struct loop *loop;
    struct store *store;
    struct topic_port *topics;
    bool copy_notifications; /* copies records of `notification` to `notifications` in the same
                                append */
    size_t batch_rows;       /* outbox rows a append; 256 */
    const struct relay_id_source *id_sources; /* borrowed; at most 8 */
    size_t id_source_count;
    /* The log is ahead of the database, which has lost what it had committed (a damaged WAL, an
     * older copy): ids are raised above all that the log names. Before @started. Optional. */
    void (*on_behind)(void *userdata, int64_t last_outbox_id, int64_t cursor);
    /* A failure that repeats: text for the log. Optional. */
    void (*on_error)(void *userdata, int status, const char *text);
    /* One row was published; for the log and the demo: topic and offset of the first record.
     * Optional. */
    void (*on_published)(void *userdata, const struct trace *trace, const char *topic,
                         int64_t offset);
    void *userdata;
};

struct relay_stats {
    uint64_t published_rows, published_records, errors;
    int64_t last_id;   /* cursor */
    int64_t oldest_ns; /* age of the oldest waiting row; 0: none waits */
    bool failed;
};

/*
 * Every record leaves with the header `eventbox-origin: <store uuid>`, by which notify knows its
 * own copies, and with `traceparent` when the row has a trace.
 */

/**
 * relay_start() - read the cursor; if it leads the outbox raise the ids of outbox and id_sources;
 * then run. Writes nothing when all is as it should be, so that it starts on a full disk, too
 * @started: once, after the return; with a status other than 0 the relay has freed itself
 */
int relay_start(const struct relay_config *config, void (*started)(void *userdata, int status),
                void *userdata, struct relay **ret_relay);
/** relay_drain() - stop when the outbox is empty or after @deadline_ms, then @drained and free */
void relay_drain(struct relay *relay, int64_t deadline_ms, void (*drained)(void *userdata),
                 void *userdata);
void relay_stats(const struct relay *relay, struct relay_stats *ret_stats);
