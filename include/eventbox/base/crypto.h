/* The door to OpenSSL's digests, and encodings. TLS lives in loop/. Thread: any. */
#pragma once

#include <eventbox/base/defs.h>
#include <eventbox/base/span.h>

enum { SHA256_BYTES = 32 };

void crypto_sha256(struct span data, uint8_t ret_digest[SHA256_BYTES]);
/** crypto_equal() - constant time in the content */
bool crypto_equal(const void *a, const void *b, size_t size);
/** crypto_wipe() - zeroes, not removed by the compiler */
void crypto_wipe(void *data, size_t size);

/** hex_encode() - lower case; @out gets 2 * size characters and a zero byte */
void hex_encode(const void *data, size_t size, char *out);
/** hex_decode() - false unless @text is exactly 2 * @size hex digits */
bool hex_decode(struct span text, void *out, size_t size);
/** base64url_encode() - RFC 4648 5 without padding; returns characters written, adds a zero byte */
size_t base64url_encode(const void *data, size_t size, char *out);
/** base64_encode() - RFC 4648 4 with padding */
size_t base64_encode(const void *data, size_t size, char *out);
