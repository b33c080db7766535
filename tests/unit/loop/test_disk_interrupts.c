/*
 * The file system's disk under system calls that are interrupted, do a part of their work, or fail
 * behind one that did.
 */
#include "interposer.h"
#include "support.h"

#include <errno.h>
#include <eventbox/loop/disk.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILE_BYTES = 64 << 10, ROUNDS = 2000, PARTS = 6 };

/* ---- what the wrappers do ---- */

static struct random_seeded dice;
static bool interrupts;     /* a third of all calls, and short counts */
static int fail_after = -1; /* so many transfers from now on, after a short one */
static int fail_with;       /* errno; 0: the call moves nothing */
static unsigned interrupted, shortened;

bool interposed_interrupt(void) {
    if (interrupts && random_below(&dice.random, 3) == 0) {
        interrupted++;
        errno = EINTR;
        return true;
    }
    return false;
}

ssize_t interposed_allow(int fd, size_t size) {
    bool direct = fcntl(fd, F_GETFL) & O_DIRECT;
    if (fail_after == 0) {
        errno = fail_with;
        return fail_with ? -1 : 0;
    }
    if (fail_after > 0) {
        fail_after--;
    } else if (!interrupts) {
        return (ssize_t)size;
    }
    size_t some = 1 + random_below(&dice.random, size);
    some = direct ? (some + DISK_ALIGN - 1) / DISK_ALIGN * DISK_ALIGN : some;
    some = MIN(some, size);
    shortened += some < size;
    return (ssize_t)some;
}

/* ---- the tests ---- */

static char root[64];
static struct disk *disk;
static struct disk_file *file;

static int setup(void **state) {
    (void)state;
    strcpy(root, "/tmp/eventbox-test-XXXXXX");
    random_seeded_init(&dice, 7);
    interrupts = false;
    fail_after = -1;
    interrupted = shortened = 0;
    return mkdtemp(root) && disk_system_new(root, &disk) == 0 &&
                   disk_open(disk, "f", DISK_READ | DISK_WRITE | DISK_CREATE, &file) == 0
               ? 0
               : -1;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    interrupts = false;
    disk_close(file);
    disk_free(disk);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

/* Writes of parts at any place, held against memory; each read is compared whole. */
static void test_disk_interrupts__every_byte_arrives_where_it_belongs(void **state) {
    (void)state;
    static uint8_t expected[FILE_BYTES], back[FILE_BYTES], bytes[PARTS][3000];
    memset(expected, 0, sizeof expected);
    interrupts = true;
    assert_int_equal(disk_truncate(file, FILE_BYTES), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct iovec parts[PARTS];
        int count = 1 + (int)random_below(&dice.random, PARTS);
        uint64_t at = random_below(&dice.random, FILE_BYTES - sizeof bytes);
        uint64_t end = at;
        for (int i = 0; i < count; i++) {
            size_t size = random_below(&dice.random, sizeof bytes[i]);
            memset(bytes[i], (int)(round + (unsigned)i * 37), size);
            memcpy(expected + end, bytes[i], size);
            parts[i] = (struct iovec){bytes[i], size};
            end += size;
        }
        assert_int_equal(disk_pwritev(file, parts, count, at), 0);
        size_t got;
        uint64_t from = random_below(&dice.random, at + 1);
        assert_int_equal(disk_pread(file, back, end - from, from, &got), 0);
        assert_int_equal(got, end - from);
        assert_memory_equal(back, expected + from, got);
    }
    assert_true(interrupted > ROUNDS && shortened > ROUNDS);
}

static void test_disk_interrupts__other_calls_are_made_again(void **state) {
    (void)state;
    struct disk_space space;
    struct disk_file *other;
    interrupts = true;
    assert_int_equal(disk_mkdir(disk, "d"), 0);
    for (unsigned i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "d/%u", i);
        assert_int_equal(disk_open(disk, name, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &other),
                         0);
        int r = disk_allocate(other, 8192);
        assert_true(r == 0 || r == DISK_E_UNSUPPORTED);
        assert_int_equal(disk_truncate(other, 100 + i), 0);
        assert_int_equal(disk_sync(other), 0);
        disk_close(other);
        assert_int_equal(disk_sync_dir(disk, "d"), 0);
        assert_int_equal(disk_syncfs(disk), 0);
        assert_int_equal(disk_space(disk, &space), 0);
    }
    assert_true(interrupted > 50);
}

/* Page cache passed by: short counts are whole blocks there. */
static void test_disk_interrupts__direct_files_go_on_at_block_boundaries(void **state) {
    (void)state;
    struct disk_file *direct;
    enum { BYTES = 16 * DISK_ALIGN };
    int r = disk_open(disk, "d", DISK_READ | DISK_WRITE | DISK_CREATE | DISK_DIRECT, &direct);
    if (r == DISK_E_UNSUPPORTED) {
        return;
    }
    uint8_t *out = aligned_alloc(DISK_ALIGN, BYTES), *back = aligned_alloc(DISK_ALIGN, BYTES);
    interrupts = true;
    for (unsigned round = 0; r == 0 && round < 50; round++) {
        size_t got;
        memset(out, (int)round, BYTES);
        r = disk_pwrite(direct, out, BYTES, 0);
        if (r == DISK_E_UNSUPPORTED) {
            break;
        }
        assert_int_equal(r, 0);
        assert_int_equal(disk_pread(direct, back, BYTES, 0, &got), 0);
        assert_int_equal(got, BYTES);
        assert_memory_equal(out, back, BYTES);
    }
    free(out);
    free(back);
    disk_close(direct);
}

/* A call that fails behind one that did a part: the whole has failed, with its reason. */
static void test_disk_interrupts__failure_behind_a_short_count_is_told(void **state) {
    (void)state;
    static const struct {
        int number, expected;
    } cases[] = {{EIO, -EIO}, {ENOSPC, DISK_E_FULL}, {EDQUOT, DISK_E_FULL}, {0, -EIO}};
    static uint8_t bytes[2][5000];
    struct iovec parts[] = {{bytes[0], sizeof bytes[0]}, {bytes[1], sizeof bytes[1]}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int after = 0; after < 3; after++) {
            size_t got = 77;
            fail_with = cases[i].number;
            fail_after = after;
            assert_int_equal(disk_pwritev(file, parts, 2, 0), cases[i].expected);
            fail_after = -1;
            assert_int_equal(disk_pwritev(file, parts, 2, 0), 0); /* and it can be done again */
            if (cases[i].number == EIO) {
                fail_after = after;
                assert_int_equal(disk_pread(file, bytes[0], sizeof bytes[0], 0, &got), -EIO);
                assert_int_equal(got, 77); /* outputs are written on success alone */
                fail_after = -1;
            }
        }
    }
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_disk_interrupts__every_byte_arrives_where_it_belongs),
        T(test_disk_interrupts__other_calls_are_made_again),
        T(test_disk_interrupts__direct_files_go_on_at_block_boundaries),
        T(test_disk_interrupts__failure_behind_a_short_count_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
