"""Responses of the Hub, parsed and checked: no part of a response is used before it was checked here.

The formats are those that huggingface_hub 2.4 reads (`hf_api.py`, `utils/_pagination.py`). Fields that are not used here are
not checked.
"""

from __future__ import annotations

import calendar
import re
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urljoin, urlsplit

import msgspec

from sagepack.decoding import Commit, MalformedError, PathText, Sha256Hex, Size, Task, Text, convert, decode_json
from sagepack.digest import Digest
from sagepack.package.license import License
from sagepack.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The largest response of the API. A page of a listing has 1,000 entries, 0.3 MiB on average.
RESPONSE_BYTES = 16 << 20
# The largest listing. The Hub advises against more than 100,000 files in a repository. What is kept in memory has a limit of
# its own, because a text in memory takes up to four times the bytes that it takes in JSON.
_PAGES, _LISTING_BYTES, _KEPT_BYTES = 1_000, 256 << 20, 64 << 20
MODEL_INDEX, MODEL_INDEX_BYTES = "model_index.json", 1 << 20
# The types of safetensors in torch's words.
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8", "U8": "uint8"}
_DTYPES |= {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
# The verdicts of the Hub's scan; others (`unscanned`, `queued`, `error`) say that there is none.
_SCANS = ("safe", "unsafe", "suspicious", "caution")
_LONGEST_NAME = 200  # characters of a class, a type or a licence
_PORTS = {"http": 80, "https": 443}
# Host and port, and nothing that two URL parsers could read differently: no user name, no backslash.
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_NEXT = re.compile(r'<([^<>]*)>\s*;[^<>]*?\brel="?next\b')
_NUMBER = "[0-9]{1,19}"
_CONTENT_RANGE = re.compile(rf"bytes (?:({_NUMBER})-{_NUMBER}|\*)/(?:({_NUMBER})|\*)")
# `"api";r=0;t=55`: how many requests remain, and seconds until there are more (draft-ietf-httpapi-ratelimit-headers-09).
_RATE_LIMIT = re.compile(rf"\br=({_NUMBER})\s*;\s*t=({_NUMBER})")


@dataclass(frozen=True)
class RepoFile:
    """A file of a repository at a commit.

    Attributes:
        path: path in the repository, not yet checked by `manifest.check_paths`.
        size: bytes.
        etag: the ETag of the content, its name in huggingface_hub's cache: SHA-256 of an LFS file, git SHA-1 of others.
        sha256: SHA-256 of an LFS file; None for others, whose content must be read for it.
        hub_scan: what the Hub's own scan says, such as `safe` or `unsafe`; None if it was not asked, or has not scanned the file.
    """

    path: str
    size: int
    etag: str
    sha256: Digest | None
    hub_scan: str | None = None


class _Version(msgspec.Struct):
    sha: Commit
    gated: Any = False
    card: Any = msgspec.field(name="cardData", default=None)
    task: Any = msgspec.field(name="pipeline_tag", default=None)


@dataclass(frozen=True)
class ModelVersion:
    """A commit of a model, and what the Hub says about it.

    Attributes:
        commit: its hash.
        license: of the model card; None if the card names none.
        gated: `auto` or `manual`, if the Hub gives its files only to those who accepted conditions.
        task: in the Hub's words (`pipeline_tag`).
    """

    commit: str
    license: License | None = None
    gated: str | None = None
    task: str | None = None


class _ModelConfig(msgspec.Struct):
    """`config.json`, `model_index.json`, and what the Hub repeats of either.

    People and programs of all kinds write these files, so that what has an unexpected type counts as absent.
    """

    architectures: Any = None
    pipeline: Any = msgspec.field(name="_class_name", default=None)
    diffusers: _ModelConfig | None = None
    transformers_version: Any = None
    torch_dtype: Any = None
    dtype: Any = None  # its name since transformers 5
    auto_map: Any = None
    quantization_config: Any = None

    def facts(self, **of_hub: Any) -> ModelFacts:
        """What it says about the model; where it is silent, what else is known."""
        classes = self.architectures if isinstance(self.architectures, list) else []
        # A pipeline of the repository's own is named together with its file: `["my_pipeline", "MyPipeline"]`.
        pipeline = (self.diffusers or self).pipeline
        own = pipeline if isinstance(pipeline, list) else []
        dtype, quantization = _text(self.torch_dtype) or _text(self.dtype), self.quantization_config
        found = {
            "class_name": _text(pipeline) or _text(own[-1] if own else None) or _text(classes[0] if classes else None),
            "transformers": _text(self.transformers_version),
            "dtype": dtype.removeprefix("torch.") if dtype else None,
            "has_code": bool(self.auto_map or own),
            "quantization": _text(quantization.get("quant_method")) if isinstance(quantization, dict) else None,
        }
        return ModelFacts(**{**of_hub, **{name: value for name, value in found.items() if value}})


def _text(value: object) -> str | None:
    """A text that is short enough for a message; None for everything else."""
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME else None


class _Safetensors(msgspec.Struct):
    """What the Hub read in the headers of the weights: numbers of parameters by type, such as `{"F16": 7063427072}`."""

    parameters: dict[str, int] = {}


class _ModelInfo(msgspec.Struct):
    sha: Commit
    pipeline_tag: Text | None = None
    config: _ModelConfig | None = None
    library_name: Text | None = None
    gated: str | bool = False
    card: Any = msgspec.field(name="cardData", default=None)
    safetensors: _Safetensors | None = None


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model without its weights.

    Attributes:
        class_name: its pipeline of diffusers, or its class of transformers.
        task: in the Hub's words (`pipeline_tag`).
        commit: that the main branch has.
        transformers: the version that it was saved with.
        library: that loads it, in the Hub's words (`library_name`).
        licence: in the Hub's words.
        gate: `auto` or `manual`, if the Hub gives its files only to those who accepted conditions.
        dtype: of most of its weights, in torch's words, such as `float16`.
        has_code: whether it brings code of its own, which transformers runs only with `trust_remote_code`.
        quantization: the method by which its weights were made smaller, such as `gptq`.
    """

    class_name: str | None = None
    task: str | None = None
    commit: str | None = None
    transformers: str | None = None
    library: str | None = None
    licence: str | None = None
    gate: str | None = None
    dtype: str | None = None
    has_code: bool = False
    quantization: str | None = None


class _Lfs(msgspec.Struct):
    oid: Sha256Hex


class _Entry(msgspec.Struct):
    type: str
    path: PathText
    oid: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{40}\Z")]
    size: Size = 0
    lfs: _Lfs | None = None
    security: Any = msgspec.field(name="securityFileStatus", default=None)


def version_of(body: bytes) -> ModelVersion:
    """The commit of `/api/models/<repo>/revision/<revision>`, and what the response says of it.

    Raises:
        MalformedError: here and below, the response is not valid.
    """
    found = decode_json(body, _Version)
    return ModelVersion(found.sha, _license(found.card), _gate(found.gated), _task(found.task))


def _task(tag: object) -> str | None:
    """A task, if it is a word as the Hub has them."""
    try:
        return None if tag is None else convert(tag, Task)
    except MalformedError:
        return None


def _gate(gated: object) -> str | None:
    """The kind of a gate: `auto` or `manual`; None without one."""
    return gated if gated in ("auto", "manual") else "auto" if gated else None


def _license(card: object) -> License | None:
    """The licence of a model card, which people write: what is no text counts as absent."""
    if not isinstance(card, dict):
        return None
    named = card.get("license")
    names = [text for each in (named if isinstance(named, list) else [named]) if (text := _line(each))]
    more = [_line(card.get(key)) for key in ("license_name", "license_link")]
    return License(", ".join(names)[:_LONGEST_NAME], *more) if names else None


def _line(value: object) -> str | None:
    """A text, on one line."""
    text = _text(value)
    return printable(text)[:_LONGEST_NAME] if text else None


def info_of(body: bytes) -> ModelFacts:
    """What `/api/models/<repo>` says about the model."""
    info = decode_json(body, _ModelInfo)
    counts = info.safetensors.parameters if info.safetensors else {}
    found = _license(info.card)
    return (info.config or _ModelConfig()).facts(
        task=info.pipeline_tag,
        commit=info.sha,
        library=info.library_name,
        licence=found.id if found else None,
        gate=_gate(info.gated),
        dtype=_DTYPES.get(max(counts, key=counts.__getitem__)) if counts else None,
    )


def config_of(body: bytes) -> ModelFacts:
    """What `model_index.json` or `config.json` says about the model."""
    return decode_json(body, _ModelConfig, limit=MODEL_INDEX_BYTES).facts()


def dtype_of(header: bytes) -> str | None:
    """The type of most of the numbers in a file of safetensors, by its header, in torch's words; None if that does not say it."""
    sizes: dict[str, int] = {}
    for tensor in decode_json(header, dict[str, Any]).values():
        offsets = tensor.get("data_offsets") if isinstance(tensor, dict) else None
        if isinstance(offsets, list) and len(offsets) == 2 and all(isinstance(offset, int) for offset in offsets):
            name = str(tensor.get("dtype"))
            sizes[name] = sizes.get(name, 0) + offsets[1] - offsets[0]
    return _DTYPES.get(max(sizes, key=sizes.__getitem__)) if sizes else None


def files_of(pages: Iterable[bytes]) -> list[RepoFile]:
    """The files of `/api/models/<repo>/tree/<commit>`, sorted by path."""
    files: list[RepoFile] = []
    read = kept = 0
    for number, page in enumerate(pages):
        read += len(page)
        if number >= _PAGES or read > _LISTING_BYTES:
            raise MalformedError(f"the listing has more than {_PAGES:,} pages or {_LISTING_BYTES >> 20} MiB")
        for entry in decode_json(page, list[_Entry]):
            if entry.type != "file":
                continue
            sha256 = Digest("sha256", entry.lfs.oid) if entry.lfs else None
            scan = _scan(entry.security)
            files.append(RepoFile(entry.path, entry.size, sha256.value if sha256 else entry.oid, sha256, scan))
            kept += sys.getsizeof(entry.path) + 400
        if kept > _KEPT_BYTES:
            raise MalformedError(f"the listing has too many files, or too long names: {len(files):,} files so far")
    return sorted(files, key=lambda file: file.path)


def _scan(security: object) -> str | None:
    """The verdict of the Hub's scan; None where there is none yet."""
    status = security.get("status") if isinstance(security, dict) else None
    return next((verdict for verdict in _SCANS if status == verdict), None)


def model_index_of(body: bytes) -> dict[str, Any]:
    """The content of `model_index.json`."""
    return decode_json(body, dict[str, Any], limit=MODEL_INDEX_BYTES)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL; a token is sent to one origin only."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise MalformedError("the address is not a URL") from None
    if parts.scheme not in _PORTS or not _AUTHORITY.fullmatch(parts.netloc):
        raise MalformedError("the address is not an `http` or `https` URL with a host and without a user name")
    return parts.scheme, parts.hostname or "", _PORTS[parts.scheme] if port is None else port


def absolute(target: str, base: str) -> str:
    """The URL that the response to a request of `base` refers to, as an absolute URL."""
    try:
        url = urlsplit(urljoin(base, target)).geturl()
    except ValueError:
        raise MalformedError("the address is not a URL") from None
    if (origin(base)[0], origin(url)[0]) == ("https", "http"):
        raise MalformedError("the address leads from https to http, which is not encrypted")
    return url


def next_page(headers: Mapping[str, str], url: str) -> str | None:
    """The URL of the page after `url` (`Link: <address>; rel="next"`, RFC 8288); None after the last."""
    link = _NEXT.search(headers.get("Link", ""))
    return absolute(link[1], url) if link else None


def content_extent(status: int, headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Offset of a body in the file, and size of the file; None for what the headers do not say."""
    if status == 200:
        length = headers.get("Content-Length", "")
        return 0, int(length) if re.fullmatch(_NUMBER, length) else None
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    first, size = match.groups() if match else (None, None)
    return None if first is None else int(first), None if size is None else int(size)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `Retry-After` (RFC 9110, 10.2.3: seconds or a date) or the Hub's `RateLimit`; None without them."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(_NUMBER, value):
        return float(value)
    if value:
        try:
            date = calendar.timegm(time.strptime(value, "%a, %d %b %Y %H:%M:%S GMT"))
        except ValueError:
            return None
        return max(0.0, date - time.time())
    limit = _RATE_LIMIT.search(headers.get("RateLimit", ""))
    return float(limit[2]) if limit and limit[1] == "0" else None
