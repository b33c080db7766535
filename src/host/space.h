/* The reserve for a full disk and the watch over free space; modules see <eventbox/host/space.h>.
 */
#pragma once

#include <eventbox/base/clock.h>
#include <eventbox/host/space.h>
#include <eventbox/loop/disk.h>
#include <eventbox/loop/loop.h>
#include <eventbox/loop/work.h>

struct space_config {
    struct disk *disk;      /* the data folder */
    uint64_t low_bytes;     /* low-water mark; 0: 5 % of the file system, at most 1 GiB */
    uint64_t reserve_bytes; /* at most an eighth of the file system is taken */
    void (*on_change)(void *userdata, enum space_state state);
    void *userdata;
};

struct space_stats {
    uint64_t available_bytes, low_bytes, full_bytes, reserve_bytes;
    uint64_t available_files, low_files, full_files; /* all 0 where files have no bound */
    bool reserve_held;
    enum space_state state;
    uint64_t full_times; /* how often the disk was full */
};

/**
 * space_open() - look at the disk before anything else is opened on it
 * Where next to nothing is free the reserve is given back right here: the start itself needs room.
 */
int space_open(const struct space_config *config, struct space **ret_space);
/** space_start() - from now on look at it again and again; makes a reserve that is not there yet */
int space_start(struct space *space, struct loop *loop, struct work_port *work);
/** space_stop() - @on_stopped on the loop; at once when it was not started */
void space_stop(struct space *space, void (*on_stopped)(void *userdata), void *userdata);
void space_free(struct space *space); /* accepts NULL; stopped or never started */
void space_stats(const struct space *space, struct space_stats *ret_stats);
