/*
 * Removals of offsets and groups, in batches. A batch carries the keys that it removes; when it is
 * durable they go from memory. Appends end in the order in which they were queued, so a commit that
 * was queued behind a removal is kept, and one before it is not.
 */
#include "coordinator_private.h"

#include <eventbox/base/bytes.h>
#include <stdlib.h>

/* Well below the largest record batch even with the longest names. */
enum { TOMBSTONES_BATCH_BYTES = 256 << 10 };

struct tombstones {
    struct group_entry *entry;
    struct batch *batch; /* being filled; NULL: none */
    struct text key;
    size_t count;
    unsigned under_way;
    bool out_of_memory;
    int status;
    void (*done)(void *userdata, int status);
    void *userdata;
};

/* The keys of one write: each a 32-bit length and the record's key. */
struct batch {
    struct tombstones *tombstones;
    struct group_write *write;
    struct text keys;
};

struct tombstones *tombstones_new(struct group_entry *entry) {
    struct tombstones *tombstones = calloc(1, sizeof *tombstones);
    if (tombstones) {
        tombstones->entry = entry;
        tombstones->under_way = 1; /* the filling itself */
        text_init(&tombstones->key);
    }
    return tombstones;
}

static void batch_free(struct batch *batch) {
    text_deinit(&batch->keys);
    free(batch);
}

static void tombstones_free(struct tombstones *tombstones) {
    text_deinit(&tombstones->key);
    free(tombstones);
}

static void step(struct tombstones *tombstones, int status) {
    tombstones->status = tombstones->status ? tombstones->status : status;
    if (--tombstones->under_way == 0) {
        if (tombstones->done) {
            tombstones->done(tombstones->userdata, tombstones->status);
        }
        tombstones_free(tombstones);
    }
}

static void forget_group(struct group_entry *entry) {
    const struct group *group = entry->group;
    if (group->member_count == 0 && entry->offsets.count == 0) {
        group_entry_remove(entry); /* freed with its last write */
    }
}

static void forget(struct group_entry *entry, const struct batch *batch) {
    struct span rest = text_span(&batch->keys);
    while (rest.size > 0 && !entry->deleted && !text_failed(&batch->keys)) {
        size_t size = get_be32(rest.data);
        struct offset_record_key key;
        if (offset_record_get_key(span_of((const uint8_t *)rest.data + 4, size), &key) == 0) {
            if (key.kind == OFFSET_RECORD_COMMIT) {
                offset_entry_remove(entry, key.topic, key.partition);
            } else {
                forget_group(entry);
            }
        }
        rest = span_of((const uint8_t *)rest.data + 4 + size, rest.size - 4 - size);
    }
}

static void on_written(struct group_write *write, int status) {
    struct batch *batch = write->userdata;
    struct tombstones *tombstones = batch->tombstones;
    if (status == 0) {
        forget(write->entry, batch);
    }
    batch_free(batch);
    step(tombstones, status);
}

static void flush(struct tombstones *tombstones) {
    struct batch *batch = tombstones->batch;
    tombstones->batch = NULL;
    if (batch) {
        tombstones->under_way++;
        batch->write->userdata = batch;
        group_write_submit(batch->write, on_written);
    }
}

static struct batch *batch_new(struct tombstones *tombstones) {
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch && !(batch->write = group_write_new(tombstones->entry))) {
        free(batch);
        return NULL;
    }
    if (batch) {
        batch->tombstones = tombstones;
        text_init(&batch->keys);
    }
    return batch;
}

/* The key in tombstones->key goes into the batch. */
static void add_key(struct tombstones *tombstones) {
    struct span key = text_span(&tombstones->key);
    uint8_t size[4];
    if (tombstones->batch && tombstones->batch->keys.size + key.size > TOMBSTONES_BATCH_BYTES) {
        flush(tombstones);
    }
    if (!tombstones->batch && !(tombstones->batch = batch_new(tombstones))) {
        tombstones->out_of_memory = true;
        text_clear(&tombstones->key);
        return;
    }
    put_be32(size, (uint32_t)key.size);
    text_append(&tombstones->batch->keys, size, sizeof size);
    text_append(&tombstones->batch->keys, key.data, key.size);
    group_write_add(tombstones->batch->write, &tombstones->key, NULL);
    tombstones->count++;
}

void tombstones_add_offset(struct tombstones *tombstones, struct span topic, int32_t partition) {
    offset_record_put_commit_key(&tombstones->key, span_text(tombstones->entry->group->id), topic,
                                 partition);
    add_key(tombstones);
}

void tombstones_add_group(struct tombstones *tombstones) {
    offset_record_put_group_key(&tombstones->key, span_text(tombstones->entry->group->id));
    add_key(tombstones);
}

size_t tombstones_count(const struct tombstones *tombstones) {
    return tombstones->count;
}

void tombstones_submit(struct tombstones *tombstones, void (*done)(void *userdata, int status),
                       void *userdata) {
    if (!tombstones) {
        if (done) {
            done(userdata, -ENOMEM);
        }
        return;
    }
    tombstones->done = done;
    tombstones->userdata = userdata;
    flush(tombstones);
    step(tombstones, tombstones->out_of_memory ? -ENOMEM : 0);
}

void tombstones_discard(struct tombstones *tombstones) {
    if (tombstones && tombstones->batch) {
        group_write_discard(tombstones->batch->write);
        batch_free(tombstones->batch);
    }
    if (tombstones) {
        tombstones_free(tombstones);
    }
}
