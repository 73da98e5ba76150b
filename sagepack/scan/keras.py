"""The configuration of a Keras archive: the classes that loading it makes, by their modules.

Keras imports whatever module a configuration names (CVE-2025-1550). So only its own are harmless, and of those not the layers
that are functions of Python.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sagepack.scan import formats
from sagepack.scan.callables import KERAS_LAMBDA
from sagepack.scan.finding import Finding, Kind, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWN = ("keras", "tf_keras", "keras_hub", "keras_nlp", "keras_cv", "builtins", "None")
_FUNCTIONS = ("Lambda", "TFOpLambda")


def findings(path: str, data: bytes, at: str) -> Iterator[Finding]:
    """What a configuration would call.

    Args:
        path: of the archive, for the finding.
        data: the configuration.
        at: its member.
    """
    try:
        document = json.loads(data.decode())
    except (ValueError, RecursionError):
        return  # Keras cannot read it either
    names = dict.fromkeys(_names(document))
    if KERAS_LAMBDA in names:
        del names[KERAS_LAMBDA]
        yield Finding(path, Kind.CALLS, formats.HAS_LAMBDA, at, (KERAS_LAMBDA,))
    if names:
        yield Finding(path, Kind.CALLS, "", at, tuple(names))


def _names(document: Any) -> Iterator[str]:
    """The classes that are not known to be harmless."""
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            pending += value.values()
            name, module = value.get("class_name"), value.get("module")
            if name in _FUNCTIONS:
                yield KERAS_LAMBDA
            elif isinstance(module, str) and isinstance(name, str) and module.partition(".")[0] not in _OWN:
                # `fn_module` and `config` name the function of a class `function`.
                yield shown(f"{module}.{value.get('config') if name == 'function' else name}")
