/* The thread that writes frames. */
#pragma once

#include "log_private.h"

int log_writer_new(struct topic_log *log, struct log_writer **ret_writer);
/** log_writer_resume() - where the next frame goes. Before the first job */
void log_writer_resume(struct log_writer *writer, const struct uuid *journal, uint64_t sequence,
                       struct journal_file *current, uint64_t position);
/** log_writer_refused() - a file system that copies on write may refuse a frame, for all that the
 * journal's files are full of zeros. Thread: any */
bool log_writer_refused(const struct log_writer *writer);
void log_writer_free(struct log_writer *writer);
void log_writer_run(void *userdata, struct list *works); /* run_batch of the worker */
