"""A request that is ready to be sent, and an answer that is kept, whichever way they go: through the queue of an endpoint, or straight to a server."""

from __future__ import annotations

import base64
import binascii
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from sagepack.decoding import LIMIT, MalformedError, decode_json
from sagepack.deploy import media_types, results
from sagepack.deploy import request as requests
from sagepack.errors import UserError
from sagepack.files import unreadable
from sagepack.spec import declared
from sagepack.spec.declared import Declared

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sagepack.spec.model import Spec

# The path of a file, an object to send as JSON, or None for the spec's sample.
Source = str | Path | dict[str, Any] | None
_Place = tuple[str | int, ...]
_SHOWN = 40  # characters of a field's value in a note


class Prepared(NamedTuple):
    """A request that was checked.

    Attributes:
        body: the body, or the file that holds it.
        content_type: its media type.
        accept: the media type that the answer should have.
        note: what is sent, where that is not simply what was named; empty otherwise.
    """

    body: bytes | Path
    content_type: str
    accept: str
    note: str = ""


class Saved(NamedTuple):
    """An answer in files.

    Attributes:
        files: where it was written.
        text: the answer itself, if it is one file of text, and short.
    """

    files: tuple[Path, ...]
    text: str | None


def prepare(
    spec: Spec,
    root: Path,
    source: Source,
    *,
    accept: str | None = None,
    output: Path | None = None,
    fields: Mapping[str, Any] | None = None,
    defaults: bool = False,
) -> Prepared:
    """The request that a user means, checked as far as that is possible before it is sent.

    A picture or a recording takes the place of the one in the spec's sample, whose other fields are sent with it. Where the
    sample has none, the file is the body.

    Args:
        spec: the spec, whose sample is sent if no source is named.
        root: folder of the project.
        source: the request.
        accept: the media type that the answer should have.
        output: where the answer will be written; see `accepted`.
        fields: are laid over those of the request; a dot in a name leads into an object.
        defaults: leave to the handler what it declares a default for, in place of the sample's values, with a picture or recording:
            those of a sample are small, so that a deployment is tried quickly.

    Raises:
        UserError: there is no request, it cannot be read, or it is not what the endpoint takes; or the handler does not
            answer with what is wanted.
    """
    wanted = accepted(spec, root, accept, output)
    left = declared.defaults(root / spec.code.path) if defaults else {}
    body, content_type, place = _request(spec, root, source, left)
    if fields:
        body = _laid_over(body, content_type, fields)
    checked = requests.check(body, content_type, requests.Rules.of(spec, root))
    handler = Declared.of(root / spec.code.path)
    if not handler.takes(checked):
        where = str(body) if isinstance(body, Path) else "the request"
        fix = f"send {' or '.join(handler.content_types)}"
        raise UserError(f"the handler takes no request of the type {checked}", where=where, fix=fix)
    if place and isinstance(body, bytes):
        note = _replacement(spec, source, msgspec.json.decode(body), place, _of_sample(spec, root, left))
    else:
        note = _note(source, fields or {})
    return Prepared(body, checked, wanted, note)


def accepted(spec: Spec, root: Path, accept: str | None = None, output: Path | None = None) -> str:
    """The media type of an answer: the one that is asked for, that of the file for it, or `sample.accept` of the spec.

    The file's suffix counts where the handler declares what it answers with, and is no folder.

    Args:
        spec: the spec.
        root: folder of the project.
        accept: the one that is asked for.
        output: where the answer will be written.

    Raises:
        UserError: the handler has no such answer, or file and media type contradict each other.
    """
    handler = Declared.of(root / spec.code.path)
    named = media_types.of_name(output) if output and output.suffix and not output.is_dir() else None
    if accept and named and accept != named:
        fix = f"leave --accept out, or name a file {media_types.suffix_of(accept)}"
        raise UserError(f"{output} is a file for {named}, not for {accept}", where=f"--accept {accept}", fix=fix)
    asked = accept is not None
    if accept is None:
        accept = named if named and handler.accept else spec.sample.accept if spec.sample else media_types.JSON
    if not handler.answers_with(accept):
        suffixes = ", ".join(media_types.suffix_of(each) for each in handler.accept)
        fix = f"ask for {', '.join(handler.accept)}, or name a file {suffixes}, or a folder"
        where = str(output) if named == accept else "--accept" if asked else "sample.accept"
        raise UserError(f"the handler has no answer of the type {accept}", where=where, fix=fix)
    return accept


def save(body: bytes, output: Path) -> Saved:
    """Write an answer to a file, or its parts to a folder, as `results.save_result` does.

    Raises:
        UserError: a file cannot be written.
        RemoteError: the answer is not as its format says; nothing was written.
    """
    files = tuple(results.save_result(body, output))
    return Saved(files, results.short_text(body) if len(files) == 1 else None)


def _request(spec: Spec, root: Path, source: Source, left: Mapping[_Place, Any]) -> tuple[bytes | Path, str, _Place]:
    """The request to send, a file, an object or the spec's sample, its media type, and where in the sample a file was put.

    Args:
        spec: the spec.
        root: folder of the project.
        source: what is to be sent.
        left: fields of the sample that are not sent with a file, since the handler has defaults for them.
    """
    if isinstance(source, dict):
        return json.dumps(source).encode(), media_types.JSON, ()
    if source is not None:
        return _of_file(spec, root, Path(source), left)
    if spec.sample is None:
        raise UserError("the spec has no sample", where="sample", fix="name a file with --input")
    return *requests.of_sample(spec.sample, root), ()


def _of_file(spec: Spec, root: Path, file: Path, left: Mapping[_Place, Any]) -> tuple[bytes | Path, str, _Place]:
    """A file as a request: a picture or recording in the place of the sample's, any other as it is."""
    if file.exists() and not file.is_file():
        return file, media_types.UNKNOWN, ()  # what reads it may wait for ever; the check of it says what it is
    try:
        with file.open("rb") as opened:
            head = opened.read(media_types.HEAD)
        media_type = media_types.told_by(head) or media_types.of_name(file) or media_types.UNKNOWN
        if media_type.startswith("image/") and not media_types.is_of(head, media_type):
            fix = "name a picture, or give the file the suffix of what it is"
            raise UserError(
                f"its name is that of a picture ({media_type}), and its bytes are none", where=str(file), fix=fix
            )
        sample = _sample(spec, root) if media_type.startswith(("image/", "audio/")) else None
        place = next(_files(sample, media_type), ())
        if not place or file.stat().st_size > requests.Rules.of(spec, root).largest:
            return file, media_type, ()
        text = base64.b64encode(file.read_bytes()).decode()
    except OSError as error:
        message, fix = unreadable(error)
        raise UserError(message, where=str(file), fix=fix) from error
    return msgspec.json.encode(_replaced(_without(sample, left), place, text)), media_types.JSON, place


def _laid_over(body: bytes | Path, content_type: str, fields: Mapping[str, Any]) -> bytes:
    """A request with other fields.

    Raises:
        UserError: it has none.
    """
    where = "--field" if isinstance(body, bytes) else str(body)
    if content_type != media_types.JSON:
        fix = "put it into a JSON request in base64, with these fields, or into the spec's sample"
        raise UserError(f"a request of the type {content_type} has no fields", where=where, fix=fix)
    try:
        data = body if isinstance(body, bytes) else body.read_bytes()
        request = decode_json(data, dict[str, Any], limit=max(LIMIT, len(data)))
    except (OSError, MalformedError) as error:
        raise UserError(f"the request is no JSON object: {error}", where=where, fix="correct the file") from error
    for name, value in fields.items():
        request = _replaced(request, tuple(name.split(".")), value)
    return msgspec.json.encode(request)


def _note(source: Source, fields: Mapping[str, Any]) -> str:
    """What is sent, if that is more than what was named."""
    laid = _listed(fields.items())
    return f"sends {source or 'the sample'} with {laid}" if laid and not isinstance(source, dict) else ""


def _replacement(spec: Spec, source: Source, request: Any, place: _Place, left: Mapping[_Place, Any]) -> str:
    """What is sent with a file in the place of the sample's, and what the handler adds to it.

    Args:
        spec: the spec.
        source: the file.
        request: what is sent.
        place: where the file is in it.
        left: fields of the sample that the handler has defaults for, with these.
    """
    sample = spec.sample.file if spec.sample and spec.sample.file else "sample.request"
    sent = dict(_leaves(request, place))
    rest = f", with {_listed(sent.items())}" if sent else ""
    defaults = _listed((_dotted(name), value) for name, value in left.items() if _dotted(name) not in sent)
    if defaults:
        more = (
            f"the handler's own defaults count, and not what {sample} has: {defaults}; --field NAME=VALUE changes them"
        )
        return f"sends {source} as {_dotted(place)}{rest}; {more}"
    beside = f"{rest}: what {sample} has, and --field NAME=VALUE changes" if rest else ""
    return f"sends {source} as {_dotted(place)}{beside}"


def _listed(fields: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in fields)


def _without(value: Any, left: Mapping[_Place, Any], place: _Place = ()) -> Any:
    """A request without some of its fields."""
    if not isinstance(value, dict):
        return value
    return {key: _without(part, left, (*place, key)) for key, part in value.items() if (*place, key) not in left}


def _sample(spec: Spec, root: Path) -> Any:
    """The request of the spec's sample; None if there is none in JSON."""
    if spec.sample is None or spec.sample.content_type != media_types.JSON:
        return None
    if spec.sample.file is None:
        return spec.sample.request
    with suppress(OSError, MalformedError):  # whoever sends the sample itself is told what is wrong with it
        return decode_json((root / spec.sample.file).read_bytes(), Any, limit=requests.MAX_REQUEST_SIZE)
    return None


def _of_sample(spec: Spec, root: Path, fields: Mapping[_Place, Any]) -> dict[_Place, Any]:
    """Those of some fields that the spec's sample has."""
    names = {name for name, _ in _leaves(_sample(spec, root), ())}
    return {place: value for place, value in fields.items() if _dotted(place) in names}


def _files(value: Any, media_type: str, place: _Place = ()) -> Iterator[_Place]:
    """Where in a request a file in base64 is, of the kind (image, audio) that a media type is of."""
    if isinstance(value, str) and media_type.partition("/")[0] == (_media_type(value) or "").partition("/")[0]:
        yield place
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in pairs:
        yield from _files(part, media_type, (*place, key))


def _media_type(text: str) -> str | None:
    """The media type of the file that a text in base64, or a data URL, holds."""
    start = text.partition(";base64,")[2] if text.startswith("data:") else text
    with suppress(binascii.Error, ValueError):
        return media_types.told_by(base64.b64decode(start[: media_types.HEAD * 4 // 3 // 4 * 4], validate=True))
    return None


def _leaves(value: Any, without: _Place, place: _Place = ()) -> Iterator[tuple[str, Any]]:
    """The values of a request that hold no others, each with its name, but for one of them."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, without, (*place, key))
    elif place != without:
        yield _dotted(place), value


def _replaced(value: Any, place: _Place, new: Any) -> Any:
    """The same with another value at a place, which is made if there is none."""
    if not place:
        return new
    key, *rest = place
    if isinstance(key, int):
        return [_replaced(part, tuple(rest), new) if number == key else part for number, part in enumerate(value)]
    inner = value if isinstance(value, dict) else {}
    return {**inner, key: _replaced(inner.get(key), tuple(rest), new)}


def _dotted(place: _Place) -> str:
    return ".".join(map(str, place))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
