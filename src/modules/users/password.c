/*
 * Password hashes are argon2id in PHC strings:
 *
 *     $argon2id$v=19$m=19456,t=2,p=1$<salt, base64 without padding>$<tag, the same>
 *
 * Strings are parsed here and not by libargon2, because the library allocates what a string asks
 * for: m=4194304 in a tampered row would take 4 GiB. Parsing first, ceilings next, memory last.
 *
 * The memory of a hash is mapped and unmapped around it. malloc would keep 19 MiB in the heap of
 * each hash thread for ever, and large pages make the page faults cheap.
 */
#include "password.h"

#include <argon2.h>
#include <errno.h>
#include <eventbox/base/crypto.h>
#include <eventbox/base/error.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { LARGE_PAGE_BYTES = 2 << 20 };

static int memory_map(uint8_t **ret_memory, size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return -1;
    }
    if (size >= LARGE_PAGE_BYTES) {
        (void)madvise(memory, size, MADV_HUGEPAGE);
    }
    *ret_memory = memory;
    return 0;
}

static void memory_unmap(uint8_t *memory, size_t size) {
    munmap(memory, size);
}

static int compute(const struct password_params *params, const uint8_t *salt, size_t salt_size,
                   struct span password, uint8_t *tag, size_t tag_size) {
    argon2_context context = {
        .out = tag,
        .outlen = (uint32_t)tag_size,
        /* libargon2 writes to the password only when asked to clear it, which no flag here does. */
        .pwd = (uint8_t *)(uintptr_t)password.data,
        .pwdlen = (uint32_t)password.size,
        .salt = (uint8_t *)(uintptr_t)salt,
        .saltlen = (uint32_t)salt_size,
        .t_cost = params->passes,
        .m_cost = params->memory_kib,
        .lanes = params->lanes,
        .threads = 1,
        .version = ARGON2_VERSION_13,
        .allocate_cbk = memory_map,
        .free_cbk = memory_unmap,
        .flags = ARGON2_DEFAULT_FLAGS,
    };
    int status = argon2id_ctx(&context);
    if (status == ARGON2_MEMORY_ALLOCATION_ERROR) {
        return err_origin(-ENOMEM);
    }
    return status == ARGON2_OK ? 0 : err_origin(-EINVAL);
}

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Base64 without padding, as PHC strings have it; base/crypto.h only writes it with padding. */
static size_t base64_put(const uint8_t *data, size_t size, char *out) {
    size_t written = base64_encode(data, size, out);
    while (written && out[written - 1] == '=') {
        out[--written] = 0;
    }
    return written;
}

/* Bytes read from @text up to '$' or the end; SIZE_MAX when it is not canonical base64 that fits.
 */
static size_t base64_get(struct span *text, uint8_t *out, size_t capacity) {
    const char *in = text->data;
    size_t used = 0, size = 0;
    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (; used < text->size && in[used] != '$'; used++) {
        const char *digit = memchr(base64_alphabet, in[used], sizeof base64_alphabet - 1);
        if (!digit) {
            return SIZE_MAX;
        }
        bits = bits << 6 | (uint32_t)(digit - base64_alphabet);
        bit_count += 6;
        if (bit_count >= 8) {
            if (size == capacity) {
                return SIZE_MAX;
            }
            bit_count -= 8;
            out[size++] = (uint8_t)(bits >> bit_count);
        }
    }
    if (bit_count >= 6 || (bits & ((1U << bit_count) - 1)) != 0) {
        return SIZE_MAX; /* a lone character, or bits behind the last byte */
    }
    *text = span_of(in + used, text->size - used);
    return size;
}

static bool take_literal(struct span *text, const char *literal) {
    size_t size = strlen(literal);
    if (text->size < size || memcmp(text->data, literal, size) != 0) {
        return false;
    }
    *text = span_of((const char *)text->data + size, text->size - size);
    return true;
}

/* A decimal number without sign or leading zeros, from 1 to @max. */
static bool take_number(struct span *text, uint32_t max, uint32_t *ret_value) {
    const char *in = text->data;
    size_t used = 0;
    uint64_t value = 0;
    while (used < text->size && in[used] >= '0' && in[used] <= '9' && used < 10) {
        value = value * 10 + (uint64_t)(in[used++] - '0');
    }
    if (used == 0 || in[0] == '0' || value > max) {
        return false;
    }
    *text = span_of(in + used, text->size - used);
    *ret_value = (uint32_t)value;
    return true;
}

int password_hash(const struct password_params *params, const uint8_t *salt, struct span password,
                  char out[PASSWORD_PHC_SIZE]) {
    uint8_t tag[PASSWORD_TAG_BYTES];
    int status = compute(params, salt, PASSWORD_SALT_BYTES, password, tag, sizeof tag);
    if (status) {
        return err_trace(status);
    }
    int size = snprintf(out, PASSWORD_PHC_SIZE, "$argon2id$v=19$m=%u,t=%u,p=%u$",
                        params->memory_kib, params->passes, params->lanes);
    size += (int)base64_put(salt, PASSWORD_SALT_BYTES, out + size);
    out[size++] = '$';
    base64_put(tag, sizeof tag, out + size);
    crypto_wipe(tag, sizeof tag);
    return 0;
}

bool password_parse(struct span phc, struct password_phc *ret_phc) {
    struct password_phc parsed = {0};
    if (!take_literal(&phc, "$argon2id$v=19$m=") ||
        !take_number(&phc, PASSWORD_MEMORY_KIB_MAX, &parsed.params.memory_kib) ||
        !take_literal(&phc, ",t=") ||
        !take_number(&phc, PASSWORD_PASSES_MAX, &parsed.params.passes) ||
        !take_literal(&phc, ",p=") ||
        !take_number(&phc, PASSWORD_LANES_MAX, &parsed.params.lanes) || !take_literal(&phc, "$")) {
        return false;
    }
    parsed.salt_size = base64_get(&phc, parsed.salt, sizeof parsed.salt);
    if (parsed.salt_size == SIZE_MAX || parsed.salt_size < 8 || !take_literal(&phc, "$")) {
        return false;
    }
    parsed.tag_size = base64_get(&phc, parsed.tag, sizeof parsed.tag);
    if (parsed.tag_size == SIZE_MAX || parsed.tag_size < 16 || phc.size != 0 ||
        parsed.params.memory_kib < 8 * parsed.params.lanes) {
        return false;
    }
    *ret_phc = parsed;
    return true;
}

int password_verify(const struct password_phc *phc, struct span password, bool *ret_match) {
    uint8_t tag[sizeof phc->tag];
    int status = compute(&phc->params, phc->salt, phc->salt_size, password, tag, phc->tag_size);
    if (status) {
        return err_trace(status);
    }
    *ret_match = crypto_equal(tag, phc->tag, phc->tag_size);
    crypto_wipe(tag, sizeof tag);
    return 0;
}

bool password_is_current(const struct password_phc *phc, const struct password_params *params) {
    return phc->params.memory_kib == params->memory_kib && phc->params.passes == params->passes &&
           phc->params.lanes == params->lanes && phc->salt_size == PASSWORD_SALT_BYTES &&
           phc->tag_size == PASSWORD_TAG_BYTES;
}

void password_unknown(const struct password_params *params, struct password_phc *ret_phc) {
    *ret_phc = (struct password_phc){
        .params = *params, .salt_size = PASSWORD_SALT_BYTES, .tag_size = PASSWORD_TAG_BYTES};
    memset(ret_phc->salt, 0x5a, PASSWORD_SALT_BYTES);
    memset(ret_phc->tag, 0xa5, PASSWORD_TAG_BYTES);
}

static char ascii_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool password_resembles(struct span password, struct span identifier) {
    const char *text = password.data, *part = identifier.data;
    /* One or two letters are part of half of all good passwords. */
    if (identifier.size < 3 || identifier.size > password.size) {
        return false;
    }
    for (size_t start = 0; start + identifier.size <= password.size; start++) {
        size_t same = 0;
        while (same < identifier.size &&
               ascii_lower(text[start + same]) == ascii_lower(part[same])) {
            same++;
        }
        if (same == identifier.size) {
            return true;
        }
    }
    return false;
}
