/*
 * The codecs of record batches: the one door to zlib, liblz4, libsnappy and libzstd. Batches are
 * stored and served as they came; we inflate only where our own code reads records (lookups by
 * timestamp, in-process consumers, compaction), and compress only what compaction writes anew.
 */
#pragma once

#include <eventbox/base/buf.h>
#include <eventbox/base/error.h>
#include <eventbox/base/text.h>

enum record_codec {
    RECORD_CODEC_NONE = 0,
    RECORD_CODEC_GZIP = 1,
    RECORD_CODEC_SNAPPY = 2, /* with xerial's framing (Java) or raw (librdkafka) */
    RECORD_CODEC_LZ4 = 3,    /* frame format */
    RECORD_CODEC_ZSTD = 4,
};

/* No batch of ours or of a client inflates beyond this: a bound for what a peer can make us take.
 */
enum { CODEC_INFLATED_MAX_BYTES = 64 << 20 };

/**
 * codec_inflate() - decompress @in
 * @limit_bytes: the output never becomes larger; memory grows with what comes out
 *
 * Return: 0 with a new buf; BROKER_E_CORRUPT for damaged input or an unknown codec;
 *         TOPIC_E_TOO_LARGE for what inflates beyond the limit; -ENOMEM. Thread: any.
 */
int codec_inflate(enum record_codec codec, struct span in, size_t limit_bytes,
                  struct buf **ret_buf);

/**
 * codec_inflate_part() - the same; but of damaged input what it gives before the damage
 *
 * Return: as above; with BROKER_E_CORRUPT there is a buf too, as much of it as a reader that takes
 * the stream piece by piece would see before it meets the damage.
 */
int codec_inflate_part(enum record_codec codec, struct span in, size_t limit_bytes,
                       struct buf **ret_buf);

/**
 * codec_deflate() - append @in, compressed, to @out
 * Snappy gets xerial's framing. Return: 0; -ENOMEM, and what @out has gained is of no use;
 * BROKER_E_CORRUPT for an unknown codec. Thread: any.
 */
int codec_deflate(enum record_codec codec, struct span in, struct text *out);
