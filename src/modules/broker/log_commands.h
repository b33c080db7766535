/* Commands of the broker for the command line. */
#pragma once

#include <eventbox/host/module.h>

/** log_commands - `eventbox log verify`, `eventbox log dump`; ends with a row of zeros */
extern const struct module_command log_commands[];
