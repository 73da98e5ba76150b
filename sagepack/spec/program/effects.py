"""What the code does that the container does not let it do, or that fails there: the network, the disk, the GPU, its own end.

Every worker imports the program and calls `model_fn` each time a container starts. While a service that they call is down,
each request fails, and an isolated container has no network at all.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from sagepack.decoding import Value
from sagepack.errors import Diagnostic
from sagepack.spec.program.flow import IMPORT
from sagepack.spec.program.meanings import MODEL_DIR

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sagepack.errors import Severity
    from sagepack.spec.program.flow import Step
    from sagepack.spec.program.meanings import Meanings

_VERB = r"(?:get|post|put|patch|delete|head|options|request|stream)"
_ACTION = r"(?:download|upload|get|put|list|head|copy|delete|describe|invoke|create|send|start|query|scan|update)_\w+"
_NETWORK = re.compile(
    rf"(?:requests|httpx)\.(?:Session\(\)\.|Client\(\)\.)?{_VERB}"
    r"|urllib\.request\.(?:urlopen|urlretrieve)|urllib3\.request|socket\.create_connection"
    r"|torch\.hub\.(?:load|download_url_to_file|load_state_dict_from_url)"
    r"|datasets\.load_dataset|nltk\.download|gdown\.download|wget\.download"
    rf"|boto3\.(?:client|resource)\(\)(?:\.[A-Z]\w+\(\))?\.{_ACTION}(?<!get_paginator)(?<!get_waiter)"
)
_FROM_HUB = re.compile(
    r"huggingface_hub\.(?:hf_hub_download|snapshot_download|login|whoami|model_info|list_repo_files)"
)
_PROGRAM = re.compile(r"subprocess\.(?:run|call|check_call|check_output|Popen)|os\.(?:system|popen)")
_INSTALLER = re.compile(r"(?:.*\bpip3? install|(?:.*[;&] *)?(?:sudo )?(?:apt|apt-get|conda|mamba) )")
_ENDS = {"sys.exit", "os._exit", "os.abort", "exit", "quit"}
_LOOPBACK = re.compile(r"https?://(?:localhost|127\.)")
_HUB_ID = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)?")  # `owner/name` or `gpt2`, and no path
_TEMPORARY = re.compile(r"/(?:var/)?tmp(?:/|$)|/dev/")
_WRITING_MODE = re.compile(r"(?=.{0,3}[wax+])[waxrbt+]{1,4}")
_PATH_METHODS = {"write_text", "write_bytes", "mkdir", "touch"}
_SAVING_METHODS = {"save", "save_pretrained", "to_csv", "to_json", "savefig"}
# The functions that write to a path, and which of their arguments it is.
_WRITERS = {
    **dict.fromkeys(
        ("os.mkdir", "os.makedirs", "logging.FileHandler", "numpy.save", "cv2.imwrite", "cv2.VideoWriter"), 0
    ),
    **dict.fromkeys(("torch.save", "shutil.copy", "shutil.copyfile", "shutil.copytree", "shutil.move"), 1),
    **dict.fromkeys(("diffusers.utils.export_to_video", "diffusers.utils.export_to_gif"), 1),
}
_OFFLOADING = {"enable_model_cpu_offload", "enable_sequential_cpu_offload"}
_ASKS = re.compile(r"\bis_available\b|\bdevice_count\b|\bis_torch_cuda_available\b")


class Place(Value, frozen=True):
    """What the container of the code has.

    Attributes:
        has_network: whether it can reach anything.
        is_offline: whether its environment forbids requests to the Hub.
        has_gpu: whether its image can use one.
        model: the id of the model in the package; empty for one from a folder.
    """

    has_network: bool = True
    is_offline: bool = False
    has_gpu: bool = True
    model: str = ""


def check(steps: Sequence[Step], meanings: Meanings, place: Place) -> Iterator[Diagnostic]:
    """What the calls of a program do that they should not."""
    for step in steps:
        if isinstance(step.node, ast.Call):
            yield from _Call(step, step.node, meanings, place).problems()


class _Call:
    """One call, and what it does."""

    def __init__(self, step: Step, call: ast.Call, meanings: Meanings, place: Place) -> None:
        self._step, self._call, self._meanings, self._place = step, call, meanings, place
        self._name = meanings.full_name(call.func, step.module, step.scope)
        self._method = call.func.attr if isinstance(call.func, ast.Attribute) else ""

    def problems(self) -> Iterator[Diagnostic]:
        """All that is wrong with it."""
        if model := self._loaded():
            yield self._about_model(model)
        elif what := self._fetched():
            yield from self._about_network(what)
        elif self._name in _ENDS:
            yield self._about_end()
        elif (path := self._written()) and not _TEMPORARY.match(path):
            when = "when the server imports this" if self._step.moment == IMPORT else f"in {self._step.moment}"
            yield self._told(
                f"writes {path!r} {when}, outside of the temporary folder", "write under tempfile.gettempdir()"
            )
        if not self._place.has_gpu and (what := self._on_gpu()):
            fix = "choose the device by torch.cuda.is_available(), or an image and an instance type with a GPU"
            yield self._told(f"{what}, but the image has no CUDA", fix, fails=True)

    def _told(self, message: str, fix: str, *, fails: bool = False) -> Diagnostic:
        severity: Severity = "error" if fails and self._step.is_certain else "warning"
        return Diagnostic((), message, fix, severity, self._step.module.source.at(self._call))

    def _about_model(self, model: str) -> Diagnostic:
        fix = "load it from model_dir in model_fn: the package has it there"
        if model != self._place.model:
            fix = (
                "put its files into the package, or make it the spec's model.id, and load it from model_dir in model_fn"
            )
        if self._forbids_hub():
            return self._told(f"loads {model!r} from the Hub, but {self._forbids_hub()}", fix, fails="/" in model)
        when, but = "when the server imports this", "while that fails, so does every request"
        if self._step.moment != IMPORT:
            when, but = f"in {self._step.moment}", "the weights of the package are not used"
        return self._told(f"loads {model!r} from the Hub {when}: {but}", fix)

    def _about_network(self, what: str) -> Iterator[Diagnostic]:
        fix = "put what it fetches into the package, and load it from model_dir in model_fn"
        if what.startswith("runs"):
            fix = "list packages, pinned, under code.requirements"
        if not self._place.has_network or (_FROM_HUB.fullmatch(self._name) and self._place.is_offline):
            yield self._told(f"{what}, but {self._forbids_hub()}", fix, fails=True)
        elif self._step.moment == IMPORT:
            message = f"{what} when the server imports this: while that fails, so does every request"
            yield self._told(message, fix)
        elif self._step.moment == "model_fn":
            message = f"{what} in model_fn, each time a container starts: while that fails, so does every request"
            yield self._told(message, fix)

    def _about_end(self) -> Diagnostic:
        when, then = f"in {self._step.moment}", "the request fails, and the model is loaded again"
        if self._step.moment in {IMPORT, "model_fn"}:
            then = "the server starts another, which ends as well, and no request is answered"
        if self._step.moment == IMPORT:
            when = "when the server imports this"
        return self._told(f"ends the worker {when}: {then}", "raise an exception: its text is the answer", fails=True)

    def _forbids_hub(self) -> str:
        if not self._place.has_network:
            return "the container has no network (endpoint.enable_network_isolation)"
        return "HF_HUB_OFFLINE in the environment forbids it" if self._place.is_offline else ""

    def _loaded(self) -> str | None:
        """The model that it loads from the Hub."""
        if self._method == "from_pretrained":
            model = self._argument(0, "pretrained_model_name_or_path")
        elif self._name in ("transformers.pipeline", "transformers.pipelines.pipeline"):
            model = self._argument(1, "model")
        elif self._name in ("sentence_transformers.SentenceTransformer", "sentence_transformers.CrossEncoder"):
            model = self._argument(0, "model_name_or_path")
        elif self._name in ("huggingface_hub.snapshot_download", "huggingface_hub.hf_hub_download"):
            model = self._argument(0, "repo_id") or "?"
        else:
            return None
        return model if model and _HUB_ID.fullmatch(model) and not self._is_local() else None

    def _is_local(self) -> bool:
        """Whether a call about a model of the Hub takes it from this disk alone, or may do so."""
        local, cache = self._keyword("local_files_only"), self._keyword("cache_dir")
        if isinstance(local, ast.Constant) and local.value is True:
            return True
        return cache is not None and (self._text(cache) or MODEL_DIR).startswith(
            MODEL_DIR
        )  # the package may have a cache

    def _fetched(self) -> str | None:
        """What it does with the network."""
        name = self._name
        if _NETWORK.fullmatch(name):
            is_here = self._text(self._keyword("source")) == "local" or _LOOPBACK.match(self._argument(0, "url") or "")
            return None if is_here else f"calls {name}"
        if _FROM_HUB.fullmatch(name):
            return None if self._is_local() else f"calls {name}"
        if _PROGRAM.fullmatch(name) and self._call.args:
            first = self._call.args[0]
            words = first.elts if isinstance(first, (ast.List, ast.Tuple)) else [first]
            line = " ".join(self._text(word) or "?" for word in words)
            is_install = _INSTALLER.match(line) and "--no-index" not in line
            return f"runs {line.removeprefix('? -m ')!r}" if is_install else None
        return None

    def _written(self) -> str | None:
        """The path, written in the program, of what it makes or writes."""
        if self._name == "open":
            mode = self._argument(1, "mode")
            return self._argument(0, "file") if mode and _WRITING_MODE.fullmatch(mode) else None
        if self._name in _WRITERS:
            return self._argument(_WRITERS[self._name], "")
        if self._name == "logging.basicConfig":
            return self._argument(None, "filename")
        owner = self._call.func.value if isinstance(self._call.func, ast.Attribute) else None
        if self._method in _PATH_METHODS:
            return self._text(owner)
        if self._method == "open" and (mode := self._argument(0, "mode")) and _WRITING_MODE.fullmatch(mode):
            return self._text(owner)
        return self._argument(0, "") if self._method in _SAVING_METHODS else None

    def _on_gpu(self) -> str | None:
        """What it does with a GPU, in a file that does not ask whether there is one."""
        source = self._step.module.source
        if source.tree is None or self._asks_for_gpu():
            return None
        if self._method == "cuda" and not self._call.args and not self._name.startswith("torch.cuda"):
            return "calls cuda()"
        if self._method in _OFFLOADING:
            return f"calls {self._method}()"
        if self._name == "torch.device" and (self._argument(0, "device") or "").startswith("cuda"):
            return "makes a device of CUDA"
        devices = [self._argument(None, name) for name in ("device", "device_map")]
        if self._method == "to":
            devices.append(self._argument(0, "device"))
        return next((f"uses the device {text!r}" for text in devices if text and text.startswith("cuda")), None)

    def _asks_for_gpu(self) -> bool:
        names = (getattr(node, "attr", "") or getattr(node, "id", "") for node in self._step.module.nodes)
        return any(map(_ASKS.fullmatch, names))

    def _argument(self, position: int | None, name: str) -> str | None:
        """The text that is given by position or by name."""
        arguments = self._call.args
        is_there = position is not None and len(arguments) > position
        return self._text(arguments[position] if is_there and position is not None else self._keyword(name))

    def _keyword(self, name: str) -> ast.expr | None:
        return next((keyword.value for keyword in self._call.keywords if keyword.arg == name), None)

    def _text(self, expression: ast.expr | None) -> str | None:
        return self._meanings.text(expression, self._step.module, self._step.scope)
