/*
 * `eventbox log verify` and `eventbox log dump`: the log of a data folder, read from outside.
 *
 * Both take the folder's lock, shared, as long as they read, so that no server begins meanwhile,
 * and write nothing into it. A folder that a server holds is read only with --live, and then only
 * the batches that its newest checkpoint covers. The files that have them may be replaced all the
 * while: inspect_live.c and verify_live.c say what is told then, and what is a note only.
 *
 * Exit codes: 0 all is well, 1 records are lost, 2 the command cannot be done, 3 something is wrong
 * and nothing is lost, 4 a server holds the folder.
 */
#include "log_commands.h"
#include "inspect/inspect.h"

#include <errno.h>
#include <eventbox/base/json.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_SOUND = 0, EXIT_LOSS = 1, EXIT_CANNOT = 2, EXIT_MENDS = 3, EXIT_IN_USE = 4 };

/* ---- the folder ---- */

struct opened {
    struct log_inspect inspect;
    int lock_fd;
    bool json, quiet;
    struct text out;
    /* What recovery said; verify tells it with the rest. */
    uint64_t loss_events, mends_events;
};

static int take_lock(const char *path, bool live) {
    char name[4200], owner[32] = "";
    snprintf(name, sizeof name, "%s/lock", path);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0) {
        return fd; /* without the file nobody ever served this folder: a copy, perhaps */
    }
    ssize_t size = pread(fd, owner, sizeof owner - 1, 0);
    owner[MAX(size, (ssize_t)0)] = '\0';
    close(fd);
    if (!live) {
        fprintf(stderr,
                "eventbox: data folder %s is in use by a server (process %d): stop it to read "
                "everything, or add --live to read what its newest checkpoint covers\n",
                path, atoi(owner));
        return -EXIT_IN_USE;
    }
    return -1;
}

static void write_event(struct opened *opened, const char *level, const char *text) {
    if (opened->json) {
        json_write_object(&opened->out, NULL);
        json_write_string(&opened->out, "kind", SPAN_LITERAL("recovery"));
        json_write_string(&opened->out, "level", span_text(level));
        json_write_string(&opened->out, "text", span_text(text));
        json_write_object_end(&opened->out);
        text_append_char(&opened->out, '\n');
    } else {
        text_printf(&opened->out, "%s: a start would say: %s\n", level, text);
    }
}

static void on_event(void *userdata, enum topic_log_event event, const char *text) {
    struct opened *opened = userdata;
    if (opened->quiet) {
        return;
    }
    bool loss = event == TOPIC_LOG_DAMAGED;
    bool mends = event == TOPIC_LOG_TORN_TAIL || event == TOPIC_LOG_MENDED;
    opened->loss_events += loss;
    opened->mends_events += mends;
    write_event(opened, loss ? "loss" : mends ? "mends" : "note", text);
}

/* 0, or the exit code. */
static int open_folder(struct opened *opened, const struct module_command_call *call, bool live,
                       bool quiet) {
    struct stat stat_of_folder;
    *opened = (struct opened){.lock_fd = -1, .quiet = quiet};
    text_init(&opened->out);
    if (stat(call->data_path, &stat_of_folder) || !S_ISDIR(stat_of_folder.st_mode)) {
        fprintf(stderr, "eventbox: there is no data folder %s; name one with --data DIR\n",
                call->data_path);
        return EXIT_CANNOT;
    }
    opened->lock_fd = take_lock(call->data_path, live);
    if (opened->lock_fd == -EXIT_IN_USE) {
        return EXIT_IN_USE;
    }
    opened->inspect = (struct log_inspect){.live = live, .on_event = on_event, .userdata = opened};
    int r = disk_system_new(call->data_path, &opened->inspect.folder);
    if (r) {
        fprintf(stderr, "eventbox: data folder %s cannot be read: %s\n", call->data_path,
                err_text(r));
        return EXIT_CANNOT;
    }
    return 0;
}

/* Recovery itself: its failure is an answer of verify, too. */
static int open_log(struct opened *opened, const struct module_command_call *call) {
    int r = log_inspect_open(&opened->inspect);
    if (r) {
        fprintf(stderr, "eventbox: the log in %s cannot be brought to one state: %s%s\n",
                call->data_path, err_text(r),
                opened->inspect.live ? "; stop the server and try without --live" : "");
        return r == BROKER_E_CORRUPT && !opened->inspect.live ? EXIT_LOSS : EXIT_CANNOT;
    }
    return 0;
}

static int print_text(void *userdata, struct text *text) {
    bool written = text->size == 0 || fwrite(text->data, 1, text->size, stdout) == text->size;
    return written ? 0 : -EPIPE;
}

static void close_folder(struct opened *opened) {
    log_inspect_close(&opened->inspect);
    if (opened->inspect.folder) {
        disk_free(opened->inspect.folder);
    }
    if (opened->lock_fd >= 0) {
        close(opened->lock_fd);
    }
    text_deinit(&opened->out);
}

static bool parse_offset(const char *text, int64_t *ret_value) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || end == text || value < 0) {
        return false;
    }
    *ret_value = value;
    return true;
}

static int bad_number(const char *option, const char *text) {
    fprintf(stderr, "eventbox: --%s %s: not a number from 0 on\n", option, text);
    return EXIT_CANNOT;
}

/* The topic that options name must be one, or silence would pass for soundness. */
static int check_topic(const struct opened *opened, const char *topic, int32_t partition) {
    const struct topic *found =
        topic ? topic_log_find(opened->inspect.log, span_text(topic)) : NULL;
    if (topic && !found) {
        fprintf(stderr, "eventbox: --topic %s: the folder has no such topic\n", topic);
        return EXIT_CANNOT;
    }
    if (found && partition >= found->partition_count) {
        fprintf(stderr, "eventbox: --partition %" PRId32 ": topic %s has %" PRId32 "\n", partition,
                topic, found->partition_count);
        return EXIT_CANNOT;
    }
    return 0;
}

/* ---- verify ---- */

enum { VERIFY_TOPIC, VERIFY_PARTITION, VERIFY_LIVE, VERIFY_JSON };
static const struct module_command_option verify_options[] = {
    [VERIFY_TOPIC] = {"topic", "NAME", "this topic only"},
    [VERIFY_PARTITION] = {"partition", "N", "this partition of the topic only"},
    [VERIFY_LIVE] = {"live", NULL, "beside a running server: what its newest checkpoint covers"},
    [VERIFY_JSON] = {"json", NULL, "one JSON object a line"},
    {0},
};

static const char *const level_names[] = {"note", "mends", "loss"};

static void json_finding(struct text *out, const struct log_finding *finding) {
    json_write_object(out, NULL);
    json_write_string(out, "kind", span_text(finding->kind));
    json_write_string(out, "level", span_text(level_names[finding->level]));
    if (finding->topic) {
        json_write_string(out, "topic", span_text(finding->topic));
        json_write_int(out, "partition", finding->partition);
    }
    if (finding->from <= finding->to) {
        json_write_int(out, "from", finding->from);
        json_write_int(out, "to", finding->to);
    }
    if (finding->file) {
        json_write_string(out, "file", span_text(finding->file));
    }
    if (finding->bytes > 0) {
        json_write_int(out, "position", (int64_t)finding->position);
        json_write_int(out, "bytes", (int64_t)finding->bytes);
    }
    json_write_string(out, "text", span_text(finding->text));
    json_write_object_end(out);
    text_append_char(out, '\n');
}

static void on_finding(void *userdata, const struct log_finding *finding) {
    struct opened *opened = userdata;
    struct text *out = &opened->out;
    if (opened->json) {
        json_finding(out, finding);
    } else {
        text_printf(out, "%s: ", level_names[finding->level]);
        if (finding->topic) {
            text_printf(out, "topic %s partition %" PRId32 ", ", finding->topic,
                        finding->partition);
        }
        if (finding->from <= finding->to) {
            text_printf(out, "offsets %" PRId64 " to %" PRId64 ", ", finding->from, finding->to);
        }
        if (finding->file) {
            text_append_str(out, finding->file);
            if (finding->bytes > 0) {
                text_printf(out, " (%" PRIu64 " bytes at %" PRIu64 ")", finding->bytes,
                            finding->position);
            }
            text_append_str(out, ": ");
        }
        text_printf(out, "%s\n", finding->text);
    }
    (void)print_text(NULL, out);
    text_clear(out);
}

static void print_summary(struct opened *opened, const struct log_verify *verify) {
    struct text *out = &opened->out;
    uint64_t loss = verify->findings[FINDING_LOSS] + opened->loss_events;
    uint64_t mends = verify->findings[FINDING_MENDS] + opened->mends_events;
    if (opened->json) {
        const struct {
            const char *name;
            uint64_t value;
        } rows[] = {{"topics", verify->topics},
                    {"partitions", verify->partitions},
                    {"segments", verify->segments},
                    {"batches", verify->batches},
                    {"records", verify->records},
                    {"bytes", verify->bytes},
                    {"frames", verify->frames},
                    {"index_entries", verify->index_entries},
                    {"snapshots", verify->snapshots},
                    {"unchecked", verify->unchecked},
                    {"loss", loss},
                    {"mends", mends}};
        json_write_object(out, NULL);
        json_write_string(out, "kind", SPAN_LITERAL("summary"));
        json_write_bool(out, "live", opened->inspect.live);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
            json_write_int(out, rows[i].name, (int64_t)rows[i].value);
        }
        json_write_object_end(out);
        text_append_char(out, '\n');
    } else {
        text_printf(out,
                    "%" PRIu64 " topics, %" PRIu64 " partitions, %" PRIu64 " segments, %" PRIu64
                    " batches, %" PRIu64 " records, %" PRIu64 " bytes, %" PRIu64
                    " journal frames, %" PRIu64 " index entries read%s: ",
                    verify->topics, verify->partitions, verify->segments, verify->batches,
                    verify->records, verify->bytes, verify->frames, verify->index_entries,
                    opened->inspect.live ? " (as of the newest checkpoint)" : "");
        if (loss > 0) {
            text_printf(out, "%" PRIu64 " findings tell of lost records, %" PRIu64 " of the rest\n",
                        loss, mends);
        } else if (mends > 0) {
            text_printf(out, "nothing is lost, %" PRIu64 " findings of what mends itself\n", mends);
        } else if (verify->unchecked > 0) {
            text_printf(out, "nothing wrong was found, %" PRIu64 " partitions were not checked\n",
                        verify->unchecked);
        } else {
            text_append_str(out, "all is well\n");
        }
    }
    (void)print_text(NULL, out);
    text_clear(out);
}

static int verify_folder(struct opened *opened, const struct module_command_call *call,
                         const struct log_verify *what) {
    struct log_verify verify = *what;
    int code = open_log(opened, call);
    (void)print_text(NULL, &opened->out);
    text_clear(&opened->out);
    code = code ? code : check_topic(opened, verify.topic, verify.partition);
    if (code) {
        return code;
    }
    int r = log_verify_run(&verify);
    if (r) {
        fprintf(stderr, "eventbox: the log in %s cannot be read: %s\n", call->data_path,
                err_text(r));
        return EXIT_CANNOT;
    }
    print_summary(opened, &verify);
    bool loss = verify.worst == FINDING_LOSS || opened->loss_events > 0;
    bool mends = verify.worst == FINDING_MENDS || opened->mends_events > 0;
    return loss ? EXIT_LOSS : mends ? EXIT_MENDS : EXIT_SOUND;
}

static int run_verify(const struct module_command_call *call) {
    struct opened opened;
    int64_t partition = -1;
    const char *text = call->values[VERIFY_PARTITION];
    if (text && (!parse_offset(text, &partition) || partition > INT32_MAX)) {
        return bad_number("partition", text);
    }
    int code = open_folder(&opened, call, call->values[VERIFY_LIVE] != NULL, false);
    opened.json = call->values[VERIFY_JSON] != NULL;
    if (!code) {
        const struct log_verify verify = {.inspect = &opened.inspect,
                                          .on_finding = on_finding,
                                          .userdata = &opened,
                                          .topic = call->values[VERIFY_TOPIC],
                                          .partition = (int32_t)partition};
        code = verify_folder(&opened, call, &verify);
    }
    close_folder(&opened);
    return fflush(stdout) && code == 0 ? EXIT_CANNOT : code;
}

/* ---- dump ---- */

enum {
    DUMP_TOPIC,
    DUMP_PARTITION,
    DUMP_FROM,
    DUMP_TO,
    DUMP_BATCHES,
    DUMP_JOURNAL,
    DUMP_CHECKPOINTS,
    DUMP_LIVE,
    DUMP_JSON
};
static const struct module_command_option dump_options[] = {
    [DUMP_TOPIC] = {"topic", "NAME", "this topic only"},
    [DUMP_PARTITION] = {"partition", "N", "this partition only"},
    [DUMP_FROM] = {"from", "OFFSET", "from this offset on"},
    [DUMP_TO] = {"to", "OFFSET", "up to this offset, itself included"},
    [DUMP_BATCHES] = {"batches", NULL, "batches without their records"},
    [DUMP_JOURNAL] = {"journal", NULL, "frames of the journal and what they name"},
    [DUMP_CHECKPOINTS] = {"checkpoints", NULL, "both checkpoints, and the state of each partition"},
    [DUMP_LIVE] = {"live", NULL, "beside a running server: what its newest checkpoint covers"},
    [DUMP_JSON] = {"json", NULL, "one JSON object a line"},
    {0},
};

static int run_dump(const struct module_command_call *call) {
    struct opened opened;
    int64_t partition = -1;
    struct log_dump dump = {.inspect = &opened.inspect,
                            .out = &opened.out,
                            .on_text = print_text,
                            .json = call->values[DUMP_JSON] != NULL,
                            .batches_only = call->values[DUMP_BATCHES] != NULL,
                            .journal = call->values[DUMP_JOURNAL] != NULL,
                            .checkpoints = call->values[DUMP_CHECKPOINTS] != NULL,
                            .topic = call->values[DUMP_TOPIC],
                            .to = INT64_MAX};
    const struct {
        int option;
        int64_t *value;
    } numbers[] = {{DUMP_PARTITION, &partition}, {DUMP_FROM, &dump.from}, {DUMP_TO, &dump.to}};
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        const char *text = call->values[numbers[i].option];
        if (text && !parse_offset(text, numbers[i].value)) {
            return bad_number(dump_options[numbers[i].option].name, text);
        }
    }
    dump.partition = (int32_t)MIN(partition, (int64_t)INT32_MAX);
    int code = open_folder(&opened, call, call->values[DUMP_LIVE] != NULL, true);
    code = code ? code : open_log(&opened, call);
    code = code ? code : check_topic(&opened, dump.topic, dump.partition);
    int r = code ? 0 : log_dump_run(&dump);
    if (r && r != -EPIPE) {
        fprintf(stderr, "eventbox: the log in %s cannot be read: %s\n", call->data_path,
                err_text(r));
    }
    close_folder(&opened);
    return code ? code : r || fflush(stdout) ? EXIT_CANNOT : EXIT_SOUND;
}

const struct module_command log_commands[] = {
    {"log verify", "read all of the topic log; exit code 0 sound, 1 records lost, 3 mends itself",
     verify_options, run_verify},
    {"log dump", "print batches and records, journal frames or checkpoints", dump_options,
     run_dump},
    {0},
};
