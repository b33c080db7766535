/*
 * The binary: its table of modules, handed to the command line. A build with -DEXTRA_MODULE=name
 * has one module more: tests/module does so with the example.
 */
#include <eventbox/cli.h>

#define MODULE_OF(name) MODULE(name)
#define MODULE(name)    extern const struct module name##_module;
#include <eventbox/tbl/modules.h>
#ifdef EXTRA_MODULE
MODULE_OF(EXTRA_MODULE)
#endif
#undef MODULE

static const struct module *const modules[] = {
#define MODULE(name) &name##_module,
#include <eventbox/tbl/modules.h>
#ifdef EXTRA_MODULE
    MODULE_OF(EXTRA_MODULE)
#endif
#undef MODULE
};

int main(int argc, char **argv) {
    return cli_main(argc, argv, modules, ARRAY_SIZE(modules));
}
