#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/trace.h>

#define TRACE  "0af7651916cd43dd8448eb211c80319c"
#define PARENT "00-" TRACE "-b7ad6b7169203331-01"

/* W3C Trace Context, level 1, 3.2.2 and 4.3. */
static void test_trace_parse__takes_and_refuses(void **state) {
    static const struct {
        const char *header;
        bool valid;
    } cases[] = {
        {PARENT, true},
        {"00-" TRACE "-b7ad6b7169203331-00", true},
        {"00-" TRACE "-b7ad6b7169203331-ff", true},
        {"cc-" TRACE "-b7ad6b7169203331-01", true},
        {"cc-" TRACE "-b7ad6b7169203331-01-what-the-future-brings", true},
        {"cc-" TRACE "-b7ad6b7169203331-01.what", false},
        {"", false},
        {"00-" TRACE "-b7ad6b7169203331-0", false},
        {PARENT "-extra", false},
        {PARENT " ", false},
        {"ff-" TRACE "-b7ad6b7169203331-01", false},
        {"00-00000000000000000000000000000000-b7ad6b7169203331-01", false},
        {"00-" TRACE "-0000000000000000-01", false},
        {"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false},
        {"00_" TRACE "-b7ad6b7169203331-01", false},
        {"00-" TRACE "_b7ad6b7169203331-01", false},
        {"00-" TRACE "-b7ad6b7169203331_01", false},
        {"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01", false},
        {"0x-" TRACE "-b7ad6b7169203331-01", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct trace trace;
        assert_int_equal(trace_parse(span_text(cases[i].header), &trace), cases[i].valid);
    }
}

static void test_trace_format__writes_what_it_parsed(void **state) {
    struct trace trace;
    char parent[TRACE_PARENT_SIZE], id[TRACE_ID_SIZE];

    assert_true(trace_parse(SPAN_LITERAL(PARENT), &trace));
    trace_format(&trace, parent);
    assert_string_equal(parent, PARENT);
    trace_format_id(&trace, id);
    assert_string_equal(id, TRACE);
}

static void test_trace_child__keeps_the_trace(void **state) {
    struct random_seeded seeded;
    struct trace parent, child, zero = {0};

    random_seeded_init(&seeded, 9);
    trace_new(&seeded.random, &parent);
    trace_child(&seeded.random, &parent, &child);
    assert_memory_equal(parent.trace_id, child.trace_id, sizeof parent.trace_id);
    assert_memory_not_equal(parent.span_id, child.span_id, sizeof parent.span_id);
    assert_false(trace_is_zero(&parent));
    assert_true(trace_is_zero(&zero));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trace_parse__takes_and_refuses),
        cmocka_unit_test(test_trace_format__writes_what_it_parsed),
        cmocka_unit_test(test_trace_child__keeps_the_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
