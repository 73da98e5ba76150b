"""Which Python modules an image has: those of its packages, and those of its Python.

The table is `spec/data/image-packages.json`. The versions that Dockerfiles pin are certain; the other packages of an image
follow from resolving the Dockerfile's install lines at the date of its release, which agreed with the two published lists
that could be compared. Nothing is known of other images.
"""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack.decoding import Value
from sagepack.spec import images

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TABLE = Path(__file__).parent / "data" / "image-packages.json"
_KINDS = ("pinned", "inferred", "conda", "base")
# Built for the CUDA version of the image, or part of its server: another version breaks the container.
_FIXED = re.compile(
    r"torch|torchvision|torchaudio|torchtext|torchdata|triton|nvidia-(?!ml-py).*|sagemaker-inference"
    r"|sagemaker-huggingface-inference-toolkit|sagemaker-pytorch-inference|multi-model-server"
)
# Modules that came or went with a version of Python: the versions with it begin with the first and end before the second.
_CHANGED = {
    **dict.fromkeys(("formatter", "parser", "symbol"), ((3, 0), (3, 10))),
    **dict.fromkeys(("binhex",), ((3, 0), (3, 11))),
    **dict.fromkeys(("asynchat", "asyncore", "imp", "smtpd"), ((3, 0), (3, 12))),
    **dict.fromkeys(
        (
            *("aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "lib2to3", "mailcap", "nis", "nntplib"),
            *("ossaudiodev", "pipes", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib"),
        ),
        ((3, 0), (3, 13)),
    ),
    "tomllib": ((3, 11), (99, 0)),
    **dict.fromkeys(("annotationlib", "compression"), ((3, 14), (99, 0))),
}
# Distributions that no image has, with the module that they install under another name; of several, the best comes first.
_OTHERS = {
    "opencv-python-headless": "cv2",
    "beautifulsoup4": "bs4",
    "faiss-cpu": "faiss",
    "faiss-gpu": "faiss",
    "ffmpeg-python": "ffmpeg",
    "openai-whisper": "whisper",
    "opencv-contrib-python": "cv2",
    "opencv-contrib-python-headless": "cv2",
    "pycryptodome": "Crypto",
    "pyjwt": "jwt",
    "pymupdf": "fitz",
    "python-docx": "docx",
    "python-dotenv": "dotenv",
    "scikit-image": "skimage",
}

# Further distributions that inference code often needs, for guesses at a typo.
_COMMON = (
    *("av", "bitsandbytes", "compel", "controlnet-aux", "decord", "einops", "flash-attn", "ftfy", "gguf", "imageio"),
    *("imageio-ffmpeg", "invisible-watermark", "k-diffusion", "mediapipe", "moviepy", "onnxruntime", "onnxruntime-gpu"),
    *("open-clip-torch", "optimum", "pydantic", "rembg", "safetensors", "sentence-transformers", "tiktoken", "timm"),
    *("torchao", "torchmetrics", "trimesh", "ultralytics", "xformers"),
)


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(_TABLE.read_text(encoding="utf-8"))
    return table


@cache
def modules(tag: str) -> Mapping[str, str] | None:
    """The modules in the image, and the distribution that installs each; None for an image that is not in the table.

    A module of a namespace has its full name, such as `google.protobuf`. The tag of a patch release counts as the known tag.
    """
    known = _known(tag)
    if known is None:
        return None
    return {
        name: package for package, (_, version) in _packages(known).items() for name in _installed(package, version)
    }


@cache
def pinned(tag: str) -> frozenset[str]:
    """The distributions that the Dockerfile of the image pins: those that it is made for."""
    known = _known(tag)
    return frozenset(name for name, (kind, _) in _packages(known).items() if kind == "pinned") if known else frozenset()


class Installed(Value, frozen=True):
    """A distribution of an image.

    Attributes:
        version: its version; empty where only its presence is known.
        is_certain: whether the Dockerfile pins it; otherwise the version is what pip took at the date of the release.
    """

    version: str
    is_certain: bool


@cache
def packages(tag: str) -> Mapping[str, Installed] | None:
    """The distributions in the image by normalized name; None for an image that is not in the table."""
    known = _known(tag)
    if known is None:
        return None
    return {name: Installed(version, kind == "pinned") for name, (kind, version) in _packages(known).items()}


def is_fixed(name: str) -> bool:
    """Whether the image works with its own version of a distribution only."""
    return _FIXED.fullmatch(name) is not None


def known_distributions() -> frozenset[str]:
    """The names of all distributions that the table has, in some image or as one that no image has."""
    return frozenset(_OTHERS).union(*(_packages(known) for known in images.known_tags()), _COMMON)


def of_distribution(name: str) -> tuple[str, ...]:
    """The modules that a distribution installs, as far as its name says."""
    if name in _OTHERS:
        return (_OTHERS[name],)
    return tuple(_table()["modules"].get(name, name.replace("-", "_")).split())


def distribution_of(module: str) -> str:
    """The distribution that probably installs a module."""
    tables = (_OTHERS, _table()["modules"])
    return next((name for table in tables for name in table if module in table[name].split()), module.replace("_", "-"))


def in_python(module: str, python: tuple[int, int]) -> bool:
    """Whether the standard library of a version of Python has a module. `distutils` counts: setuptools brings it back."""
    if module in _CHANGED:
        first, end = _CHANGED[module]
        return first <= python < end
    return module in sys.stdlib_module_names or module == "distutils"


def was_in_python(module: str) -> bool:
    """Whether the standard library of some version of Python has a module."""
    return module in _CHANGED


def _known(tag: str) -> str | None:
    return next((known for known in images.known_tags() if tag == known or tag.startswith(f"{known}-v")), None)


def _packages(tag: str) -> dict[str, tuple[str, str]]:
    """The distributions in an image: how each is known, and its version, which may be empty."""
    image = _table()["images"][tag]
    found = dict(_packages(image["like"])) if "like" in image else {}
    for name in image.get("without", "").split():
        del found[name]
    for kind in _KINDS:
        for entry in image.get(kind, "").split():
            name, _, version = entry.partition("==")
            found[name] = (kind, version)
    return found


def _installed(package: str, version: str) -> Iterator[str]:
    """The modules that a version of a distribution installs."""
    for name in of_distribution(package):
        if name == "pkg_resources" and _number(version) >= (82, 0):
            continue  # gone in setuptools 82
        if name == "torio" and _number(version) < (2, 2):
            continue  # new in torchaudio 2.2
        yield name


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))
