/*
 * The start-up screen: where everything is and what to try next. Modules add lines by describe():
 * "label<tab>text", where the label "try" collects at the end.
 */
#include "host_internal.h"

#include <errno.h>
#include <stdio.h>

enum { LABEL_WIDTH = 22 };

static void print_lines(const struct text *lines, bool tries) {
    const char *line = lines->data ? lines->data : "";
    while (*line) {
        const char *end = strchrnul(line, '\n');
        const char *tab = memchr(line, '\t', (size_t)(end - line));
        bool is_try = strncmp(line, "try\t", 4) == 0;
        if (tab && is_try && tries) {
            printf("    %.*s\n", (int)(end - tab - 1), tab + 1);
        } else if (tab && !is_try && !tries) {
            printf("  %-*.*s  %.*s\n", LABEL_WIDTH, (int)(tab - line), line, (int)(end - tab - 1),
                   tab + 1);
        }
        line = *end ? end + 1 : end;
    }
}

static void describe_service(const struct host_module *module, struct text *lines) {
    const char *const *address =
        (const char *const *)(const void *)((const char *)module->state +
                                            module->module->http.host_offset);
    /* Every loopback name is reached as localhost; an address of all interfaces as well. */
    bool here = listener_is_loopback(*address) || strcmp(*address, "0.0.0.0") == 0 ||
                strcmp(*address, "::") == 0;
    bool v6 = !here && strchr(*address, ':');
    text_printf(lines, "%s\thttp://%s%s%s:%d  (documentation: /docs)\n",
                module->module->http.service, v6 ? "[" : "", here ? "localhost" : *address,
                v6 ? "]" : "", http_server_port(module->service.server));
}

/* The services that people talk to first, then what they stand on. */
static void describe_modules(const struct host *host, bool early, struct text *lines) {
    for (size_t i = 0; i < host->module_count; i++) {
        const struct host_module *module = &host->modules[i];
        if (registry_is_early(module) != early) {
            continue;
        }
        if (module->service.server) {
            describe_service(module, lines);
        }
        if (module->module->describe) {
            module->module->describe(module->state, lines);
        }
    }
}

void banner_print(struct host *host) {
    struct text lines;
    text_init(&lines);
    describe_modules(host, false, &lines);
    describe_modules(host, true, &lines);
    text_printf(&lines, "data\t%s\n", host->data_path);
    if (host->settings.database_url[0] && host->needs_store) {
        text_printf(&lines, "database\t%s\n", host->settings.database_url);
    }
    printf("\n  eventbox %s is ready; Ctrl-C stops it\n\n", EVENTBOX_VERSION);
    print_lines(&lines, false);
    printf("\n  Try in another terminal:\n");
    print_lines(&lines, true);
    printf("    %s conf print      # every setting, with its names and default\n\n",
           program_invocation_name); /* as it was called: it need not be in PATH */
    fflush(stdout);
    text_deinit(&lines);
}
