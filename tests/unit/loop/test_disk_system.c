#include "support.h"

#include <errno.h>
#include <eventbox/loop/disk.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static char root[64];
static struct disk *disk;

static int setup(void **state) {
    (void)state;
    strcpy(root, "/tmp/eventbox-test-XXXXXX");
    if (!mkdtemp(root)) {
        return -1;
    }
    return disk_system_new(root, &disk);
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    disk_free(disk);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static struct iovec text_part(const char *text) {
    return (struct iovec){(void *)(uintptr_t)text, strlen(text)};
}

static void test_disk_system__writes_parts_and_reads_to_the_end(void **state) {
    (void)state;
    struct disk_file *file;
    char data[32];
    size_t size;
    uint64_t length;
    assert_int_equal(disk_mkdir(disk, "journal"), 0);
    assert_int_equal(disk_mkdir(disk, "journal"), DISK_E_EXISTS);
    assert_int_equal(disk_open(disk, "journal/0", DISK_READ | DISK_WRITE | DISK_CREATE, &file), 0);
    struct iovec parts[] = {text_part("abc"), text_part(""), text_part("defg"), text_part("")};
    assert_int_equal(disk_pwritev(file, parts, 4, 2), 0);
    assert_int_equal(disk_pread(file, data, sizeof data, 1, &size), 0);
    assert_int_equal(size, 8);
    assert_memory_equal(data, "\0abcdefg", 8);
    assert_int_equal(disk_pwrite(file, "XY", 2, 3), 0);
    assert_int_equal(disk_pread(file, data, 4, 2, &size), 0);
    assert_memory_equal(data, "aXYd", 4);
    assert_int_equal(disk_size(file, &length), 0);
    assert_int_equal(length, 9);
    assert_int_equal(disk_truncate(file, 4), 0);
    assert_int_equal(disk_size(file, &length), 0);
    assert_int_equal(length, 4);
    assert_int_equal(disk_sync(file), 0);
    assert_true(disk_fd(file) >= 0);
    disk_close(file);
    disk_close(NULL);
    assert_int_equal(disk_sync_dir(disk, "journal"), 0);
    assert_int_equal(disk_sync_dir(disk, "."), 0);
    assert_int_equal(disk_syncfs(disk), 0);
}

/* More parts than one call of the kernel takes. */
static void test_disk_system_pwritev__with_thousands_of_parts(void **state) {
    (void)state;
    enum { COUNT = 3000 };
    struct disk_file *file;
    struct iovec parts[COUNT];
    uint8_t bytes[COUNT], back[COUNT];
    size_t size;
    for (int i = 0; i < COUNT; i++) {
        bytes[i] = (uint8_t)(i * 7);
        parts[i] = (struct iovec){&bytes[i], 1};
    }
    assert_int_equal(disk_open(disk, "f", DISK_READ | DISK_WRITE | DISK_CREATE, &file), 0);
    assert_int_equal(disk_pwritev(file, parts, COUNT, 0), 0);
    assert_int_equal(disk_pread(file, back, COUNT, 0, &size), 0);
    assert_int_equal(size, COUNT);
    assert_memory_equal(back, bytes, COUNT);
    disk_close(file);
}

/* A file size limit makes the kernel write less than asked before it refuses. */
static void test_disk_system_pwritev__goes_on_after_a_short_write(void **state) {
    (void)state;
    struct disk_file *file;
    struct rlimit before, small = {.rlim_cur = 10};
    char data[16];
    size_t size;
    assert_int_equal(disk_open(disk, "f", DISK_READ | DISK_WRITE | DISK_CREATE, &file), 0);
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    struct iovec parts[] = {text_part("01234"), text_part("56789abc")};
    int r = disk_pwritev(file, parts, 2, 0);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(r, -EFBIG);
    assert_int_equal(disk_pread(file, data, sizeof data, 0, &size), 0);
    assert_int_equal(size, 10);
    assert_memory_equal(data, "0123456789", 10);
    disk_close(file);
}

static void on_alarm(int signum) {
    (void)signum;
}

static void test_disk_system__is_not_disturbed_by_signals(void **state) {
    (void)state;
    struct disk_file *file;
    struct sigaction action = {.sa_handler = on_alarm}; /* without SA_RESTART */
    struct itimerval often = {{0, 200}, {0, 200}}, never = {0};
    char *block = malloc(MIB(1)), *back = malloc(MIB(1));
    size_t size;
    memset(block, 'x', MIB(1));
    assert_int_equal(disk_open(disk, "f", DISK_READ | DISK_WRITE | DISK_CREATE, &file), 0);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(disk_pwrite(file, block, MIB(1), MIB(1) * (size_t)i), 0);
        assert_int_equal(disk_sync(file), 0);
        assert_int_equal(disk_pread(file, back, MIB(1), MIB(1) * (size_t)i, &size), 0);
        assert_int_equal(size, MIB(1));
    }
    setitimer(ITIMER_REAL, &never, NULL);
    assert_memory_equal(back, block, MIB(1));
    disk_close(file);
    free(block);
    free(back);
}

static void test_disk_system_open__tells_expected_failures(void **state) {
    (void)state;
    struct disk_file *file = NULL;
    assert_int_equal(disk_open(disk, "absent", DISK_READ, &file), DISK_E_NOT_FOUND);
    assert_int_equal(disk_open(disk, "f", DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &file), 0);
    disk_close(file);
    assert_int_equal(disk_open(disk, "f", DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &file),
                     DISK_E_EXISTS);
    const char *bad[] = {"/etc/passwd", "../x", "a/../b", "a//b", "", "a/", "./a"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(disk_open(disk, bad[i], DISK_READ, &file), -EINVAL);
    }
}

static void test_disk_system_open__follows_no_link(void **state) {
    (void)state;
    struct disk_file *file;
    char link[96];
    snprintf(link, sizeof link, "%s/link", root);
    assert_int_equal(symlink("/etc/passwd", link), 0);
    assert_int_equal(disk_open(disk, "link", DISK_READ, &file), -ELOOP);
}

/* Nobody waits for the other end of a pipe. */
static void test_disk_system_open__refuses_what_is_no_file(void **state) {
    (void)state;
    static const unsigned flags[] = {DISK_READ, DISK_WRITE, DISK_READ | DISK_WRITE,
                                     DISK_READ | DISK_DIRECT, DISK_WRITE | DISK_CREATE};
    struct disk_file *file;
    char pipe[96];
    snprintf(pipe, sizeof pipe, "%s/pipe", root);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(disk_mkdir(disk, "folder"), 0);
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        assert_int_equal(disk_open(disk, "pipe", flags[i], &file), -ENXIO);
        assert_int_equal(disk_open(disk, "folder", flags[i], &file), -EISDIR);
    }
}

static void test_disk_system_open__direct_or_unsupported(void **state) {
    (void)state;
    struct disk_file *file;
    char *block = aligned_alloc(DISK_ALIGN, DISK_ALIGN);
    char tail[8];
    size_t size;
    memset(block, 'd', DISK_ALIGN);
    unsigned flags = DISK_READ | DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE;
    int r = disk_open(disk, "f", flags | DISK_DIRECT | DISK_DSYNC, &file);
    if (r == DISK_E_UNSUPPORTED) { /* and left no file behind */
        assert_int_equal(disk_open(disk, "f", flags, &file), 0);
    } else {
        assert_int_equal(r, 0);
    }
    assert_int_equal(disk_pwrite(file, block, DISK_ALIGN, 0), 0);
    disk_close(file);
    assert_int_equal(disk_open(disk, "f", DISK_READ, &file), 0);
    assert_int_equal(disk_pread(file, tail, sizeof tail, DISK_ALIGN - 4, &size), 0);
    assert_int_equal(size, 4);
    disk_close(file);
    free(block);
}

static int count_entry(void *userdata, const char *name, bool is_dir) {
    int *counts = userdata;
    assert_true(is_dir == (strcmp(name, "sub") == 0));
    counts[is_dir]++;
    return 0;
}

static int refuse_entry(void *userdata, const char *name, bool is_dir) {
    (void)userdata;
    (void)name;
    (void)is_dir;
    return 77;
}

static void test_disk_system__lists_renames_and_removes(void **state) {
    (void)state;
    struct disk_file *file;
    int counts[2] = {0};
    assert_int_equal(disk_mkdir(disk, "d"), 0);
    assert_int_equal(disk_mkdir(disk, "d/sub"), 0);
    assert_int_equal(disk_open(disk, "d/a", DISK_WRITE | DISK_CREATE, &file), 0);
    disk_close(file);
    assert_int_equal(disk_open(disk, "d/b", DISK_WRITE | DISK_CREATE, &file), 0);
    disk_close(file);
    assert_int_equal(disk_list(disk, "d", count_entry, counts), 0);
    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], 1);
    assert_int_equal(disk_list(disk, "d", refuse_entry, NULL), 77);
    assert_int_equal(disk_list(disk, "none", refuse_entry, NULL), DISK_E_NOT_FOUND);
    assert_int_equal(disk_rename(disk, "d/a", "d/b"), 0);
    assert_int_equal(disk_unlink(disk, "d/a"), DISK_E_NOT_FOUND);
    assert_int_equal(disk_rmdir(disk, "d"), -ENOTEMPTY);
    assert_int_equal(disk_unlink(disk, "d/b"), 0);
    assert_int_equal(disk_rmdir(disk, "d/sub"), 0);
    assert_int_equal(disk_rmdir(disk, "d"), 0);
}

static void test_disk_system_space__is_plausible(void **state) {
    (void)state;
    struct disk_space space;
    assert_int_equal(disk_space(disk, &space), 0);
    assert_true(space.total_bytes > 0);
    assert_true(space.available_bytes <= space.total_bytes);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_disk_system__writes_parts_and_reads_to_the_end),
        T(test_disk_system_pwritev__with_thousands_of_parts),
        T(test_disk_system_pwritev__goes_on_after_a_short_write),
        T(test_disk_system__is_not_disturbed_by_signals),
        T(test_disk_system_open__tells_expected_failures),
        T(test_disk_system_open__follows_no_link),
        T(test_disk_system_open__refuses_what_is_no_file),
        T(test_disk_system_open__direct_or_unsupported),
        T(test_disk_system__lists_renames_and_removes),
        T(test_disk_system_space__is_plausible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
