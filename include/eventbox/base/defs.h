/* Small language helpers that every layer uses. No dependencies. */
#pragma once

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define _cleanup_(fn)       __attribute__((cleanup(fn)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _unused_            __attribute__((unused))
#define _must_check_        __attribute__((warn_unused_result))
#define likely(x)           __builtin_expect(!!(x), 1)
#define unlikely(x)         __builtin_expect(!!(x), 0)

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b)         ((a) < (b) ? (a) : (b))
#define MAX(a, b)         ((a) > (b) ? (a) : (b))

/* The struct of @type that embeds @pointer as its @member. */
#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(1 ? (pointer) : &((type *)0)->member) - offsetof(type, member)))

/* Defines NAME_freep() for _cleanup_(NAME_freep), from a destructor that accepts NULL. */
#define DEFINE_CLEANUP(type, fn)                                                                   \
    static inline _unused_ void fn##p(type *pointer) {                                             \
        fn(*pointer);                                                                              \
    }

#define KIB(n)     ((size_t)(n) << 10)
#define MIB(n)     ((size_t)(n) << 20)
#define NS_PER_MS  INT64_C(1000000)
#define NS_PER_SEC INT64_C(1000000000)
