/* Bytes as text: hexadecimal and base64. The prototypes are in crypto.h, beside the digests. */
#include <eventbox/base/crypto.h>

void hex_encode(const void *data, size_t size, char *out) {
    const uint8_t *in = data;
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = "0123456789abcdef"[in[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[in[i] & 15];
    }
    out[2 * size] = '\0';
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool hex_decode(struct span text, void *out, size_t size) {
    const char *in = text.data;
    uint8_t *to = out;

    if (text.size % 2 != 0 || text.size / 2 != size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(in[2 * i]);
        int low = hex_digit(in[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Six bits a character; a rest of one or two bytes takes two or three characters. */
static size_t encode64(const uint8_t *in, size_t size, const char *alphabet, char *out) {
    size_t used = 0;
    uint32_t bits = 0;
    int pending = 0;

    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | in[i];
        for (pending += 8; pending >= 6; pending -= 6) {
            out[used++] = alphabet[bits >> (pending - 6) & 63];
        }
    }
    if (pending > 0) {
        out[used++] = alphabet[bits << (6 - pending) & 63];
    }
    return used;
}

size_t base64url_encode(const void *data, size_t size, char *out) {
    size_t used = encode64(data, size,
                           "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", out);
    out[used] = '\0';
    return used;
}

size_t base64_encode(const void *data, size_t size, char *out) {
    size_t used = encode64(data, size,
                           "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", out);
    while (used % 4 != 0) {
        out[used++] = '=';
    }
    out[used] = '\0';
    return used;
}
