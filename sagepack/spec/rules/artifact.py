"""Where packages and results go in S3: names of buckets, prefixes that must not mix, encryption.

Bucket names: "General purpose bucket naming rules" of the S3 user guide.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagepack.spec.rules.view import Finding
from sagepack.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.document import KeyPath
    from sagepack.spec.rules.view import Facts

_URI = re.compile(r"s3://([^/]+)(?:/(.*))?", re.DOTALL)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()=+@/-]*")
MAX_PREFIX = 512  # of the 1,024 bytes of a key; names and digests follow


def check(facts: Facts) -> Iterator[Finding]:
    """Everything about `artifact` and the paths of results."""
    for path, uri in _uris(facts):
        if problem := uri_problem(uri):
            yield Finding(path, f"{shown(uri)}: {problem}")
    yield from _apart(facts)
    yield from _encryption(facts)
    yield from _reuse(facts)
    for owner in ("artifact", "endpoint"):
        for key in facts.text_map(owner, "tags"):
            if key.startswith("sagepack:"):
                yield Finding((owner, "tags", key), "tags that begin with sagepack: are set by this program")
            if key.casefold().startswith("aws:"):
                yield Finding((owner, "tags", key), "tags that begin with aws: are AWS's own")


def uri_problem(uri: str) -> str | None:
    """What is wrong with an `s3://bucket/prefix`; None if nothing."""
    match = _URI.fullmatch(uri)
    if match is None:
        return "it must be s3://bucket or s3://bucket/prefix"
    bucket, prefix = match[1], match[2] or ""
    if not _BUCKET.fullmatch(bucket) or ".." in bucket or _ADDRESS.fullmatch(bucket):
        return "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens, and begins and ends with a letter or digit"
    if bucket.startswith(_RESERVED_STARTS) or bucket.endswith(_RESERVED_ENDS):
        return "S3 reserves this form of a bucket's name"
    if not _PREFIX.fullmatch(prefix) or len(prefix) > MAX_PREFIX:
        return f"a prefix has at most {MAX_PREFIX} letters, digits and the characters ! - _ . * ' ( ) = + @ /"
    if any(part in ("", ".", "..") for part in prefix.removesuffix("/").split("/")) and prefix:
        return "a prefix has no empty parts, and none that are . or .."
    return None


def _uris(facts: Facts) -> Iterator[tuple[KeyPath, str]]:
    if target := facts.text("artifact", "target"):
        yield ("artifact", "target"), target
    for number, uri in enumerate(facts.texts("artifact", "reuse_from")):
        if uri:
            yield ("artifact", "reuse_from", number), uri
    for key in ("s3_output_path", "s3_failure_path"):
        if written := facts.text("endpoint", "async", key):
            yield ("endpoint", "async", key), written


def _apart(facts: Facts) -> Iterator[Finding]:
    """Results and packages must not lie within each other: cleaning one would touch the other."""
    target = facts.text("artifact", "target")
    if target is None:
        return
    for key, uri in facts.result_paths().items():
        path = ("endpoint", "async", key)
        if _within(uri, target):
            written = facts.text(*path) is not None
            fix = (
                None if written else f"give artifact.target a prefix, such as {target.rstrip('/')}/models, or set {key}"
            )
            yield Finding(
                path if written else ("artifact", "target"), f"results in {uri} would lie under artifact.target", fix
            )
        elif _within(target, uri):
            yield Finding(path, f"artifact.target would lie under {uri}, among the results")


def _within(uri: str, folder: str) -> bool:
    return f"{uri.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def _encryption(facts: Facts) -> Iterator[Finding]:
    if facts.text("artifact", "kms_key_id") and facts.text("artifact", "sse") != "aws:kms":
        have = facts.text("artifact", "sse") or "the bucket's default"
        yield Finding(
            ("artifact", "kms_key_id"), f"a key needs sse: aws:kms; sse is {have}", "set artifact.sse to aws:kms"
        )


def _reuse(facts: Facts) -> Iterator[Finding]:
    target = (facts.text("artifact", "target") or "").rstrip("/")
    for number, uri in enumerate(facts.texts("artifact", "reuse_from")):
        if target and uri.rstrip("/") == target:
            message = "this is artifact.target itself, which is always searched"
            yield Finding(("artifact", "reuse_from", number), message, "remove it", warning=True)
