/* Answers of a forward server: whole, and split in the middle, must be understood alike. */
#include <eventbox/base/error.h>
#include <reader.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    size_t count, bytes;
};

static int on_answer(void *userdata, struct span ack) {
    struct seen *seen = userdata;
    seen->count++;
    seen->bytes += ack.size;
    if (ack.size > ACK_STRING_BYTES_MAX) {
        abort();
    }
    return 0;
}

static int feed(const uint8_t *data, size_t size, size_t cut, struct seen *seen) {
    struct ack_reader reader;
    ack_reader_init(&reader);
    int r = ack_reader_feed(&reader, data, cut, on_answer, seen);
    return r != 0 ? r : ack_reader_feed(&reader, data + cut, size - cut, on_answer, seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct seen whole = {0}, split = {0};
    int r = feed(data, size, size, &whole);
    if (feed(data, size, size / 2, &split) != r || split.count != whole.count ||
        split.bytes != whole.bytes) {
        abort();
    }
    return 0;
}
