"""Rules about S3: names of buckets, prefixes that must not contain each other, encryption, tags.

Source for names: "General purpose bucket naming rules" of the S3 user guide.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic
from sagepack.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.errors import KeyPath
    from sagepack.spec.rules.view import SpecView

_URI = re.compile(r"s3://([^/]+)(?:/(.*))?", re.DOTALL)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()=+@/-]*")
MAX_PREFIX = 512  # characters; a key has at most 1,024 bytes, and names and digests follow the prefix


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check `artifact`, the paths of results, and all tags."""
    for path, uri in _uris(view):
        if problem := uri_problem(uri):
            yield Diagnostic(path, f"{shown(uri)}: {problem}")
    yield from _disjoint_prefixes(view)
    yield from _encryption(view)
    yield from _reuse(view)
    for owner in ("artifact", "endpoint"):
        for key in view.text_map(owner, "tags"):
            if key.startswith("sagepack:"):
                yield Diagnostic((owner, "tags", key), "tags that begin with sagepack: are reserved for this program")
            if key.casefold().startswith("aws:"):
                yield Diagnostic((owner, "tags", key), "tags that begin with aws: are reserved for AWS")


def uri_problem(uri: str) -> str | None:
    """What is wrong with an `s3://bucket/prefix`; None if it is valid."""
    match = _URI.fullmatch(uri)
    if match is None:
        return "it must be s3://bucket or s3://bucket/prefix"
    bucket, prefix = match[1], match[2] or ""
    if not _BUCKET.fullmatch(bucket) or ".." in bucket or _ADDRESS.fullmatch(bucket):
        return "a bucket name has 3 to 63 lower-case letters, digits, dots and hyphens, and begins and ends with a letter or digit"
    if bucket.startswith(_RESERVED_STARTS) or bucket.endswith(_RESERVED_ENDS):
        return "S3 reserves bucket names of this form"
    if not _PREFIX.fullmatch(prefix) or len(prefix) > MAX_PREFIX:
        return f"a prefix has at most {MAX_PREFIX} letters, digits and the characters ! - _ . * ' ( ) = + @ /"
    if any(part in ("", ".", "..") for part in prefix.removesuffix("/").split("/")) and prefix:
        return "a prefix has no empty parts, and none that are . or .."
    return None


def _uris(view: SpecView) -> Iterator[tuple[KeyPath, str]]:
    """Every S3 URI that the spec gives, with the path of its key."""
    if target := view.text("artifact", "target"):
        yield ("artifact", "target"), target
    for number, uri in enumerate(view.texts("artifact", "reuse_from")):
        if uri:
            yield ("artifact", "reuse_from", number), uri
    for path in view.result_paths():
        if written := view.text(*path):
            yield path, written


def _disjoint_prefixes(view: SpecView) -> Iterator[Diagnostic]:
    """Neither of results and packages may be inside the other: cleaning up one would delete the other."""
    target = view.text("artifact", "target")
    if target is None:
        return
    for path, uri in view.result_paths().items():
        if _within(uri, target):
            message = f"results in {uri} would be inside artifact.target"
            if view.text(*path) is not None:
                yield Diagnostic(path, message)
            else:
                fix = f"give artifact.target a prefix, such as {target.rstrip('/')}/models, or set {'.'.join(path)}"
                yield Diagnostic(("artifact", "target"), message, fix)
        elif _within(target, uri):
            yield Diagnostic(path, f"artifact.target would be inside {uri}, among the results")


def _within(uri: str, folder: str) -> bool:
    return f"{uri.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def _encryption(view: SpecView) -> Iterator[Diagnostic]:
    if view.text("artifact", "kms_key_id") and view.text("artifact", "sse") != "aws:kms":
        have = view.text("artifact", "sse") or "the bucket's default"
        yield Diagnostic(
            ("artifact", "kms_key_id"),
            f"a KMS key requires sse aws:kms, but sse is {have}",
            "set artifact.sse to aws:kms",
        )


def _reuse(view: SpecView) -> Iterator[Diagnostic]:
    target = (view.text("artifact", "target") or "").rstrip("/")
    for number, uri in enumerate(view.texts("artifact", "reuse_from")):
        if target and uri.rstrip("/") == target:
            message = "this is artifact.target, which is searched anyway"
            yield Diagnostic(("artifact", "reuse_from", number), message, "remove it", severity="warning")
