/* The other way: what compaction rewrites, and what a topic's compression.type asks for. */
#include "codec.h"

#include <eventbox/base/bytes.h>

#include <errno.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

enum { SNAPPY_BLOCK_BYTES = 32 << 10, ZSTD_LEVEL = 3, GZIP_STEP_BYTES = 64 << 10 };

static int deflate_gzip(struct span in, struct text *out) {
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)in.data, .avail_in = (uInt)in.size};
    int status = Z_OK;
    int r = 0;

    /* 16: with a gzip header */
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY)) {
        return err_origin(-ENOMEM);
    }
    while (r == 0 && status != Z_STREAM_END) {
        char *to = text_reserve(out, GZIP_STEP_BYTES);

        if (!to) {
            r = err_origin(-ENOMEM);
            break;
        }
        stream.next_out = (Bytef *)to;
        stream.avail_out = GZIP_STEP_BYTES;
        status = deflate(&stream, Z_FINISH);
        out->size += GZIP_STEP_BYTES - stream.avail_out;
        if (status != Z_OK && status != Z_BUF_ERROR && status != Z_STREAM_END) {
            r = err_origin(-EINVAL);
        }
    }
    deflateEnd(&stream);
    return r;
}

/* With xerial's framing, which Java's clients write and everybody reads. */
static int deflate_snappy(struct span in, struct text *out) {
    static const uint8_t header[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                       0,    0,   0,   1,   0,   0,   0,   1};
    const char *data = in.data;

    text_append(out, header, sizeof header);
    for (size_t at = 0; at < in.size; at += SNAPPY_BLOCK_BYTES) {
        size_t take = MIN(in.size - at, (size_t)SNAPPY_BLOCK_BYTES);
        size_t size = snappy_max_compressed_length(take);
        char *to = text_reserve(out, 4 + size);

        if (!to) {
            return err_origin(-ENOMEM);
        }
        if (snappy_compress(data + at, take, to + 4, &size) != SNAPPY_OK) {
            return err_origin(-EINVAL);
        }
        put_be32(to, (uint32_t)size);
        out->size += 4 + size;
    }
    return text_failed(out) ? err_origin(-ENOMEM) : 0;
}

static int deflate_lz4(struct span in, struct text *out) {
    LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent}};
    size_t bound = LZ4F_compressFrameBound(in.size, &preferences);
    char *to = text_reserve(out, bound);

    if (!to) {
        return err_origin(-ENOMEM);
    }
    bound = LZ4F_compressFrame(to, bound, in.data, in.size, &preferences);
    if (LZ4F_isError(bound)) {
        return err_origin(-ENOMEM);
    }
    out->size += bound;
    return 0;
}

static int deflate_zstd(struct span in, struct text *out) {
    size_t bound = ZSTD_compressBound(in.size);
    char *to = text_reserve(out, bound);

    if (!to) {
        return err_origin(-ENOMEM);
    }
    bound = ZSTD_compress(to, bound, in.data, in.size, ZSTD_LEVEL);
    if (ZSTD_isError(bound)) {
        return err_origin(-ENOMEM);
    }
    out->size += bound;
    return 0;
}

int codec_deflate(enum record_codec codec, struct span in, struct text *out) {
    switch (codec) {
    case RECORD_CODEC_NONE:
        text_append(out, in.data, in.size);
        return text_failed(out) ? err_origin(-ENOMEM) : 0;
    case RECORD_CODEC_GZIP:
        return err_trace(deflate_gzip(in, out));
    case RECORD_CODEC_SNAPPY:
        return err_trace(deflate_snappy(in, out));
    case RECORD_CODEC_LZ4:
        return err_trace(deflate_lz4(in, out));
    case RECORD_CODEC_ZSTD:
        return err_trace(deflate_zstd(in, out));
    default:
        return err_origin(BROKER_E_CORRUPT);
    }
}
