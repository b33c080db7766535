/*
 * The only door to libcurl. Its multi interface runs on the loop: libcurl says which sockets it
 * wants watched and when it wants to be woken, and is called for nothing else.
 *
 * libcurl is loaded when the first request is sent. Linked, it and the thirty libraries behind it
 * would cost every start 5 ms and 6 MB, also where no mail ever leaves (measured).
 *
 * Never twice. On a reused connection that ends without an answer libcurl sends the request once
 * more, and the caller sees one clean answer. A body that comes from a read callback must be
 * rewound for that, and our seek callback refuses: the transfer then fails with
 * CURLE_SEND_FAIL_REWIND. Requests without a body have nothing to rewind; unless they are safe
 * (GET, HEAD) they get a connection of their own.
 *
 * Outcome, by what is known of the peer having taken the request:
 *
 *   a final status line (200 and up) came              ANSWERED, whatever happened after it
 *   the peer's certificate was refused                 TLS
 *   the rewind was refused                             UNKNOWN
 *   not one byte of the request left                   NOT_SENT
 *   libcurl had not taken all of the body from us      NOT_SENT: the peer knows that some is
 * missing anything else                                      UNKNOWN
 */
#include <eventbox/http/client.h>

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <eventbox/base/error.h>
#include <eventbox/base/list.h>
#include <eventbox/base/text.h>
#include <eventbox/loop/timer.h>
#include <eventbox/loop/watch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ANSWER_BODY_MAX = 64 * 1024, FIELD_SIZE = 256, CONNECTIONS_MAX = 16 };

/* The functions used of libcurl.so.4: return type, name, arguments. */
#define CURL_FUNCTIONS(X)                                                                          \
    X(CURLcode, global_init, (long))                                                               \
    X(CURL *, easy_init, (void))                                                                   \
    X(void, easy_cleanup, (CURL *))                                                                \
    X(CURLcode, easy_setopt, (CURL *, CURLoption, ...))                                            \
    X(CURLcode, easy_getinfo, (CURL *, CURLINFO, ...))                                             \
    X(const char *, easy_strerror, (CURLcode))                                                     \
    X(struct curl_slist *, slist_append, (struct curl_slist *, const char *))                      \
    X(void, slist_free_all, (struct curl_slist *))                                                 \
    X(CURLM *, multi_init, (void))                                                                 \
    X(CURLMcode, multi_cleanup, (CURLM *))                                                         \
    X(CURLMcode, multi_setopt, (CURLM *, CURLMoption, ...))                                        \
    X(CURLMcode, multi_add_handle, (CURLM *, CURL *))                                              \
    X(CURLMcode, multi_remove_handle, (CURLM *, CURL *))                                           \
    X(CURLMcode, multi_assign, (CURLM *, curl_socket_t, void *))                                   \
    X(CURLMcode, multi_socket_action, (CURLM *, curl_socket_t, int, int *))                        \
    X(CURLMsg *, multi_info_read, (CURLM *, int *))

static struct {
    void *library;
#define MEMBER(type, name, arguments) type(*name) arguments;
    CURL_FUNCTIONS(MEMBER)
#undef MEMBER
} curl;

struct http_client {
    struct loop *loop;
    CURLM *multi; /* NULL before the first request */
    struct timer timer;
    struct list calls;
};

struct http_client_call {
    struct list link;
    struct http_client *client;
    CURL *easy;
    struct curl_slist *headers;
    char *body;
    size_t body_size, body_taken; /* by libcurl */
    bool rewind_refused;
    struct text answer;
    char retry_after[FIELD_SIZE], message_id[FIELD_SIZE], ratelimit_reset[FIELD_SIZE];
    char error[CURL_ERROR_SIZE];
    http_client_done_fn done;
    void *userdata;
};

/* Loads and initializes once a process. */
static int curl_load(void) {
    if (curl.library) {
        return 0;
    }
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        return err_origin(-ELIBACC);
    }
    bool complete = true;
#define LOAD(type, name, arguments)                                                                \
    *(void **)&curl.name = dlsym(library, "curl_" #name);                                          \
    complete &= curl.name != NULL;
    CURL_FUNCTIONS(LOAD)
#undef LOAD
    if (!complete || curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        dlclose(library);
        return err_origin(-ELIBACC);
    }
    curl.library = library;
    return 0;
}

/* Body out, answer in. */

static size_t on_read(char *out, size_t size, size_t count, void *userdata) {
    struct http_client_call *call = userdata;
    size_t part = MIN(size * count, call->body_size - call->body_taken);
    memcpy(out, call->body + call->body_taken, part);
    call->body_taken += part;
    return part;
}

static int on_seek(void *userdata, curl_off_t offset, int origin) {
    struct http_client_call *call = userdata;
    call->rewind_refused = true;
    return CURL_SEEKFUNC_FAIL;
}

static size_t on_body(char *data, size_t size, size_t count, void *userdata) {
    struct http_client_call *call = userdata;
    size_t part = MIN(size * count, ANSWER_BODY_MAX - call->answer.size);
    text_append(&call->answer, data, part);
    return part; /* less than came ends the transfer: the status line has decided */
}

static void take_field(const char *line, size_t size, const char *name, char out[FIELD_SIZE]) {
    size_t name_size = strlen(name);
    if (size <= name_size || line[name_size] != ':' || strncasecmp(line, name, name_size) != 0) {
        return;
    }
    const char *at = line + name_size + 1;
    const char *end = line + size;
    while (at < end && (*at == ' ' || *at == '\t')) {
        at++;
    }
    while (end > at && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) {
        end--;
    }
    size_t value_size = MIN((size_t)(end - at), (size_t)FIELD_SIZE - 1);
    memcpy(out, at, value_size);
    out[value_size] = '\0';
}

static size_t on_header(char *line, size_t size, size_t count, void *userdata) {
    struct http_client_call *call = userdata;
    size *= count;
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) { /* what an interim answer said is void */
        call->retry_after[0] = call->message_id[0] = call->ratelimit_reset[0] = '\0';
    }
    take_field(line, size, "retry-after", call->retry_after);
    take_field(line, size, "x-message-id", call->message_id);
    take_field(line, size, "x-ratelimit-reset", call->ratelimit_reset);
    return size;
}

/* The end of a call. */

static bool is_tls_failure(CURLcode code) {
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return true;
    default:
        return false;
    }
}

static enum http_client_outcome classify(const struct http_client_call *call, CURLcode code,
                                         long status) {
    long request_size = 0;
    curl.easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &request_size);
    if (status >= 200) {
        return HTTP_CLIENT_ANSWERED;
    }
    if (call->rewind_refused || code == CURLE_SEND_FAIL_REWIND) {
        return HTTP_CLIENT_UNKNOWN;
    }
    if (request_size == 0) {
        return is_tls_failure(code) ? HTTP_CLIENT_TLS : HTTP_CLIENT_NOT_SENT;
    }
    return call->body_taken < call->body_size ? HTTP_CLIENT_NOT_SENT : HTTP_CLIENT_UNKNOWN;
}

static void call_free(struct http_client_call *call) {
    if (!call) {
        return;
    }
    if (call->easy) {
        curl.easy_cleanup(call->easy);
    }
    curl.slist_free_all(call->headers);
    text_deinit(&call->answer);
    free(call->body);
    free(call);
}

static struct span field_span(const char *field) {
    return field[0] ? span_text(field) : SPAN_NULL;
}

static void call_finish(struct http_client_call *call, CURLcode code) {
    long status = 0;
    curl.easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    struct http_client_answer answer = {.outcome = classify(call, code, status), .error = ""};
    if (answer.outcome == HTTP_CLIENT_ANSWERED) {
        answer.status = (int)status;
        answer.body = text_span(&call->answer);
        answer.retry_after = field_span(call->retry_after);
        answer.message_id = field_span(call->message_id);
        answer.ratelimit_reset = field_span(call->ratelimit_reset);
    } else if (call->rewind_refused) {
        answer.error = "the connection was closed without an answer after the request was sent";
    } else {
        answer.error = call->error[0] ? call->error : curl.easy_strerror(code);
    }
    curl.multi_remove_handle(call->client->multi, call->easy);
    list_remove(&call->link);
    call->done(call->userdata, &answer);
    call_free(call);
}

/* Between libcurl and the loop. */

static void act(struct http_client *client, curl_socket_t fd, int events) {
    int running;
    CURLMsg *message;
    int left;
    curl.multi_socket_action(client->multi, fd, events, &running);
    while ((message = curl.multi_info_read(client->multi, &left))) {
        char *call = NULL;
        if (message->msg == CURLMSG_DONE) {
            CURLcode code = message->data.result; /* the message dies with the handle */
            curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
            call_finish((struct http_client_call *)(void *)call, code);
        }
    }
}

static void on_ready(void *userdata, int fd, int events) {
    int ready =
        (events & WATCH_READ ? CURL_CSELECT_IN : 0) | (events & WATCH_WRITE ? CURL_CSELECT_OUT : 0);
    act(userdata, fd, ready);
}

static void on_timer(struct timer *timer) {
    act(container_of(timer, struct http_client, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *userdata) {
    struct http_client *client = userdata;
    if (timeout_ms < 0) {
        timer_stop(&client->timer);
    } else {
        timer_start_ms(&client->timer, timeout_ms);
    }
    return 0;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socketp) {
    struct http_client *client = userdata;
    struct watch *watch = socketp;
    int events = (what & CURL_POLL_IN ? WATCH_READ : 0) | (what & CURL_POLL_OUT ? WATCH_WRITE : 0);
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            watch_stop(watch);
            curl.multi_assign(client->multi, fd, NULL);
        }
        return 0;
    }
    if (watch) {
        return watch_change(watch, events) ? -1 : 0;
    }
    if (watch_start(client->loop, fd, events, on_ready, client, &watch)) {
        return -1; /* every transfer fails, and says so */
    }
    curl.multi_assign(client->multi, fd, watch);
    return 0;
}

static int multi_make(struct http_client *client) {
    int rc = client->multi ? 0 : curl_load();
    if (rc || client->multi) {
        return rc;
    }
    client->multi = curl.multi_init();
    if (!client->multi) {
        return err_origin(-ENOMEM);
    }
    curl.multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl.multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl.multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl.multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl.multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
    return 0;
}

/* A request. */

static int add_header(struct http_client_call *call, const char *name, const char *value) {
    if (strpbrk(name, "\r\n:") || strpbrk(value, "\r\n")) {
        return err_origin(-EINVAL);
    }
    struct text line;
    text_init(&line);
    /* libcurl drops "Name:" and sends an empty field for "Name;" */
    text_printf(&line, value[0] ? "%s: %s" : "%s;", name, value);
    struct curl_slist *list = line.data ? curl.slist_append(call->headers, line.data) : NULL;
    text_deinit(&line);
    if (!list) {
        return err_origin(-ENOMEM);
    }
    call->headers = list;
    return 0;
}

static int set_headers(struct http_client_call *call, const struct http_client_request *request) {
    bool has_type = false;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_client_header *header = &request->headers[i];
        int rc = add_header(call, header->name, header->value);
        if (rc) {
            return rc;
        }
        has_type |= strcasecmp(header->name, "content-type") == 0;
    }
    /* No 100-continue, and no form type that nobody asked for. */
    struct curl_slist *list = curl.slist_append(call->headers, "Expect:");
    if (list && !has_type) {
        list = curl.slist_append(call->headers = list, "Content-Type:");
    }
    if (!list) {
        return err_origin(-ENOMEM);
    }
    call->headers = list;
    return 0;
}

static void set_method(struct http_client_call *call, const char *method) {
    CURL *easy = call->easy;
    bool is_get = strcmp(method, "GET") == 0;
    bool is_head = strcmp(method, "HEAD") == 0;
    if (is_head) {
        curl.easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (!is_get || call->body_size) {
        curl.easy_setopt(easy, CURLOPT_POST, 1L);
        curl.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_size);
        curl.easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    }
    if (!call->body_size && !is_get && !is_head) {
        curl.easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    }
}

static void set_options(struct http_client_call *call, const struct http_client_request *request) {
    CURL *easy = call->easy;
    curl.easy_setopt(easy, CURLOPT_URL, request->url);
    curl.easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl.easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    curl.easy_setopt(easy, CURLOPT_USERAGENT, "eventbox/" EVENTBOX_VERSION);
    curl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl.easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl.easy_setopt(easy, CURLOPT_PROXY, ""); /* also keeps the environment's out */
    curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms);
    curl.easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->total_ms);
    curl.easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    curl.easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl.easy_setopt(easy, CURLOPT_READDATA, call);
    curl.easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
    curl.easy_setopt(easy, CURLOPT_SEEKDATA, call);
    curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl.easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl.easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl.easy_setopt(easy, CURLOPT_HEADERDATA, call);
}

static int call_prepare(struct http_client_call *call, const struct http_client_request *request) {
    call->easy = curl.easy_init();
    call->body = malloc(MAX(request->body.size, (size_t)1));
    if (!call->easy || !call->body) {
        return err_origin(-ENOMEM);
    }
    call->body_size = request->body.size;
    if (call->body_size) {
        memcpy(call->body, request->body.data, call->body_size);
    }
    int rc = set_headers(call, request);
    if (rc) {
        return rc;
    }
    set_options(call, request);
    set_method(call, request->method);
    return 0;
}

int http_client_new(struct loop *loop, struct http_client **ret_client) {
    struct http_client *client = calloc(1, sizeof *client);
    if (!client) {
        return err_origin(-ENOMEM);
    }
    client->loop = loop;
    list_init(&client->calls);
    timer_init(&client->timer, loop, on_timer);
    *ret_client = client;
    return 0;
}

void http_client_free(struct http_client *client) {
    if (!client) {
        return;
    }
    while (!list_empty(&client->calls)) {
        struct http_client_call *call =
            list_entry(client->calls.next, struct http_client_call, link);
        call_finish(call, CURLE_ABORTED_BY_CALLBACK);
    }
    if (client->multi) {
        curl.multi_cleanup(client->multi);
    }
    timer_stop(&client->timer);
    free(client);
}

int http_client_send(struct http_client *client, const struct http_client_request *request,
                     struct http_client_call **ret_call) {
    int rc = multi_make(client);
    if (rc) {
        return err_trace(rc);
    }
    struct http_client_call *call = calloc(1, sizeof *call);
    if (!call) {
        return err_origin(-ENOMEM);
    }
    call->client = client;
    call->done = request->done;
    call->userdata = request->userdata;
    rc = call_prepare(call, request);
    if (!rc && curl.multi_add_handle(client->multi, call->easy) != CURLM_OK) {
        rc = err_origin(-ENOMEM);
    }
    if (rc) {
        call_free(call);
        return err_trace(rc);
    }
    list_push_back(&client->calls, &call->link);
    if (ret_call) {
        *ret_call = call;
    }
    return 0;
}
