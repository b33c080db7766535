/*
 * Failure has two signs.
 *
 * Every fallible function returns int: 0 is success; negative is an errno-style fatal (-ENOMEM,
 * -EIO; libuv's codes are already so) that the caller passes up through err_trace(); positive is a
 * row of tbl/errors.h, documented in the header of the function, expected and handled by the
 * caller. Positive codes start at ERROR_FIRST, so that small positive values stay free for results
 * such as OP_WAIT.
 *
 * The trace is a ring of file, line and code per thread. err_origin() starts it anew where a
 * failure is born, err_trace() adds a frame, err_fold() turns a positive code that the caller did
 * not expect into -EPROTO and notes which one it was.
 */
#pragma once

#include <eventbox/base/defs.h>

enum error_code {
    ERROR_FIRST = 1000,
#define ERROR(symbol, http, kafka, retriable, slug, text) symbol,
#include <eventbox/tbl/errors.h>
#undef ERROR
    ERROR_END,
};

/* One row of tbl/errors.h. */
struct error_row {
    const char *symbol;
    int http_status;  /* status of the HTTP answer */
    int kafka_code;   /* error code of the Kafka protocol */
    bool retriable;   /* the same request may succeed later */
    const char *slug; /* stable machine-readable name: header X-Error-Code, problem type */
    const char *text; /* for people, without input of the peer */
};

/** error_row_get() - the row of a positive code; for negative ones the row of ERROR_INTERNAL */
const struct error_row *error_row_get(int code);

#define err_origin(code) err_noted_(__FILE__, __LINE__, (code), true)
#define err_trace(code)  err_noted_(__FILE__, __LINE__, (code), false)
#define err_fold(code)   err_fold_(__FILE__, __LINE__, (code))

void err_push_(const char *file, int line, int code, bool origin);
int err_fold_(const char *file, int line, int code);

/* Inline, so that the compiler sees that a failure stays one, and success costs a comparison. */
static inline int err_noted_(const char *file, int line, int code, bool origin) {
    if (unlikely(code != 0)) {
        err_push_(file, line, code, origin);
    }
    return code;
}

/** err_text() - "no space left on device" or the text of a row; static storage of the thread */
const char *err_text(int code);

/** err_format_trace() - "-EIO journal.c:120 < topic_log.c:88" of this thread's last failure */
size_t err_format_trace(char *buffer, size_t size);
