/*
 * Every expected failure, once: ERROR(symbol, HTTP status, Kafka code, retriable, slug, text).
 *
 * The enum in base/error.h, the HTTP answer (http/problem.c), the Kafka error code and the manual
 * come from these rows. Sections follow the staircase; a module adds its rows at its section's end.
 * Kafka codes: protocol guide, "Error Codes"; -1 is UNKNOWN_SERVER_ERROR.
 */
/* clang-format off */
ERROR(ERROR_INTERNAL,           500, -1, false, "internal",             "Internal Server Error")

/* base */
ERROR(JSON_E_INVALID,           422, 42, false, "json_invalid",         "JSON decode error")
ERROR(JSON_E_LIMIT,             413, 42, false, "json_too_large",       "JSON is too large or too deep")
ERROR(JSON_E_DUPLICATE_KEY,     422, 42, false, "json_duplicate_key",   "JSON object has a key twice")

/* loop */
ERROR(OP_E_CANCELED,            499, -1, true,  "canceled",             "The request was canceled")
ERROR(OP_E_DEADLINE,            503,  7, true,  "deadline",             "The deadline has passed")
ERROR(WORK_E_FULL,              503, -1, true,  "overloaded",           "Too much work is waiting, try again later")
ERROR(WORK_E_STOPPED,           503, -1, true,  "stopping",             "The server is stopping")
ERROR(CONN_E_CLOSED,            499, -1, true,  "connection_closed",    "The connection is closed")
ERROR(CONN_E_TIMEOUT,           408,  7, true,  "connection_timeout",   "The connection made no progress in time")
ERROR(DISK_E_FULL,              507, 56, true,  "disk_full",            "No space is left on the disk")
ERROR(DISK_E_NOT_FOUND,         500, 56, false, "file_not_found",       "The file does not exist")
ERROR(DISK_E_EXISTS,            500, 56, false, "file_exists",          "The file exists already")
ERROR(DISK_E_UNSUPPORTED,       500, 56, false, "file_mode_unsupported","The file system refuses this mode")
ERROR(TOPIC_E_UNKNOWN,          404,  3, true,  "topic_unknown",        "The topic or partition does not exist")
ERROR(TOPIC_E_EXISTS,           409, 36, false, "topic_exists",         "The topic exists already")
ERROR(TOPIC_E_NAME,             422, 17, false, "topic_name_invalid",   "The topic name is not valid")
ERROR(TOPIC_E_OUT_OF_RANGE,     416,  1, false, "offset_out_of_range",  "The offset is outside the log")
ERROR(TOPIC_E_FULL,             503, 56, true,  "topic_log_full",       "The topic log cannot take more now, try again later")
ERROR(TOPIC_E_FAILED,           503, 56, true,  "topic_log_failed",     "The topic log has failed; the outcome is unknown until a restart")
ERROR(TOPIC_E_TOO_LARGE,        413, 10, false, "record_too_large",     "The record batch is too large")

/* http */
ERROR(HTTP_E_BAD_REQUEST,       400, -1, false, "bad_request",          "Invalid HTTP request received.")
ERROR(HTTP_E_NOT_FOUND,         404, -1, false, "not_found",            "Not Found")
ERROR(HTTP_E_METHOD,            405, -1, false, "method_not_allowed",   "Method Not Allowed")
ERROR(HTTP_E_TIMEOUT,           408, -1, true,  "request_timeout",      "The request did not arrive in time")
ERROR(HTTP_E_TOO_LARGE,         413, -1, false, "body_too_large",       "The body is too large")
ERROR(HTTP_E_URI_TOO_LONG,      414, -1, false, "uri_too_long",         "The target is too long")
ERROR(HTTP_E_MEDIA_TYPE,        415, -1, false, "unsupported_media_type","The content type or encoding is not supported")
ERROR(HTTP_E_EXPECTATION,       417, -1, false, "expectation_failed",   "The expectation cannot be met")
ERROR(HTTP_E_HEAD_TOO_LARGE,    431, -1, false, "head_too_large",       "The header fields are too large")
ERROR(HTTP_E_VALIDATION,        422, -1, false, "validation",           "The request is not valid")
ERROR(HTTP_E_UNAUTHORIZED,      401, -1, false, "unauthorized",         "Not authenticated")
ERROR(HTTP_E_FORBIDDEN,         403, -1, false, "forbidden",            "Not enough permissions")
ERROR(HTTP_E_NOT_IMPLEMENTED,   501, -1, false, "not_implemented",      "Not Implemented")
ERROR(HTTP_E_UNAVAILABLE,       503, -1, true,  "unavailable",          "The service is not ready, try again later")

/* store */
ERROR(STORE_E_UNIQUE,           409, -1, false, "conflict",             "A row with this key exists already")
ERROR(STORE_E_BUSY,             503, -1, true,  "store_busy",           "Too many writes are waiting, try again later")
ERROR(STORE_E_UNKNOWN_OUTCOME,  503, -1, true,  "store_outcome_unknown","The write may or may not have happened; read before you repeat it")
ERROR(STORE_E_FULL,             507, -1, true,  "store_full",           "No space is left for the database")
ERROR(STORE_E_FAILED,           503, -1, true,  "store_failed",         "The database has failed; nothing is written until a restart")
ERROR(STORE_E_FOREIGN,          500, -1, false, "store_foreign",        "The database file is not eventbox's; it was left untouched")
ERROR(STORE_E_NEWER,            500, -1, false, "store_newer",          "The database was written by a newer eventbox")
ERROR(STORE_E_OUTBOX_FULL,      503, -1, true,  "outbox_full",          "Too many events wait to be published, try again later")

/* host */
ERROR(CONF_E_UNKNOWN,           500, -1, false, "setting_unknown",      "The setting does not exist")
ERROR(CONF_E_VALUE,             500, -1, false, "setting_invalid",      "The value of the setting is not valid")

/* users */
ERROR(USERS_E_NOT_FOUND,        404, -1, false, "user_not_found",       "User not found")
ERROR(USERS_E_EXISTS,           409, -1, false, "user_exists",          "Username or email already registered")
ERROR(USERS_E_CREDENTIALS,      401, -1, false, "invalid_credentials",  "Invalid credentials")
ERROR(USERS_E_BUSY,             503, -1, true,  "hashing_busy",         "Too many passwords are being hashed, try again later")
ERROR(USERS_E_ROLE,             403, -1, false, "role_not_allowed",     "This role cannot be given here")

/* notify */
ERROR(NOTIFY_E_NOT_FOUND,       404, -1, false, "notification_not_found","Notification not found")

/* broker */
ERROR(BROKER_E_CORRUPT,         500,  2, false, "corrupt_message",      "The record batch does not match its checksum or its header")
ERROR(BROKER_E_SEQUENCE,        409, 45, false, "out_of_order_sequence","The producer's sequence number is out of order")
ERROR(BROKER_E_EPOCH,           409, 47, false, "invalid_producer_epoch","The producer's epoch is old")
ERROR(BROKER_E_DUPLICATE,       409, 46, false, "duplicate_sequence",   "The batch was appended before")
ERROR(BROKER_E_INVALID_RECORD,  422, 87, false, "invalid_record",       "The record batch breaks a rule of its topic")
ERROR(BROKER_E_PARTITIONS,      422, 37, false, "invalid_partitions",   "The number of partitions is not valid")
ERROR(BROKER_E_CONFIG,          422, 40, false, "invalid_config",       "The topic configuration is not valid")
ERROR(BROKER_E_POLICY,          403, 44, false, "policy_violation",     "This topic is eventbox's own and cannot be changed so")
ERROR(BROKER_E_NEWER,           500, -1, false, "log_newer",            "The topic log was written by a newer eventbox")
ERROR(BROKER_E_MALFORMED,       400, 42, false, "malformed_message",    "The bytes are not a message of this version of the Kafka protocol")
/* clang-format on */
