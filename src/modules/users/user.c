/* A user: row, struct and JSON. */
#include "users.h"

const char *const user_role_names[] = {"admin", "user", "guest", NULL};

static enum user_role role_of(struct span name) {
    for (int role = 0; user_role_names[role]; role++) {
        if (span_equal(name, span_text(user_role_names[role]))) {
            return (enum user_role)role;
        }
    }
    return USER_ROLE_GUEST; /* a role this version does not know gives the fewest rights */
}

void user_from_row(struct store_stmt *stmt, struct user *ret_user) {
    *ret_user = (struct user){
        .id = store_column_int(stmt, 0),
        .username = store_column_text(stmt, 1),
        .email = store_column_text(stmt, 2),
        .full_name = store_column_text(stmt, 3),
        .role = role_of(store_column_text(stmt, 4)),
        .has_age = !store_column_is_null(stmt, 5),
        .age = store_column_int(stmt, 5),
        .version = store_column_int(stmt, 6),
        .created_ms = store_column_int(stmt, 7),
        .updated_ms = store_column_int(stmt, 8),
    };
}

static char *keep(struct span *text, char *bytes, size_t capacity) {
    size_t size = MIN(text->size, capacity);
    if (!text->data) {
        return bytes;
    }
    memcpy(bytes, text->data, size);
    *text = span_of(bytes, size);
    return bytes + size;
}

void user_keep(const struct user *user, struct user_copy *ret_copy) {
    ret_copy->user = *user;
    char *bytes = ret_copy->bytes;
    bytes = keep(&ret_copy->user.username, bytes, USER_NAME_BYTES);
    bytes = keep(&ret_copy->user.email, bytes, USER_EMAIL_BYTES);
    keep(&ret_copy->user.full_name, bytes, USER_FULL_NAME_BYTES);
}

static void write_time(struct text *out, const char *name, int64_t wall_ms) {
    char time[CLOCK_RFC3339_SIZE];
    size_t size = clock_format_rfc3339(wall_ms * NS_PER_MS, 3, time);
    json_write_string(out, name, span_of(time, size));
}

void user_write_json(struct text *out, const char *name, const struct user *user) {
    json_write_object(out, name);
    json_write_int(out, "id", user->id);
    json_write_string(out, "username", user->username);
    json_write_string(out, "email", user->email);
    json_write_string(out, "role", span_text(user_role_names[user->role]));
    if (user->has_age) {
        json_write_int(out, "age", user->age);
    } else {
        json_write_null(out, "age");
    }
    if (user->full_name.data) {
        json_write_string(out, "full_name", user->full_name);
    } else {
        json_write_null(out, "full_name");
    }
    write_time(out, "created_at", user->created_ms);
    write_time(out, "updated_at", user->updated_ms);
    json_write_object_end(out);
}

struct span user_key(struct span text, char *out) {
    const char *in = text.data;
    for (size_t i = 0; i < text.size; i++) {
        out[i] = in[i] >= 'A' && in[i] <= 'Z' ? (char)(in[i] + ('a' - 'A')) : in[i];
    }
    return span_of(out, text.size);
}

void user_bind(struct store_stmt *stmt, int first, const struct user *user,
               struct user_keys *keys) {
    store_bind_text(stmt, first, user->username);
    store_bind_text(stmt, first + 1, user_key(user->username, keys->username));
    store_bind_text(stmt, first + 2, user->email);
    store_bind_text(stmt, first + 3, user_key(user->email, keys->email));
    store_bind_text(stmt, first + 4, span_text(user_role_names[user->role]));
    if (user->has_age) {
        store_bind_int(stmt, first + 5, user->age);
    } else {
        store_bind_null(stmt, first + 5);
    }
    store_bind_text(stmt, first + 6, user->full_name);
}

int user_find(struct store_tx *tx, int64_t id, struct user *ret_user) {
    struct store_stmt *stmt;
    int status = store_prepare(tx, "SELECT " USER_COLUMNS " FROM users_user WHERE id = $1", &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, id);
    status = store_step(stmt);
    if (status != STORE_ROW) {
        return status ? err_trace(status) : USERS_E_NOT_FOUND;
    }
    user_from_row(stmt, ret_user);
    return 0;
}
