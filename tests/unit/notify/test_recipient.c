/* Who can be written to, by channel. */
#include "notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_recipient_problem__by_channel(void **state) {
    static const struct {
        enum channel channel;
        const char *recipient;
        bool good;
    } cases[] = {
        {CHANNEL_EMAIL, "john@example.com", true},
        {CHANNEL_EMAIL, "j.o+h-n_d@sub.example-1.co", true},
        {CHANNEL_EMAIL, "nobody", false},
        {CHANNEL_EMAIL, "@example.com", false},
        {CHANNEL_EMAIL, "john@", false},
        {CHANNEL_EMAIL, "john@localhost", false},
        {CHANNEL_EMAIL, "john@@example.com", false},
        {CHANNEL_EMAIL, ".john@example.com", false},
        {CHANNEL_EMAIL, "jo..hn@example.com", false},
        {CHANNEL_EMAIL, "john@-example.com", false},
        {CHANNEL_EMAIL, "john@example-.com", false},
        {CHANNEL_EMAIL, "john@example..com", false},
        {CHANNEL_EMAIL, "john@example.com.", false},
        {CHANNEL_EMAIL, "john@127.0.0.1", false},
        {CHANNEL_EMAIL, "john doe@example.com", false},
        {CHANNEL_EMAIL, "john@example.com\n", false},
        {CHANNEL_EMAIL, "j\xc3\xb6hn@example.com", false},
        {CHANNEL_EMAIL, "", false},
        {CHANNEL_SMS, "+4915112345678", true},
        {CHANNEL_SMS, "4915112345678", false},
        {CHANNEL_SMS, "+0915112345678", false},
        {CHANNEL_SMS, "+49 151", false},
        {CHANNEL_SMS, "+123456", false},
        {CHANNEL_SMS, "+1234567890123456", false},
        {CHANNEL_SMS, "", false},
        {CHANNEL_PUSH, "device-token:APA91b", true},
        {CHANNEL_PUSH, "two words", false},
        {CHANNEL_PUSH, "", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct span recipient = span_text(cases[i].recipient);
        if (!recipient_problem(cases[i].channel, recipient) != cases[i].good) {
            fail_msg("%s: %s", channel_names[cases[i].channel], cases[i].recipient);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipient_problem__by_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
