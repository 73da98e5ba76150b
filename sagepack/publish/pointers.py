"""Which of many contents have a pointer: one listing says of a thousand what a request each would."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from sagepack.publish.keys import CONTENTS, pointer_uri
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagepack.aws.s3 import S3, S3Uri
    from sagepack.digest import Digest
    from sagepack.publish.keys import PackageFormat

FEW = 100
"""Contents that are asked for one by one, all at the same time: a listing of all pointers may take longer."""
_LISTED_FOR_ONE = 50  # keys that are listed while one object is read, about: 1,000 come in one response


def that_may_be_there(store: S3, target: S3Uri, contents: Iterable[Digest], format_: PackageFormat) -> list[Digest]:
    """Those of the contents that may have a pointer under a target, in the order of their digests.

    Of a few, that is all of them. The pointers to many are listed, by the first digit and all at once; where a target has so
    many others that reading each would be done sooner, all of that digit may be there.

    Args:
        store: S3.
        target: whose pointers.
        contents: of a package.
        format_: of the package.
    """
    ordered = sorted(contents)
    if len(ordered) <= FEW:
        return ordered
    by_digit: defaultdict[str, list[Digest]] = defaultdict(list)
    for digest in ordered:
        by_digit[digest.value[0]].append(digest)
    with worker_pool(len(by_digit), "pointers") as pool:
        listed = pool.map(partial(_listed, store, target, format_), by_digit.values())
        return [digest for found in listed for digest in found]


def _listed(store: S3, target: S3Uri, format_: PackageFormat, contents: Sequence[Digest]) -> Sequence[Digest]:
    """Those of the contents, all of one first digit, that may have a pointer."""
    most = _LISTED_FOR_ONE * len(contents)
    pointers = store.list(target.child(f"{CONTENTS}/{contents[0].value[0]}"))
    keys = {each.location.key for each in islice(pointers, most + 1)}
    if len(keys) > most:
        return contents
    return [digest for digest in contents if pointer_uri(target, digest, format_).key in keys]
