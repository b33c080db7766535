/* The binary: its table of modules, handed to the command line. */
#include <eventbox/host/module.h>

#include "cli.h"

#define MODULE(name) extern const struct module name##_module;
#include MODULES_TABLE
#undef MODULE

static const struct module *const modules[] = {
#define MODULE(name) &name##_module,
#include MODULES_TABLE
#undef MODULE
};

int main(int argc, char **argv) {
    return cli_main(argc, argv, modules, ARRAY_SIZE(modules));
}
