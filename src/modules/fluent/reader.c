#include "reader.h"

#include "unpack.h"

#include <errno.h>
#include <eventbox/base/error.h>

enum { MEMBERS_MAX = 16 };

static int take_answer(struct unpack *in, struct span *ret_ack) {
    size_t members = 0;
    int r = unpack_map(in, &members);

    *ret_ack = SPAN_NULL;
    for (size_t i = 0; r == 0 && i < members; i++) {
        struct span name;
        r = unpack_str(in, &name);
        if (r == 0 && span_equal(name, SPAN_LITERAL("ack")) && !ret_ack->data) {
            r = unpack_str(in, ret_ack);
        } else if (r == 0) {
            r = unpack_skip(in);
        }
    }
    return r;
}

void ack_reader_init(struct ack_reader *reader) {
    reader->used = 0;
}

/* Hands over every complete answer in @bytes; *ret_consumed is where the incomplete one begins. */
static int take_answers(const uint8_t *bytes, size_t size, ack_reader_fn on_answer, void *userdata,
                        size_t *ret_consumed) {
    struct unpack in = {bytes, size, ACK_STRING_BYTES_MAX, MEMBERS_MAX};
    *ret_consumed = 0;
    while (in.left > 0) {
        struct span ack;
        int r = take_answer(&in, &ack);
        if (r == UNPACK_MORE) {
            return 0;
        }
        if (r == 0) {
            *ret_consumed = size - in.left;
            r = on_answer(userdata, ack);
        }
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

int ack_reader_feed(struct ack_reader *reader, const void *data, size_t size,
                    ack_reader_fn on_answer, void *userdata) {
    const uint8_t *bytes = data;
    while (size > 0) {
        size_t room = sizeof reader->bytes - reader->used;
        size_t part = MIN(size, room), consumed = 0;
        memcpy(reader->bytes + reader->used, bytes, part);
        reader->used += part;
        bytes += part;
        size -= part;
        int r = take_answers(reader->bytes, reader->used, on_answer, userdata, &consumed);
        if (r != 0) {
            return r < 0 ? err_origin(r) : r;
        }
        reader->used -= consumed;
        memmove(reader->bytes, reader->bytes + consumed, reader->used);
        if (reader->used == sizeof reader->bytes) {
            return err_origin(-EPROTO); /* no answer is that long */
        }
    }
    return 0;
}
