/* Watch a foreign descriptor (libcurl's) for readiness. Thread: loop. */
#pragma once

#include <eventbox/loop/loop.h>

enum { WATCH_READ = 1, WATCH_WRITE = 2 };

struct watch;
typedef void (*watch_fn)(void *userdata, int fd,
                         int events); /* events may be WATCH_READ | WATCH_WRITE on error */

int watch_start(struct loop *loop, int fd, int events, watch_fn on_ready, void *userdata,
                struct watch **ret_watch);
int watch_change(struct watch *watch, int events);
void watch_stop(struct watch *watch); /* closes and frees; the descriptor stays the caller's */
