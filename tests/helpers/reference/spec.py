"""The page of the spec: every key, from the model, the schema, and AWS's own description of its services."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_origin

import yaml

from sagepack.aws.service_model import shape
from sagepack.package.lock import lock_inputs_digest
from sagepack.spec import loader
from sagepack.spec.keys import keys_of_entry
from sagepack.spec.model import KEYS
from tests.helpers.paths import ROOT, SCHEMAS
from tests.helpers.reference.markdown import code, page, table

if TYPE_CHECKING:
    from sagepack.spec.keys import Key

_KINDS = {
    "string": "text",
    "object": "map",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
}
_SERVICES = {
    "sagemaker": "https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_{}.html",
    "s3": "https://docs.aws.amazon.com/AmazonS3/latest/API/API_{}.html",
    "logs": "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_{}.html",
}
_INTRODUCTION = """\
# The spec

*Made from the program: `sagepack/spec/model.py`, `sagepack/schemas/spec.schema.json` and AWS's own description of its services.*

A spec, `config/<name>.yaml`, says everything about one model. It is read in layers, each laid over the one before:

1. the spec,
2. the overlay of the environment, `config/env/<env>.yaml`, chosen with `--env` (for make, `ENV=`),
3. each `--set key=value` of the command line, in their order.

Maps merge key by key. Lists, texts and numbers replace what was there. `null` removes a key, so that its default holds again.
Every key may stand in every layer; what is required must be there after the merge. Usually the spec holds what is about the model, and the overlay what is
about the account: `aws`, `artifact.target`, sizes and tags. `invoke validate` checks the result: the forms and limits below, AWS's own lists of values, and the rules that concern more than one key.
Where it says so, a change needs a new lock: the value belongs to what locks are made from, and the next command (without `--locked`) resolves it again. All other changes take effect at the step that uses them.

An editor shows this page's text at each key, completes keys and marks mistakes while you type, if the file begins with

    # yaml-language-server: $schema=.schemas/spec.schema.json

and the editor has a plug-in for YAML schemas: "YAML" by Red Hat in Visual Studio Code, `yaml-language-server` in Neovim, Emacs, Helix or Zed. JetBrains editors know schemas by themselves."""


def spec_page() -> str:
    """The text of `docs/reference/spec.md`."""
    schema = json.loads((SCHEMAS / "spec.schema.json").read_text())
    tops = list(dict.fromkeys(key.path[0] for key in KEYS))
    contents = " · ".join(f"[`{top}`](#{top})" for top in tops)
    blocks = [_INTRODUCTION, contents]
    for top in tops:
        section = schema["$defs"][top]
        keys = [key for key in KEYS if key.path[0] == top]
        blocks.append(f"## {top}")
        if keys[0].path != (top,):
            blocks.append(section["description"])
        for key in keys:
            blocks += _key(key, _part(schema, key.path))
    return page(*blocks)


def limits_and_default(part: dict[str, Any]) -> str:
    """What bounds the value of a key and what holds without it, as sentences; empty if there is nothing to say."""
    low, high, default = part.get("minimum"), part.get("maximum"), part.get("default")
    said = []
    if low is not None:
        said.append(f"{low} to {high}." if high is not None else f"At least {low}.")
    elif "exclusiveMinimum" in part:
        said.append(f"More than {part['exclusiveMinimum']}.")
    elif "maxLength" in part:
        said.append(f"At most {part['maxLength']} characters.")
    elif "minItems" in part:
        said.append(f"{part['minItems']} to {part['maxItems']} entries.")
    elif "maxProperties" in part:
        said.append(f"At most {part['maxProperties']}.")
    if default not in (None, [], {}):
        said.append(f"Default: {json.dumps(default).strip(chr(34))}.")
    return " ".join(said)


def _part(schema: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"][path[0]]
    for step in path[1:]:
        found = found["properties"][step]
    return found


def _key(key: Key, part: dict[str, Any]) -> list[str]:
    name = ".".join(key.path)
    facts = [_kind(part), _required(key), *limits_and_default(part).lower().removesuffix(".").split(". ")]
    facts += ["a change needs a new lock"] if _is_locked(key) else []
    facts += [f"form: {part['patternErrorMessage']}"] if "patternErrorMessage" in part else []
    facts += [f"example: `{_yaml(part['examples'][0])}`"] if "examples" in part else []
    aws = _in_aws(key)
    words = part["description"].removesuffix(limits_and_default(part)).strip()
    blocks = [*([f"### {name}"] if len(key.path) > 1 else []), f"*{'; '.join(filter(None, facts))}*", words, aws]
    if entry := part.get("items", {}).get("properties"):
        entries = [(code(name), _kind(about), about["description"]) for name, about in entry.items()]
        blocks += ["Each entry has:", table(("key", "value", "meaning"), entries)]
    if known := part.get("properties"):
        rows = [(code(variable), about["description"]) for variable, about in known.items()]
        blocks += ["Variables that the image's server reads:", table(("variable", "meaning"), rows)]
    return blocks


def _kind(part: dict[str, Any]) -> str:
    if "enum" in part:
        return "one of " + ", ".join(code(value) for value in part["enum"] if value is not None)
    kinds = [kind for kind in _as_list(part.get("type", [])) if kind != "null"]
    if kinds == ["array"] and "properties" in part["items"]:
        return "list of maps"
    if kinds == ["array"]:
        return f"list of {_kind(part['items'])}s"
    if kinds == ["object"]:
        return "map of texts"
    return " or ".join(_KINDS[kind] for kind in kinds) or "any JSON value"


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _required(key: Key) -> str:
    if not key.is_required:
        return "optional"
    section = ".".join(key.path[:-1])
    return f"required where `{section}` is given" if key.is_in_optional_section else "required"


def _is_locked(key: Key) -> bool:
    """Whether a lock that was made before is out of date with another value of the key."""
    # A section that may be absent needs its other required keys too, and so do the sections around it.
    around = [other for other in KEYS if other.is_required and other.is_in_optional_section]
    needed = [other for other in around if other.path[:-1] == key.path[: len(other.path) - 1] and other != key]
    return _locked_part(*map(_setting, [*needed, key])) != _locked_part()


def _setting(key: Key) -> str:
    if key.entry:
        return f"{'.'.join(key.path)}=[{{{', '.join(f'{each.path[0]}: x' for each in keys_of_entry(key) if each.is_required)}}}]"
    values = {bool: "true", int: "7", float: "7", dict: "{a: b}", tuple: "[x]"}
    return f"{'.'.join(key.path)}={values.get(get_origin(key.value_type) or key.value_type, 'x')}"


def _locked_part(*settings: str) -> str:
    return str(lock_inputs_digest(loader.load(ROOT / "config" / "svd.yaml", "prod", settings, ROOT).spec()))


def _yaml(value: Any) -> str:
    """A value as it may stand in YAML."""
    is_plain = isinstance(value, str) and yaml.safe_load(value) == value
    return value if is_plain else json.dumps(value)


def _in_aws(key: Key) -> str:
    if not key.facts.member:
        return ""
    service, structure, *members = key.facts.member
    operation = structure.removesuffix("Input").removesuffix("Request")
    found = shape(*key.facts.member)
    checked = "; its list of values is checked" if found.enum else "; its pattern is checked" if found.pattern else ""
    field = ".".join((operation, *members))
    return f"In AWS's API: [{code(field)}]({_SERVICES[service].format(operation)}){checked}."
