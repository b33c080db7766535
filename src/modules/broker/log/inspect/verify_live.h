/* What verify.c needs of verify_live.c. */
#pragma once

#include "inspect.h"

struct live_suspect {
    uint32_t topic; /* number */
    int32_t partition;
    int64_t limit; /* base offset of the last segment when it was found */
};

struct live_suspects {
    struct live_suspect *at; /* freed by whoever has the struct */
    size_t count;
};

/** live_check() - check @partition; where anything is wrong with it nothing is told, and it becomes
 * one of @suspects */
int live_check(struct log_verify *verify, struct log_partition *partition,
               struct live_suspects *suspects);
/** live_check_again() - look at each suspect until it is sound, or what is wrong is proven, and
 * tell that. Opens @verify->inspect again: whatever was borrowed of its log is gone */
int live_check_again(struct log_verify *verify, struct live_suspects *suspects);
