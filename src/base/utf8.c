#include <eventbox/base/bytes.h>
#include <eventbox/base/utf8.h>

/*
 * Looks at the sequence at @in. Returns its length when it is valid; else 0, and *ret_bad is the
 * length of what a decoder replaces by one U+FFFD: the longest beginning of a valid sequence, at
 * least one byte (Unicode, "maximal subpart"). The ranges of the second byte are RFC 3629 4.
 */
static size_t sequence(const uint8_t *in, size_t size, size_t *ret_bad) {
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    size_t length;

    if (in[0] < 0x80) {
        return 1;
    }
    *ret_bad = 1;
    if (in[0] < 0xc2 || in[0] > 0xf4) {
        return 0;
    }
    length = in[0] < 0xe0 ? 2 : in[0] < 0xf0 ? 3 : 4;
    if (in[0] == 0xe0) {
        low = 0xa0; /* overlong */
    } else if (in[0] == 0xed) {
        high = 0x9f; /* surrogates */
    } else if (in[0] == 0xf0) {
        low = 0x90; /* overlong */
    } else if (in[0] == 0xf4) {
        high = 0x8f; /* above U+10FFFF */
    }
    for (size_t i = 1; i < length; i++) {
        if (i >= size || in[i] < low || in[i] > high) {
            *ret_bad = i;
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

/* Bytes of ASCII at the beginning, eight at a time. */
static size_t ascii_prefix(const uint8_t *in, size_t size) {
    size_t i = 0;
    while (size - i >= 8 && (get_le64(in + i) & UINT64_C(0x8080808080808080)) == 0) {
        i += 8;
    }
    while (i < size && in[i] < 0x80) {
        i++;
    }
    return i;
}

size_t utf8_prefix(const void *data, size_t size) {
    const uint8_t *in = data;
    size_t bad;

    for (size_t i = 0; i < size;) {
        size_t length = ascii_prefix(in + i, size - i);
        i += length;
        if (i == size) {
            break;
        }
        length = sequence(in + i, size - i, &bad);
        if (length == 0) {
            return i;
        }
        i += length;
    }
    return size;
}

bool utf8_valid(const void *data, size_t size) {
    return utf8_prefix(data, size) == size;
}

size_t utf8_count(const void *data, size_t size) {
    const uint8_t *in = data;
    size_t count = 0;

    for (size_t i = 0; i < size; i++) {
        count += (in[i] & 0xc0) != 0x80;
    }
    return count;
}

size_t utf8_clean(const void *data, size_t size, char *out) {
    const uint8_t *in = data;
    size_t used = 0;
    size_t bad = 0;

    for (size_t i = 0; i < size;) {
        size_t length = ascii_prefix(in + i, size - i);
        if (length == 0) {
            length = sequence(in + i, size - i, &bad);
        }
        if (length == 0) {
            memcpy(out + used, "\xef\xbf\xbd", 3);
            used += 3;
            i += bad;
        } else {
            memcpy(out + used, in + i, length);
            used += length;
            i += length;
        }
    }
    return used;
}

size_t utf8_cut(const void *data, size_t size, size_t limit) {
    const uint8_t *in = data;
    size_t cut = limit;

    if (size <= limit) {
        return size;
    }
    while (cut > 0 && limit - cut < 4 && (in[cut] & 0xc0) == 0x80) {
        cut--;
    }
    return cut;
}
