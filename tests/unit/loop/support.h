/* What every test of loop/ begins with. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <eventbox/base/clock.h>
#include <eventbox/base/error.h>
#include <eventbox/base/random.h>
#include <eventbox/loop/loop.h>

/* Steps of the test's `loop` until what it waits for has happened. */
#define RUN_UNTIL(condition)                                                                       \
    do {                                                                                           \
        for (int tries = 0; !(condition); tries++) {                                               \
            assert_true(tries < 20000);                                                            \
            if (!loop_step(loop)) {                                                                \
                usleep(200);                                                                       \
            }                                                                                      \
        }                                                                                          \
    } while (0)
