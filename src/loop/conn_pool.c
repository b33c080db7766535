#include "loop_internal.h"

void conn_pool_deinit(struct conn_pool *pool) {
    (void)pool;
}
