/* The command line, as main sees it. */
#pragma once

#include <eventbox/host/module.h>

/** cli_main() - read the command line, run the command of the table in src/cli/cli.c. Return: the
 * exit code */
int cli_main(int argc, char **argv, const struct module *const *modules, size_t module_count);
