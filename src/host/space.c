/*
 * The reserve: a file `reserve` in the data folder whose blocks are given out to nobody else. When
 * the disk is full it is removed, and its room goes to what must still be written: acknowledged
 * batches on their way to segments, the database's WAL, logins, deletes, commits, the checkpoint
 * that lets files go. What adds is refused meanwhile (space.h), so the room lasts.
 *
 *            available < full mark, of bytes or of files, or somebody met a full disk
 *     held ───────────────────────────────────────────────────► given back (SPACE_FULL)
 *          ◄───────────────────────────────────────────────────
 *            available >= reserve + 2 x full mark, files >= 2 x full mark: it is made again
 *
 * The gap between the two marks keeps the state from flickering. The full mark is a 64th of the
 * file system, from 1 MiB to 16 MiB: one look a second must not come too late for what is written
 * in that second. It is one a second with plenty of room, too: a look takes some 20 us, and a disk
 * that takes 500 MB/s goes from twice the low-water mark to a full one in four seconds.
 *
 * Files (inodes) are watched beside bytes, where the file system has a bound for them: each
 * partition has several, so many small ones use them up first. Nothing can hold them back; what is
 * left below the full mark is the reserve of them. That mark is a 64th as well, at most what a roll
 * of 10,000 partitions makes.
 *
 * All looks, and the making and removing, are jobs on a thread of their own; a
 * file system that hangs delays nobody.
 */
#include "space.h"

#include <eventbox/base/error.h>
#include <eventbox/loop/timer.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RESERVE_NAME "reserve"

enum {
    LOOK_MS = 1000,
    FULL_PART = 64,
    RESERVE_PART = 8,
    LOW_PERCENT = 5,
};
static const uint64_t FULL_LEAST = MIB(1), FULL_MOST = MIB(16), LOW_MOST = (uint64_t)1 << 30;
static const uint64_t FILES_FULL_LEAST = 64, FILES_FULL_MOST = 32768, FILES_LOW_MOST = 131072;

/* What a look finds. */
struct look {
    bool held;
    bool refused; /* the disk refuses the reserve, and not for room: the marks alone count */
    uint64_t available_bytes, available_files;
};

struct space {
    struct disk *disk;
    struct space_config config;
    struct loop *loop;
    struct worker *worker;
    struct timer timer;
    uint64_t total_bytes, low_bytes, full_bytes, reserve_bytes;
    uint64_t low_files, full_files; /* 0: no bound */
    enum space_state state;
    struct list watchers;
    uint64_t full_times;
    bool looking, look_again, want_back;
    struct look last; /* that is over */
    void (*on_stopped)(void *userdata);
    void *stopped_userdata;

    /* The job's while it runs. */
    struct work work;
    bool met_full;       /* in */
    struct look current; /* its own: metrics may be asked for meanwhile */
    int status;
};

enum space_state space_state(const struct space *space) {
    return space->state;
}

uint64_t space_reserve_bytes(const struct space *space) {
    return space->reserve_bytes;
}

uint64_t space_total_bytes(const struct space *space) {
    return space->total_bytes;
}

void space_watch(struct space *space, struct space_watcher *watcher) {
    list_push_back(&space->watchers, &watcher->link);
}

void space_unwatch(struct space_watcher *watcher) {
    list_remove(&watcher->link);
}

/* ---- the file ---- */

static int look_now(struct space *space) {
    struct disk_space now;
    int r = disk_space(space->disk, &now);
    if (!r) {
        space->current.available_bytes = now.available_bytes;
        space->current.available_files = now.available_files;
    }
    return r;
}

static int give_back(struct space *space) {
    int r = disk_unlink(space->disk, RESERVE_NAME);
    if (r == 0 || r == DISK_E_NOT_FOUND) {
        space->current.held = false;
        r = look_now(space);
    }
    return r;
}

static int make(struct space *space) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    int r = disk_open(space->disk, RESERVE_NAME, DISK_WRITE | DISK_CREATE, &file);
    if (!r) {
        r = disk_allocate(file, space->reserve_bytes);
    }
    if (r) {
        (void)disk_unlink(space->disk, RESERVE_NAME); /* half a reserve is none */
        return r == DISK_E_FULL ? 0 : r;
    }
    space->current.held = true;
    return look_now(space);
}

static bool held_now(struct space *space) {
    _cleanup_(disk_closep) struct disk_file *file = NULL;
    uint64_t size = 0;
    return disk_open(space->disk, RESERVE_NAME, DISK_READ, &file) == 0 &&
           disk_size(file, &size) == 0 && size >= space->reserve_bytes;
}

static bool is_full(const struct space *space, const struct look *look) {
    return look->available_bytes < space->full_bytes || look->available_files < space->full_files;
}

static bool room_for_reserve(const struct space *space, const struct look *look) {
    return look->available_bytes >= space->reserve_bytes + 2 * space->full_bytes &&
           look->available_files >= 2 * space->full_files;
}

/* ---- looking ---- */

static void run_look(struct work *work) {
    struct space *space = container_of(work, struct space, work);
    bool met_full = space->met_full;
    space->status = look_now(space);
    if (space->status) {
        return;
    }
    int r = 0;
    if (space->current.held && (met_full || is_full(space, &space->current))) {
        r = give_back(space);
    } else if (!space->current.held && !met_full && room_for_reserve(space, &space->current)) {
        r = make(space);
    }
    space->current.refused = r != 0;
}

static enum space_state judge(const struct space *space) {
    if (space->last.refused ? is_full(space, &space->last) : !space->last.held) {
        return SPACE_FULL;
    }
    bool low = space->last.available_bytes < space->low_bytes ||
               space->last.available_files < space->low_files;
    return low ? SPACE_LOW : SPACE_OK;
}

static void start_look(struct space *space) {
    timer_stop(&space->timer);
    if (space->looking || space->on_stopped) {
        space->look_again = true;
        return;
    }
    space->met_full = space->want_back;
    space->want_back = false;
    space->looking = worker_submit(space->worker, &space->work) == 0;
}

static void set_state(struct space *space, enum space_state state) {
    if (state == space->state) {
        return;
    }
    space->state = state;
    space->full_times += state == SPACE_FULL;
    space->config.on_change(space->config.userdata, state);
    list_for_each_safe(link, &space->watchers) {
        struct space_watcher *watcher = list_entry(link, struct space_watcher, link);
        watcher->changed(watcher, state);
    }
}

static void on_looked(struct work *work) {
    struct space *space = container_of(work, struct space, work);
    space->looking = false;
    if (space->on_stopped) {
        return;
    }
    if (space->status == 0) { /* else nothing is known: the state stays, the next look follows */
        space->last = space->current;
        set_state(space, judge(space));
    }
    if (space->look_again) {
        space->look_again = false;
        start_look(space);
        return;
    }
    timer_start_ms(&space->timer, LOOK_MS);
}

static void on_timer(struct timer *timer) {
    start_look(container_of(timer, struct space, timer));
}

void space_met_full(struct space *space) {
    if (!space || !space->worker || space->state == SPACE_FULL) {
        return;
    }
    space->want_back = true;
    start_look(space);
}

/* ---- life ---- */

/* A total that follows the free bytes, as XFS tells it, is the one of the start. */
static void set_file_marks(struct space *space, uint64_t total_files) {
    if (total_files > 0) {
        space->full_files = MIN(MAX(total_files / FULL_PART, FILES_FULL_LEAST), FILES_FULL_MOST);
        space->low_files =
            MIN(MAX(total_files / 100 * LOW_PERCENT, 2 * space->full_files), FILES_LOW_MOST);
    }
}

int space_open(const struct space_config *config, struct space **ret_space) {
    struct space *space = calloc(1, sizeof *space);
    struct disk_space now;
    if (!space) {
        return err_origin(-ENOMEM);
    }
    space->disk = config->disk;
    space->config = *config;
    list_init(&space->watchers);
    space->work = (struct work){.run = run_look, .done = on_looked};
    int r = disk_space(space->disk, &now);
    if (r) {
        free(space);
        return err_trace(r);
    }
    space->total_bytes = now.total_bytes;
    space->current.available_bytes = now.available_bytes;
    space->current.available_files = now.available_files;
    set_file_marks(space, now.total_files);
    space->full_bytes = MIN(MAX(now.total_bytes / FULL_PART, FULL_LEAST), FULL_MOST);
    space->low_bytes =
        config->low_bytes ? config->low_bytes : MIN(now.total_bytes / 100 * LOW_PERCENT, LOW_MOST);
    space->low_bytes = MAX(space->low_bytes, space->full_bytes);
    space->reserve_bytes = MIN(config->reserve_bytes, now.total_bytes / RESERVE_PART);
    space->current.held = held_now(space);
    if (is_full(space, &space->current)) {
        (void)give_back(space); /* a start on a full disk */
    }
    /* One that is missing with room for it is made by the first look. */
    space->last = space->current;
    space->state =
        space->last.held || room_for_reserve(space, &space->current) ? SPACE_OK : SPACE_FULL;
    *ret_space = space;
    return 0;
}

int space_start(struct space *space, struct loop *loop, struct work_port *work) {
    struct worker_config config = {.name = "space", .threads = 1, .queue_max = 1};
    int r = worker_new(work, loop, &config, &space->worker);
    if (r) {
        return err_trace(r);
    }
    space->loop = loop;
    timer_init(&space->timer, loop, on_timer);
    if (space->state == SPACE_FULL) {
        space->full_times++;
        space->config.on_change(space->config.userdata, SPACE_FULL);
    }
    start_look(space);
    return 0;
}

static void on_worker_stopped(void *userdata) {
    struct space *space = userdata;
    space->worker = NULL;
    space->on_stopped(space->stopped_userdata);
}

void space_stop(struct space *space, void (*on_stopped)(void *userdata), void *userdata) {
    if (!space || !space->worker) {
        on_stopped(userdata);
        return;
    }
    timer_stop(&space->timer);
    space->on_stopped = on_stopped;
    space->stopped_userdata = userdata;
    worker_stop(space->worker, on_worker_stopped, space);
}

void space_free(struct space *space) {
    free(space);
}

void space_stats(const struct space *space, struct space_stats *ret_stats) {
    *ret_stats = (struct space_stats){.available_bytes = space->last.available_bytes,
                                      .low_bytes = space->low_bytes,
                                      .full_bytes = space->full_bytes,
                                      .reserve_bytes = space->reserve_bytes,
                                      .available_files = space->last.available_files,
                                      .low_files = space->low_files,
                                      .full_files = space->full_files,
                                      .reserve_held = space->last.held,
                                      .state = space->state,
                                      .full_times = space->full_times};
}
