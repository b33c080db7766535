#include "reader.h"

#include <errno.h>
#include <eventbox/base/bytes.h>
#include <eventbox/base/error.h>

enum { MEMBERS_MAX = 16, NEED_MORE = 1 };

struct input {
    const uint8_t *at;
    size_t left;
};

/* Each take_*() returns 0, NEED_MORE or -EPROTO. */
static int take(struct input *in, size_t size, const uint8_t **ret_bytes) {
    if (in->left < size) {
        return NEED_MORE;
    }
    *ret_bytes = in->at;
    in->at += size;
    in->left -= size;
    return 0;
}

/* A big-endian length of 1, 2 or 4 bytes. */
static int take_length(struct input *in, size_t width, size_t *ret_length) {
    const uint8_t *bytes = NULL;
    int r = take(in, width, &bytes);
    if (r == 0) {
        *ret_length = width == 1 ? bytes[0] : width == 2 ? get_be16(bytes) : get_be32(bytes);
    }
    return r;
}

/* fixmap, map 16, map 32 */
static int take_map(struct input *in, size_t *ret_members) {
    const uint8_t *type = NULL;
    int r = take(in, 1, &type);
    if (r != 0) {
        return r;
    }
    if ((*type & 0xf0) == 0x80) {
        *ret_members = *type & 0x0f;
    } else if (*type == 0xde || *type == 0xdf) {
        r = take_length(in, *type == 0xde ? 2 : 4, ret_members);
    } else {
        return -EPROTO;
    }
    return r == 0 && *ret_members > MEMBERS_MAX ? -EPROTO : r;
}

/* fixstr, str 8, 16, 32. Not a string: -EPROTO. */
static int take_string(struct input *in, struct span *ret_string) {
    const uint8_t *bytes = NULL;
    size_t length = 0;
    int r = take(in, 1, &bytes);
    if (r != 0) {
        return r;
    }
    if ((*bytes & 0xe0) == 0xa0) {
        length = *bytes & 0x1f;
    } else if (*bytes >= 0xd9 && *bytes <= 0xdb) {
        r = take_length(in, (size_t)1 << (*bytes - 0xd9), &length);
    } else {
        return -EPROTO;
    }
    if (r == 0 && length > ACK_STRING_BYTES_MAX) {
        return -EPROTO;
    }
    if (r == 0) {
        r = take(in, length, &bytes);
    }
    if (r == 0) {
        *ret_string = span_of(bytes, length);
    }
    return r;
}

/* A value that nobody asked for: scalars and short strings only. */
static int skip_value(struct input *in) {
    static const uint8_t scalar_bytes[] = {
        [0xca - 0xc0] = 4, [0xcb - 0xc0] = 8, [0xcc - 0xc0] = 1, [0xcd - 0xc0] = 2,
        [0xce - 0xc0] = 4, [0xcf - 0xc0] = 8, [0xd0 - 0xc0] = 1, [0xd1 - 0xc0] = 2,
        [0xd2 - 0xc0] = 4, [0xd3 - 0xc0] = 8,
    };
    struct span ignored;
    const uint8_t *bytes;
    size_t length = 0;
    int r;

    if (in->left == 0) {
        return NEED_MORE;
    }
    uint8_t type = *in->at;
    if ((type & 0xe0) == 0xa0 || (type >= 0xd9 && type <= 0xdb)) {
        return take_string(in, &ignored);
    }
    take(in, 1, &bytes);
    if (type < 0x80 || type >= 0xe0 || type == 0xc0 || type == 0xc2 || type == 0xc3) {
        return 0; /* small integers, nil, booleans */
    }
    if (type >= 0xc4 && type <= 0xc6) { /* bin */
        r = take_length(in, (size_t)1 << (type - 0xc4), &length);
        if (r == 0 && length > ACK_STRING_BYTES_MAX) {
            return -EPROTO;
        }
        return r == 0 ? take(in, length, &bytes) : r;
    }
    if (type >= 0xca && type <= 0xd3) {
        return take(in, scalar_bytes[type - 0xc0], &bytes);
    }
    return -EPROTO; /* containers, extensions, the unused 0xc1 */
}

static int take_answer(struct input *in, struct span *ret_ack) {
    size_t members = 0;
    int r = take_map(in, &members);

    *ret_ack = SPAN_NULL;
    for (size_t i = 0; r == 0 && i < members; i++) {
        struct span name;
        r = take_string(in, &name);
        if (r == 0 && span_equal(name, SPAN_LITERAL("ack")) && !ret_ack->data) {
            r = take_string(in, ret_ack);
        } else if (r == 0) {
            r = skip_value(in);
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
    struct input in = {bytes, size};
    *ret_consumed = 0;
    while (in.left > 0) {
        struct span ack;
        int r = take_answer(&in, &ack);
        if (r == NEED_MORE) {
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
