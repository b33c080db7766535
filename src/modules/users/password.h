/*
 * The only door to argon2: hashing, verifying and judging PHC strings (RFC 9106; PHC string
 * format). Everything here is slow by intent or touches no state: it runs on the hash threads.
 */
#pragma once

#include <eventbox/base/defs.h>
#include <eventbox/base/span.h>

enum {
    PASSWORD_SALT_BYTES = 16,
    PASSWORD_TAG_BYTES = 32,
    PASSWORD_PHC_SIZE = 160, /* longest string that password_hash() writes, with its zero byte */

    /* Ceilings for what a stored string may ask for: a row that was tampered with must not take the
       machine's memory. */
    PASSWORD_MEMORY_KIB_MAX = 256 * 1024,
    PASSWORD_PASSES_MAX = 10,
    PASSWORD_LANES_MAX = 4,
};

struct password_params {
    uint32_t memory_kib; /* m */
    uint32_t passes;     /* t */
    uint32_t lanes;      /* p */
};

/* A PHC string taken apart. */
struct password_phc {
    struct password_params params;
    uint8_t salt[64];
    size_t salt_size;
    uint8_t tag[64];
    size_t tag_size;
};

/**
 * password_hash() - argon2id of @password as a PHC string
 * @salt: PASSWORD_SALT_BYTES fresh random bytes
 *
 * Return: 0; -ENOMEM; -EINVAL for parameters that argon2 refuses.
 */
int password_hash(const struct password_params *params, const uint8_t *salt, struct span password,
                  char out[PASSWORD_PHC_SIZE]);

/**
 * password_parse() - take a stored string apart and check it against the ceilings
 *
 * Return: true; false when it is not an argon2id PHC string of version 19 within the ceilings.
 */
bool password_parse(struct span phc, struct password_phc *ret_phc);

/**
 * password_verify() - does @password belong to @phc? Constant time in the tag.
 * Return: 0 and *ret_match; -ENOMEM; -EINVAL.
 */
int password_verify(const struct password_phc *phc, struct span password, bool *ret_match);

/** password_is_current() - would password_hash() with @params make a string like this one? */
bool password_is_current(const struct password_phc *phc, const struct password_params *params);

/**
 * password_unknown() - what the password of a user that does not exist is compared with: a constant
 * salt and tag with today's parameters, so that both cases take the same time
 */
void password_unknown(const struct password_params *params, struct password_phc *ret_phc);

/** password_resembles() - is @identifier the password, or part of it, in any case of ASCII letters?
 */
bool password_resembles(struct span password, struct span identifier);
