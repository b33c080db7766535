/* The frames of zstd as they stand, without what is compressed in them. */
#pragma once

#include <eventbox/base/span.h>

/**
 * codec_zstd_good_bytes() - bytes up to the first block that sets bits which the format reserves
 * @in: what should be frames; it is left to the decoder to find anything else that is wrong
 *
 * Return: @in.size when there is no such block. Thread: any.
 * Source: RFC 8878, 3.1.
 */
size_t codec_zstd_good_bytes(struct span in);
