/*
 * The little of msgpack that is read here, by hand: maps, strings and scalars. A general unpacker
 * asks for memory by sizes that the peer chose; this one points into the bytes and believes no
 * length beyond its limits. Each function returns 0, UNPACK_MORE when the value is not complete, or
 * -EPROTO. Pure. Thread: any.
 */
#pragma once

#include <eventbox/base/defs.h>
#include <eventbox/base/span.h>

enum { UNPACK_MORE = 1 };

struct unpack {
    const uint8_t *at;
    size_t left;
    size_t string_bytes_max, members_max;
};

int unpack_bytes(struct unpack *in, size_t size, const uint8_t **ret_bytes);
/** unpack_map() - the head of a map; its names and values follow */
int unpack_map(struct unpack *in, size_t *ret_members);
/** unpack_str() - borrowed; anything else than a str is -EPROTO */
int unpack_str(struct unpack *in, struct span *ret_text);
/** unpack_skip() - a number, a boolean, nil, a str or a bin; containers and extensions are -EPROTO
 */
int unpack_skip(struct unpack *in);
