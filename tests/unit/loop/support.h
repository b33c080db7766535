/* What every test of loop/ begins with. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <eventbox/base/clock.h>
#include <eventbox/base/error.h>
#include <eventbox/base/random.h>
#include <eventbox/loop/loop.h>
