/*
 * Which modules run, in which order, and the life of each: allocate, init, start, stop, free.
 *
 * A module names the ports it requires ("store", "topics") and provides. "store" is the host's own.
 * The order of starting puts every provider before those who need it, and keeps the order of
 * tbl/modules.h otherwise; stopping is the reverse.
 */
#include "host_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_STORE  "store"
#define PORT_TOPICS "topics"

static bool names_port(const char *const *ports, const char *port) {
    for (; ports && *ports; ports++) {
        if (strcmp(*ports, port) == 0) {
            return true;
        }
    }
    return false;
}

bool registry_is_early(const struct host_module *module) {
    return !module->module->requires || !module->module->requires[0];
}

/* ---- choosing ---- */

static const struct module *find_module(const struct host *host, const char *name, size_t size) {
    for (size_t i = 0; i < host->config->module_count; i++) {
        const struct module *module = host->config->modules[i];
        if (strlen(module->name) == size && memcmp(module->name, name, size) == 0) {
            return module;
        }
    }
    return NULL;
}

/* The modules of the setting, each once, in the order of the binary's table. */
static int pick(struct host *host, const struct module **ret_picked, size_t *ret_count) {
    const char *list = host->settings.modules;
    bool wanted[HOST_MODULES_MAX] = {false};
    bool all = list[0] == '\0' || strcmp(list, "all") == 0;
    while (!all && *list) {
        list += strspn(list, ", \t");
        size_t size = strcspn(list, ", \t");
        const struct module *module = find_module(host, list, size);
        if (size > 0 && !module) {
            return host_fail(host, -EINVAL, "modules = %s: no module %.*s", host->settings.modules,
                             (int)size, list); /* conf_finish() tells more */
        }
        for (size_t i = 0; i < host->config->module_count; i++) {
            wanted[i] |= host->config->modules[i] == module;
        }
        list += size;
    }
    for (size_t i = 0; i < host->config->module_count; i++) {
        if (all || wanted[i]) {
            ret_picked[(*ret_count)++] = host->config->modules[i];
        }
    }
    return 0;
}

static const char *provider_of(const struct host *host, const char *port) {
    for (size_t i = 0; i < host->config->module_count; i++) {
        if (names_port(host->config->modules[i]->provides, port)) {
            return host->config->modules[i]->name;
        }
    }
    return NULL;
}

/* A port that @module needs and that none of the modules chosen so far gives; NULL: none is
 * missing. */
static const char *missing_port(const struct host *host, const struct module *module) {
    for (const char *const *port = module->requires; port && *port; port++) {
        bool there = strcmp(*port, PORT_STORE) == 0;
        for (size_t i = 0; i < host->module_count && !there; i++) {
            there = names_port(host->modules[i].module->provides, *port);
        }
        if (!there) {
            return *port;
        }
    }
    return NULL;
}

static int report_missing_port(struct host *host, const struct module *module) {
    const char *port = missing_port(host, module);
    const char *provider = provider_of(host, port);
    return host_fail(host, -EINVAL, "modules = %s (%s): %s needs \"%s\"; add %s",
                     host->settings.modules,
                     conf_describe(host->config->conf, CONF_HOST_SECTION, "modules"), module->name,
                     port, provider ? provider : "a module that provides it");
}

int registry_choose(struct host *host) {
    const struct module *picked[HOST_MODULES_MAX];
    size_t left = 0;
    int r = pick(host, picked, &left);
    if (r) {
        return r;
    }
    if (left == 0) {
        return host_fail(host, -EINVAL, "no module is left to start; name some with --modules");
    }
    while (left > 0) {
        size_t ready = 0;
        while (ready < left && missing_port(host, picked[ready])) {
            ready++;
        }
        if (ready == left) {
            return report_missing_port(host, picked[0]);
        }
        struct host_module *module = &host->modules[host->module_count++];
        module->host = host;
        module->module = picked[ready];
        host->needs_store |= names_port(picked[ready]->requires, PORT_STORE);
        memmove(&picked[ready], &picked[ready + 1], (left - ready - 1) * sizeof *picked);
        left--;
    }
    return 0;
}

/* ---- settings of modules ---- */

static const struct conf_row *find_row(const struct module *module, const char *name) {
    for (const struct conf_row *row = module->conf; row && row->name; row++) {
        if (strcmp(row->name, name) == 0) {
            return row;
        }
    }
    return NULL;
}

/* The host's rows for @module; the owner of the bare PORT owns the bare DEBUG too. */
static const struct conf_row *extra_rows(const struct module *module) {
    if (find_row(module, "debug")) {
        return NULL;
    }
    const struct conf_row *port = find_row(module, "port");
    bool bare = port && port->env_alias && strcmp(port->env_alias, "PORT") == 0;
    return bare ? host_module_rows_bare : host_module_rows;
}

int host_conf_new(const struct module *const *modules, size_t module_count,
                  struct conf **ret_conf) {
    struct conf_group groups[1 + 2 * HOST_MODULES_MAX];
    size_t count = 0;
    groups[count++] = (struct conf_group){
        CONF_HOST_SECTION, "The process: data, modules, logging, limits.", host_settings_rows};
    for (size_t i = 0; i < MIN(module_count, (size_t)HOST_MODULES_MAX); i++) {
        const struct module *module = modules[i];
        groups[count++] = (struct conf_group){module->name, module->summary, module->conf};
        if (extra_rows(module)) {
            groups[count++] = (struct conf_group){module->name, NULL, extra_rows(module)};
        }
    }
    return conf_new(groups, count, ret_conf);
}

void registry_apply_settings(struct host *host) {
    struct conf *conf = host->config->conf;
    for (size_t i = 0; i < host->module_count; i++) {
        struct host_module *module = &host->modules[i];
        conf_apply(conf, module->module->name, module->module->conf, module->state);
        if (module->extra_rows) {
            conf_apply(conf, module->module->name, module->extra_rows, &module->settings);
        }
        const struct conf_row *own = find_row(module->module, "debug");
        bool own_debug = own && own->type == CONF_BOOL &&
                         *(const bool *)((const char *)module->state + own->offset);
        module->logger.debug = module->settings.debug || own_debug;
    }
}

bool registry_check_settings(struct host *host, struct conf *fresh, struct text *ret_why) {
    for (size_t i = 0; i < host->module_count; i++) {
        const struct module *module = host->modules[i].module;
        const char *message = NULL;
        void *trial = module->check ? calloc(1, MAX(module->state_size, (size_t)1)) : NULL;
        if (!module->check) {
            continue;
        }
        if (!trial) {
            text_append_str(ret_why, err_text(-ENOMEM));
            return false;
        }
        conf_apply(host->config->conf, module->name, module->conf, trial);
        conf_apply_reloadable(fresh, module->name, module->conf, trial);
        int r = module->check(trial, &message);
        free(trial);
        if (r) {
            text_printf(ret_why, "%s: %s", module->name, message ? message : err_text(r));
            return false;
        }
    }
    return true;
}

int registry_check_idle(struct host *host) {
    const char *why = NULL;
    for (size_t i = 0; i < host->module_count; i++) {
        const struct host_module *module = &host->modules[i];
        why = module->module->idle ? module->module->idle(module->state) : NULL;
        if (!why) {
            return 0;
        }
    }
    return host_fail(host, -EINVAL,
                     "modules = %s (%s): nothing is left to do, since %s; turn that on, or name "
                     "another module",
                     host->settings.modules,
                     conf_describe(host->config->conf, CONF_HOST_SECTION, "modules"), why);
}

/* ---- life ---- */

static bool has_http(const struct host_module *module) {
    return module->module->http.port_offset != module->module->http.host_offset;
}

static const char *http_host(const struct host_module *module) {
    return *(char *const *)(void *)((char *)module->state + module->module->http.host_offset);
}

static int64_t *http_port_field(const struct host_module *module) {
    return (int64_t *)(void *)((char *)module->state + module->module->http.port_offset);
}

static int64_t http_port(const struct host_module *module) {
    return *http_port_field(module);
}

static int allocate_module(struct host_module *module) {
    struct host *host = module->host;
    const struct module *descriptor = module->module;
    module->state = calloc(1, MAX(descriptor->state_size, (size_t)1));
    module->extra_rows = extra_rows(descriptor);
    module->logger = (struct logger){.log = &host->log, .service = descriptor->service};
    int r = module->state ? 0 : -ENOMEM;
    r = r ? r : metric_set_init(&module->metrics, &host->metrics, descriptor->metrics, NULL);
    module->metrics.collect = descriptor->collect;
    module->metrics.userdata = module->state;
    if (!r && has_http(module)) {
        r = health_service_init(module);
    }
    return r;
}

int registry_allocate(struct host *host) {
    for (size_t i = 0; i < host->module_count; i++) {
        int r = host->modules[i].module->abi == MODULE_ABI ? allocate_module(&host->modules[i])
                                                           : -ENOEXEC;
        if (r) {
            return host_fail(host, r, "module %s: %s", host->modules[i].module->name, err_text(r));
        }
    }
    registry_apply_settings(host);
    return 0;
}

static int check_listener(struct host_module *module) {
    struct host *host = module->host;
    if (!has_http(module) || listener_is_loopback(http_host(module)) || host->settings.insecure) {
        return 0;
    }
    return host_fail(host, -EPERM,
                     "host = %s (%s) is off loopback, where there is no TLS yet; use 127.0.0.1, or "
                     "allow it with --insecure",
                     http_host(module),
                     conf_describe(host->config->conf, module->module->name, "host"));
}

int registry_init_module(struct host_module *module) {
    struct host *host = module->host;
    const char *message = NULL;
    module->context = (struct module_context){
        .host = host,
        .loop = host->loop,
        .clock = host->clock,
        .random = host->random,
        .work = host->work,
        .disk = host->disk,
        .space = host->space,
        .store = host->store,
        .topics = host->topics,
        .log = &module->logger,
        .metrics = module->metrics.metrics,
        .cluster_id = host->cluster_id,
        .data_path = host->data_path,
        .insecure = host->settings.insecure,
        .drain_ms = host->settings.drain_ms,
    };
    int r = check_listener(module);
    if (r) {
        return r;
    }
    r = module->module->check ? module->module->check(module->state, &message) : 0;
    r = r ? r : module->module->init(module->state, &module->context, &message);
    if (r) {
        return host_fail(host, r, "%s: %s", module->module->name, message ? message : err_text(r));
    }
    module->phase = HOST_MODULE_INITIALIZED;
    if (names_port(module->module->provides, PORT_TOPICS) && module->module->topic_port) {
        host->topics = module->module->topic_port(module->state);
    }
    module->log_sink = module->module->log_sink ? module->module->log_sink(module->state) : NULL;
    if (module->log_sink) {
        log_add_sink(&host->log, module->log_sink);
    }
    return 0;
}

static int report_listener(struct host_module *module, int r) {
    const char *name = module->module->name;
    const char *service = module->module->http.service;
    int port = (int)http_port(module);
    if (r == -EADDRINUSE) {
        return host_fail(module->host, r,
                         "port %d (%s.port) is in use: stop the program that listens there, or "
                         "choose another port for %s with --%s.port=%d",
                         port, name, service, name, port < 65000 ? port + 100 : 8000);
    }
    return host_fail(module->host, r,
                     "%s cannot listen on %s port %d (%s.host, %s.port): %s; choose others with "
                     "--%s.host and --%s.port",
                     service, http_host(module), port, name, name, err_text(r), name, name);
}

static int open_service(struct host_module *module) {
    struct host *host = module->host;
    const struct host_settings *settings = &host->settings;
    const struct listener_config listen = {http_host(module), (uint16_t)http_port(module), 1024};
    const struct http_limits limits = {
        .head_bytes = (size_t)settings->http_head_bytes,
        .head_fields = (unsigned)settings->http_head_fields,
        .target_bytes = (size_t)settings->http_target_bytes,
        .body_bytes = (size_t)settings->http_body_bytes,
        .pipelined_requests = (unsigned)settings->http_pipelined,
        .connections = (unsigned)settings->http_connections,
        .head_ms = settings->http_head_ms,
        .body_ms = settings->http_body_ms,
        .idle_ms = settings->http_idle_ms,
        .request_memory_bytes = (size_t)settings->http_request_memory_bytes,
    };
    log_limit_init(&module->service.rejects, host->loop, health_tell_rejects);
    int r = http_server_open(host->loop, host->random, &module->service.http, &listen, &limits,
                             &module->service.server);
    if (r) {
        return report_listener(module, r);
    }
    *http_port_field(module) = http_server_port(module->service.server); /* 0 took a free one */
    return 0;
}

static void on_started(void *userdata, int status) {
    struct host_module *module = userdata;
    if (status) {
        const char *why = module->module->failure ? module->module->failure(module->state) : NULL;
        host_fail(module->host, status, "%s: %s", module->module->name,
                  why ? why : err_text(status));
    } else if (has_http(module)) {
        status = open_service(module);
    }
    module->phase = status ? HOST_MODULE_FAILED : HOST_MODULE_STARTED;
    host_pending_done(module->host, status);
}

void registry_start_module(struct host_module *module) {
    module->phase = HOST_MODULE_STARTING;
    module->module->start(module->state, on_started, module);
}

static void on_module_stopped(void *userdata, int status) {
    struct host_module *module = userdata;
    module->phase = HOST_MODULE_STOPPED;
    if (module->log_sink) {
        log_remove_sink(&module->host->log, module->log_sink);
    }
    host_pending_done(module->host, 0);
}

void registry_stop_module(struct host_module *module) {
    if (module->phase < HOST_MODULE_STARTING || module->phase == HOST_MODULE_STOPPED) {
        host_pending_done(module->host, 0);
        return;
    }
    module->module->stop(module->state, on_module_stopped, module);
}

void registry_free(struct host *host) {
    for (size_t i = host->module_count; i-- > 0;) {
        struct host_module *module = &host->modules[i];
        if (module->log_sink) {
            log_remove_sink(&host->log, module->log_sink);
        }
        if (module->phase != HOST_MODULE_IDLE && module->module->fini) {
            module->module->fini(module->state);
        }
        metric_set_deinit(&module->metrics);
        metric_set_deinit(&module->service.metrics);
        free(module->state);
    }
}
