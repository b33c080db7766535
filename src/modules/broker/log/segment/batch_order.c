/* Which offsets and epochs the batches of a partition can have. */
#include "batch_order.h"
#include "log_private.h"

#include <errno.h>
#include <stdlib.h>

struct batch_order batch_order_of(const struct log_partition *partition) {
    return (struct batch_order){
        .log_start = partition->public.log_start_offset,
        .cleaned_to = partition->cleaned_to,
        .leader_epoch = partition->public.leader_epoch,
        .damage_count = partition->damage_count,
        .epoch_count = partition->epoch_count,
        .damage = partition->damage,
        .epochs = partition->epochs,
    };
}

int batch_order_copy(const struct log_partition *partition, struct batch_order *ret_order) {
    struct batch_order order = batch_order_of(partition);
    size_t damage_bytes = order.damage_count * sizeof *order.damage;
    size_t epoch_bytes = order.epoch_count * sizeof *order.epochs;
    if (damage_bytes + epoch_bytes > 0) {
        uint8_t *copies = malloc(damage_bytes + epoch_bytes);
        if (!copies) {
            return err_origin(-ENOMEM);
        }
        if (damage_bytes > 0) {
            memcpy(copies, order.damage, damage_bytes);
        }
        if (epoch_bytes > 0) {
            memcpy(copies + damage_bytes, order.epochs, epoch_bytes);
        }
        order.copies = copies;
        order.damage = (const struct offset_range *)(void *)copies;
        order.epochs = (const struct epoch_start *)(void *)(copies + damage_bytes);
    }
    *ret_order = order;
    return 0;
}

void batch_order_deinit(struct batch_order *order) {
    free(order->copies);
    *order = (struct batch_order){0};
}

bool batch_order_gap(const struct batch_order *order, int64_t from, int64_t next) {
    from = MAX(from, order->log_start);
    if (from >= next || next <= order->cleaned_to) {
        return true;
    }
    for (uint32_t i = 0; i < order->damage_count; i++) {
        if (order->damage[i].from <= from && next <= order->damage[i].to) {
            return true;
        }
    }
    for (uint32_t i = 0; i < order->epoch_count; i++) {
        if (order->epochs[i].start_offset == next) {
            return true;
        }
    }
    return false;
}

bool batch_order_epoch(const struct batch_order *order, int64_t offset, int32_t epoch) {
    uint32_t at = order->epoch_count;
    while (at > 0 && order->epochs[at - 1].start_offset > offset) {
        at--;
    }
    if (at == 0 && order->epoch_count > 0) { /* below the log's start they are forgotten */
        return epoch >= 0 && epoch < order->epochs[0].epoch;
    }
    int32_t known = at > 0 ? order->epochs[at - 1].epoch : order->leader_epoch;
    return epoch == known || (order->epochs_open && at == order->epoch_count && epoch > known);
}

bool batch_order_admits(const struct batch_order *order, int64_t expected,
                        const struct record_batch *batch) {
    bool placed =
        batch->base_offset == expected ||
        (batch->base_offset > expected && batch_order_gap(order, expected, batch->base_offset));
    return placed && batch_order_epoch(order, batch->base_offset, batch->leader_epoch);
}
