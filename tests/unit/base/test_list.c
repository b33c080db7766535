#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>
#include <eventbox/base/list.h>

struct item {
    int value;
    struct list link;
};

static void assert_values(const struct list *head, const char *expected) {
    char values[16] = "";
    size_t count = 0;
    list_for_each(link, head) {
        values[count++] = (char)('0' + list_entry(link, struct item, link)->value);
    }
    assert_string_equal(values, expected);
}

static void test_list__pushes_removes_and_pops(void **state) {
    struct list head = LIST_INIT(head);
    struct item items[5];

    assert_true(list_empty(&head));
    assert_null(list_pop_front(&head));
    for (int i = 0; i < 5; i++) {
        items[i] = (struct item){.value = i};
        assert_false(list_linked(&items[i].link));
    }
    list_remove(&items[4].link); /* harmless on a zeroed link */
    list_push_back(&head, &items[1].link);
    list_push_back(&head, &items[2].link);
    list_push_front(&head, &items[0].link);
    list_push_back(&head, &items[3].link);
    assert_values(&head, "0123");
    list_remove(&items[2].link);
    list_remove(&items[2].link); /* twice is harmless */
    assert_false(list_linked(&items[2].link));
    assert_values(&head, "013");
    assert_ptr_equal(list_entry(list_pop_front(&head), struct item, link), &items[0]);
    assert_values(&head, "13");
}

static void test_list_splice_back__moves_all(void **state) {
    struct list to = LIST_INIT(to);
    struct list from = LIST_INIT(from);
    struct item items[4];

    for (int i = 0; i < 4; i++) {
        items[i] = (struct item){.value = i};
        list_push_back(i < 2 ? &to : &from, &items[i].link);
    }
    list_splice_back(&to, &from);
    assert_values(&to, "0123");
    assert_true(list_empty(&from));
    list_splice_back(&to, &from);
    assert_values(&to, "0123");
}

static void test_list_for_each_safe__allows_removal(void **state) {
    struct list head = LIST_INIT(head);
    struct item items[6];

    for (int i = 0; i < 6; i++) {
        items[i] = (struct item){.value = i};
        list_push_back(&head, &items[i].link);
    }
    list_for_each_safe(link, &head) {
        if (list_entry(link, struct item, link)->value % 2 == 0) {
            list_remove(link);
        }
    }
    assert_values(&head, "135");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list__pushes_removes_and_pops),
        cmocka_unit_test(test_list_splice_back__moves_all),
        cmocka_unit_test(test_list_for_each_safe__allows_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
