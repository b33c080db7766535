/*
 * The write queue of a connection: a list of pieces, each a chunk of copied bytes, a slice of a
 * shared buf, or a range of a file.
 *
 * Small writes are merged: they are copied behind the last chunk while it has room, so a turn that
 * answers a hundred pipelined requests ends with one chunk, one system call and no malloc. Free
 * pieces wait in a pool of the loop, not in the connection, so an idle connection owns none.
 *
 * The queue goes out at the end of the turn, or when what came was read and answered (conn.c): all
 * pieces up to the next file in one sendmsg(), a file by sendfile(). A socket that takes less than
 * offered is "blocked" until libuv says that it is writable. No connection sends more than
 * FLUSH_BUDGET a turn, so that one reader of large files does not hold up the others.
 */
#include "conn_internal.h"

#include <eventbox/base/error.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    OVERHEAD = sizeof(struct conn_out) + 16, /* with malloc's own word: a page is not exceeded */
    SMALL_SLICE = 512,                       /* cheaper to copy than to send apart */
    PARTS_MAX = 64,
    FLUSH_BUDGET = 1024 * 1024,
};

/* What a piece can hold beside itself, and how many free ones wait in the pool. */
static const struct piece_size {
    size_t capacity;
    unsigned kept;
} piece_sizes[CONN_PIECE_SIZES] = {
    [CONN_PIECE_NODE] = {0, 512},
    /* The first chunk of a queue: answers to so many connections may leave in one turn. */
    [CONN_PIECE_TINY] = {256 - OVERHEAD, 10240},
    [CONN_PIECE_SMALL] = {1024 - OVERHEAD, 1024},
    [CONN_PIECE_PAGE] = {4096 - OVERHEAD, 64},
};

/* ---- pieces ---- */

static struct conn_out *piece_new(struct loop *loop, enum conn_piece_size size, size_t capacity) {
    struct conn_pool *pool = &loop->conn_pool;
    struct conn_out *piece = size < CONN_PIECE_SIZES ? pool->free[size] : NULL;
    if (piece) {
        pool->free[size] = piece->next;
        pool->counts[size]--;
    } else {
        piece = malloc(sizeof *piece + capacity);
        if (!piece) {
            return NULL;
        }
    }
    *piece = (struct conn_out){.size_class = size};
    return piece;
}

/* @first: of its queue. Most answers end there, so many connections fill little memory at once. */
static struct conn_out *chunk_new(struct loop *loop, size_t capacity, bool first) {
    enum conn_piece_size size = first ? CONN_PIECE_TINY : CONN_PIECE_PAGE;
    while (size < CONN_PIECE_SIZES && piece_sizes[size].capacity < capacity) {
        size++;
    }
    capacity = size < CONN_PIECE_SIZES ? piece_sizes[size].capacity : capacity;
    struct conn_out *chunk = piece_new(loop, size, capacity);
    if (chunk) {
        chunk->kind = CONN_OUT_CHUNK;
        chunk->data = chunk->bytes;
        chunk->room = (uint32_t)MIN(capacity, UINT32_MAX);
    }
    return chunk;
}

static struct conn_out *node_new(struct loop *loop, enum conn_out_kind kind, size_t size) {
    struct conn_out *node = piece_new(loop, CONN_PIECE_NODE, 0);
    if (node) {
        node->kind = kind;
        node->size = size;
    }
    return node;
}

static void piece_free(struct loop *loop, struct conn_out *piece) {
    struct conn_pool *pool = &loop->conn_pool;
    enum conn_piece_size size = CONN_PIECE_NODE;
    switch (piece->kind) {
    case CONN_OUT_CHUNK:
        size = piece->size_class;
        break;
    case CONN_OUT_SLICE:
        buf_unref(piece->buf);
        break;
    case CONN_OUT_FILE:
        conn_file_unref(piece->file);
        break;
    }
    if (size == CONN_PIECE_SIZES || pool->counts[size] >= piece_sizes[size].kept) {
        free(piece);
        return;
    }
    piece->next = pool->free[size];
    pool->free[size] = piece;
    pool->counts[size]++;
}

void conn_pool_deinit(struct conn_pool *pool) {
    for (unsigned size = 0; size < CONN_PIECE_SIZES; size++) {
        struct conn_out *piece;
        while ((piece = pool->free[size])) {
            pool->free[size] = piece->next;
            free(piece);
        }
    }
    *pool = (struct conn_pool){0};
}

/* ---- queue ---- */

static bool accepts_writes(const struct conn *conn) {
    return conn->state <= CONN_OPEN;
}

static void enqueued(struct conn *conn, size_t size) {
    if (conn->unsent_bytes == 0) {
        conn->progress_ns = loop_now_ns(conn->loop);
    }
    conn->had_unsent = true;
    conn->unsent_bytes += size;
    conn->full = conn->full || conn->unsent_bytes > conn->high_bytes;
    loop_defer(conn->loop, &conn->task);
}

static void push(struct conn *conn, struct conn_out *piece) {
    if (conn->out_last) {
        conn->out_last->next = piece;
    } else {
        conn->out_first = piece;
    }
    conn->out_last = piece;
}

static void push_node(struct conn *conn, struct conn_out *node) {
    push(conn, node);
    enqueued(conn, node->size);
}

static void pop(struct conn *conn) {
    struct conn_out *piece = conn->out_first;
    conn->out_first = piece->next;
    if (!conn->out_first) {
        conn->out_last = NULL;
    }
    piece_free(conn->loop, piece);
}

void conn_write_copy(struct conn *conn, const void *data, size_t size) {
    const uint8_t *in = data;
    if (!accepts_writes(conn)) {
        return;
    }
    while (size > 0) {
        struct conn_out *chunk = conn->out_last;
        if (!chunk || chunk->kind != CONN_OUT_CHUNK || chunk->room == 0) {
            chunk = chunk_new(conn->loop, size, !conn->out_first);
            if (!chunk) {
                conn_fail(conn, err_origin(-ENOMEM));
                return;
            }
            push(conn, chunk);
        }
        size_t part = MIN(size, (size_t)chunk->room);
        memcpy(chunk->bytes + (chunk->data - chunk->bytes) + chunk->size, in, part);
        chunk->size += part;
        chunk->room -= (uint32_t)part;
        enqueued(conn, part);
        in += part;
        size -= part;
    }
}

void conn_write(struct conn *conn, struct slice slice) {
    if (!accepts_writes(conn) || slice.size <= SMALL_SLICE) {
        conn_write_copy(conn, slice.data, slice.size);
        buf_unref(slice.buf);
        return;
    }
    struct conn_out *node = node_new(conn->loop, CONN_OUT_SLICE, slice.size);
    if (!node) {
        buf_unref(slice.buf);
        conn_fail(conn, err_origin(-ENOMEM));
        return;
    }
    node->data = slice.data;
    node->buf = slice.buf;
    push_node(conn, node);
}

void conn_write_file(struct conn *conn, struct conn_file *file, uint64_t offset, size_t size) {
    if (!accepts_writes(conn) || size == 0) {
        conn_file_unref(file);
        return;
    }
    struct conn_out *node = node_new(conn->loop, CONN_OUT_FILE, size);
    if (!node) {
        conn_file_unref(file);
        conn_fail(conn, err_origin(-ENOMEM));
        return;
    }
    node->offset = offset;
    node->file = file;
    push_node(conn, node);
}

size_t conn_unsent_bytes(const struct conn *conn) {
    return conn->unsent_bytes;
}

void conn_drop_queue(struct conn *conn) {
    while (conn->out_first) {
        pop(conn);
    }
    conn->unsent_bytes = 0;
}

/* ---- sending ---- */

static ssize_t send_parts(struct conn *conn, size_t *ret_offered) {
    struct iovec parts[PARTS_MAX];
    struct msghdr message = {.msg_iov = parts};
    struct conn_out *piece = conn->out_first;
    size_t offered = 0;
    for (; piece && piece->kind != CONN_OUT_FILE && message.msg_iovlen < PARTS_MAX &&
           offered < FLUSH_BUDGET;
         piece = piece->next) {
        parts[message.msg_iovlen++] = (struct iovec){(void *)(uintptr_t)piece->data, piece->size};
        offered += piece->size;
    }
    *ret_offered = offered;
    /* The head of an answer and the file behind it belong in one packet. */
    return sendmsg(conn->fd, &message, MSG_NOSIGNAL | (piece ? MSG_MORE : 0));
}

static ssize_t send_file(struct conn *conn, size_t *ret_offered) {
    struct conn_out *piece = conn->out_first;
    off_t offset = (off_t)piece->offset;
    *ret_offered = MIN(piece->size, (size_t)FLUSH_BUDGET);
    ssize_t n = sendfile(conn->fd, piece->file->fd, &offset, *ret_offered);
    if (n == 0) { /* the file ends before the range that was promised to the peer */
        errno = EIO;
        return -1;
    }
    return n;
}

static void sent(struct conn *conn, size_t size) {
    conn->active_ns = conn->progress_ns = loop_now_ns(conn->loop);
    conn->unsent_bytes -= size;
    if (conn->full && conn->unsent_bytes <= conn->high_bytes / 2) {
        conn->full = false;
    }
    while (size > 0) {
        struct conn_out *piece = conn->out_first;
        if (size < piece->size) {
            piece->size -= size;
            if (piece->kind == CONN_OUT_FILE) {
                piece->offset += size;
            } else {
                piece->data += size;
            }
            return;
        }
        size -= piece->size;
        pop(conn);
    }
}

void conn_flush(struct conn *conn) {
    size_t budget = FLUSH_BUDGET;
    while (conn->out_first && !conn->blocked) {
        size_t offered;
        ssize_t n = conn->out_first->kind == CONN_OUT_FILE ? send_file(conn, &offered)
                                                           : send_parts(conn, &offered);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
            conn_fail(conn, err_origin(-errno));
            return;
        }
        if (n > 0) {
            sent(conn, (size_t)n);
            budget -= MIN(budget, (size_t)n);
        }
        /* With the budget spent the rest waits for the next turn, which writability begins. */
        conn->blocked = n < (ssize_t)offered || (budget == 0 && conn->out_first);
    }
}

/* ---- files ---- */

struct conn_file *conn_file_new(int fd, void (*release)(void *userdata), void *userdata) {
    struct conn_file *file = malloc(sizeof *file);
    if (file) {
        *file = (struct conn_file){.fd = fd, .refs = 1, .release = release, .userdata = userdata};
    }
    return file;
}

struct conn_file *conn_file_ref(struct conn_file *file) {
    __atomic_add_fetch(&file->refs, 1, __ATOMIC_RELAXED);
    return file;
}

void conn_file_unref(struct conn_file *file) {
    if (file && __atomic_sub_fetch(&file->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        if (file->release) {
            file->release(file->userdata);
        }
        free(file);
    }
}
