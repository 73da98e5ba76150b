"""Secrets do not belong into a spec: it is committed, and anybody who may describe the model reads its environment.

No message repeats a value that looks like a secret.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sagepack.rules.facts import Finding
from sagepack.words import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.document import KeyPath
    from sagepack.rules.facts import Facts

_VALUES = {
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{16,}"),
    "an AWS access key": re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "a GitHub token": re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})"),
    "a GitLab token": re.compile(r"\bglpat-[\w-]{16,}"),
    "an API key": re.compile(r"\b(sk-[A-Za-z0-9_-]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[\w-]{30,})"),
    "a JSON web token": re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\."),
    "an address with a password": re.compile(r"://[^/\s:@]+:[^/\s@]+@"),
}
_ANYWHERE = {"SECRET", "SECRETS", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS", "APIKEY"}
_PAIRS = {("API", "KEY"), ("ACCESS", "KEY"), ("SECRET", "KEY"), ("PRIVATE", "KEY"), ("AUTH", "KEY")}
# Tokens of a tokenizer are not tokens of an account; a name, path or ARN only points to a secret.
_TOKENIZER = {"BOS", "EOS", "PAD", "UNK", "SEP", "CLS", "MASK", "STOP", "IMAGE", "SPECIAL"}
_POINTERS = {"ARN", "NAME", "PATH", "FILE", "DIR"}
_HARMLESS = re.compile(
    r"|true|false|yes|no|on|off|none|null|\d{1,6}|arn:aws[a-z-]*:(secretsmanager|ssm):.*", re.IGNORECASE
)


def check(facts: Facts) -> Iterator[Finding]:
    """Refuse every value that looks like a secret, and every variable or tag whose name says that it holds one."""
    for path, value in _texts(facts.data, ()):
        if kind := kind_of(path, value):
            fix = "remove it and revoke it if it was committed"
            if path[0] == "environment":
                fix += "; let the handler read it from AWS Secrets Manager, and put the secret's ARN here"
            yield Finding(
                path, f"the value looks like {kind}; the spec and the endpoint's environment are readable", fix
            )


def kind_of(path: KeyPath, value: str) -> str | None:
    """What secret the value at `path` seems to be; None if it is none."""
    kind = next((kind for kind, pattern in _VALUES.items() if pattern.search(value)), None)
    if kind:
        return kind
    is_named = path[:1] == ("environment",) or path[-2:-1] == ("tags",)
    if is_named and not _HARMLESS.fullmatch(value) and _secret_name(str(path[-1])):
        return "a secret, by its name"
    return None


def safe(path: KeyPath, value: Any) -> str:
    """`value` as a message may show it."""
    if isinstance(value, str) and kind_of(path, value):
        return "(hidden: it looks like a secret)"
    if isinstance(value, (dict, list)) and any(kind_of((*path, *below), text) for below, text in _texts(value, ())):
        return "(hidden: it holds what looks like a secret)"
    return shown(value)


def _secret_name(name: str) -> bool:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper().replace("-", "_").split("_")
    if words[-1] in _POINTERS:
        return False
    if words[-1] == "TOKEN":
        return not _TOKENIZER & set(words)
    return bool(_ANYWHERE & set(words)) or any(pair in _PAIRS for pair in pairwise(words))


def _texts(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every text in `value`, with its path."""
    if isinstance(value, str):
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _texts(item, (*path, key))
