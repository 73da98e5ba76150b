"""What a model is: its task, its files and the commit to pin, from the sandbox's miniatures, the Hub or a folder."""

from __future__ import annotations

import dataclasses
import threading
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from sagepack.decoding import MalformedError, Value
from sagepack.errors import RemoteError, SagepackError, UserError
from sagepack.hub import selection
from sagepack.hub.responses import MODEL_INDEX_BYTES, ModelFacts, config_of, dtype_of, model_index_of
from sagepack.hub.weight_names import Weight
from sagepack.package.revision import Revision
from sagepack.scaffold import sizes
from sagepack.scaffold.kinds import OTHER, PLAIN_TASK, TRANSFORMERS, Kind, kind_of, task_of
from sagepack.scan import safetensors
from sagepack.scan.finding import RefusedError
from sagepack.scan.ranges import Ranges
from sagepack.spec import image_modules
from sagepack.text import counted, format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sagepack.hub.client import Hub
    from sagepack.hub.responses import RepoFile
    from sagepack.hub.selection import Selection, SizedFile

DESCRIBING = ("model_index.json", "config.json")
"""The files that say what a model is; the first of them that is there counts."""
SECONDS = 10.0
"""The longest that the Hub may take."""
# The packages that load weights made smaller by a method, where it has a package of its own.
_QUANTIZERS = {
    "bitsandbytes": "bitsandbytes",
    "gptq": "gptqmodel",
    "awq": "autoawq",
    "compressed-tensors": "compressed-tensors",
}
_GGUF = ".gguf"
_BEST_GGUF = ("q4_k_m", "q4_k_s", "q4_0", "q5_k_m", "q8_0")
_Answer = TypeVar("_Answer")


class Files(Value, frozen=True):
    """The files of a model that its package takes.

    Attributes:
        size: bytes of them together.
        weights: bytes of those with weights.
        reason: what decided, and how much that saves, as one sentence.
        variant: of the weights, such as `fp16`; None for those without.
        include: patterns that choose them; empty where the layout of the repository does.
        largest: the path of the largest of those with weights; empty if there is none.
        has_code: whether there is Python code among them.
    """

    size: int
    weights: int
    reason: str
    variant: str | None = None
    include: tuple[str, ...] = ()
    largest: str = ""
    has_code: bool = False


class Found(Value, frozen=True):
    """What is known of a model, and what to write for it.

    Attributes:
        kind: the handler and what belongs to it.
        image: tag of the image.
        instance_type: with enough memory for it, as far as that is known.
        why: what the instance type assumes.
        commit: the commit to pin; None if it is not known, or there is none.
        files: those that its package takes; None if they are not known.
        seen: what the model says about itself, one line each.
        notes: what was assumed, one line each, with the key to change.
    """

    kind: Kind
    image: str
    instance_type: str
    why: str
    commit: str | None = None
    files: Files | None = None
    seen: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def described(data: bytes, commit: str | None = None, where: str = "") -> ModelFacts:
    """What one of these files says about its model.

    Raises:
        UserError: it is no such file.
    """
    try:
        return dataclasses.replace(config_of(data), commit=commit)
    except MalformedError as error:
        raise UserError(f"this is no description of a model: {error}", where=where or None) from error


def in_folder(folder: Path) -> tuple[ModelFacts, Files | None]:
    """What the model in a folder is, and its files.

    Raises:
        UserError: there is no such folder, it holds no model, or the file that describes it cannot be read.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "there is no such folder"
        raise UserError(what, where=str(folder), fix="name the folder with the model's config.json and weights")
    listed = [
        _Listed(path.relative_to(folder).as_posix(), path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file()
    ]
    for name in DESCRIBING:
        if (folder / name).is_file():
            data = (folder / name).read_bytes()
            files = chosen(listed, {name: data})
            facts = described(data, where=str(folder / name))
            return _with_dtype(facts, files, listed, lambda path, at, count: _read(folder / path, at, count)), files
    if any(file.path.endswith(_GGUF) for file in listed):
        return ModelFacts(library="gguf"), chosen(listed, {})
    message = f"this folder holds no model: there is neither {' nor '.join(DESCRIBING)}"
    raise UserError(message, where=str(folder), fix="name the folder that `save_pretrained` wrote")


class _Listed(Value, frozen=True):
    path: str
    size: int


def in_repository(hub: Hub, name: str) -> tuple[ModelFacts, Files | None]:
    """What the Hub says of a model, and the files of it that a package takes.

    What a gate hides is not needed: the Hub itself names class, task and commit.

    Raises:
        UserError: there is no such model, or it is a dataset or a Space, or the token is bad, or `HF_HUB_OFFLINE` is set.
        RemoteError: the Hub cannot be reached, or does not answer in time.
    """
    if hub.is_offline:
        raise UserError(
            "HF_HUB_OFFLINE forbids asking the Hub what the model is", where=name, fix="unset HF_HUB_OFFLINE"
        )
    return _in_time(lambda: _in_repository(hub, name), hub.endpoint)


def _in_repository(hub: Hub, name: str) -> tuple[ModelFacts, Files | None]:
    try:
        facts = hub.describe(name)
    except UserError as error:
        raise _no_model(hub, name, error) from error
    try:
        listed = hub.files(Revision(name, facts.commit or ""))
    except UserError:
        if facts.gate is None:
            raise
        return facts, None
    texts = dict(_readable(hub, Revision(name, facts.commit or ""), listed))
    path = next((path for path in DESCRIBING if path in texts), None)
    if path:
        facts = _both(described(texts[path], where=f"{name}: {path}"), facts)
    elif facts.library is None and any(file.path.endswith(_GGUF) for file in listed):
        facts = dataclasses.replace(facts, library="gguf")
    files = chosen(listed, texts)
    revision = Revision(name, facts.commit or "")
    return _with_dtype(
        facts, files, listed, lambda path, at, count: b"".join(hub.open(revision, path, at, count))
    ), files


def _read(path: Path, at: int, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(at)
        return file.read(count)


def _with_dtype(
    facts: ModelFacts, files: Files | None, listed: Sequence[SizedFile], read: Callable[[str, int, int], bytes]
) -> ModelFacts:
    """The same with the type of the weights, from the header of the largest file if nothing else says it.

    Args:
        facts: what is known.
        files: the files of the package.
        listed: all files.
        read: bytes of a file: its path, where they begin, and how many.
    """
    if facts.dtype or not files or not files.largest.endswith(".safetensors"):
        return facts
    size = next(file.size for file in listed if file.path == files.largest)
    try:
        header = safetensors.header(Ranges(partial(read, files.largest), size))
        return dataclasses.replace(facts, dtype=dtype_of(header))
    except (SagepackError, MalformedError, RefusedError, OSError):
        return facts  # it is behind a gate, or damaged, which `lock` or the container tells


def _no_model(hub: Hub, name: str, error: UserError) -> UserError:
    """What to say of a repository that the Hub does not give as a model."""
    kind = hub.other_kind(name)
    if kind is None:
        return error
    fix = "name the repository of a model: its page has no /datasets/ or /spaces/ before the owner"
    return UserError(f"this is a {'Space' if kind == 'space' else kind}, and no model", where=name, fix=fix)


def _readable(hub: Hub, revision: Revision, files: Sequence[RepoFile]) -> Iterator[tuple[str, bytes]]:
    """The files that describe the model, and their content; none if a gate is before them."""
    for file in files:
        if file.path in DESCRIBING and file.size <= MODEL_INDEX_BYTES:
            try:
                yield file.path, hub.read(revision, file)
            except UserError:
                return


def _both(own: ModelFacts, of_hub: ModelFacts) -> ModelFacts:
    """What a file of the repository says, and where it is silent, what the Hub says."""
    fields = [field.name for field in dataclasses.fields(ModelFacts)]
    return ModelFacts(**{name: getattr(own, name) or getattr(of_hub, name) for name in fields})


def chosen(files: Sequence[SizedFile], texts: Mapping[str, bytes]) -> Files | None:
    """Which of the files of a model its package takes; None if that cannot be told.

    Args:
        files: all of them.
        texts: the content of those that describe it.
    """
    include = _one_gguf([file.path for file in files])
    try:
        index = model_index_of(texts["model_index.json"]) if "model_index.json" in texts else None
        taken = selection.choose(files, include=include, model_index=index)
    except (UserError, MalformedError):
        return None
    by_path = {file.path: file.size for file in files}
    weights = {path: Weight.of(path) for path in taken.chosen}
    with_weights = {
        path: by_path[path]
        for path, weight in weights.items()
        if weight and not weight.index and weight.format != "training"
    }
    variants = {
        weight.variant for weight in weights.values() if weight and weight.variant and weight.format != "foreign"
    }
    return Files(
        taken.size,
        sum(with_weights.values()),
        _reason(taken),
        min(variants, default=None),
        tuple(include),
        max(with_weights, key=with_weights.__getitem__, default=""),
        any(path.endswith(".py") for path in taken.chosen),
    )


def _reason(taken: Selection) -> str:
    count, size = taken.excluded
    saved = f"; leaving out {counted(count, 'file')} saves {format_bytes(size)}" if count and size else ""
    return f"{counted(len(taken.chosen), 'file')}, {format_bytes(taken.size)}{saved}"


def _one_gguf(paths: Sequence[str]) -> list[str]:
    """The patterns for one of the files of a repository that has nothing but GGUF, each a whole model; empty for others."""
    models = sorted(path for path in paths if path.endswith(_GGUF) and "mmproj" not in path)
    if not models or any(path in DESCRIBING or path.endswith(".safetensors") for path in paths):
        return []
    best = next((path for name in _BEST_GGUF for path in models if name in path.lower()), models[0])
    first, shard, _ = best.rpartition("-00001-of-")
    return [f"{first}-*{_GGUF}" if shard else best]


def _in_time(ask: Callable[[], _Answer], where: str) -> _Answer:
    """What `ask` returns or raises.

    In a thread of its own, because nothing else bounds the look-up of a name.

    Raises:
        RemoteError: it took too long.
    """
    answers: list[_Answer] = []
    errors: list[SagepackError] = []

    def run() -> None:
        try:
            answers.append(ask())
        except SagepackError as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if errors:
        raise errors[0]
    if answers:
        return answers[0]
    fix = "check the connection, HF_ENDPOINT and HTTPS_PROXY, then run the same command again"
    raise RemoteError(f"the Hub did not answer within {SECONDS:.0f} s", where=where, fix=fix)


def model(facts: ModelFacts, task: str | None, files: Files | None = None, unknown: str = "") -> Found:
    """What to write for a model.

    Args:
        facts: what is known of it.
        task: the user's word for it, which counts more than what was found.
        files: the files that its package takes, if they are known.
        unknown: why nothing is known.

    Raises:
        UserError: there is no such task.
    """
    notes = [f"the Hub did not say what the model is: {unknown}"] if unknown else []
    named = task or task_of(facts.class_name, facts.task, facts.library)
    if named is None:
        notes.append(f"assumed a model for {PLAIN_TASK}: if it is for another task, start again with --task")
    kind = kind_of(named or PLAIN_TASK)
    if kind.task == OTHER:
        what = facts.class_name or facts.library or facts.task or "a model like this"
        notes.append(f"code.path: no handler here loads {what}: model_fn and transform_fn are yet to be written")
    known = files is not None and files.weights > 0
    weights = files.weights if files else 0
    if facts.quantization:  # what loads such weights needs a GPU
        kind = msgspec.structs.replace(kind, gpu=True)
    elif known and kind.task != OTHER:
        kind = kind.for_memory(sizes.in_memory(weights, facts.dtype, "float32"))
    stored = "float16" if files and files.variant in ("fp16", "bf16") else facts.dtype
    loaded = ("float16" if kind.half else None) if kind.gpu else "float32"
    proposal = sizes.propose(sizes.in_memory(weights, stored, loaded) if known else 0, gpu=kind.gpu)
    why = proposal.why if known else f"{proposal.why.partition(';')[0]}; the size of the model is not known"
    return Found(
        kind,
        kind.image_tag(facts.transformers),
        proposal.instance_type,
        why,
        facts.commit,
        files,
        tuple(_seen(facts, files)),
        (f"endpoint.instance_type: {proposal.instance_type}: {why}", *notes, *_doubts(facts, kind)),
    )


def _seen(facts: ModelFacts, files: Files | None) -> list[str]:
    """What the model says about itself, one line each."""
    lines = []
    what = ", ".join(filter(None, (facts.library, facts.class_name, facts.task)))
    if what:
        lines.append(f"it is: {what}")
    if files:
        lines.append(f"files: {files.reason}")
    if files and files.weights:
        variant = f", variant {files.variant}" if files.variant else ""
        dtype = f" of {facts.dtype}" if facts.dtype and not files.variant else ""
        lines.append(f"weights: {format_bytes(files.weights)}{dtype}{variant}")
    if facts.licence:
        lines.append(f"licence: {facts.licence}")
    return lines


def _doubts(facts: ModelFacts, kind: Kind) -> list[str]:
    """What may have to be changed, with the key."""
    notes, image = [], kind.image_tag(facts.transformers)
    if f"-transformers{TRANSFORMERS}-" not in image:
        notes.append(
            f"image.tag: {image}: the model was saved with transformers {facts.transformers}; the sandbox serves with {TRANSFORMERS}"
        )
    if facts.has_code:
        notes.append(
            "code.path: the model has Python code of its own (auto_map), which the handler does not run: read it, "
            "and then write trust.remote_code: allow, pass trust_remote_code=True in model_fn, and leave out no *.py in model.exclude"
        )
    package = _QUANTIZERS.get(facts.quantization or "")
    if package and package not in (image_modules.modules(image) or {}).values():
        notes.append(
            f"code.requirements: the weights were made smaller with {facts.quantization}: the image does not have {package}, "
            "add it, pinned"
        )
    if facts.library == "sentence-transformers":
        notes.append(
            "config/samples: each text gets the mean of its tokens' vectors; if 1_Pooling/config.json says otherwise, "
            'send "pooling": "cls" or "normalize": true as parameters'
        )
    if facts.library == "gguf":
        notes.append(
            "model.include: one GGUF file, each of which is a whole model; the image has no program that runs it"
        )
    return notes
