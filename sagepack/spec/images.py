"""The known AWS deep learning containers: their tags and packages, and the registry of each region.

The table is `spec/data/images.json`, which also names the sources of its rows. Other images can be used; the checks that
need the contents of the image are then skipped.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from sagepack.decoding import Value
from sagepack.errors import UserError

_TABLE = Path(__file__).parent / "data" / "images.json"
_CUDA = re.compile(r"(?:^|-)cu(\d\d)(\d)(?=-|$)")
_PYTHON = re.compile(r"(?:^|-)py(\d)(\d{1,2})(?=-|$)")
_UBUNTU = re.compile(r"ubuntu(\d\d\.\d\d)")
_GLIBC = {"20.04": 31, "22.04": 35, "24.04": 39}  # https://packages.ubuntu.com/libc6
_TAG = re.compile(
    r"(?P<framework>\d+\.\d+(\.\d+)?)-transformers(?P<transformers>[\d.]+)-(?P<device>cpu|gpu)"
    r"-py(?P<python>\d{2,3})(-cu(?P<cuda>\d{3}))?-(?P<os>ubuntu[\d.]+)(?P<release>-v[\w.-]+)?"
)


class TagFacts(Value, frozen=True):
    """The parts of the tag of a Hugging Face inference image.

    Attributes:
        framework: version of PyTorch.
        transformers: version of transformers.
        device: `cpu` or `gpu`.
        python: major and minor version of Python, such as (3, 12).
        cuda: CUDA version such as (12, 4); None for a CPU image.
    """

    framework: str
    transformers: str
    device: str
    python: tuple[int, int]
    cuda: tuple[int, int] | None


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(_TABLE.read_text(encoding="utf-8"))
    return table


def repository() -> str:
    """The repository of all known tags."""
    return str(_table()["repository"])


def known_tags() -> tuple[str, ...]:
    """The tags in the table, oldest first."""
    return tuple(image["tag"] for image in _table()["images"])


def packages(tag: str) -> dict[str, str]:
    """Versions by name of the Python packages in the image that matter here; empty for an unknown tag.

    The tag of a patch release (`<known tag>-v2.1`) counts as the known tag.
    """
    for image in _table()["images"]:
        if tag == image["tag"] or tag.startswith(f"{image['tag']}-v"):
            return dict(image["packages"])
    return {}


def regions() -> tuple[str, ...]:
    """Regions with a registry of deep learning containers."""
    return tuple(_table()["accounts"])


def account(region: str) -> str | None:
    """The registry account that AWS documents for `region`; None for an unknown region."""
    found = _table()["accounts"].get(region)
    return None if found is None else str(found)


def registry(region: str, account_id: str | None = None) -> str:
    """Host of the registry of `region`.

    Args:
        region: AWS region; an image must be in the region of the endpoint.
        account_id: account of the registry; None for the one that AWS documents.

    Raises:
        UserError: the region is not in the table, and no account is given.
    """
    owner = account_id or account(region)
    if owner is None:
        raise UserError(
            f"no registry of deep learning containers is known for region {region!r}",
            where="aws.region",
            fix="correct the region, or set image.account to the account of a registry",
        )
    return f"{owner}.dkr.ecr.{region}.{dns_suffix(region)}"


def dns_suffix(region: str) -> str:
    """The domain of AWS services in `region`, such as `amazonaws.com`; partitions other than `aws` have other domains."""
    suffixes: dict[str, str] = _table()["dns_suffixes"]
    return next((suffix for start, suffix in suffixes.items() if region.startswith(start)), "amazonaws.com")


def partition(region: str) -> str:
    """The AWS partition of `region`, as in ARNs, such as `aws` or `aws-cn`."""
    names = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "us-iso-": "aws-iso", "us-isob-": "aws-iso-b"}
    return next((name for start, name in names.items() if region.startswith(start)), "aws")


def cuda_version(tag: str) -> tuple[int, int] | None:
    """The CUDA version that the tag of an AWS image of whatever repository names, as in `-cu124-`; None if it names none."""
    match = _CUDA.search(tag)
    return (int(match[1]), int(match[2])) if match else None


def python_version(tag: str) -> tuple[int, int] | None:
    """The Python of an image of whatever repository, as in `-py312-`; None if its tag names none."""
    match = _PYTHON.search(tag)
    return (int(match[1]), int(match[2])) if match else None


def glibc(tag: str) -> int:
    """The minor version of glibc 2 in an image of whatever repository; that of Ubuntu 20.04 if the tag names no newer one."""
    match = _UBUNTU.search(tag)
    return _GLIBC.get(match[1], 31) if match else 31


def parse_tag(tag: str) -> TagFacts | None:
    """The parts of `tag`; None if it does not have the form of a Hugging Face inference image."""
    match = _TAG.fullmatch(tag)
    if match is None:
        return None
    digits, cuda = match["python"], match["cuda"]
    return TagFacts(
        framework=match["framework"],
        transformers=match["transformers"],
        device=match["device"],
        python=(int(digits[0]), int(digits[1:])),
        cuda=(int(cuda[:2]), int(cuda[2:])) if cuda else None,
    )
