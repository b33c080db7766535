/* Unaligned loads and stores: big-endian (Kafka, network), little-endian (our files). */
#pragma once

#include <endian.h>
#include <eventbox/base/defs.h>
#include <string.h>

#define BYTES_ACCESSORS(bits)                                                                      \
    static inline uint##bits##_t get_be##bits(const void *in) {                                    \
        uint##bits##_t v;                                                                          \
        memcpy(&v, in, sizeof v);                                                                  \
        return be##bits##toh(v);                                                                   \
    }                                                                                              \
    static inline uint##bits##_t get_le##bits(const void *in) {                                    \
        uint##bits##_t v;                                                                          \
        memcpy(&v, in, sizeof v);                                                                  \
        return le##bits##toh(v);                                                                   \
    }                                                                                              \
    static inline void put_be##bits(void *out, uint##bits##_t value) {                             \
        uint##bits##_t v = htobe##bits(value);                                                     \
        memcpy(out, &v, sizeof v);                                                                 \
    }                                                                                              \
    static inline void put_le##bits(void *out, uint##bits##_t value) {                             \
        uint##bits##_t v = htole##bits(value);                                                     \
        memcpy(out, &v, sizeof v);                                                                 \
    }
BYTES_ACCESSORS(16)
BYTES_ACCESSORS(32)
BYTES_ACCESSORS(64)
#undef BYTES_ACCESSORS
