#!/usr/bin/env python3
"""Turn Kafka message schemas into C structs and field tables.

    gen_kafka.py HEADER SOURCE SCHEMA.json ...

The schemas speak Kafka's own vocabulary (apiKey, type, name, validVersions, flexibleVersions,
commonStructs, fields with name, type, versions, nullableVersions, taggedVersions, tag, default,
ignorable, fields). Type "data" is what records hold instead of requests and has no apiKey. How a
type looks in C stands in codec_walk.h, whose walker reads the tables. The build runs this script;
what it writes is never checked in.
"""
import json
import os
import re
import sys

MAX_VERSION = 0x7FFF
MESSAGE_KEYS = {"apiKey", "type", "name", "validVersions", "flexibleVersions", "commonStructs",
                "fields", "about"}
FIELD_KEYS = {"name", "type", "versions", "nullableVersions", "taggedVersions", "tag", "default",
              "ignorable", "about", "fields"}
# Kafka's type: (C type, enum kafka_type)
SCALARS = {
    "bool": ("bool", "KAFKA_BOOL"),
    "int8": ("int8_t", "KAFKA_INT8"),
    "int16": ("int16_t", "KAFKA_INT16"),
    "uint16": ("uint16_t", "KAFKA_UINT16"),
    "int32": ("int32_t", "KAFKA_INT32"),
    "uint32": ("uint32_t", "KAFKA_UINT32"),
    "int64": ("int64_t", "KAFKA_INT64"),
    "float64": ("double", "KAFKA_FLOAT64"),
    "uuid": ("struct uuid", "KAFKA_UUID"),
    "string": ("struct span", "KAFKA_STRING"),
    "bytes": ("struct span", "KAFKA_BYTES"),
    "records": ("struct kafka_records", "KAFKA_RECORDS"),
}
NUMBERS = {"int8", "int16", "uint16", "int32", "uint32", "int64"}


class SchemaError(Exception):
    """A schema that cannot be what its writer meant."""


def snake(name):
    """OffsetFetchRequest -> offset_fetch_request, TopicId -> topic_id."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def versions(text):
    """First and last version of "3+", "0-4", "7" or "none"."""
    if text == "none":
        return 1, 0
    found = re.fullmatch(r"(\d+)(\+|-(\d+))?", text)
    if not found:
        raise SchemaError(f"versions {text!r}")
    first = int(found[1])
    if found[2] is None:
        return first, first
    return first, int(found[3]) if found[3] else MAX_VERSION


def check_keys(obj, allowed, where):
    """A misspelt key would silently mean its default."""
    unknown = set(obj) - allowed
    if unknown:
        raise SchemaError(f"{where}: unknown key {', '.join(sorted(unknown))}")


def default_of(field, base, array, nullable):
    """The columns number and text of a field's default."""
    text = field.get("default")
    if text is None:
        return "0", "NULL"
    if text == "null":
        if nullable[0] > nullable[1]:
            raise SchemaError("null by default but never nullable")
        return "1", "NULL"
    if base == "bool" and not array:
        return {"true": "1", "false": "0"}[text], "NULL"
    if base in NUMBERS and not array:
        number = int(text, 0)
        return ("INT64_MIN" if number == -2**63 else f"INT64_C({number})"), "NULL"
    if base == "string" and not array:
        return "0", json.dumps(text)
    raise SchemaError(f"default {text!r} of type {field['type']}")


class Message:
    """The structs of one message, children before those that contain them."""

    def __init__(self, schema):
        check_keys(schema, MESSAGE_KEYS, "message")
        self.name = schema["name"]
        self.type = schema["type"]
        self.key = None if self.type == "data" else schema["apiKey"]
        self.valid = versions(schema["validVersions"])
        self.flexible = versions(schema["flexibleVersions"])
        self.flexible_first = MAX_VERSION if self.flexible[0] > self.flexible[1] else self.flexible[0]
        self.prefix = snake(self.name)
        self.header = []
        self.source = []
        self.seen = set()
        self.common = {common["name"]: common["fields"] for common in schema.get("commonStructs", [])}
        self.add_struct(self.prefix, schema["fields"])

    def add_struct(self, c_name, fields):
        if c_name in self.seen:
            raise SchemaError(f"two structs would be called {c_name}")
        self.seen.add(c_name)
        members, rows = [], []
        for field in fields:
            try:
                self.add_field(c_name, field, members, rows)
            except (SchemaError, KeyError, ValueError) as error:
                raise SchemaError(f"{c_name}.{field.get('name', '?')}: {error}") from error
        if self.flexible[0] <= self.flexible[1]:
            members.append("struct span unknown_tags; /* the tagged section, if it has others */")
            unknown = f"offsetof(struct {c_name}, unknown_tags)"
        else:
            unknown = "KAFKA_NO_TAGS"
        if not members:
            members.append("char nothing; /* a message without fields */")
        self.header += [f"struct {c_name} {{", *("    " + m for m in members), "};",
                        f"extern const struct kafka_struct kafka_{c_name}_type;", ""]
        if rows:
            self.source += [f"static const struct kafka_field {c_name}_fields[] = {{", *rows, "};"]
        self.source += [
            f"const struct kafka_struct kafka_{c_name}_type = {{",
            f'    "{c_name}", sizeof(struct {c_name}), {len(rows)}, '
            f'{c_name + "_fields" if rows else "NULL"}, {unknown},', "};", ""]

    def add_child(self, base, field):
        """The C name of a field's struct: its own, or one that the message shares."""
        child = f"{self.prefix}_{snake(base)}"
        if base not in self.common:
            self.add_struct(child, field["fields"])
        elif child not in self.seen:
            self.add_struct(child, self.common[base])
        return child

    def add_field(self, c_name, field, members, rows):
        check_keys(field, FIELD_KEYS, "field")
        name = snake(field["name"])
        array = field["type"].startswith("[]")
        base = field["type"][2:] if array else field["type"]
        nullable = versions(field.get("nullableVersions", "none"))
        tagged = versions(field.get("taggedVersions", "none"))
        present = versions(field["versions"])
        of = "NULL"
        if ("tag" in field) != ("taggedVersions" in field):
            raise SchemaError("tag and taggedVersions go together")
        if "tag" in field and tagged[0] < self.flexible[0]:
            raise SchemaError("tagged in a version that is not flexible")
        if (base in SCALARS or base in self.common) == ("fields" in field):
            raise SchemaError(f"type {base}: unknown, or a basic or common type with fields")
        if base in SCALARS:
            c_type, enum = SCALARS[base]
        else:
            child = self.add_child(base, field)
            c_type, enum, of = f"struct {child}", "KAFKA_STRUCT", f"&kafka_{child}_type"
            if not array and nullable[0] <= nullable[1]:
                if (nullable, field.get("default")) != (present, "null"):
                    raise SchemaError("a nullable struct is so in every version, and null by default")
                c_type, enum = f"struct {child} *", "KAFKA_OPTIONAL"
        count = "0"
        if array:
            members += [f"{c_type} *{name};", f"int32_t {name}_count;"]
            count = f"offsetof(struct {c_name}, {name}_count)"
        else:
            members.append(f"{c_type} {name};".replace("* ", "*"))
        number, text = default_of(field, base, array, nullable)
        rows.append(f'    {{"{field["name"]}", {enum}, {str(array).lower()}, {field.get("tag", -1)}, '
                    f"offsetof(struct {c_name}, {name}), {count},\n     "
                    f"{{{present[0]}, {present[1]}}}, {{{nullable[0]}, {nullable[1]}}}, "
                    f"{{{tagged[0]}, {tagged[1]}}}, {of}, {number}, {text}}},")


def pair_up(messages):
    """Rows of the table of APIs: a request and a response each, by key."""
    apis = {}
    for message in messages:
        if message.key is None:
            continue
        if apis.setdefault(message.key, {}).setdefault(message.type, message) is not message:
            raise SchemaError(f"{message.name}: second {message.type} of key {message.key}")
    rows = []
    for key, api in sorted(apis.items()):
        if set(api) != {"request", "response"}:
            raise SchemaError(f"key {key} needs a request and a response")
        request, response = api["request"], api["response"]
        name = request.name.removesuffix("Request")
        if response.name != name + "Response":
            raise SchemaError(f"key {key}: {request.name} and {response.name} do not match")
        if (request.valid, request.flexible) != (response.valid, response.flexible):
            raise SchemaError(f"{name}: request and response differ in versions")
        rows.append(f'    {{{key}, "{name}", &kafka_{request.prefix}_type, '
                    f"&kafka_{response.prefix}_type, {{{request.valid[0]}, {request.valid[1]}}}, "
                    f"{request.flexible_first}}},")
    return rows


def data_rows(messages):
    """Rows of the table of what records hold."""
    return [f'    {{"{message.name}", &kafka_{message.prefix}_type, '
            f"{{{message.valid[0]}, {message.valid[1]}}}, {message.flexible_first}}},"
            for message in messages if message.key is None]


def main():
    header_path, source_path, *schema_paths = sys.argv[1:]
    messages = []
    for path in schema_paths:
        try:
            with open(path, encoding="utf-8") as file:
                messages.append(Message(json.load(file)))
            if messages[-1].name + ".json" != os.path.basename(path):
                raise SchemaError(f"holds {messages[-1].name}")
        except (SchemaError, KeyError, ValueError) as error:
            sys.exit(f"{path}: {error}")
    try:
        rows = pair_up(messages)
    except SchemaError as error:
        sys.exit(f"schemas: {error}")
    made = "/* Made by scripts/gen_kafka.py from wire/schema. */"
    with open(header_path, "w", encoding="utf-8") as file:
        lines = [made, "#pragma once", "", '#include "codec_walk.h"', ""]
        for message in messages:
            lines += message.header
        file.write("\n".join(lines))
    with open(source_path, "w", encoding="utf-8") as file:
        lines = [made, f'#include "{os.path.basename(header_path)}"', "", "#include <stddef.h>", ""]
        for message in messages:
            lines += message.source
        lines += ["const struct kafka_api kafka_apis[] = {", *rows, "};",
                  f"const size_t kafka_api_count = {len(rows)};", ""]
        stored = data_rows(messages)
        if stored:
            lines += ["const struct kafka_data kafka_datas[] = {", *stored, "};",
                      f"const size_t kafka_data_count = {len(stored)};", ""]
        file.write("\n".join(lines))


if __name__ == "__main__":
    main()
