/* Stands in until the store is there: nothing that needs a database starts. */
#include <eventbox/store/relay.h>

#include <errno.h>
#include <stdlib.h>

int store_open(const struct store_config *config, struct store **ret_store,
               const char **ret_message) {
    *ret_message = "no store in this build";
    return -ENOSYS;
}
void store_close(struct store *store, void (*on_closed)(void *userdata), void *userdata) {
    on_closed(userdata);
}
const struct uuid *store_uuid(const struct store *store) {
    return NULL;
}
void store_stats(const struct store *store, struct store_stats *ret_stats) {
}
const struct store_migration_set *outbox_migrations(void) {
    static const struct store_migration_set set = {"store", NULL};
    return &set;
}
int relay_start(const struct relay_config *config, void (*started)(void *userdata, int status),
                void *userdata, struct relay **ret_relay) {
    return -ENOSYS;
}
void relay_drain(struct relay *relay, int64_t deadline_ms, void (*drained)(void *userdata),
                 void *userdata) {
    drained(userdata);
}
void relay_stats(const struct relay *relay, struct relay_stats *ret_stats) {
}
