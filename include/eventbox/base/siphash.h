/*
 * SipHash, a keyed hash: with a secret random key nobody can choose two inputs with one hash.
 * Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF". Thread: any.
 */
#pragma once

#include <eventbox/base/span.h>
#include <stdint.h>

struct siphash128 {
    uint64_t low, high;
};

/** siphash13() - 64 bits, one round a word and three at the end: enough for a hash table, and half
 * the cost of 2-4 */
uint64_t siphash13(const uint64_t key[2], struct span data);
/** siphash128() - SipHash-2-4 with 128 bits, which stand for the bytes themselves: by chance n
 * inputs meet with probability below n^2 / 2^129 */
struct siphash128 siphash128(const uint8_t key[16], struct span data);
