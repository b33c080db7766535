/* Segments written by hand for the compaction engine, and what it left of them, record by record.
 */
#pragma once

#include "compaction/compact.h"
#include "record_batch.h"

#include <eventbox/loop/disk_sim.h>

enum { TEST_TOPIC = 7, TEST_RECORDS_MAX = 512 };

struct test_record {
    const char *key;   /* NULL: none */
    const char *value; /* NULL: a tombstone */
    int64_t timestamp_ms;
};

struct test_batch {
    int64_t base_offset;
    unsigned count;
    const struct test_record *records;
    uint16_t attributes; /* codec and flags */
    int64_t producer_id; /* 0: none */
    int16_t epoch;
    int32_t sequence;
    int64_t append_time_ms; /* with RECORD_BATCH_LOG_APPEND_TIME */
};

/* One record, or a batch without any (key NULL and empty true). */
struct seen_record {
    int64_t offset, timestamp_ms;
    char key[32], value[64];
    bool tombstone, empty;
    struct record_batch batch; /* its spans are gone */
    int32_t header_count;
};

struct compact_fixture {
    struct disk *disk;
    struct compact_plan plan;
    struct compact_source sources[64];
    uint8_t *data[64]; /* of the sources */
    struct compact_result result;
    struct seen_record seen[TEST_RECORDS_MAX];
    unsigned seen_count;
};

void compact_fixture_init(struct compact_fixture *f);
void compact_fixture_deinit(struct compact_fixture *f);
/** compact_fixture_batch() - its bytes; each record has a header "h" = "1" */
struct buf *compact_fixture_batch(const struct test_batch *batch);
/** compact_fixture_segment() - the next closed segment, with these batches; its offsets end at @end
 */
void compact_fixture_segment(struct compact_fixture *f, int64_t base_offset, int64_t end,
                             const struct test_batch *batches, unsigned count);
/** compact_fixture_run() - run, and take over the new segments as swap.c would, when it succeeds */
int compact_fixture_run(struct compact_fixture *f);
/** compact_fixture_read() - all that the sources hold now, into @seen */
void compact_fixture_read(struct compact_fixture *f);
/** compact_fixture_files() - how many files there are whose names end with .cleaned */
unsigned compact_fixture_files(struct compact_fixture *f);
