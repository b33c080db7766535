/*
 * Sessions are opaque tokens. A token is
 *
 *     tts_ | 43 characters: base64url of 32 random bytes | 6 characters: base64url of a CRC-32C of
 * what stands before
 *
 * The check characters let secret scanners know a token, and us refuse noise without a look-up.
 * Only SHA-256 of the token is stored: a copy of the database opens no session, and a look-up by
 * digest tells nothing by its time. 256 random bits need no salt.
 */
#include "users.h"

#include <eventbox/base/bytes.h>
#include <eventbox/base/crc32c.h>

static const char token_prefix[] = "tts_";
enum { TOKEN_PREFIX_SIZE = 4, TOKEN_CHECKED_SIZE = 4 + 43 };

static void check_characters(const char *token, char out[8]) {
    uint8_t crc[4];
    put_be32(crc, crc32c(0, token, TOKEN_CHECKED_SIZE));
    base64url_encode(crc, sizeof crc, out);
}

void session_token_format(const uint8_t secret[SESSION_TOKEN_RANDOM_BYTES],
                          char out[SESSION_TOKEN_SIZE]) {
    char check[8];
    memcpy(out, token_prefix, TOKEN_PREFIX_SIZE);
    base64url_encode(secret, SESSION_TOKEN_RANDOM_BYTES, out + TOKEN_PREFIX_SIZE);
    check_characters(out, check);
    memcpy(out + TOKEN_CHECKED_SIZE, check, sizeof "123456");
}

bool session_token_digest(struct span token, uint8_t ret_digest[SHA256_BYTES]) {
    char check[8];
    if (token.size != SESSION_TOKEN_SIZE - 1 ||
        memcmp(token.data, token_prefix, TOKEN_PREFIX_SIZE) != 0) {
        return false;
    }
    check_characters(token.data, check);
    if (memcmp((const char *)token.data + TOKEN_CHECKED_SIZE, check, 6) != 0) {
        return false;
    }
    crypto_sha256(token, ret_digest);
    return true;
}

static int run_for_user(struct store_tx *tx, const char *sql, int64_t user_id, int64_t second) {
    struct store_stmt *stmt;
    int status = store_prepare(tx, sql, &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, user_id);
    store_bind_int(stmt, 2, second);
    return err_trace(store_run(stmt, NULL));
}

int session_insert(struct store_tx *tx, const struct session_new *session) {
    struct store_stmt *stmt;
    int status = run_for_user(tx,
                              "DELETE FROM users_session WHERE user_id = $1 AND"
                              " (idle_expires_at <= $2 OR absolute_expires_at <= $2)",
                              session->user_id, session->now_ms);
    if (status) {
        return err_trace(status);
    }
    status =
        run_for_user(tx,
                     "DELETE FROM users_session WHERE user_id = $1 AND sid NOT IN (SELECT sid"
                     " FROM users_session WHERE user_id = $1 ORDER BY created_at DESC, sid DESC"
                     " LIMIT $2)",
                     session->user_id, SESSIONS_PER_USER - 1);
    if (status) {
        return err_trace(status);
    }
    status = store_prepare(tx,
                           "INSERT INTO users_session (sid, token_sha256, user_id, created_at,"
                           " last_seen_at, idle_ms, idle_expires_at, absolute_expires_at, peer,"
                           " user_agent) VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8, $9)",
                           &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_text(stmt, 1, span_text(session->sid));
    store_bind_blob(stmt, 2, span_of(session->digest, SHA256_BYTES));
    store_bind_int(stmt, 3, session->user_id);
    store_bind_int(stmt, 4, session->now_ms);
    store_bind_int(stmt, 5, session->idle_ms);
    store_bind_int(stmt, 6, session->idle_expires_ms);
    store_bind_int(stmt, 7, session->absolute_expires_ms);
    store_bind_text(stmt, 8, span_text(session->peer));
    store_bind_text(stmt, 9, session->user_agent);
    return err_trace(store_run(stmt, NULL));
}

int session_delete_all(struct store_tx *tx, int64_t user_id, const uint8_t *keep_digest) {
    static const uint8_t no_digest[SHA256_BYTES]; /* no token hashes to zeros */
    struct store_stmt *stmt;
    int status = store_prepare(
        tx, "DELETE FROM users_session WHERE user_id = $1 AND token_sha256 <> $2", &stmt);
    if (status) {
        return err_trace(status);
    }
    store_bind_int(stmt, 1, user_id);
    store_bind_blob(stmt, 2, span_of(keep_digest ? keep_digest : no_digest, SHA256_BYTES));
    return err_trace(store_run(stmt, NULL));
}
