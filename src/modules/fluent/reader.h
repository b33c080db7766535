/*
 * What a forward server answers: msgpack maps, one a chunk, {"ack": "<chunk>"}. A map without
 * `ack` is a negative answer (Vector sends such). Everything else is a protocol error.
 *
 * Hand-written, because a general unpacker asks for memory by sizes that the peer chose: an answer
 * is at most 1 KiB, a string in it 64 bytes, and values nest no deeper than the one map.
 */
#pragma once

#include <eventbox/base/defs.h>
#include <eventbox/base/span.h>

enum { ACK_ANSWER_BYTES_MAX = 1024, ACK_STRING_BYTES_MAX = 64 };

struct ack_reader {
    uint8_t bytes[ACK_ANSWER_BYTES_MAX]; /* the beginning of an answer that is not complete */
    size_t used;
};

/* One answer: @ack borrowed, data NULL for a negative one. Nonzero ends the feeding. */
typedef int (*ack_reader_fn)(void *userdata, struct span ack);

void ack_reader_init(struct ack_reader *reader);
/**
 * ack_reader_feed() - take the next bytes of the stream, wherever they were split
 * Return: 0; -EPROTO; what @on_answer returned.
 */
int ack_reader_feed(struct ack_reader *reader, const void *data, size_t size,
                    ack_reader_fn on_answer, void *userdata);
