/* DATABASE_URL, in the words of the original (SQLAlchemy's database URLs). */
#pragma once

#include <eventbox/base/defs.h>

struct store_engine_ops;

/**
 * store_url_parse() - which engine serves @url, and what it opens
 * @ret_location: points into @url: the path of a file
 * Return: 0; CONF_E_VALUE with an explanation by store_say().
 */
int store_url_parse(const char *url, const struct store_engine_ops **ret_ops,
                    const char **ret_location);
