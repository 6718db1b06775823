"""What is wrong with a value by a schema: the part of JSON Schema that packaging/start9/schemas uses.

type, enum, pattern, maxLength, required, dependentRequired, properties, additionalProperties, items, $ref with definitions. Beside a
$ref the other words hold, too. `cases` is ours: {"KEY": {"VALUE": schema}} holds by what the object has under KEY.
"""
import re

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "number": (int, float), "integer": int}
WORDS = {"$comment", "$ref", "definitions", "type", "enum", "pattern", "maxLength", "required", "dependentRequired", "properties", "additionalProperties", "items", "cases"}


def is_type(value, name):
    return isinstance(value, TYPES[name]) and not (name in ("number", "integer") and isinstance(value, bool))


def object_problems(value, schema, root, at):
    out = ["%s: no %s" % (at, k) for k in schema.get("required", []) if k not in value]
    out += ["%s: %s without %s" % (at, k, other) for k, others in schema.get("dependentRequired", {}).items() if k in value for other in others if other not in value]
    known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
    for k, v in value.items():
        if k in known:
            out += problems(v, known[k], root, "%s.%s" % (at, k))
        elif rest is False:
            out.append("%s: %s is unknown" % (at, k))
        elif rest is not True:
            out += problems(v, rest, root, "%s.%s" % (at, k))
    for key, cases in schema.get("cases", {}).items():
        if value.get(key) in cases:
            out += problems(value, cases[value[key]], root, at)
        else:
            out.append("%s: %s is %r, none of %r" % (at, key, value.get(key), sorted(cases)))
    return out


def problems(value, schema, root=None, at="$"):
    root = root or schema
    if not WORDS.issuperset(schema):
        raise ValueError("%s: the schema has words that are not understood: %s" % (at, set(schema) - WORDS))
    out = []
    if "$ref" in schema:
        out += problems(value, root["definitions"][schema["$ref"].rsplit("/", 1)[1]], root, at)
    if "enum" in schema and value not in schema["enum"]:
        out.append("%s: %r is none of %r" % (at, value, schema["enum"]))
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(is_type(value, n) for n in names):
            return out + ["%s: %r is no %s" % (at, value, " or ".join(names))]
    if isinstance(value, str):
        if not re.search(schema.get("pattern", ""), value):
            out.append("%s: %r does not match %s" % (at, value, schema["pattern"]))
        if len(value) > schema.get("maxLength", len(value)):
            out.append("%s: %d characters, at most %d" % (at, len(value), schema["maxLength"]))
    if isinstance(value, list) and "items" in schema:
        for i, v in enumerate(value):
            out += problems(v, schema["items"], root, "%s[%d]" % (at, i))
    if isinstance(value, dict):
        out += object_problems(value, schema, root, at)
    return out
