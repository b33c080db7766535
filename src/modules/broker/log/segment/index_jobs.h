/* What the loop has the segment writer do about indexes. */
#pragma once

#include "log_private.h"

/** index_catch_up_go_on() - with each tick, some of the entries that a start has left out */
void index_catch_up_go_on(struct topic_log *log);
/** index_rebuild_soon() - make the indexes of a segment anew; @waiting_only: write the entries that
 * still wait. One at a time: the next read asks again */
void index_rebuild_soon(struct topic_log *log, const struct segment_id *id, uint64_t end,
                        int64_t next_base, bool waiting_only);
