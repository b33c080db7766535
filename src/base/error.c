#include <errno.h>
#include <eventbox/base/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct error_row error_rows[] = {
#define ERROR(symbol, http, kafka, retriable, slug, text)                                          \
    {#symbol, http, kafka, retriable, slug, text},
#include <eventbox/tbl/errors.h>
#undef ERROR
};

/* The first row stands for every failure that has no row of its own. */
_Static_assert((int)ERROR_INTERNAL == (int)ERROR_FIRST + 1, "ERROR_INTERNAL is the first row");

const struct error_row *error_row_get(int code) {
    if (code > ERROR_FIRST && code < ERROR_END) {
        return &error_rows[code - ERROR_FIRST - 1];
    }
    return &error_rows[0];
}

/*
 * The trace: a failure is born with err_origin(), which forgets what was there, and climbs with
 * err_trace(). When it climbs higher than there is room, the frame that is overwritten is the
 * oldest but the first, because birth and arrival tell more than the middle.
 */
enum { TRACE_FRAMES = 16 };

struct trace_frame {
    const char *file;
    int line;
    int code;
    int folded_from; /* the positive code that err_fold() replaced, else 0 */
};

static _Thread_local struct {
    struct trace_frame frames[TRACE_FRAMES];
    unsigned count; /* of all pushes since the origin */
} ring;

static struct trace_frame *frame_at(unsigned index) {
    if (index < TRACE_FRAMES) {
        return &ring.frames[index];
    }
    return &ring.frames[1 + (index - 1) % (TRACE_FRAMES - 1)];
}

static void push(const char *file, int line, int code, int folded_from, bool origin) {
    const char *slash = strrchr(file, '/');
    if (origin) {
        ring.count = 0;
    }
    *frame_at(ring.count++) = (struct trace_frame){
        .file = slash ? slash + 1 : file,
        .line = line,
        .code = code,
        .folded_from = folded_from,
    };
}

void err_push_(const char *file, int line, int code, bool origin) {
    push(file, line, code, 0, origin);
}

int err_fold_(const char *file, int line, int code) {
    if (code > 0) {
        push(file, line, -EPROTO, code, ring.count == 0 || frame_at(ring.count - 1)->code != code);
        return -EPROTO;
    }
    return err_noted_(file, line, code, false);
}

const char *err_text(int code) {
    static _Thread_local char storage[64];
    const char *known;

    if (code == 0) {
        return "success";
    }
    if (code > 0) {
        return error_row_get(code)->text;
    }
    known = strerrordesc_np(-code);
    if (!known) { /* not the system's: libuv has some of its own, such as UV_EOF */
        snprintf(storage, sizeof storage, "error %d", code);
        return storage;
    }
    snprintf(storage, sizeof storage, "%s", known);
    if (storage[0] >= 'A' && storage[0] <= 'Z' && storage[1] >= 'a' && storage[1] <= 'z') {
        storage[0] = (char)(storage[0] - 'A' + 'a');
    }
    return storage;
}

static void format_code(char *out, size_t size, int code) {
    const char *name = code < 0 ? strerrorname_np(-code) : NULL;
    if (name) {
        snprintf(out, size, "-%s", name);
    } else if (code > ERROR_FIRST && code < ERROR_END) {
        snprintf(out, size, "%s", error_row_get(code)->symbol);
    } else {
        snprintf(out, size, "%d", code);
    }
}

/* Appends as long as there is room; what does not fit is cut. */
_printf_(4, 5) static void append(char *buffer, size_t size, size_t *used, const char *format,
                                  ...) {
    va_list args;
    int more;

    if (*used + 1 >= size) {
        return;
    }
    va_start(args, format);
    more = vsnprintf(buffer + *used, size - *used, format, args);
    va_end(args);
    if (more > 0) {
        *used = MIN(*used + (size_t)more, size - 1);
    }
}

size_t err_format_trace(char *buffer, size_t size) {
    unsigned first_kept = 1;
    size_t used = 0;
    char code[40];

    if (size == 0) {
        return 0;
    }
    buffer[0] = '\0';
    if (ring.count == 0) {
        return 0;
    }
    format_code(code, sizeof code, frame_at(ring.count - 1)->code);
    append(buffer, size, &used, "%s", code);
    if (ring.count > TRACE_FRAMES) {
        first_kept = ring.count - (TRACE_FRAMES - 1);
    }
    for (unsigned i = 0; i < ring.count; i = i == 0 ? first_kept : i + 1) {
        const struct trace_frame *frame = frame_at(i);
        if (i == first_kept && first_kept > 1) {
            append(buffer, size, &used, " < ...");
        }
        append(buffer, size, &used, "%s %s:%d", i == 0 ? "" : " <", frame->file, frame->line);
        if (frame->folded_from) {
            format_code(code, sizeof code, frame->folded_from);
            append(buffer, size, &used, " (was %s)", code);
        }
    }
    return used;
}
