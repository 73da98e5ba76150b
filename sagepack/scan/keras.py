"""The configuration of a Keras archive, or of a preset of Keras Hub: the classes that loading it makes, by their modules.

Keras imports whatever module a configuration names (CVE-2025-1550). So only its own classes are harmless, and those of its functions that
calculate; but not the layers that are functions of Python.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from sagepack.scan import formats
from sagepack.scan.callables import KERAS_LAMBDA
from sagepack.scan.finding import Finding, Kind, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARIES = ("keras", "tf_keras", "keras_hub", "keras_nlp", "keras_cv")
# Those that calculate; others of Keras' functions fetch files, and load them (CVE-2025-8747).
_CALCULATING = re.compile(r"\w+(\.src)?\.(activations|constraints|initializers|losses|metrics|ops|regularizers)(\.|\Z)")
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
    yield from of_document(path, document, at)


def of_object(path: str, document: Any) -> Iterator[Finding]:
    """The same of a file that is an object of Keras written as JSON, as a preset of Keras Hub has them; nothing of any other."""
    if isinstance(document, dict) and {"module", "class_name"} <= document.keys():
        yield from of_document(path, document, "")


def of_document(path: str, document: Any, at: str) -> Iterator[Finding]:
    """The same of a configuration that was read."""
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
            elif isinstance(module, str) and isinstance(name, str):
                # `config` names the function of a class `function`.
                called = str(value.get("config")) if name == "function" else name
                if not _is_own(module, called):
                    yield shown(f"{module}.{called}")


def _is_own(module: str, name: str) -> bool:
    """Whether this is a class of Keras, or a function that calculates; without a module Keras looks among its own alone."""
    if module in ("builtins", "None"):
        return True
    return module.partition(".")[0] in _LIBRARIES and (name[:1].isupper() or _CALCULATING.match(module) is not None)
