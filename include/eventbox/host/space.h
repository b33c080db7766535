/*
 * Room on the disk of the data folder, as modules see it.
 *
 *   SPACE_OK    more is free than the low-water mark, of bytes and of files (inodes)
 *   SPACE_LOW   less: a log line and a metric say so; everything goes on
 *   SPACE_FULL  the host has given its reserve back to the file system, so that what is
 * acknowledged can still be written, and what frees space can work. Whoever adds refuses now;
 *               reads, logins, deletes and commits go on. It ends by itself when there is room to
 *               hold the reserve again.
 *
 * Thread: loop.
 */
#pragma once

#include <eventbox/base/list.h>
#include <stdint.h>

enum space_state { SPACE_OK, SPACE_LOW, SPACE_FULL };

struct space;

enum space_state space_state(const struct space *space);
/** space_reserve_bytes() - what is held back: bounds of unwritten data are derived from it */
uint64_t space_reserve_bytes(const struct space *space);
/** space_total_bytes() - size of the file system at the start */
uint64_t space_total_bytes(const struct space *space);

struct space_watcher {
    struct list link;
    void (*changed)(struct space_watcher *watcher, enum space_state state);
};
/** space_watch() - call changed() with each new state from now on; the watcher is the caller's */
void space_watch(struct space *space, struct space_watcher *watcher);
void space_unwatch(struct space_watcher *watcher); /* harmless when not linked */
/**
 * space_met_full() - a write was refused for want of space: give the reserve back at once
 * Nothing happens where that was done already.
 */
void space_met_full(struct space *space);
