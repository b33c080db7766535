/* The items of a 422 answer: collected in the request's arena, written in one of two shapes. */
#include "rows.h"

#include <stdio.h>
#include <string.h>

void body_errors_init(struct body_errors *errors, struct arena *arena) {
    *errors = (struct body_errors){.arena = arena};
    errors->last = &errors->first;
}

static const char *dup_str(struct body_errors *errors, const char *str) {
    return str ? arena_dup(errors->arena, str, strlen(str)) : NULL;
}

static void add(struct body_errors *errors, const struct body_error *from) {
    if (errors->count == BODY_ERRORS_MAX) {
        return;
    }
    struct body_error *error = arena_alloc(errors->arena, sizeof *error);
    errors->count++;
    if (!error) {
        errors->failed = true;
        return;
    }
    *error = *from;
    error->name = dup_str(errors, from->name);
    error->message = dup_str(errors, from->message);
    error->ctx_json = dup_str(errors, from->ctx_json);
    if (from->input_json.data) {
        error->input_json.data =
            arena_dup(errors->arena, from->input_json.data, from->input_json.size);
    }
    errors->failed |=
        !error->message || (from->name && !error->name) || (from->ctx_json && !error->ctx_json);
    *errors->last = error;
    errors->last = &error->next;
}

void body_error_add(struct body_errors *errors, const char *in, const char *name, const char *type,
                    const char *message, const char *ctx_json, struct span input_json) {
    add(errors, &(struct body_error){NULL, in, name, -1, type, message, ctx_json, input_json});
}

void body_error_add_at(struct body_errors *errors, const char *in, int64_t position,
                       const char *type, const char *message, const char *ctx_json,
                       struct span input_json) {
    add(errors,
        &(struct body_error){NULL, in, NULL, position, type, message, ctx_json, input_json});
}

static void write_loc(const struct body_error *error, struct text *out) {
    json_write_array(out, "loc");
    json_write_string(out, NULL, span_text(error->in));
    if (error->name) {
        json_write_string(out, NULL, span_text(error->name));
    }
    if (error->position >= 0) {
        json_write_int(out, NULL, error->position);
    }
    json_write_array_end(out);
}

void body_errors_write(const struct body_errors *errors, struct text *out, const char *name) {
    json_write_array(out, name);
    for (const struct body_error *error = errors->first; error; error = error->next) {
        json_write_object(out, NULL);
        json_write_string(out, "type", span_text(error->type));
        write_loc(error, out);
        json_write_string(out, "msg", span_text(error->message));
        if (error->input_json.data) {
            json_write_raw(out, "input", error->input_json);
        } else {
            json_write_null(out, "input");
        }
        if (error->ctx_json) {
            json_write_raw(out, "ctx", span_text(error->ctx_json));
        }
        json_write_object_end(out);
    }
    json_write_array_end(out);
}

/* RFC 6901: '~' and '/' in a name are escaped. */
static void write_pointer(const struct body_error *error, struct text *out) {
    struct text pointer;
    text_init(&pointer);
    text_append_char(&pointer, '#');
    if (error->name) {
        text_append_char(&pointer, '/');
        for (const char *at = error->name; *at; at++) {
            if (*at == '~' || *at == '/') {
                text_append_str(&pointer, *at == '~' ? "~0" : "~1");
            } else {
                text_append_char(&pointer, *at);
            }
        }
    }
    json_write_string(out, "pointer", text_span(&pointer));
    text_deinit(&pointer);
}

void body_errors_write_problem(const struct body_errors *errors, struct text *out,
                               const char *name) {
    json_write_array(out, name);
    for (const struct body_error *error = errors->first; error; error = error->next) {
        json_write_object(out, NULL);
        if (strcmp(error->in, "body") == 0) {
            write_pointer(error, out);
        }
        write_loc(error, out);
        json_write_string(out, "type", span_text(error->type));
        json_write_string(out, "msg", span_text(error->message));
        json_write_object_end(out);
    }
    json_write_array_end(out);
}
