/*
 * OpenAPI 3.1 of a service, from the same tables that route and validate: what is documented cannot
 * drift from what is done.
 */
#include "exchange.h"

#include <errno.h>
#include <eventbox/base/error.h>
#include <string.h>

static const char *method_name(enum http_method method) {
    static const char *const names[] = {"get", "post", "put", "patch", "delete", "head", "options"};
    return names[method];
}

static void write_str(struct text *out, const char *name, const char *value) {
    if (value) {
        json_write_string(out, name, span_text(value));
    }
}

static void write_raw(struct text *out, const char *name, const char *json) {
    if (json) {
        json_write_raw(out, name, span_text(json));
    }
}

/* Schemas of rows. */

static const char *type_name(enum body_type type) {
    switch (type) {
    case BODY_INT:
        return "integer";
    case BODY_BOOL:
        return "boolean";
    case BODY_OBJECT:
        return "object";
    default:
        return "string";
    }
}

static void write_type(struct text *out, const struct body_row *row) {
    if (!(row->flags & BODY_NULLABLE)) {
        write_str(out, "type", type_name(row->type));
        return;
    }
    json_write_array(out, "type");
    json_write_string(out, NULL, span_text(type_name(row->type)));
    json_write_string(out, NULL, SPAN_LITERAL("null"));
    json_write_array_end(out);
}

static void write_bounds(struct text *out, const struct body_row *row) {
    bool is_text = row->type == BODY_STRING || row->type == BODY_EMAIL;
    bool has_max = is_text ? row->max > 0 : row->max >= row->min && row->max < INT64_MAX;
    if ((!is_text && row->type != BODY_INT) || (!row->min && !row->max)) {
        return;
    }
    if (!is_text || row->min > 0) {
        json_write_int(out, is_text ? "minLength" : "minimum", row->min);
    }
    if (has_max) {
        json_write_int(out, is_text ? "maxLength" : "maximum", row->max);
    }
}

static void write_choices(struct text *out, const struct body_row *row) {
    if (row->type != BODY_ENUM) {
        return;
    }
    json_write_array(out, "enum");
    for (int i = 0; row->choices[i]; i++) {
        json_write_string(out, NULL, span_text(row->choices[i]));
    }
    if (row->flags & BODY_NULLABLE) {
        json_write_null(out, NULL);
    }
    json_write_array_end(out);
}

static void write_row(struct text *out, const char *name, const struct body_row *row) {
    bool secret = row->flags & BODY_SECRET;
    json_write_object(out, name);
    write_type(out, row);
    if (row->type == BODY_INT) {
        write_str(out, "format", "int64");
    } else if (row->type == BODY_EMAIL || secret) {
        write_str(out, "format", secret ? "password" : "email");
    }
    write_choices(out, row);
    write_bounds(out, row);
    write_raw(out, "default", row->default_json);
    write_str(out, "description", row->doc);
    if (secret) {
        json_write_bool(out, "writeOnly", true);
    } else if (row->example_json) {
        json_write_array(out, "examples");
        json_write_raw(out, NULL, span_text(row->example_json));
        json_write_array_end(out);
    }
    json_write_object_end(out);
}

static void write_rows(struct text *out, const char *name, const char *title,
                       const struct body_row *rows) {
    bool any_required = false;
    json_write_object(out, name);
    write_str(out, "title", title);
    write_str(out, "type", "object");
    json_write_object(out, "properties");
    for (const struct body_row *row = rows; row && row->name; row++) {
        write_row(out, row->name, row);
        any_required |= row->flags & BODY_REQUIRED;
    }
    json_write_object_end(out);
    if (any_required) {
        json_write_array(out, "required");
        for (const struct body_row *row = rows; row->name; row++) {
            if (row->flags & BODY_REQUIRED) {
                json_write_string(out, NULL, span_text(row->name));
            }
        }
        json_write_array_end(out);
    }
    json_write_object_end(out);
}

static void write_ref(struct text *out, const char *name, const char *schema) {
    struct text ref;
    text_init(&ref);
    text_printf(&ref, "#/components/schemas/%s", schema);
    json_write_object(out, name);
    json_write_string(out, "$ref", text_span(&ref));
    json_write_object_end(out);
    text_deinit(&ref);
}

/* Operations. */

static bool in_path(const struct http_route *route, const char *name) {
    size_t size = strlen(name);
    for (const char *at = strchr(route->path, '{'); at; at = strchr(at + 1, '{')) {
        if (strncmp(at + 1, name, size) == 0 && at[1 + size] == '}') {
            return true;
        }
    }
    return false;
}

static void write_parameters(struct text *out, const struct http_route *route) {
    if (!route->params) {
        return;
    }
    json_write_array(out, "parameters");
    for (const struct body_row *row = route->params; row->name; row++) {
        bool path = in_path(route, row->name);
        json_write_object(out, NULL);
        write_str(out, "name", row->name);
        write_str(out, "in", path ? "path" : "query");
        json_write_bool(out, "required", path || row->flags & BODY_REQUIRED);
        write_str(out, "description", row->doc);
        write_row(out, "schema", row);
        json_write_object_end(out);
    }
    json_write_array_end(out);
}

static void write_example(struct text *out, const struct body_row *rows) {
    bool any = false;
    for (const struct body_row *row = rows; row->name; row++) {
        any |= row->example_json != NULL;
    }
    if (!any) {
        return;
    }
    json_write_object(out, "example");
    for (const struct body_row *row = rows; row->name; row++) {
        write_raw(out, row->name, row->example_json);
    }
    json_write_object_end(out);
}

static void write_request_body(struct text *out, const struct http_route *route) {
    if (!route->body) {
        return;
    }
    json_write_object(out, "requestBody");
    json_write_bool(out, "required", true);
    json_write_object(out, "content");
    json_write_object(out, "application/json");
    write_rows(out, "schema", route->op_name, route->body);
    write_example(out, route->body);
    json_write_object_end(out);
    json_write_object_end(out);
    json_write_object_end(out);
}

static void write_content(struct text *out, const char *media_type, const char *schema) {
    json_write_object(out, media_type);
    if (strncmp(schema, "[]", 2) == 0) {
        json_write_object(out, "schema");
        write_str(out, "type", "array");
        write_ref(out, "items", schema + 2);
        json_write_object_end(out);
    } else {
        write_ref(out, "schema", schema);
    }
    json_write_object_end(out);
}

static void write_response(struct text *out, int status, const char *description,
                           const char *schema) {
    char code[16] = "default";
    if (status) {
        size_t size = 0;
        code[size++] = (char)('0' + status / 100 % 10);
        code[size++] = (char)('0' + status / 10 % 10);
        code[size++] = (char)('0' + status % 10);
        code[size] = '\0';
    }
    json_write_object(out, code);
    write_str(out, "description", description);
    if (schema) {
        json_write_object(out, "content");
        write_content(out, "application/json", schema);
        if (!status || status >= 400) {
            write_content(out, "application/problem+json", "Problem");
        }
        json_write_object_end(out);
    }
    json_write_object_end(out);
}

static void write_responses(struct text *out, const struct http_route *route) {
    bool documents_422 = false;
    json_write_object(out, "responses");
    for (const struct http_response_doc *doc = route->responses; doc && doc->status; doc++) {
        const char *error_schema = doc->status == 422 ? "HTTPValidationError" : "Error";
        const char *schema = !doc->schema && doc->status >= 400 ? error_schema : doc->schema;
        write_response(out, doc->status, doc->description ? doc->description : "", schema);
        documents_422 |= doc->status == 422;
    }
    if (!route->responses || !route->responses->status) {
        write_response(out, 200, "Successful Response", NULL);
    }
    if ((route->params || route->body) && !documents_422) {
        write_response(out, 422, "Validation Error", "HTTPValidationError");
    }
    write_response(out, 0, "Any other failure", "Error");
    json_write_object_end(out);
}

static void write_security(struct text *out, const struct http_route *route) {
    static const char *const names[] = {NULL, "user", "owner", "admin"};
    if (route->auth == HTTP_AUTH_NONE) {
        return;
    }
    write_str(out, "x-eventbox-auth", names[route->auth]);
    json_write_array(out, "security");
    json_write_object(out, NULL);
    json_write_array(out, "bearerAuth");
    json_write_array_end(out);
    json_write_object_end(out);
    json_write_object(out, NULL); /* or none: open on loopback */
    json_write_object_end(out);
    json_write_array_end(out);
}

static void write_operation(struct text *out, const struct http_route *route) {
    json_write_object(out, method_name(route->method));
    if (route->tag) {
        json_write_array(out, "tags");
        json_write_string(out, NULL, span_text(route->tag));
        json_write_array_end(out);
    }
    write_str(out, "summary", route->summary);
    write_str(out, "operationId", route->op_name);
    write_parameters(out, route);
    write_request_body(out, route);
    write_responses(out, route);
    write_security(out, route);
    json_write_object_end(out);
}

/* Paths. */

static bool seen_before(const struct http_route *first, const struct http_route *route) {
    for (; first && first != route && first->path; first++) {
        if (!first->hidden && strcmp(first->path, route->path) == 0) {
            return true;
        }
    }
    return false;
}

static void write_methods(struct text *out, const struct http_route *routes, const char *path) {
    for (const struct http_route *route = routes; route && route->path; route++) {
        if (!route->hidden && strcmp(route->path, path) == 0) {
            write_operation(out, route);
        }
    }
}

static void write_paths(struct text *out, const struct http_service *service) {
    const struct http_route *tables[] = {service->routes, service->common_routes};
    json_write_object(out, "paths");
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        for (const struct http_route *route = tables[i]; route && route->path; route++) {
            bool seen = seen_before(tables[i], route) ||
                        (i == 1 && tables[0] && seen_before(tables[0], route));
            if (route->hidden || seen) {
                continue;
            }
            json_write_object(out, route->path);
            write_methods(out, tables[0], route->path);
            write_methods(out, tables[1], route->path);
            json_write_object_end(out);
        }
    }
    json_write_object_end(out);
}

/* The shapes of failures, which every service shares. */
static const char error_schemas[] =
    "\"ValidationError\":{\"title\":\"ValidationError\",\"type\":\"object\",\"properties\":{"
    "\"loc\":{\"type\":\"array\",\"items\":{\"type\":[\"string\",\"integer\"]}},"
    "\"msg\":{\"type\":\"string\"},\"type\":{\"type\":\"string\"},\"input\":{},"
    "\"ctx\":{\"type\":\"object\"}},\"required\":[\"loc\",\"msg\",\"type\"]},"
    "\"HTTPValidationError\":{\"title\":\"HTTPValidationError\",\"type\":\"object\","
    "\"properties\":{\"detail\":{\"type\":\"array\","
    "\"items\":{\"$ref\":\"#/components/schemas/ValidationError\"}}}},"
    "\"Error\":{\"title\":\"Error\",\"type\":\"object\","
    "\"properties\":{\"detail\":{\"type\":\"string\"}},\"required\":[\"detail\"]},"
    "\"Problem\":{\"title\":\"Problem\",\"description\":\"RFC 9457\",\"type\":\"object\","
    "\"properties\":{\"type\":{\"type\":\"string\"},\"title\":{\"type\":\"string\"},"
    "\"status\":{\"type\":\"integer\"},\"detail\":{\"type\":\"string\"},"
    "\"instance\":{\"type\":\"string\"},\"code\":{\"type\":\"string\"},"
    "\"request_id\":{\"type\":\"string\"},\"errors\":{\"type\":\"array\","
    "\"items\":{\"type\":\"object\"}}},\"required\":[\"type\",\"title\",\"status\"]}";

static void write_components(struct text *out, const struct http_service *service) {
    json_write_object(out, "components");
    json_write_object(out, "schemas");
    text_append_str(out, error_schemas);
    for (const struct http_schema *schema = service->schemas; schema && schema->name; schema++) {
        write_rows(out, schema->name, schema->name, schema->rows);
    }
    json_write_object_end(out);
    json_write_raw(out, "securitySchemes",
                   SPAN_LITERAL("{\"bearerAuth\":{\"type\":\"http\",\"scheme\":\"bearer\"}}"));
    json_write_object_end(out);
}

int http_openapi(const struct http_service *service, struct text *out) {
    json_write_object(out, NULL);
    write_str(out, "openapi", "3.1.0");
    json_write_object(out, "info");
    write_str(out, "title", service->title ? service->title : service->name);
    write_str(out, "version", service->version ? service->version : EVENTBOX_VERSION);
    json_write_object_end(out);
    write_paths(out, service);
    write_components(out, service);
    json_write_object_end(out);
    return text_failed(out) ? err_origin(-ENOMEM) : 0;
}
