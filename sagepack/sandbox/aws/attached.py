"""What others attach to endpoints: inference components and inference routers. They can be described, and do nothing.

A model of AWS, not evidence about it; moto has no inference routers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.sandbox.aws.hosting_rules import arn_of, check_name, invalid

if TYPE_CHECKING:
    from sagepack.sandbox.aws.wsgi import JsonObject

# Kind in ARNs -> name in operations and fields.
_KINDS = {"inference-component": "InferenceComponent", "inference-router": "InferenceRouter"}
_OPERATIONS = {
    f"{verb}{name}{'s' if verb == 'List' else ''}": (verb, kind)
    for verb in ("Create", "Describe", "List", "Delete")
    for kind, name in _KINDS.items()
}


class Attached:
    """The components and routers of all regions, by kind and name: their requests."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], dict[str, JsonObject]] = {}

    def reset(self) -> None:
        """Forget all of them."""
        self._found.clear()

    def knows(self, operation: str) -> bool:
        """Whether the operation is one of these."""
        return operation in _OPERATIONS

    def call(self, operation: str, region: str, body: JsonObject, now: float) -> JsonObject:
        """Execute an operation and return its response.

        Raises:
            AwsError: the response is an error.
        """
        verb, kind = _OPERATIONS[operation]
        field, found = _KINDS[kind], self._found.setdefault((region, kind), {})
        if verb == "List":
            return {f"{field}s": [_summary(each, field) for each in found.values()]}
        name = body[f"{field}Name"]
        arn = {f"{field}Arn": arn_of(region, kind, name)}
        if verb == "Create":
            times = {"CreationTime": now, "LastModifiedTime": now}
            found[check_name(name)] = {**body, **arn, **times, "Status": "InService"}
            return arn
        if name not in found:
            raise invalid(f'Could not find {field} "{arn_of(region, kind, name)}".')
        return found.pop(name) and {} if verb == "Delete" else found[name]


def _summary(request: JsonObject, field: str) -> JsonObject:
    names = (f"{field}Name", f"{field}Arn", "CreationTime", "LastModifiedTime", "EndpointName", "VariantName")
    return {name: request[name] for name in names if name in request}
