/*
 * A topic log in memory behind topic_log.h, for tests of api/ alone: batches are kept as they came,
 * appends become durable in the next turn of the loop, or when the test says so.
 */
#pragma once

#include "topic_log.h"

struct topic_log *fake_log_new(struct loop *loop);
void fake_log_free(struct topic_log *log);
/** fake_log_hold() - appends and topic changes stay undecided until fake_log_release() */
void fake_log_hold(struct topic_log *log, bool hold);
void fake_log_release(struct topic_log *log, int status);
/** fake_log_slow_reads() - partition_read() and partition_lookup() answer by done(), at
 * fake_log_read() */
void fake_log_slow_reads(struct topic_log *log, bool slow);
void fake_log_read(struct topic_log *log);
/** fake_log_refuse() - the next topic_log_append() returns @code */
void fake_log_refuse(struct topic_log *log, int code);
/** fake_log_fail_lookups() - partition_lookup() ends with @status, at once or by done() */
void fake_log_fail_lookups(struct topic_log *log, int status);
/** fake_log_refuse_producers() - topic_log_producer_id() returns @code */
void fake_log_refuse_producers(struct topic_log *log, int code);
/** fake_log_serve_files() - reads that allow it answer with ranges of a file instead of memory */
void fake_log_serve_files(struct topic_log *log, bool files);
/** fake_log_reads() - how often partition_read() was called */
uint64_t fake_log_reads(const struct topic_log *log);
/** fake_log_file_chunks() - ranges of a file that reads were answered with */
uint64_t fake_log_file_chunks(const struct topic_log *log);
/** fake_log_leaks() - references to batches that nobody gave back */
unsigned fake_log_leaks(struct topic_log *log);
/** fake_log_defaults() - the broker's topic configs, to be changed */
struct topic_config *fake_log_defaults(struct topic_log *log);
