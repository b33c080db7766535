/* Trials of refused chunks against a server that is a list of the lines it refuses. */
#include "support.h"

#include <eventbox/base/crypto.h>
#include <trial.h>

enum { LINES_MAX = 400 };

static struct fluent_buffer buffer;
static struct fluent_trial trial;
static bool refused[LINES_MAX];  /* by the server */
static int delivered[LINES_MAX]; /* how often */
static unsigned refusal_count;

static int setup(void **state) {
    fluent_buffer_init(&buffer, random_system(), MIB(4), KIB(512));
    trial = (struct fluent_trial){.random = random_system()};
    memset(refused, 0, sizeof refused);
    memset(delivered, 0, sizeof delivered);
    refusal_count = 0;
    return 0;
}

static int teardown(void **state) {
    fluent_buffer_deinit(&buffer);
    assert_int_equal(buffer.bytes, 0);
    return 0;
}

/* A sealed chunk of @count lines of all kinds of fields; the refused ones have another action. */
static struct fluent_chunk *chunk_of(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        const struct log_field details[] = {
            LOG_INT("n", (int64_t)i * i * i * i * i - 1000),
            LOG_TEXT("text", "f\xc3\xbcnf"),
            LOG_BOOL("yes", i % 2 == 0),
            LOG_DOUBLE("number", i / 3.0),
            LOG_SPAN("null", SPAN_NULL),
        };
        struct log_record record = {
            .wall_ns = clock_wall_ns(clock_system()),
            .level = refused[i] ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO,
            .service = "user-service",
            .action = refused[i] ? "poison" : "harmless",
            .message = i % 3 ? "words" : NULL,
            .details = details,
            .detail_count = i % (ARRAY_SIZE(details) + 1),
        };
        fluent_buffer_add(&buffer, &record);
    }
    fluent_buffer_seal(&buffer);
    struct fluent_chunk *chunk = fluent_buffer_take(&buffer);
    assert_non_null(chunk);
    assert_int_equal(chunk->events, count);
    return chunk;
}

/* Answer the part that begins with line @at; returns how many lines are done with. */
static unsigned answer(unsigned at) {
    unsigned count = trial.part.events;
    bool bad = false;
    for (unsigned i = at; i < at + count; i++) {
        bad |= refused[i];
    }
    if (!bad) {
        for (unsigned i = at; i < at + count; i++) {
            delivered[i]++;
        }
        fluent_trial_accepted(&trial);
        return count;
    }
    struct fluent_entry line;
    refusal_count++;
    if (!fluent_trial_refused(&trial, &line)) {
        return 0;
    }
    assert_int_equal(count, 1);
    assert_int_equal(line.level, LOG_LEVEL_ERROR);
    assert_true(span_equal(line.action, SPAN_LITERAL("poison")));
    assert_true(span_equal(line.service, SPAN_LITERAL("user-service")));
    return 1;
}

static void try_chunk(unsigned count) {
    fluent_trial_begin(&trial, chunk_of(count));
    for (unsigned at = 0; at < count;) {
        assert_false(fluent_trial_is_over(&trial));
        assert_int_equal(trial.part.start, trial.chunk->entries_start);
        assert_int_equal(trial.chunk->events, count - at);
        at += answer(at);
    }
    assert_true(fluent_trial_is_over(&trial));
    struct fluent_chunk *chunk = fluent_trial_take_chunk(&trial);
    assert_int_equal(chunk->events, 0);
    for (size_t level = 0; level < FLUENT_LEVELS; level++) {
        assert_int_equal(chunk->events_by_level[level], 0);
    }
    fluent_buffer_release(&buffer, chunk);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(delivered[i], refused[i] ? 0 : 1);
    }
}

static void test_fluent_trial__gives_up_the_refused_line_alone_wherever_it_is(void **state) {
    for (unsigned count = 1; count < 20; count++) {
        for (unsigned bad = 0; bad < count; bad++) {
            memset(refused, 0, sizeof refused);
            memset(delivered, 0, sizeof delivered);
            refused[bad] = true;
            try_chunk(count);
        }
    }
}

static void test_fluent_trial__finds_one_line_of_many_in_logarithmic_time(void **state) {
    refused[237] = true;
    try_chunk(LINES_MAX);
    assert_true(refusal_count <= 9 + REFUSALS_MAX); /* 2^9 = 512 */
}

static void test_fluent_trial__takes_any_set_of_refused_lines(void **state) {
    struct random_seeded random;
    random_seeded_init(&random, 7);
    for (int round = 0; round < 50; round++) {
        memset(delivered, 0, sizeof delivered);
        for (unsigned i = 0; i < LINES_MAX; i++) {
            refused[i] = random_below(&random.random, 1 + (uint64_t)round) == 0;
        }
        try_chunk(LINES_MAX);
    }
}

static void test_fluent_trial__a_server_that_is_well_again_gets_all_at_once(void **state) {
    fluent_trial_begin(&trial, chunk_of(100));
    assert_int_equal(trial.part.events, 100);
    struct fluent_entry line;
    assert_false(fluent_trial_refused(&trial, &line));
    assert_int_equal(trial.part.events, 50);
    fluent_trial_accepted(&trial);
    assert_int_equal(trial.part.events, 25);
    fluent_trial_accepted(&trial);
    fluent_trial_accepted(&trial);
    assert_int_equal(trial.part.events, 6); /* (12 + 1) / 2 */
    while (!fluent_trial_is_over(&trial)) {
        fluent_trial_accepted(&trial);
    }
    fluent_buffer_release(&buffer, fluent_trial_take_chunk(&trial));
}

static void
test_fluent_trial__a_part_has_one_id_for_its_life_and_no_other_part_has_it(void **state) {
    char whole[ENCODE_ID_SIZE], single[ENCODE_ID_SIZE];
    struct fluent_entry line;
    fluent_trial_begin(&trial, chunk_of(2));
    memcpy(whole, trial.part.id, sizeof whole);
    assert_string_equal(whole, trial.chunk->id); /* the same lines, once more */
    assert_false(fluent_trial_refused(&trial, &line));
    memcpy(single, trial.part.id, sizeof single);
    assert_string_not_equal(single, whole);
    assert_false(fluent_trial_refused(&trial, &line));
    assert_string_equal(trial.part.id, single); /* the same line once more */
    fluent_buffer_release(&buffer, fluent_trial_take_chunk(&trial));
}

static void test_fluent_trial__needs_no_memory_beside_the_chunk(void **state) {
    refused[3] = refused[99] = true;
    fluent_trial_begin(&trial, chunk_of(100));
    size_t bytes = buffer.bytes;
    for (unsigned at = 0; at < 100; at += answer(at)) {
        assert_int_equal(buffer.bytes, bytes);
        assert_ptr_equal(trial.part.buf, trial.chunk->buf);
    }
    fluent_buffer_release(&buffer, fluent_trial_take_chunk(&trial));
}

static void test_fluent_entry_read__refuses_every_cut_and_foreign_bytes(void **state) {
    struct fluent_chunk *chunk = chunk_of(6);
    const uint8_t *bytes = chunk->buf->data + chunk->entries_start;
    size_t left = chunk->entries_end - chunk->entries_start, seen = 0;
    struct fluent_entry entry;
    while (seen < left) {
        assert_true(fluent_entry_read(span_of(bytes + seen, left - seen), &entry));
        for (size_t cut = 0; cut < entry.size; cut++) {
            struct fluent_entry none;
            assert_false(fluent_entry_read(span_of(bytes + seen, cut), &none));
        }
        seen += entry.size;
    }
    assert_int_equal(seen, left);
    assert_false(fluent_entry_read(SPAN_LITERAL("\x92\xd7\x01........\x80"), &entry));
    assert_false(fluent_entry_read(SPAN_LITERAL("\x93\xd7\x00........\x80"), &entry));
    assert_false(fluent_entry_read(SPAN_LITERAL("\x92\xd7\x00........\xc1"), &entry));
    fluent_buffer_release(&buffer, chunk);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_fluent_trial__gives_up_the_refused_line_alone_wherever_it_is),
        TEST(test_fluent_trial__finds_one_line_of_many_in_logarithmic_time),
        TEST(test_fluent_trial__takes_any_set_of_refused_lines),
        TEST(test_fluent_trial__a_server_that_is_well_again_gets_all_at_once),
        TEST(test_fluent_trial__a_part_has_one_id_for_its_life_and_no_other_part_has_it),
        TEST(test_fluent_trial__needs_no_memory_beside_the_chunk),
        TEST(test_fluent_entry_read__refuses_every_cut_and_foreign_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
