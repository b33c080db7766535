/*
 * The largest id that the log names for a table: keys of some topics are decimal ids of its rows.
 * Read only when the database is older than the log, so that no id is given out twice.
 */
#pragma once

#include <eventbox/loop/loop.h>
#include <eventbox/loop/topic.h>
#include <eventbox/store/relay.h>

enum { RELAY_ID_SOURCES_MAX = 8 };

struct relay_ids {
    struct topic_port *topics;
    struct loop *loop;
    const struct relay_id_source *sources;
    size_t source_count;
    const char *origin; /* records with this header eventbox-origin alone count: they are ours */
    /* Once, never from inside relay_ids_read(). */
    void (*done)(struct relay_ids *ids, int status);
    int64_t largest[RELAY_ID_SOURCES_MAX]; /* out: of each source; 0: none */

    /* Private. */
    struct topic_subscription *subscription;
    struct loop_task task;
    size_t source;
    int64_t end_offset;
    int status;
    bool finished;
};

/** relay_ids_read() - read all of each source's topic; one that does not exist names nothing */
void relay_ids_read(struct relay_ids *ids);
