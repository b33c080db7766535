/* The overlay shows what is below with its own changes on it, and never changes what is below. */
#include "support.h"

#include <eventbox/loop/disk_sim.h>

static struct disk *below, *overlay;

static void put(struct disk *disk, const char *path, const char *text) {
    struct disk_file *file;
    assert_int_equal(disk_open(disk, path, DISK_WRITE | DISK_CREATE | DISK_TRUNCATE, &file), 0);
    assert_int_equal(disk_pwrite(file, text, strlen(text), 0), 0);
    disk_close(file);
}

static void assert_content(struct disk *disk, const char *path, const char *expected) {
    struct disk_file *file;
    char data[64] = "";
    size_t size = 0;
    assert_int_equal(disk_open(disk, path, DISK_READ, &file), 0);
    assert_int_equal(disk_pread(file, data, sizeof data - 1, 0, &size), 0);
    data[size] = '\0';
    assert_string_equal(data, expected);
    disk_close(file);
}

static bool is_absent(struct disk *disk, const char *path) {
    struct disk_file *file;
    int r = disk_open(disk, path, DISK_READ, &file);
    if (r == 0) {
        disk_close(file);
    }
    return r == DISK_E_NOT_FOUND;
}

static int setup(void **state) {
    (void)state;
    assert_int_equal(disk_sim_new(7, &below), 0);
    assert_int_equal(disk_mkdir(below, "folder"), 0);
    put(below, "folder/old", "below the overlay");
    return disk_overlay_new(below, &overlay);
}

static int teardown(void **state) {
    (void)state;
    disk_free(overlay);
    disk_free(below);
    return 0;
}

static void test_disk_overlay__changes_stay_above(void **state) {
    (void)state;
    struct disk_file *file;
    uint64_t digest = disk_sim_digest(below);
    assert_content(overlay, "folder/old", "below the overlay");
    assert_int_equal(disk_open(overlay, "folder/old", DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_pwrite(file, "ABOVE", 5, 0), 0);
    disk_close(file);
    assert_content(overlay, "folder/old", "ABOVE the overlay");
    assert_content(below, "folder/old", "below the overlay");
    put(overlay, "folder/new", "made above");
    assert_content(overlay, "folder/new", "made above");
    assert_true(is_absent(below, "folder/new"));
    assert_int_equal(disk_sim_digest(below), digest);
}

static void test_disk_overlay__truncated_bytes_do_not_come_back(void **state) {
    (void)state;
    struct disk_file *file;
    char data[32];
    size_t size;
    assert_int_equal(disk_open(overlay, "folder/old", DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_truncate(file, 5), 0);
    assert_int_equal(disk_pwrite(file, "x", 1, 9), 0);
    assert_int_equal(disk_pread(file, data, sizeof data, 0, &size), 0);
    assert_int_equal(size, 10);
    assert_memory_equal(data, "below\0\0\0\0x", 10);
    disk_close(file);
}

static void test_disk_overlay__writes_across_pages(void **state) {
    (void)state;
    struct disk_file *file;
    static char bytes[3 * DISK_ALIGN], back[3 * DISK_ALIGN];
    size_t size;
    memset(bytes, 'p', sizeof bytes);
    put(below, "folder/long", "");
    assert_int_equal(disk_open(overlay, "folder/long", DISK_READ | DISK_WRITE, &file), 0);
    assert_int_equal(disk_pwrite(file, bytes, sizeof bytes - 100, 50), 0);
    assert_int_equal(disk_pread(file, back, sizeof back, 50, &size), 0);
    assert_int_equal(size, sizeof bytes - 100);
    assert_memory_equal(back, bytes, sizeof bytes - 100);
    disk_close(file);
}

struct names {
    char text[256];
};

static int add_name(void *userdata, const char *name, bool is_dir) {
    struct names *names = userdata;
    (void)is_dir;
    strcat(strcat(names->text, name), " ");
    return 0;
}

static void test_disk_overlay__listing_shows_what_was_made_moved_and_removed(void **state) {
    (void)state;
    struct names names = {""};
    put(below, "folder/gone", "x");
    put(below, "folder/moved", "moved bytes");
    assert_int_equal(disk_unlink(overlay, "folder/gone"), 0);
    assert_int_equal(disk_unlink(overlay, "folder/gone"), DISK_E_NOT_FOUND);
    assert_int_equal(disk_rename(overlay, "folder/moved", "folder/there"), 0);
    assert_int_equal(disk_list(overlay, "folder", add_name, &names), 0);
    assert_string_equal(names.text, "old there ");
    assert_content(overlay, "folder/there", "moved bytes");
    assert_true(is_absent(overlay, "folder/moved"));
    assert_content(below, "folder/moved", "moved bytes");
}

static void test_disk_overlay__folders(void **state) {
    (void)state;
    struct disk_file *file;
    struct names names = {""};
    assert_int_equal(disk_mkdir(overlay, "folder"), DISK_E_EXISTS);
    assert_int_equal(disk_open(overlay, "none/x", DISK_WRITE | DISK_CREATE, &file),
                     DISK_E_NOT_FOUND);
    assert_int_equal(disk_mkdir(overlay, "none"), 0);
    put(overlay, "none/x", "1");
    assert_int_equal(disk_list(overlay, "none", add_name, &names), 0);
    assert_string_equal(names.text, "x ");
    assert_int_equal(disk_list(below, "none", add_name, &names), DISK_E_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_disk_overlay__changes_stay_above, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_overlay__truncated_bytes_do_not_come_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_disk_overlay__writes_across_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_disk_overlay__listing_shows_what_was_made_moved_and_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_overlay__folders, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
