"""What start-sdk demands of a package for StartOS 0.3.5, and how StartOS runs what the manifest names.

start-sdk is not to be had here, so its rules are written down again, from Start9Labs/start-os: pack in backend/src/s9pk/mod.rs,
validate and image tags in backend/src/s9pk/reader.rs, DockerProcedure in core/startos/src/procedure/docker.rs (validate, docker_args,
docker_args_inject), Interface in backend/src/net/interface.rs, ConfigSpec.matches in core/startos/src/config/spec.rs.
Which fields there are is in packaging/start9/schemas. Standard library only.
"""
import json
import os
import re
import tarfile

import schema
import yaml_subset
from harness import ROOT

START9 = os.path.join(ROOT, "packaging", "start9")
SYSTEM_IMAGES = {"compat", "utils"}
ICON_MAX = 102400
DEFAULT_ASSETS = {"license": "LICENSE.md", "instructions": "INSTRUCTIONS.md", "icon": "icon.png", "docker-images": "docker-images"}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # the name of an image's file, and what it says inside


def rules(kind):
    with open(os.path.join(START9, "schemas", kind + ".json")) as f:
        return json.load(f)


def problems(kind, value):
    """What is wrong with a manifest, or with what a script printed."""
    return schema.problems(value, rules(kind))


def manifest():
    with open(os.path.join(START9, "manifest.yaml")) as f:
        return yaml_subset.read(f.read())


def procedures(m):
    """(name, procedure, whether its output is read) of all that the manifest names."""
    yield "main", m["main"], False
    for name, check in m["health-checks"].items():
        yield "health check " + name, check, False
    for name in ("get", "set"):
        if "config" in m:
            yield "config " + name, m["config"][name], True
    if "properties" in m:
        yield "properties", m["properties"], True
    for name in ("create", "restore"):
        yield "backup " + name, m["backup"][name], False
    for name, action in m.get("actions", {}).items():
        yield "action " + name, action["implementation"], True


def procedure_problems(m, images):
    for name, p, read in procedures(m):
        for volume in p.get("mounts", {}):
            if volume not in m["volumes"] and volume != "BACKUP":
                yield "%s: unknown volume: %s" % (name, volume)
        if p["image"] not in (SYSTEM_IMAGES if p.get("system") else images):
            yield "%s: unknown image: %s" % (name, p["image"])
        if read and "io-format" not in p:
            yield "%s: expected io-format" % name


def interface_problems(m):
    for name, i in m["interfaces"].items():
        for key, protocols in (("tor-config", {"tcp"}), ("lan-config", {"http"}), ("ui", {"http", "https"})):
            if i.get(key) and not protocols & set(i["protocols"]):
                yield "interface %s: %s needs one of %s" % (name, key, sorted(protocols))


def manifest_problems(m, images=("main",)):
    return list(procedure_problems(m, images)) + list(interface_problems(m))


def asset_problems(m, find):
    """`find` gives the path of a file that the manifest names, as it is when start-sdk packs."""
    out = []
    for key in ("license", "instructions", "icon"):
        path = find(m["assets"].get(key, DEFAULT_ASSETS[key]))
        if not os.path.isfile(path) or os.path.getsize(path) == 0:
            out.append("assets: no %s" % path)
        elif key == "icon" and os.path.getsize(path) > ICON_MAX:
            out.append("assets: the icon has more than 100 KiB")
    if any(v["type"] == "assets" for v in m["volumes"].values()):
        out.append("assets: a volume of assets, and no files for it")
    return out


def image_tag(m, image="main"):
    return "start9/%s/%s:%s" % (m["id"], image, m["version"])


def image_problems(m, path, arch):
    """Of one file in docker-images/: tagged for this package and version, and for the machine that its name says."""
    with tarfile.open(path) as tar:
        entries = json.load(tar.extractfile("manifest.json"))
        tags = [t for e in entries for t in e["RepoTags"] or []]
        machines = {json.load(tar.extractfile(e["Config"]))["architecture"] for e in entries}
    out = []
    if tags != [image_tag(m)]:
        out.append("%s: tagged %s, not %s" % (path, tags, image_tag(m)))
    if machines != {ARCHITECTURES[arch]}:
        out.append("%s: for %s, not %s" % (path, machines, ARCHITECTURES[arch]))
    return out


# ---- configuration ----


def in_range(text, n):
    low, high = text.split(",")
    above = low == "(*" or (n > float(low[1:]) if low[0] == "(" else n >= float(low[1:]))
    return above and (high == "*)" or (n < float(high[:-1]) if high[-1] == ")" else n <= float(high[:-1])))


def text_matches(spec, value):
    return isinstance(value, str) and re.search(spec.get("pattern", ""), value) is not None


def matches(spec, value):
    """Whether StartOS takes a value for a field of the form. Pointers take anything: StartOS fills them in itself."""
    kind = spec["type"]
    if kind == "pointer" or (value is None and spec.get("nullable")):
        return True
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "string":
        return text_matches(spec, value)
    if kind == "enum":
        return value in spec["values"]
    if kind == "number":
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and (not spec.get("integral") or int(value) == value) and in_range(spec.get("range", "(*,*)"), value)
    return isinstance(value, list) and in_range(spec["range"], len(value)) and len(set(value)) == len(value) and all(text_matches(spec["spec"], v) for v in value)


def mismatches(spec, config):
    """Names of the fields whose value StartOS refuses; a field that is missing counts as null."""
    return [name for name, field in spec.items() if not matches(field, config.get(name))]


def filled_in(spec, relays, pubkey):
    """What StartOS hands over once an owner typed: the defaults, addresses for the pointers, what has no default."""
    config = {k: s["default"] for k, s in spec.items() if "default" in s and s["type"] != "string"}
    config.update({k: k.split("-")[0] + k[-3] + ".local" for k, s in spec.items() if s["type"] == "pointer"})
    config.update({"tor-address": "relayaddress.onion", "dashboard-tor-address": "boardaddress.onion", "password": "x" * 24, "relays": relays, "pubkeys": [pubkey], "route": "direct"})
    return config


# ---- running ----


def run_words(m, p, volumes):
    """After `docker run`: the image with the procedure's entrypoint; `volumes` are folders by the volume's name."""
    mounts = [word for name, at in p.get("mounts", {}).items() for word in ("--mount", "type=bind,src=%s,dst=%s" % (volumes[name], at))]
    return mounts + ["--interactive", "--no-healthcheck", "--entrypoint", p["entrypoint"], image_tag(m, p["image"])] + p.get("args", [])


def exec_words(p, container):
    """After `docker exec`: what is injected into the running service."""
    return ["--interactive", container, p["entrypoint"]] + p.get("args", [])
