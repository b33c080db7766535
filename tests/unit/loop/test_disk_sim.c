#include "support.h"

#include <eventbox/loop/disk_sim.h>

#include <errno.h>
#include <stdlib.h>

enum { SEEDS = 300 };

static struct disk *disk;

static int setup(void **state) {
    (void)state;
    return disk_sim_new(1, &disk);
}

static int teardown(void **state) {
    (void)state;
    disk_free(disk);
    return 0;
}

static void fresh(void) {
    disk_free(disk);
    assert_int_equal(disk_sim_new(1, &disk), 0);
}

static void reboot(uint64_t seed, bool power_cut) {
    assert_int_equal(disk_sim_reboot(disk, seed, power_cut, &disk), 0);
}

static struct disk_file *open_file(const char *path, unsigned flags) {
    struct disk_file *file = NULL;
    assert_int_equal(disk_open(disk, path, flags, &file), 0);
    return file;
}

static struct disk_file *create(const char *path) {
    return open_file(path, DISK_READ | DISK_WRITE | DISK_CREATE);
}

static void put(const char *path, const char *text, bool sync) {
    struct disk_file *file = create(path);
    assert_int_equal(disk_truncate(file, 0), 0);
    assert_int_equal(disk_pwrite(file, text, strlen(text), 0), 0);
    if (sync) {
        assert_int_equal(disk_sync(file), 0);
    }
    disk_close(file);
}

/* Content as text; NULL when there is no file. Static. */
static const char *get(const char *path) {
    static char text[4096];
    struct disk_file *file;
    size_t size;
    int r = disk_open(disk, path, DISK_READ, &file);
    if (r == DISK_E_NOT_FOUND) {
        return NULL;
    }
    assert_int_equal(r, 0);
    assert_int_equal(disk_pread(file, text, sizeof text - 1, 0, &size), 0);
    text[size] = '\0';
    disk_close(file);
    return text;
}

static bool is(const char *path, const char *text) {
    const char *found = get(path);
    return found && strcmp(found, text) == 0;
}

static void test_disk_sim__behaves_as_a_file_system(void **state) {
    (void)state;
    struct disk_file *file;
    uint64_t length;
    assert_int_equal(disk_open(disk, "a", DISK_READ, &file), DISK_E_NOT_FOUND);
    assert_int_equal(disk_open(disk, "no/a", DISK_CREATE | DISK_WRITE, &file), DISK_E_NOT_FOUND);
    assert_int_equal(disk_open(disk, "../a", DISK_READ, &file), -EINVAL);
    put("a", "hello", false);
    assert_true(is("a", "hello"));
    assert_int_equal(disk_open(disk, "a", DISK_CREATE | DISK_EXCLUSIVE | DISK_WRITE, &file),
                     DISK_E_EXISTS);
    assert_int_equal(disk_open(disk, "a/b", DISK_READ, &file), -ENOTDIR);
    assert_int_equal(disk_mkdir(disk, "d"), 0);
    assert_int_equal(disk_mkdir(disk, "d"), DISK_E_EXISTS);
    assert_int_equal(disk_open(disk, "d", DISK_READ, &file), -EISDIR);
    assert_int_equal(disk_rename(disk, "a", "d/b"), 0);
    assert_null(get("a"));
    assert_true(is("d/b", "hello"));
    assert_int_equal(disk_rmdir(disk, "d"), -ENOTEMPTY);
    assert_int_equal(disk_rename(disk, "d", "d/e"), -EINVAL);
    file = open_file("d/b", DISK_WRITE);
    assert_int_equal(disk_pwrite(file, "!", 1, 7), 0);
    assert_int_equal(disk_size(file, &length), 0);
    assert_int_equal(length, 8);
    assert_int_equal(disk_unlink(disk, "d/b"), 0); /* while it is open */
    assert_int_equal(disk_pwrite(file, "?", 1, 0), 0);
    assert_int_equal(disk_fd(file), -1);
    disk_close(file);
    assert_int_equal(disk_unlink(disk, "d/b"), DISK_E_NOT_FOUND);
    assert_int_equal(disk_rmdir(disk, "d"), 0);
}

static int collect(void *userdata, const char *name, bool is_dir) {
    strcat(userdata, name);
    strcat(userdata, is_dir ? "/ " : " ");
    if (!is_dir) {
        assert_int_equal(disk_unlink(disk, name), 0); /* a listing may remove what it lists */
    }
    return 0;
}

static void test_disk_sim_list__in_order_of_names(void **state) {
    (void)state;
    char names[100] = "";
    put("b", "", false);
    put("a", "", false);
    assert_int_equal(disk_mkdir(disk, "ab"), 0);
    assert_int_equal(disk_list(disk, ".", collect, names), 0);
    assert_string_equal(names, "a ab/ b ");
}

static void test_disk_sim__keeps_what_is_synced(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        fresh();
        assert_int_equal(disk_mkdir(disk, "d"), 0);
        put("d/a", "durable", true);
        assert_int_equal(disk_sync_dir(disk, "d"), 0);
        assert_int_equal(disk_sync_dir(disk, "."), 0);
        reboot(seed, true);
        assert_true(is("d/a", "durable"));
    }
}

static void test_disk_sim__may_lose_the_entry_of_a_synced_file(void **state) {
    (void)state;
    int kept = 0, lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        fresh();
        put("a", "durable", true);
        reboot(seed, true);
        assert_true(!get("a") || is("a", "durable"));
        kept += get("a") != NULL;
        lost += get("a") == NULL;
    }
    assert_true(kept > 20 && lost > 20);
}

static void test_disk_sim__keeps_drops_or_tears_unsynced_writes(void **state) {
    (void)state;
    char block[4 * 512], found[4 * 512];
    int kept = 0, dropped = 0, torn = 0, zeros = 0;
    memset(block, 'n', sizeof block);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        size_t size;
        fresh();
        struct disk_file *file = create("f");
        assert_int_equal(disk_pwrite(file, "old", 3, 0), 0);
        assert_int_equal(disk_sync(file), 0);
        assert_int_equal(disk_sync_dir(disk, "."), 0);
        assert_int_equal(disk_pwrite(file, block, sizeof block, 512), 0);
        disk_close(file);
        reboot(seed, true);
        file = open_file("f", DISK_READ);
        memset(found, 0, sizeof found);
        assert_int_equal(disk_pread(file, found, 3, 0, &size), 0);
        assert_memory_equal(found, "old", 3);
        assert_int_equal(disk_pread(file, found, sizeof found, 512, &size), 0);
        disk_close(file);
        int sectors = 0;
        for (size_t at = 0; at < size; at += 512) { /* a sector is whole or not there */
            assert_true(found[at] == 'n' || found[at] == 0);
            for (size_t i = at; i < at + 512 && i < size; i++) {
                assert_int_equal(found[i], found[at]);
            }
            sectors += found[at] == 'n';
        }
        kept += sectors == 4;
        dropped += size == 0;
        torn += sectors > 0 && sectors < 4;
        zeros += sectors == 0 && size > 0;
    }
    assert_true(kept > 20 && dropped > 20 && torn > 10 && zeros > 1);
}

static void test_disk_sim__writes_may_survive_in_any_order(void **state) {
    (void)state;
    int second_only = 0, first_only = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        fresh();
        put("a", "....", true);
        put("b", "....", true);
        assert_int_equal(disk_syncfs(disk), 0);
        struct disk_file *a = create("a"), *b = create("b");
        assert_int_equal(disk_pwrite(a, "1", 1, 0), 0);
        assert_int_equal(disk_pwrite(b, "2", 1, 0), 0);
        reboot(seed, true); /* which frees the two */
        first_only += is("a", "1...") && is("b", "....");
        second_only += is("a", "....") && is("b", "2...");
    }
    assert_true(first_only > 10 && second_only > 10);
}

static void test_disk_sim_rename__may_be_lost_but_never_halved(void **state) {
    (void)state;
    int before = 0, after = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        fresh();
        put("new", "new", true);
        put("file", "old", true);
        assert_int_equal(disk_sync_dir(disk, "."), 0);
        assert_int_equal(disk_rename(disk, "new", "file"), 0);
        reboot(seed, true);
        assert_true((is("file", "old") && is("new", "new")) || (is("file", "new") && !get("new")));
        before += is("file", "old");
        after += is("file", "new");
    }
    assert_true(before > 20 && after > 20);
}

static void test_disk_sim_rename__builds_on_the_one_before(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        fresh();
        put("a", "x", true);
        assert_int_equal(disk_sync_dir(disk, "."), 0);
        assert_int_equal(disk_rename(disk, "a", "b"), 0);
        assert_int_equal(disk_rename(disk, "b", "c"), 0);
        reboot(seed, true);
        assert_int_equal((get("a") != NULL) + (get("b") != NULL) + (get("c") != NULL), 1);
    }
}

static void test_disk_sim_sync_dir__makes_renames_durable_across_folders(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        fresh();
        assert_int_equal(disk_mkdir(disk, "from"), 0);
        assert_int_equal(disk_mkdir(disk, "to"), 0);
        assert_int_equal(disk_sync_dir(disk, "."), 0);
        put("from/a", "x", true);
        assert_int_equal(disk_rename(disk, "from/a", "from/b"), 0);
        assert_int_equal(disk_rename(disk, "from/b", "to/c"), 0);
        assert_int_equal(disk_sync_dir(disk, "to"), 0);
        reboot(seed, true);
        assert_true(is("to/c", "x"));
        assert_null(get("from/a"));
        assert_null(get("from/b"));
    }
}

static void test_disk_sim__dsync_writes_are_durable_at_once(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        fresh();
        struct disk_file *file = create("f");
        assert_int_equal(disk_sync_dir(disk, "."), 0);
        struct disk_file *dsync = open_file("f", DISK_WRITE | DISK_DSYNC);
        assert_int_equal(disk_pwrite(file, "aaaa", 4, 0), 0);
        assert_int_equal(disk_pwrite(dsync, "BB", 2, 1), 0);
        reboot(seed, true);
        const char *text = get("f");
        assert_memory_equal(text + 1, "BB", 2); /* and no older write comes over it */
    }
}

static void test_disk_sim_reboot__of_the_process_keeps_everything(void **state) {
    (void)state;
    put("a", "unsynced", false);
    reboot(3, false);
    assert_true(is("a", "unsynced"));
    int lost = 0;
    for (uint64_t seed = 0; seed < 50; seed++) { /* but it is still not durable */
        fresh();
        put("a", "unsynced", false);
        reboot(seed, false);
        reboot(seed, true);
        lost += !is("a", "unsynced");
    }
    assert_true(lost > 5);
}

/* One story, cut at each of its calls: what is promised after each step must hold. */
static int story(int *ret_promise) {
    struct disk_file *file = NULL;
    *ret_promise = 0;
    int r = disk_open(disk, "tmp", DISK_WRITE | DISK_CREATE | DISK_TRUNCATE, &file);
    r = r ? r : disk_pwrite(file, "version 2", 9, 0);
    r = r ? r : disk_sync(file);
    disk_close(file);
    r = r ? r : disk_rename(disk, "tmp", "state");
    r = r ? r : disk_sync_dir(disk, ".");
    if (r == 0) {
        *ret_promise = 2;
    }
    return r;
}

static void test_disk_sim_cut_at__every_call(void **state) {
    (void)state;
    int promise;
    put("state", "version 1", true);
    assert_int_equal(disk_sync_dir(disk, "."), 0);
    uint64_t before = disk_sim_calls(disk);
    assert_int_equal(story(&promise), 0);
    uint64_t calls = disk_sim_calls(disk) - before;
    assert_int_equal(calls, 5);
    assert_string_equal(disk_sim_last_call(disk), "sync_dir .");
    int old = 0, new = 0;
    for (uint64_t n = 1; n <= calls; n++) {
        for (uint64_t seed = 0; seed < 50; seed++) {
            fresh();
            put("state", "version 1", true);
            assert_int_equal(disk_sync_dir(disk, "."), 0);
            disk_sim_cut_at(disk, disk_sim_calls(disk) + n);
            assert_int_equal(story(&promise), -ENODEV);
            assert_true(disk_sim_is_cut(disk));
            assert_int_equal(disk_mkdir(disk, "later"), -ENODEV);
            reboot(seed, true);
            assert_false(disk_sim_is_cut(disk));
            assert_int_equal(disk_sim_calls(disk), 0);
            assert_true(is("state", "version 1") || is("state", "version 2"));
            assert_true(n >= 4 || is("state", "version 1"));
            old += is("state", "version 1");
            new += is("state", "version 2");
        }
    }
    assert_true(old > 0 && new > 0);
}

static void test_disk_sim_fail_at__one_call_alone(void **state) {
    (void)state;
    struct disk_file *file = create("f");
    size_t partial = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t length;
        assert_int_equal(disk_truncate(file, 0), 0);
        disk_sim_fail_at(disk, disk_sim_calls(disk) + 1, -EIO);
        assert_int_equal(disk_pwrite(file, "0123456789", 10, 0), -EIO);
        assert_int_equal(disk_size(file, &length), 0);
        assert_in_range(length, 0, 10);
        partial += length > 0 && length < 10;
        assert_int_equal(disk_pwrite(file, "0123456789", 10, 0), 0);
    }
    assert_true(partial > 10);
    disk_sim_fail_at(disk, disk_sim_calls(disk) + 1, DISK_E_FULL);
    assert_int_equal(disk_mkdir(disk, "d"), DISK_E_FULL);
    assert_int_equal(disk_mkdir(disk, "d"), 0);
    disk_close(file);
}

/* A kernel that failed to write a page back calls it clean: a second sync says nothing. */
static void test_disk_sim_fail_at__a_sync_loses_writes_for_good(void **state) {
    (void)state;
    int lost = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        disk_free(disk);
        assert_int_equal(disk_sim_new(seed, &disk), 0);
        struct disk_file *file = create("f");
        assert_int_equal(disk_sync_dir(disk, "."), 0);
        assert_int_equal(disk_pwrite(file, "data", 4, 0), 0);
        disk_sim_fail_at(disk, disk_sim_calls(disk) + 1, -EIO);
        assert_int_equal(disk_sync(file), -EIO);
        assert_int_equal(disk_sync(file), 0);
        assert_true(is("f", "data"));
        disk_close(file);
        reboot(seed, true);
        lost += !is("f", "data");
    }
    assert_in_range(lost, 10, 40);
}

static void test_disk_sim_limit__is_a_full_disk(void **state) {
    (void)state;
    struct disk_space space;
    uint64_t length;
    struct disk_file *file = create("f");
    disk_sim_limit(disk, 1000);
    char block[600] = {0};
    assert_int_equal(disk_pwrite(file, block, 600, 0), 0);
    assert_int_equal(disk_pwrite(file, block, 600, 0), 0); /* in place */
    assert_int_equal(disk_pwrite(file, block, 600, 600), DISK_E_FULL);
    assert_int_equal(disk_size(file, &length), 0);
    assert_int_equal(length, 1000);
    assert_int_equal(disk_space(disk, &space), 0);
    assert_int_equal(space.total_bytes, 1000);
    assert_int_equal(space.available_bytes, 0);
    assert_int_equal(disk_truncate(file, 100), 0);
    assert_int_equal(disk_truncate(file, 2000), DISK_E_FULL);
    assert_int_equal(disk_pwrite(file, block, 600, 100), 0);
    disk_close(file);
    assert_int_equal(disk_unlink(disk, "f"), 0);
    assert_int_equal(disk_space(disk, &space), 0);
    assert_int_equal(space.available_bytes, 1000);
}

static void test_disk_sim_digest__tells_crash_states_apart(void **state) {
    (void)state;
    uint64_t seen[64];
    int count = 0;
    for (uint64_t seed = 0; seed < 64; seed++) {
        fresh();
        for (int i = 0; i < 8; i++) {
            char name[8];
            snprintf(name, sizeof name, "f%d", i);
            put(name, name, false);
        }
        reboot(seed, true);
        uint64_t digest = disk_sim_digest(disk);
        assert_int_equal(digest, disk_sim_digest(disk));
        bool known = false;
        for (int i = 0; i < count; i++) {
            known = known || seen[i] == digest;
        }
        if (!known) {
            seen[count++] = digest;
        }
    }
    assert_true(count > 20);
}

static void test_disk_sim_corrupt__changes_every_byte(void **state) {
    (void)state;
    put("f", "aaaaaaaa", true);
    assert_int_equal(disk_sim_corrupt(disk, "f", 2, 3, 9), 0);
    const char *text = get("f");
    assert_memory_equal(text, "aa", 2);
    assert_true(text[2] != 'a' && text[3] != 'a' && text[4] != 'a');
    assert_memory_equal(text + 5, "aaa", 3);
    assert_int_equal(disk_sim_corrupt(disk, "g", 0, 1, 9), DISK_E_NOT_FOUND);
}

static void test_disk_sim__direct_needs_alignment_or_is_refused(void **state) {
    (void)state;
    struct disk_file *file;
    char *block = aligned_alloc(DISK_ALIGN, 2 * DISK_ALIGN);
    unsigned flags = DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE | DISK_DIRECT;
    memset(block, 'x', 2 * DISK_ALIGN);
    disk_sim_refuse_direct(disk, true);
    assert_int_equal(disk_open(disk, "f", flags, &file), DISK_E_UNSUPPORTED);
    disk_sim_refuse_direct(disk, false);
    assert_int_equal(disk_open(disk, "f", flags, &file), 0);
    assert_int_equal(disk_pwrite(file, block, DISK_ALIGN, DISK_ALIGN), 0);
    assert_int_equal(disk_pwrite(file, block, 100, 0), -EINVAL);
    assert_int_equal(disk_pwrite(file, block, DISK_ALIGN, 100), -EINVAL);
    assert_int_equal(disk_pwrite(file, block + 8, DISK_ALIGN, 0), -EINVAL);
    disk_close(file);
    free(block);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_disk_sim__behaves_as_a_file_system),
        T(test_disk_sim_list__in_order_of_names),
        T(test_disk_sim__keeps_what_is_synced),
        T(test_disk_sim__may_lose_the_entry_of_a_synced_file),
        T(test_disk_sim__keeps_drops_or_tears_unsynced_writes),
        T(test_disk_sim__writes_may_survive_in_any_order),
        T(test_disk_sim_rename__may_be_lost_but_never_halved),
        T(test_disk_sim_rename__builds_on_the_one_before),
        T(test_disk_sim_sync_dir__makes_renames_durable_across_folders),
        T(test_disk_sim__dsync_writes_are_durable_at_once),
        T(test_disk_sim_reboot__of_the_process_keeps_everything),
        T(test_disk_sim_cut_at__every_call),
        T(test_disk_sim_fail_at__one_call_alone),
        T(test_disk_sim_fail_at__a_sync_loses_writes_for_good),
        T(test_disk_sim_limit__is_a_full_disk),
        T(test_disk_sim_digest__tells_crash_states_apart),
        T(test_disk_sim_corrupt__changes_every_byte),
        T(test_disk_sim__direct_needs_alignment_or_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
