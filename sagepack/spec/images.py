"""The AWS deep learning containers this program knows: tags, what is in them, and the registry of each region.

The table is `sagepack/data/images.json`; where its rows come from stands in it. An image that is not in the table can be
used all the same; only the advice that needs its contents is then left out.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sagepack.errors import UserError

_TABLE = Path(__file__).parent / "data" / "images.json"
_TAG = re.compile(
    r"(?P<framework>\d+\.\d+(\.\d+)?)-transformers(?P<transformers>[\d.]+)-(?P<device>cpu|gpu)"
    r"-py(?P<python>\d{2,3})(-cu(?P<cuda>\d{3}))?-(?P<os>ubuntu[\d.]+)(?P<release>-v[\w.-]+)?"
)


@dataclass(frozen=True)
class TagFacts:
    """What the tag of a Hugging Face inference image says.

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
    """The repository the known tags belong to."""
    return str(_table()["repository"])


def known_tags() -> tuple[str, ...]:
    """Tags of the table, oldest first."""
    return tuple(image["tag"] for image in _table()["images"])


def packages(tag: str) -> dict[str, str]:
    """Python packages of interest in the image with `tag`, and their versions; empty for an unknown tag.

    A tag of one release (`<known tag>-v2.1`) counts as the tag it belongs to.
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
        region: AWS region; an image must lie in the region it is deployed in.
        account_id: account of the registry; None takes the one AWS documents.

    Raises:
        UserError: the region is not in the table and no account is given.
    """
    owner = account_id or account(region)
    if owner is None:
        raise UserError(
            f"no registry of deep learning containers is known for the region {region!r}",
            where="aws.region",
            fix="correct the region, or name the registry's account as image.account",
        )
    return f"{owner}.dkr.ecr.{region}.{dns_suffix(region)}"


def dns_suffix(region: str) -> str:
    """The domain of AWS services in `region`: partitions other than the public one have their own."""
    suffixes: dict[str, str] = _table()["dns_suffixes"]
    return next((suffix for start, suffix in suffixes.items() if region.startswith(start)), "amazonaws.com")


def partition(region: str) -> str:
    """The partition of `region`, as ARNs name it."""
    names = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "us-iso-": "aws-iso", "us-isob-": "aws-iso-b"}
    return next((name for start, name in names.items() if region.startswith(start)), "aws")


def parse_tag(tag: str) -> TagFacts | None:
    """What `tag` says of its image; None if it is not in the grammar of Hugging Face inference images."""
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
