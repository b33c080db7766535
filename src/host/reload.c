/*
 * SIGHUP: the settings are read again as at a start, and checked as at a start, before any of them
 * acts. A mistake is one line, and everything stays as it was.
 */
#include "host_internal.h"

static void refuse(struct host *host, const char *reason) {
    log_emit(&host->logger, LOG_HOST_RELOAD_FAILED, NULL, LOG_TEXT("reason", reason));
}

static void take(struct host *host, struct conf *fresh) {
    struct conf *conf = host->config->conf;
    size_t changed = conf_take_reloadable(conf, fresh);
    conf_apply(conf, CONF_HOST_SECTION, host_settings_rows, &host->settings);
    registry_apply_settings(host);
    host->log.level = (enum log_level)host->settings.log_level;
    console_set_format(host->console, (enum console_format)host->settings.log_format);
    for (size_t i = 0; i < host->module_count; i++) {
        struct host_module *module = &host->modules[i];
        module->context.drain_ms = host->settings.drain_ms;
        if (module->module->reload && module->phase == HOST_MODULE_STARTED) {
            module->module->reload(module->state);
        }
    }
    log_emit(&host->logger, LOG_HOST_RELOADED, NULL, LOG_INT("changed", (int64_t)changed),
             LOG_TEXT("kept", conf_warnings(conf)));
}

void reload_settings(struct host *host) {
    const struct host_config *config = host->config;
    struct conf *fresh = config->reread ? config->reread(config->userdata) : NULL;
    struct text why;
    text_init(&why);
    if (!fresh) {
        refuse(host, "settings cannot be read");
    } else if (conf_mistakes(fresh)[0]) {
        refuse(host, conf_mistakes(fresh));
    } else if (!registry_check_settings(host, fresh, &why)) {
        text_append_char(&why, '\0');
        refuse(host, text_failed(&why) ? "no memory to check the settings" : why.data);
    } else {
        take(host, fresh);
    }
    text_deinit(&why);
    conf_free(fresh);
}
