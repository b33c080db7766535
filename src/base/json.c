/*
 * The door to cJSON. A struct json is a cJSON node under another name; nobody outside sees it.
 *
 * cJSON keeps numbers as doubles only. json_scan() has read the exact integers; adopt() walks the
 * tree in the order of the text and writes the 64 bits of the integer over the double's, with the
 * mark TYPE_EXACT beside the type. Printing is json_write.c's, so cJSON never meets such a node
 * again but to free it.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <eventbox/base/error.h>
#include <eventbox/base/hashmap.h>
#include <eventbox/base/json.h>
#include <eventbox/base/random.h>
#include <math.h>
#include <stdlib.h>

#include "json_scan.h"

enum { TYPE_MASK = 0xff, TYPE_EXACT = 1 << 16 };
enum { FEW_MEMBERS = 16 };

static const cJSON *node_of(const struct json *value) {
    return (const cJSON *)(const void *)value;
}

static const struct json *json_of(const cJSON *node) {
    return (const struct json *)(const void *)node;
}

/* Comparing each with each is cheapest for the objects that clients send. */
static bool few_names_repeat(const cJSON *object) {
    for (const cJSON *a = object->child; a; a = a->next) {
        for (const cJSON *b = a->next; b; b = b->next) {
            if (strcmp(a->string, b->string) == 0) {
                return true;
            }
        }
    }
    return false;
}

static int many_names_repeat(cJSON *object, bool *ret_repeat) {
    struct random *random = random_system();
    struct hashmap names;
    int r = 0;

    *ret_repeat = false;
    hashmap_init(&names, random_u64(random), random_u64(random));
    for (cJSON *member = object->child; member && !*ret_repeat; member = member->next) {
        void *old;
        r = hashmap_put(&names, span_text(member->string), member, &old);
        if (r) {
            break;
        }
        *ret_repeat = old != NULL;
    }
    hashmap_deinit(&names);
    return r;
}

static int check_names(cJSON *object) {
    bool repeat = false;
    unsigned count = 0;

    for (const cJSON *member = object->child; member; member = member->next) {
        count++;
    }
    if (count <= FEW_MEMBERS) {
        repeat = few_names_repeat(object);
    } else {
        int r = many_names_repeat(object, &repeat);
        if (r) {
            return err_trace(r);
        }
    }
    return repeat ? err_origin(JSON_E_DUPLICATE_KEY) : 0;
}

/*
 * Recursion is as deep as json_scan() let the text be. Returns 0, JSON_E_DUPLICATE_KEY,
 * JSON_E_INVALID for a number that no double holds (then *number is that one), or -ENOMEM.
 */
static int adopt(cJSON *node, const struct json_number **number) {
    int type = node->type & TYPE_MASK;
    int r;

    if (type == cJSON_Number) {
        if ((*number)->is_integer) {
            memcpy(&node->valuedouble, &(*number)->integer, sizeof node->valuedouble);
            node->type |= TYPE_EXACT;
        } else if (!isfinite(node->valuedouble)) {
            return err_origin(JSON_E_INVALID);
        }
        (*number)++;
        return 0;
    }
    if (type == cJSON_Object) {
        r = check_names(node);
        if (r) {
            return r;
        }
    }
    if (type == cJSON_Object || type == cJSON_Array) {
        for (cJSON *child = node->child; child; child = child->next) {
            r = adopt(child, number);
            if (r) {
                return r;
            }
        }
    }
    return 0;
}

int json_parse(struct span text, const struct json_limits *limits, struct json **ret_json,
               struct json_error *ret_error) {
    struct json_error ignored;
    struct json_error *error = ret_error ? ret_error : &ignored;
    const struct json_number *number;
    struct json_numbers numbers;
    cJSON *root = NULL;
    int r;

    r = json_scan(text, limits, &numbers, error);
    if (r) {
        goto out;
    }
    root = cJSON_ParseWithLengthOpts(text.data, text.size, NULL, 0);
    if (!root) { /* what passed json_scan() is JSON: only memory can be missing */
        r = err_origin(-ENOMEM);
        goto out;
    }
    number = numbers.items;
    r = adopt(root, &number);
    if (r == JSON_E_INVALID) {
        json_error_set(error, text, number->position, "Number out of range");
    }
out:
    free(numbers.items);
    if (r) {
        cJSON_Delete(root);
        return r;
    }
    *ret_json = (struct json *)(void *)root;
    return 0;
}

void json_free(struct json *json) {
    cJSON_Delete((cJSON *)(void *)json);
}

enum json_type json_type_of(const struct json *value) {
    const cJSON *node = node_of(value);

    switch (node->type & TYPE_MASK) {
    case cJSON_True:
    case cJSON_False:
        return JSON_BOOL;
    case cJSON_Number:
        return node->type & TYPE_EXACT ? JSON_INT : JSON_DOUBLE;
    case cJSON_String:
        return JSON_STRING;
    case cJSON_Array:
        return JSON_ARRAY;
    case cJSON_Object:
        return JSON_OBJECT;
    default:
        return JSON_NULL;
    }
}

bool json_bool(const struct json *value) {
    return (node_of(value)->type & TYPE_MASK) == cJSON_True;
}

int64_t json_int(const struct json *value) {
    int64_t integer;
    memcpy(&integer, &node_of(value)->valuedouble, sizeof integer);
    return integer;
}

double json_double(const struct json *value) {
    return node_of(value)->type & TYPE_EXACT ? (double)json_int(value)
                                             : node_of(value)->valuedouble;
}

struct span json_string(const struct json *value) {
    return span_text(node_of(value)->valuestring);
}

const struct json *json_member(const struct json *object, const char *name) {
    if (json_type_of(object) != JSON_OBJECT) {
        return NULL;
    }
    for (const cJSON *member = node_of(object)->child; member; member = member->next) {
        if (strcmp(member->string, name) == 0) {
            return json_of(member);
        }
    }
    return NULL;
}

const struct json *json_first(const struct json *container) {
    return json_of(node_of(container)->child);
}

const struct json *json_next(const struct json *value) {
    return json_of(node_of(value)->next);
}

struct span json_name(const struct json *value) {
    return span_text(node_of(value)->string);
}

static void convert(const struct json *value, const char *name, struct text *out) {
    enum json_type type = json_type_of(value);

    switch (type) {
    case JSON_NULL:
        json_write_null(out, name);
        break;
    case JSON_BOOL:
        json_write_bool(out, name, json_bool(value));
        break;
    case JSON_INT:
        json_write_int(out, name, json_int(value));
        break;
    case JSON_DOUBLE:
        json_write_double(out, name, json_double(value));
        break;
    case JSON_STRING:
        json_write_string(out, name, json_string(value));
        break;
    case JSON_ARRAY:
        json_write_array(out, name);
        for (const cJSON *child = node_of(value)->child; child; child = child->next) {
            convert(json_of(child), NULL, out);
        }
        json_write_array_end(out);
        break;
    case JSON_OBJECT:
        json_write_object(out, name);
        for (const cJSON *child = node_of(value)->child; child; child = child->next) {
            convert(json_of(child), child->string, out);
        }
        json_write_object_end(out);
        break;
    }
}

void json_convert(const struct json *value, struct text *out) {
    convert(value, NULL, out);
}
