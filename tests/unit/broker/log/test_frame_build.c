/* Frames whose large batches go to the journal from where they lie: for every way to lie the bytes
 * are a frame, and what the disk gets is aligned. */
#include "journal/frame_build.h"
#include "log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GATHER_BYTES = 16 << 10, BATCHES_MAX = 120, ROOM = 64 << 20 };

/* Batches at addresses of our choice, and the frame that was made of them. */
struct made {
    struct frame_build build;
    uint32_t count;
    uint8_t *memory[BATCHES_MAX]; /* aligned */
    const uint8_t *batches[BATCHES_MAX];
    size_t sizes[BATCHES_MAX];
    bool gathered[BATCHES_MAX];
    uint8_t *bytes; /* of the frame, joined */
};

/* A right batch of about @bytes, @shift bytes behind a multiple of FRAME_ALIGN. */
static void put(struct made *made, size_t bytes, size_t shift) {
    struct batch_spec spec = {
        .records = 1, .value_bytes = bytes, .tag = made->count, .producer_id = -1};
    struct buf *buf = fixture_batch(&spec);
    uint8_t *memory =
        aligned_alloc(FRAME_ALIGN, (shift + buf->size) / FRAME_ALIGN * FRAME_ALIGN + FRAME_ALIGN);
    memcpy(memory + shift, buf->data, buf->size);
    made->memory[made->count] = memory;
    made->batches[made->count] = memory + shift;
    made->sizes[made->count++] = buf->size;
    buf_unref(buf);
}

static uint64_t bytes_of_batches(const struct made *made) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < made->count; i++) {
        bytes += made->sizes[i];
    }
    return bytes;
}

/* What the disk gets, as one: every part as it must be for a write past the page cache. */
static void join(struct made *made) {
    const struct frame_build *build = &made->build;
    size_t at = 0;
    made->bytes = malloc(build->bytes);
    for (int i = 0; i < build->part_count; i++) {
        assert_int_equal((uintptr_t)build->parts[i].iov_base % FRAME_ALIGN, 0);
        assert_int_equal(build->parts[i].iov_len % FRAME_ALIGN, 0);
        assert_true(build->parts[i].iov_len > 0);
        assert_true(at + build->parts[i].iov_len <= build->bytes);
        memcpy(made->bytes + at, build->parts[i].iov_base, build->parts[i].iov_len);
        at += build->parts[i].iov_len;
    }
    assert_int_equal(at, build->bytes);
}

static void build_in(struct made *made, uint64_t room) {
    struct frame_build *build = &made->build;
    build->gather_bytes = GATHER_BYTES;
    frame_build_plan(build, made->count, bytes_of_batches(made), room);
    for (uint32_t i = 0; i < made->count; i++) {
        made->gathered[i] = frame_build_plan_batch(build, made->batches[i], made->sizes[i]);
    }
    assert_int_equal(frame_build_plan_end(build), 0);
    frame_build_begin(build);
    for (uint32_t i = 0; i < made->count; i++) {
        struct frame_entry entry = {
            .topic = 7, .base_offset = i, .bytes = (uint32_t)made->sizes[i]};
        frame_build_add(build, &entry, made->batches[i], made->gathered[i]);
    }
    struct frame_header header = {.sequence = 3, .synced_through = 2};
    frame_build_end(build, &header);
    assert_true(build->bytes <= room);
    join(made);
}

/* The joined bytes are read as every start reads them, and have each batch. */
static void check(const struct made *made) {
    struct frame_header header;
    assert_true(frame_header_read(made->bytes, NULL, &header));
    assert_int_equal(header.entry_count, made->count);
    assert_int_equal(frame_bytes_of_body(header.body_bytes), made->build.bytes);
    const uint8_t *body = made->bytes + FRAME_HEADER_BYTES;
    assert_true(frame_body_valid(&header, body));
    for (uint32_t i = 0; i < made->count; i++) {
        struct frame_entry entry;
        frame_entry_read(body + (size_t)i * FRAME_ENTRY_BYTES, &entry);
        assert_int_equal(entry.base_offset, i);
        assert_int_equal(entry.bytes, made->sizes[i]);
        assert_memory_equal(body + entry.body_offset, made->batches[i], made->sizes[i]);
    }
}

/* Whether a part points into the batch. */
static bool uncopied(const struct made *made, uint32_t i) {
    for (int part = 0; part < made->build.part_count; part++) {
        const uint8_t *base = made->build.parts[part].iov_base;
        if (base >= made->batches[i] && base < made->batches[i] + made->sizes[i]) {
            return true;
        }
    }
    return false;
}

static void drop(struct made *made) {
    for (uint32_t i = 0; i < made->count; i++) {
        free(made->memory[i]);
    }
    free(made->bytes);
    made->bytes = NULL;
    made->count = 0;
}

static void test_frame_build__large_batches_stay_where_they_lie(void **state) {
    struct made made = {.count = 0};
    const size_t shifts[] = {0, 1, 511, 512, 2048, 4000, 4095};
    for (size_t first = 0; first < ARRAY_SIZE(shifts); first++) {
        for (size_t second = 0; second < ARRAY_SIZE(shifts); second++) {
            put(&made, 100, 8);
            put(&made, 40000 + first, shifts[first]);
            put(&made, 50000 + second, shifts[second]);
            put(&made, 3000, 5);
            build_in(&made, ROOM);
            check(&made);
            assert_false(uncopied(&made, 0) || uncopied(&made, 3));
            assert_true(uncopied(&made, 1) && uncopied(&made, 2));
            assert_true(made.build.copied < 10 * FRAME_ALIGN);
            drop(&made);
        }
    }
    frame_build_deinit(&made.build);
}

static void test_frame_build__any_mixture_is_a_frame(void **state) {
    struct made made = {.count = 0};
    struct random_seeded random;
    random_seeded_init(&random, 41);
    for (unsigned round = 0; round < 200; round++) {
        for (uint64_t n = 1 + random_below(&random.random, 12); n > 0; n--) {
            put(&made, (size_t)random_below(&random.random, 60000),
                (size_t)random_below(&random.random, FRAME_ALIGN));
        }
        uint64_t exact = frame_bytes(made.count, bytes_of_batches(&made));
        build_in(&made, exact + random_below(&random.random, 6) * FRAME_ALIGN);
        check(&made);
        drop(&made);
    }
    frame_build_deinit(&made.build);
}

static void test_frame_build__without_room_for_zeros_they_are_copied(void **state) {
    struct made made = {.count = 0};
    put(&made, 70000, 1000);
    uint64_t exact = frame_bytes(made.count, bytes_of_batches(&made));
    build_in(&made, exact);
    check(&made);
    assert_false(made.gathered[0] || uncopied(&made, 0));
    assert_int_equal(made.build.bytes, exact);
    free(made.bytes);
    build_in(&made, exact + FRAME_ALIGN);
    check(&made);
    assert_true(made.gathered[0] && uncopied(&made, 0));
    drop(&made);
    frame_build_deinit(&made.build);
}

static void test_frame_build__more_than_one_write_takes_are_copied(void **state) {
    struct made made = {.count = 0};
    while (made.count < BATCHES_MAX) {
        put(&made, GATHER_BYTES + made.count, made.count * 31 % FRAME_ALIGN);
    }
    build_in(&made, ROOM);
    check(&made);
    assert_true(made.build.part_count <= FRAME_PARTS_MAX);
    assert_true(made.gathered[0]);
    assert_false(made.gathered[BATCHES_MAX - 1]);
    frame_build_trim(&made.build); /* it keeps nothing of so large a frame */
    assert_int_equal(made.build.capacity, 0);
    drop(&made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_build__large_batches_stay_where_they_lie),
        cmocka_unit_test(test_frame_build__any_mixture_is_a_frame),
        cmocka_unit_test(test_frame_build__without_room_for_zeros_they_are_copied),
        cmocka_unit_test(test_frame_build__more_than_one_write_takes_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
