#include "unpack.h"

#include <errno.h>
#include <eventbox/base/bytes.h>

int unpack_bytes(struct unpack *in, size_t size, const uint8_t **ret_bytes) {
    if (in->left < size) {
        return UNPACK_MORE;
    }
    *ret_bytes = in->at;
    in->at += size;
    in->left -= size;
    return 0;
}

/* A big-endian length of 1, 2 or 4 bytes. */
static int take_length(struct unpack *in, size_t width, size_t *ret_length) {
    const uint8_t *bytes = NULL;
    int r = unpack_bytes(in, width, &bytes);
    if (r == 0) {
        *ret_length = width == 1 ? bytes[0] : width == 2 ? get_be16(bytes) : get_be32(bytes);
    }
    return r;
}

static int take_sized(struct unpack *in, size_t length, struct span *ret_bytes) {
    const uint8_t *bytes = NULL;
    if (length > in->string_bytes_max) {
        return -EPROTO;
    }
    int r = unpack_bytes(in, length, &bytes);
    if (r == 0) {
        *ret_bytes = span_of(bytes, length);
    }
    return r;
}

/* fixmap, map 16, map 32 */
int unpack_map(struct unpack *in, size_t *ret_members) {
    const uint8_t *type = NULL;
    int r = unpack_bytes(in, 1, &type);
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
    return r == 0 && *ret_members > in->members_max ? -EPROTO : r;
}

/* fixstr, str 8, 16, 32 */
int unpack_str(struct unpack *in, struct span *ret_text) {
    const uint8_t *type = NULL;
    size_t length = 0;
    int r = unpack_bytes(in, 1, &type);
    if (r != 0) {
        return r;
    }
    if ((*type & 0xe0) == 0xa0) {
        length = *type & 0x1f;
    } else if (*type >= 0xd9 && *type <= 0xdb) {
        r = take_length(in, (size_t)1 << (*type - 0xd9), &length);
    } else {
        return -EPROTO;
    }
    return r == 0 ? take_sized(in, length, ret_text) : r;
}

int unpack_skip(struct unpack *in) {
    static const uint8_t scalar_bytes[] = {
        [0xca - 0xc0] = 4, [0xcb - 0xc0] = 8, [0xcc - 0xc0] = 1, [0xcd - 0xc0] = 2,
        [0xce - 0xc0] = 4, [0xcf - 0xc0] = 8, [0xd0 - 0xc0] = 1, [0xd1 - 0xc0] = 2,
        [0xd2 - 0xc0] = 4, [0xd3 - 0xc0] = 8,
    };
    struct span ignored;
    const uint8_t *bytes;
    size_t length = 0;

    if (in->left == 0) {
        return UNPACK_MORE;
    }
    uint8_t type = *in->at;
    if ((type & 0xe0) == 0xa0 || (type >= 0xd9 && type <= 0xdb)) {
        return unpack_str(in, &ignored);
    }
    unpack_bytes(in, 1, &bytes);
    if (type < 0x80 || type >= 0xe0 || type == 0xc0 || type == 0xc2 || type == 0xc3) {
        return 0; /* small integers, nil, booleans */
    }
    if (type >= 0xc4 && type <= 0xc6) { /* bin */
        int r = take_length(in, (size_t)1 << (type - 0xc4), &length);
        return r == 0 ? take_sized(in, length, &ignored) : r;
    }
    if (type >= 0xca && type <= 0xd3) {
        return unpack_bytes(in, scalar_bytes[type - 0xc0], &bytes);
    }
    return -EPROTO; /* containers, extensions, the unused 0xc1 */
}
