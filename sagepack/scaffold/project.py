"""The files of a project, and those of a model in it, as texts: path within the project -> content.

The texts are filled in by plain replacement of `@NAME@` and the like, so that the templates are YAML and Make as they are.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
import wave
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack import files
from sagepack.decoding import Value
from sagepack.errors import UserError
from sagepack.scaffold import sizes
from sagepack.scaffold.kinds import PICTURE, RECORDING
from sagepack.text import printable

if TYPE_CHECKING:
    from sagepack.scaffold.found import Found
    from sagepack.scaffold.kinds import Kind

_PACKAGE = Path(__file__).resolve().parent.parent
_TEMPLATES = _PACKAGE / "templates"
SCHEMAS = ("spec", "overlay", "lock")
"""The schemas of the files that a person opens in an editor."""
_HANDLER = ("inference.py", "request.schema.json")
_HELPER = re.compile(r"^from (handler_\w+) import", re.MULTILINE)
_OVERLAYS = ("local", "dev", "prod")
_NO_TEXT = re.compile(r"\d+e\d+|0[xo].*|-.*|~|null|true|false|yes|no|on|off|y|n", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9](-?[a-z0-9]){0,39}")


class Model(Value, frozen=True):
    """The model that a spec is written for.

    Attributes:
        name: of the spec, its handler and its endpoint.
        found: what is known of it.
        id: `owner/name` on the Hub; empty for one in a folder.
        path: the folder, as the spec names it; empty for one of the Hub.
        in_sandbox: whether it can be packaged in the sandbox as it is.
        gate: the page on which the conditions of its gate are accepted; empty if it has none.
    """

    name: str
    found: Found
    id: str = ""
    path: str = ""
    in_sandbox: bool = True
    gate: str = ""

    @property
    def spec(self) -> str:
        """The path of the spec."""
        return f"config/{self.name}.yaml"

    @property
    def code(self) -> str:
        """The folder of the handler."""
        return f"inference_code/{self.name}"

    def lines(self) -> list[str]:
        """The keys below `model`."""
        commit, files = self.found.commit, self.found.files
        if self.path:
            source = [f"path: {_scalar(self.path)} # a folder; the lock records the digest of each file in it"]
        elif commit:
            gate = (
                [f"# Gated: accept its conditions at {self.gate} once, then `export HF_TOKEN=...`."]
                if self.gate
                else []
            )
            source = [
                *gate,
                f"id: {self.id}",
                "# A commit, not a branch: the same spec gives the same bytes next year.",
            ]
            source += [f"revision: {_scalar(commit)}"]
        else:
            source = [
                f"id: {self.id}",
                "# Builds take a commit, not a branch; `sagepack lock --pin` writes the one of today here.",
            ]
            source += ["revision: main"]
        patterns = [
            '# include: [unet/, "*.json"] # take these paths and no others: a folder, or a pattern whose * also crosses /'
        ]
        if files and files.include:
            patterns = [f"include: {json.dumps(list(files.include))} # these paths and no others: {files.reason}"]
        if files and files.variant:
            variant = f"variant: {_scalar(files.variant)} # {files.reason}"
        else:
            variant = "# variant: fp16 # without it: half precision where every component has it, else full precision"
        return [
            *source,
            "# Without patterns the layout of the repository decides which files are taken; `sagepack lock` says which.",
            variant,
            *patterns,
            'exclude: ["*.py"] # the model\'s own code, which the handler does not run'
            if files and files.has_code
            else '# exclude: ["*.md"] # and leave these out',
        ]


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a spec, a folder and an endpoint at once.

    Raises:
        UserError: it is another text.
    """
    if not _NAME.fullmatch(name):
        fix = "use at most 40 lower-case letters and digits, with single hyphens between them"
        raise UserError(f"{name!r} cannot be a name", where="--name", fix=fix)


def proposed_name(source: str) -> str:
    """A name for a model by its id or folder: `owner/My_Model-v1.1` -> `my-model-v1-1`; empty if nothing is left of it."""
    words = re.findall(r"[a-z0-9]+", source.rstrip("/").rpartition("/")[2].lower())
    return "-".join(words)[:40].rstrip("-")


def of_model(model: Model) -> dict[str, bytes]:
    """Spec, sample and handler of a model."""
    kind = model.found.kind
    size = model.found.files.size if model.found.files else None
    words = {
        "NAME": model.name,
        "TITLE": f"{printable(model.id or model.path)}: {kind.title}",
        "MODEL": _indented(model.lines()),
        "TAG": model.found.image,
        "ENVIRONMENT": _indented(kind.environment),
        "INSTANCE": model.found.instance_type,
        "NEXT": sizes.next_after(model.found.instance_type),
        "WHY": model.found.why,
        "DOWNLOAD": str(sizes.seconds_to_download(size)),
        "START": str(sizes.seconds_to_start(size)),
    }
    return {
        model.spec: _filled("project/spec.yaml", words),
        f"config/samples/{model.name}.json": _sample(kind),
        **{f"{model.code}/{name}": _read(f"handlers/{kind.handler}/{name}") for name in _HANDLER},
        **{f"{model.code}/{name}": text for name, text in _helpers(kind.handler).items()},
    }


def _helpers(handler: str) -> dict[str, bytes]:
    """The modules that a handler imports, its own and those of `shared`, and those that these import: file name -> text."""
    found: dict[str, bytes] = {}
    todo = [_read(f"handlers/{handler}/inference.py")]
    while todo:
        for name in _HELPER.findall(todo.pop().decode()):
            file = f"{name}.py"
            if file not in found:
                folder = handler if (_TEMPLATES / "handlers" / handler / file).exists() else "shared"
                found[file] = _read(f"handlers/{folder}/{file}")
                todo.append(found[file])
    return dict(sorted(found.items()))


def of_project(model: Model) -> dict[str, bytes]:
    """What a project has once, with the first model's spec as the Makefile's default."""
    return {
        **{f"config/env/{env}.yaml": _read(f"env/{env}.yaml") for env in _OVERLAYS},
        **schemas(),
        "Makefile": _filled("project/Makefile", {"CONFIG": model.spec}),
        "tasks.py": _read("project/tasks.py"),
        ".gitignore": _read("project/gitignore"),
    }


def schemas() -> dict[str, bytes]:
    """The schemas that the first lines of specs, overlays and locks name.

    They are copies in the project, so that any editor finds them after a clone, with no network and wherever sagepack is
    installed.
    """
    return {
        f"config/.schemas/{name}.schema.json": (_PACKAGE / "schemas" / f"{name}.schema.json").read_bytes()
        for name in SCHEMAS
    }


def refresh_schemas(root: Path) -> None:
    """Write the schemas of a project again where they are those of another version of this program.

    Raises:
        UserError: the disk refuses.
    """
    for path, text in schemas().items():
        if (root / path).is_file() and (root / path).read_bytes() != text:
            files.write_atomically(root / path, text)


def _sample(kind: Kind) -> bytes:
    """A request that the handler answers."""
    sample = kind.sample
    if isinstance(sample, str):
        return _read(f"samples/{sample}")
    if sample["inputs"] == PICTURE:
        sample = {**sample, "inputs": json.loads(_read("samples/svd.json"))["inputs"]}
    elif sample["inputs"] == RECORDING:
        sample = {**sample, "inputs": base64.b64encode(_tone()).decode()}
    return f"{json.dumps(sample, indent=1)}\n".encode()


def _tone() -> bytes:
    """A quarter of a second of the concert pitch, as a WAV file at the rate that models of speech take."""
    rate = 16_000
    samples = (round(8_000 * math.sin(2 * math.pi * 440 * number / rate)) for number in range(rate // 4))
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
    return file.getvalue()


def _indented(lines: list[str] | tuple[str, ...]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def _filled(template: str, words: dict[str, str]) -> bytes:
    return re.sub("@([A-Z]+)@", lambda found: words[found[1]], _read(template).decode()).encode()


def _read(template: str) -> bytes:
    return (_TEMPLATES / template).read_bytes()


def _scalar(text: str) -> str:
    """A text as YAML takes it for one, whatever is in it: `12e3` would be a number, and `on` true."""
    plain = re.fullmatch(r"[\w./-]*[a-zA-Z][\w./-]*", text, re.ASCII) and not _NO_TEXT.fullmatch(text)
    return text if plain else json.dumps(text, ensure_ascii=False)
