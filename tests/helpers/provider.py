"""The arguments that Terraform's provider `hashicorp/aws` knows, as far as an export uses its resources, and a judge by them.

`tests/data/terraform-provider.json` holds names, types, and which are required, of version 6.45.0. They were read from the bindings
that cdktn generated of its schema (npm, `@cdktn/provider-aws` 24.1.0); `tests/slow/test_export_judges.py` reads them again.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE = "@cdktn/provider-aws"
VERSION = "24.1.0"
DATA = ROOT / "tests/data/terraform-provider.json"
KINDS = (
    *("sagemaker_model", "sagemaker_endpoint_configuration", "sagemaker_endpoint"),
    *("appautoscaling_target", "appautoscaling_policy", "appautoscaling_scheduled_action"),
    *("cloudwatch_metric_alarm", "cloudwatch_log_group", "iam_role", "iam_role_policy"),
)
_META = {"lifecycle", "depends_on"}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "number": (int, float),
    "boolean": bool,
    "list": list,
    "map": dict,
}
_INTERFACE = re.compile(r"export interface (\w+)(?: extends [\w.]+)? \{(.*?)\n\}", re.DOTALL)
_PROPERTY = re.compile(r"readonly (\w+)(\??):\s*([^;]+);")


def violations(resources: dict[str, Any]) -> list[str]:
    """What the provider would refuse in the resources of a document."""
    known = json.loads(DATA.read_text())
    return [
        found
        for kind, instances in resources.items()
        for name, body in instances.items()
        for found in _judged(body, known[kind], f"{kind}.{name}", _META)
    ]


def _judged(
    body: dict[str, Any], known: dict[str, Any], where: str, also: set[str] | frozenset[str] = frozenset()
) -> Iterator[str]:
    yield from (f"{where}.{name}: unknown" for name in body.keys() - known.keys() - also)
    yield from (f"{where}.{name}: missing" for name, each in known.items() if each["required"] and name not in body)
    for name in body.keys() & known.keys():
        value, of = body[name], known[name]
        if "holds" in of:
            for each in value if isinstance(value, list) else [value]:
                yield from _judged(each, of["holds"], f"{where}.{name}")
        elif not isinstance(value, _TYPES[of["type"]]) or (of["type"] == "number" and isinstance(value, bool)):
            yield f"{where}.{name}: no {of['type']}"


def arguments(lib: Path) -> dict[str, Any]:
    """The arguments of all resources, from generated bindings."""
    return {f"aws_{kind}": _arguments(lib, kind) for kind in KINDS}


def _arguments(lib: Path, kind: str) -> dict[str, Any]:
    text = re.sub(r"/\*.*?\*/", "", (lib / kind.replace("_", "-") / "index.d.ts").read_text(), flags=re.DOTALL)
    text = re.sub(r"\{\s*\[key: string\]: \w+;\s*\}", "map", text)
    interfaces = {match[1]: match[2] for match in _INTERFACE.finditer(text)}

    def of(interface: str) -> dict[str, Any]:
        found = {}
        for name, optional, written in _PROPERTY.findall(interfaces[interface]):
            inner = next((word for word in re.findall(r"\w+", written) if word in interfaces), None)
            what = "list" if "[]" in written else written.partition(" ")[0]
            found[re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()] = {
                "required": not optional,
                **({"holds": of(inner)} if inner else {"type": what}),
            }
        return dict(sorted(found.items()))

    return of("".join(map(str.title, kind.split("_"))) + "Config")
