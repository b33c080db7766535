#include "codec.h"

#include "codec_zstd.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/text.h>

#include <errno.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

enum {
    STEP_BYTES = 64 << 10,
    ZSTD_WINDOW_LOG_MAX = 27, /* as in Java's reader: what level 22 writes */
    /* The pieces in which Java's readers take a stream, and give it out. */
    GZIP_IN_BYTES = 8 << 10,
    GZIP_OUT_BYTES = 16 << 10,
    ZSTD_OUT_BYTES = 16 << 10,
    GZIP_FLAGS_KNOWN = 0x1f,
    LZ4_BLOCK_HEADER_BYTES = 4,
};

/* Room for the next piece of output: some bytes, or NULL when the limit is reached or memory is
 * out. */
static char *next_room(struct text *out, size_t limit_bytes, size_t *ret_size) {
    size_t room = limit_bytes - out->size;

    *ret_size = MIN(room, MAX((size_t)STEP_BYTES, out->size / 2));
    return *ret_size ? text_reserve(out, *ret_size) : NULL;
}

static int no_room(const struct text *out) {
    return err_origin(text_failed(out) ? -ENOMEM : TOPIC_E_TOO_LARGE);
}

/* A member's magic, method and flags. Java minds no flag that it does not know, zlib refuses them.
 */
static int begin_member(z_stream *stream, size_t *left) {
    Bytef *data = stream->next_in;
    size_t rest = stream->avail_in + *left;
    uint8_t head[4];
    uint8_t nothing;
    int status;

    if (rest < sizeof head) {
        return Z_DATA_ERROR;
    }
    memcpy(head, data, sizeof head);
    head[3] &= GZIP_FLAGS_KNOWN;
    stream->next_in = head;
    stream->avail_in = sizeof head;
    stream->next_out = &nothing;
    stream->avail_out = sizeof nothing;
    status = inflate(stream, Z_NO_FLUSH);
    stream->next_in = data + sizeof head;
    stream->avail_in = 0; /* another piece begins */
    *left = rest - sizeof head;
    return status;
}

/* Members may follow one another, and what is none is not looked at, as Java does it. */
static bool gzip_goes_on(const z_stream *stream, size_t left) {
    static const uint8_t magic[3] = {0x1f, 0x8b, Z_DEFLATED};

    return stream->avail_in + left > sizeof magic &&
           memcmp(stream->next_in, magic, sizeof magic) == 0;
}

/* Everything was given out, and is not what it was. Earlier damage costs the piece that it is in.
 */
static bool fails_at_its_check(const z_stream *stream) {
    static const char words[] = "incorrect ";

    return stream->msg && strncmp(stream->msg, words, sizeof words - 1) == 0;
}

static int inflate_gzip(struct span in, size_t limit_bytes, struct text *out) {
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)in.data};
    size_t left = in.size; /* behind what the stream was given */
    int status;
    int r = 0;

    if (inflateInit2(&stream, 15 + 16) != Z_OK) { /* 16: with a gzip header, and no other */
        return err_origin(-ENOMEM);
    }
    status = begin_member(&stream, &left);
    while (status == Z_OK) {
        size_t room;
        char *to = next_room(out, limit_bytes, &room);

        if (!to) {
            r = no_room(out);
            break;
        }
        if (stream.avail_in == 0) {
            stream.avail_in = (uInt)MIN(left, (size_t)GZIP_IN_BYTES);
            left -= stream.avail_in;
        }
        room = MIN(room, (size_t)GZIP_OUT_BYTES);
        stream.next_out = (Bytef *)to;
        stream.avail_out = (uInt)room;
        status = inflate(&stream, Z_NO_FLUSH);
        if (status == Z_OK || status == Z_STREAM_END || fails_at_its_check(&stream)) {
            out->size += room - stream.avail_out;
        }
        if (status == Z_STREAM_END && gzip_goes_on(&stream, left)) {
            inflateReset(&stream);
            status = begin_member(&stream, &left);
        }
    }
    inflateEnd(&stream);
    if (r == 0 && status != Z_STREAM_END) {
        r = err_origin(status == Z_MEM_ERROR ? -ENOMEM : BROKER_E_CORRUPT);
    }
    return r;
}

static int inflate_snappy_block(struct span in, size_t limit_bytes, struct text *out) {
    size_t size;
    char *to;

    if (snappy_uncompressed_length(in.data, in.size, &size) != SNAPPY_OK ||
        size / 256 > in.size) { /* no block expands so far */
        return err_origin(BROKER_E_CORRUPT);
    }
    if (size > limit_bytes - out->size) {
        return err_origin(TOPIC_E_TOO_LARGE);
    }
    to = text_reserve(out, size);
    if (!to) {
        return err_origin(-ENOMEM);
    }
    if (snappy_uncompress(in.data, in.size, to, &size) != SNAPPY_OK) {
        return err_origin(BROKER_E_CORRUPT);
    }
    out->size += size;
    return 0;
}

/* xerial: magic of 8 bytes, version, oldest compatible version, then blocks with a length each. One
 * such stream may follow another: no block is as long as the magic would make it. */
static int inflate_snappy(struct span in, size_t limit_bytes, struct text *out) {
    static const uint8_t magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
    const uint8_t *data = in.data;
    size_t at = 16;

    if (in.size < at || memcmp(data, magic, sizeof magic) != 0) {
        return inflate_snappy_block(in, limit_bytes, out);
    }
    while (at < in.size) {
        uint32_t size;
        int r;

        if (in.size - at >= 16 && memcmp(data + at, magic, sizeof magic) == 0) {
            at += 16;
            continue;
        }
        if (in.size - at < 4) { /* too little for another block */
            return 0;
        }
        size = get_be32(data + at);
        if (size > in.size - at - 4) {
            return err_origin(BROKER_E_CORRUPT);
        }
        r = inflate_snappy_block(span_of(data + at + 4, size), limit_bytes, out);
        if (r) {
            return err_trace(r);
        }
        at += 4 + (size_t)size;
    }
    return 0;
}

/* The frame is at its end, and its content is not what it says at its head or there. Kafka looks at
 * neither. */
static bool lz4_is_done(size_t code) {
    const char *name = LZ4F_getErrorName(code);

    return strcmp(name, "ERROR_frameSize_wrong") == 0 ||
           strcmp(name, "ERROR_contentChecksum_invalid") == 0;
}

static int inflate_lz4(struct span in, size_t limit_bytes, struct text *out) {
    const char *data = in.data;
    size_t head = in.size > 0 ? LZ4F_headerSize(in.data, in.size) : 0;
    LZ4F_dctx *context;
    size_t at = 0;
    size_t hint = 1;
    int r = 0;

    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) {
        return err_origin(-ENOMEM);
    }
    /* Block by block, so that what stands before a damaged one comes out: the hint is a block with
     * the header of the next. What follows the frame is not looked at. Both as in Kafka. */
    while (r == 0 && hint != 0) {
        size_t room;
        size_t wanted = hint > LZ4_BLOCK_HEADER_BYTES ? hint - LZ4_BLOCK_HEADER_BYTES : hint;
        size_t taken = MIN(in.size - at, wanted);
        char *to = next_room(out, limit_bytes, &room);
        bool of_block = at >= head && hint > LZ4_BLOCK_HEADER_BYTES;

        if (!to) {
            r = no_room(out);
            break;
        }
        hint = LZ4F_decompress(context, to, &room, data + at, &taken, NULL);
        if (LZ4F_isError(hint) ? lz4_is_done(hint) : of_block && taken == wanted && room == 0) {
            break; /* a block of nothing is the end for Java's reader, too */
        }
        if (LZ4F_isError(hint) || (taken == 0 && room == 0)) {
            r = err_origin(BROKER_E_CORRUPT);
            break;
        }
        at += taken;
        out->size += room;
    }
    LZ4F_freeDecompressionContext(context);
    return r;
}

static int inflate_zstd(struct span in, size_t limit_bytes, struct text *out) {
    size_t good = codec_zstd_good_bytes(in);
    ZSTD_inBuffer from = {in.data, good, 0};
    ZSTD_DCtx *context = ZSTD_createDCtx();
    size_t hint = in.size > 0; /* what is to come; nothing at all is no error */
    int r = 0;

    if (!context) {
        return err_origin(-ENOMEM);
    }
    /* The peer chooses the window, which is memory; but only as much is touched as comes out. */
    ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    while (r == 0 && (from.pos < from.size || hint != 0)) {
        size_t before = from.pos;
        ZSTD_outBuffer to = {0};

        to.dst = next_room(out, limit_bytes, &to.size);
        if (!to.dst) {
            r = no_room(out);
            break;
        }
        to.size = MIN(to.size, (size_t)ZSTD_OUT_BYTES);
        hint = ZSTD_decompressStream(context, &to, &from);
        if (ZSTD_isError(hint) || (from.pos == before && to.pos == 0)) {
            r = err_origin(BROKER_E_CORRUPT);
            break;
        }
        out->size += to.pos;
    }
    ZSTD_freeDCtx(context);
    return r;
}

static int inflate_into(enum record_codec codec, struct span in, size_t limit_bytes,
                        struct text *out) {
    switch (codec) {
    case RECORD_CODEC_NONE:
        if (in.size > limit_bytes) {
            return err_origin(TOPIC_E_TOO_LARGE);
        }
        text_append(out, in.data, in.size);
        return 0;
    case RECORD_CODEC_GZIP:
        return inflate_gzip(in, limit_bytes, out);
    case RECORD_CODEC_SNAPPY:
        return inflate_snappy(in, limit_bytes, out);
    case RECORD_CODEC_LZ4:
        return inflate_lz4(in, limit_bytes, out);
    case RECORD_CODEC_ZSTD:
        return inflate_zstd(in, limit_bytes, out);
    default:
        return err_origin(BROKER_E_CORRUPT);
    }
}

int codec_inflate_part(enum record_codec codec, struct span in, size_t limit_bytes,
                       struct buf **ret_buf) {
    struct buf *buf = NULL;
    struct text out;
    int r;

    text_init(&out);
    r = inflate_into(codec, in, limit_bytes, &out);
    if (r == 0 || r == BROKER_E_CORRUPT) {
        buf = out.size ? text_steal_buf(&out) : buf_new(0);
        r = buf ? r : err_origin(-ENOMEM);
    }
    text_deinit(&out); /* holds memory even where nothing came out */
    if (buf) {
        *ret_buf = buf;
    }
    return r;
}

int codec_inflate(enum record_codec codec, struct span in, size_t limit_bytes,
                  struct buf **ret_buf) {
    struct buf *buf = NULL;
    int r = codec_inflate_part(codec, in, limit_bytes, &buf);

    if (r) {
        buf_unref(buf);
        return err_trace(r);
    }
    *ret_buf = buf;
    return 0;
}
