/* One thing of the log as text for people or as a line of JSON; dump.c chooses what is printed. */
#pragma once

#include "log_private.h"

void dump_partition_state(struct text *out, bool json, const struct log_partition *partition);
/** dump_snapshot() - @status: of reading it. With its producers when that is 0 */
void dump_snapshot(struct text *out, bool json, const struct log_partition *partition,
                   int64_t offset, int status, const struct producers *producers);
void dump_frame_header(struct text *out, bool json, const char *path, uint64_t position,
                       const struct frame_header *header, bool whole);
/** dump_frame_entry() - @topic NULL: its topic is gone */
void dump_frame_entry(struct text *out, bool json, uint64_t sequence,
                      const struct frame_entry *entry, const char *topic);
void dump_segment_header(struct text *out, bool json, const struct log_partition *partition,
                         const struct log_segment *segment, const char *name);
void dump_batch(struct text *out, bool json, const struct log_partition *partition,
                const struct record_batch *batch, uint64_t position);
void dump_record(struct text *out, bool json, const struct log_partition *partition,
                 const struct record *record, bool control);
/** dump_bad() - bytes that are no batch, when @live perhaps only because the file was replaced;
 * dump_unreadable() - a right batch whose records are not */
void dump_bad(struct text *out, bool json, bool live, const struct log_partition *partition,
              const char *name, uint64_t position, uint64_t bytes);
void dump_unreadable(struct text *out, bool json, const struct log_partition *partition,
                     int64_t base_offset);
/** dump_escaped() - @bytes in double quotes, printable ASCII and valid UTF-8 as they are, the rest
 * as \xNN; data NULL: null */
void dump_escaped(struct text *out, struct span bytes);
