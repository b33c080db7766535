/*
 * A stream of zstd is a row of frames. A frame is a magic number, a descriptor, some fields that
 * the descriptor tells of, blocks, and a checksum if the descriptor says so. A block is three bytes
 * (last or not, type, size) and its content. A compressed one begins with its literals, behind a
 * header of one to five bytes that tells how many bytes they take, and goes on with its sequences:
 * how many, and a byte with the modes of three tables, whose two lowest bits are reserved.
 *
 * Java's decoder refuses a block with one of these bits, so Kafka does; libzstd looks at them since
 * 1.5.6 alone, and an older one, as in Debian 12, gives out records that Kafka would not. So we
 * look ourselves, before it decodes, and all that follows such a block is damage.
 */
#include "codec_zstd.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/defs.h>

#include <stdbool.h>

enum {
    FRAME_MAGIC = 0xfd2fb528,
    SKIPPED_MAGIC = 0x184d2a50, /* with any four lowest bits: a frame to be skipped */
    SINGLE_SEGMENT = 0x20,
    CHECKSUM = 0x04,
    BLOCK_LAST = 1,
    RESERVED_MODES = 3,
};

enum block_type { BLOCK_RAW, BLOCK_RLE, BLOCK_COMPRESSED, BLOCK_RESERVED };
enum literals_type { LITERALS_RAW, LITERALS_RLE };

struct cursor {
    const uint8_t *at;
    size_t left;
};

/* Nothing is left where that is too much. */
static void skip(struct cursor *in, uint64_t size) {
    size_t step = (size_t)MIN(size, (uint64_t)in->left);

    in->at += step;
    in->left -= step;
}

/* A little-endian number of some bytes; 0 when they are not there. */
static uint64_t peek(const struct cursor *in, size_t bytes) {
    uint64_t value = 0;

    for (size_t i = 0; i < bytes && bytes <= in->left; i++) {
        value |= (uint64_t)in->at[i] << (8 * i);
    }
    return value;
}

static void skip_literals(struct cursor *in) {
    static const uint8_t plain_header[] = {1, 2, 1, 3};
    static const uint8_t plain_shift[] = {3, 4, 3, 4};
    static const uint8_t header[] = {3, 3, 4, 5};
    static const uint8_t bits[] = {10, 10, 14, 18}; /* of each of two sizes; the second counts */
    unsigned type = (unsigned)peek(in, 1) & 3;
    unsigned format = (unsigned)peek(in, 1) >> 2 & 3;
    uint64_t size;

    if (type == LITERALS_RAW || type == LITERALS_RLE) {
        size = peek(in, plain_header[format]) >> plain_shift[format];
        skip(in, plain_header[format] + (type == LITERALS_RLE ? 1 : size));
        return;
    }
    size = peek(in, header[format]) >> (4 + bits[format]) & ((1u << bits[format]) - 1);
    skip(in, header[format] + size);
}

static bool sets_reserved_bits(struct span block) {
    struct cursor in = {block.data, block.size};
    uint8_t first;

    skip_literals(&in);
    first = (uint8_t)peek(&in, 1);
    if (first == 0) {
        return false; /* no sequences, no modes */
    }
    skip(&in, first < 0x80 ? 1 : first < 0xff ? 2 : 3);
    return peek(&in, 1) & RESERVED_MODES;
}

/* The content of a frame. Return false in front of a block with reserved bits. */
static bool skip_blocks(struct cursor *in) {
    bool last = false;

    while (!last && in->left >= 3) {
        uint32_t head = (uint32_t)peek(in, 3);
        enum block_type type = head >> 1 & 3;
        uint32_t size = type == BLOCK_RLE ? 1 : head >> 3;

        last = head & BLOCK_LAST;
        if (type == BLOCK_COMPRESSED && in->left >= 3 + (size_t)size &&
            sets_reserved_bits(span_of(in->at + 3, size))) {
            return false;
        }
        skip(in, type == BLOCK_RESERVED ? in->left : 3 + (uint64_t)size);
    }
    return true;
}

size_t codec_zstd_good_bytes(struct span stream) {
    static const uint8_t dictionary_bytes[] = {0, 1, 2, 4};
    static const uint8_t content_bytes[] = {0, 2, 4, 8};
    struct cursor in = {stream.data, stream.size};

    while (in.left > 0) {
        uint32_t magic = (uint32_t)peek(&in, 4);
        unsigned descriptor;
        bool single;

        if ((magic & ~15u) == SKIPPED_MAGIC) {
            skip(&in, 4);
            skip(&in, 4 + peek(&in, 4));
            continue;
        }
        if (magic != (uint32_t)FRAME_MAGIC) {
            break;
        }
        skip(&in, 4);
        descriptor = (unsigned)peek(&in, 1);
        single = descriptor & SINGLE_SEGMENT;
        skip(&in, 1u + !single + dictionary_bytes[descriptor & 3]);
        skip(&in, descriptor >> 6 || !single ? content_bytes[descriptor >> 6] : 1);
        if (!skip_blocks(&in)) {
            return stream.size - in.left;
        }
        skip(&in, descriptor & CHECKSUM ? 4 : 0);
    }
    return stream.size;
}
