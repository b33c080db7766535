/*
 * SipHash-2-4 with 128 bits: a keyed hash of bytes that stand for the bytes themselves. With a
 * secret random key nobody can choose two inputs with one hash, and by chance n inputs meet with
 * probability below n^2 / 2^129. Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF".
 * Thread: any.
 */
#pragma once

#include <eventbox/base/span.h>
#include <stdint.h>

struct siphash128 {
    uint64_t low, high;
};

/** siphash128() - of @data under the 16 bytes of @key */
struct siphash128 siphash128(const uint8_t key[16], struct span data);
