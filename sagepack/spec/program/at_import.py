"""What a program does when the server imports it: calls of the network, and files that it writes.

Every worker imports the program, each time a container starts. While a service that it calls there is down, each request fails,
and an isolated container has no network at all.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.program.source import Source

_NETWORK = re.compile(
    r"(?:requests|httpx)\.(?:get|post|put|patch|delete|head|options|request|stream)"
    r"|urllib\.request\.(?:urlopen|urlretrieve)|urllib3\.request|socket\.create_connection"
    r"|huggingface_hub\.(?:hf_hub_download|snapshot_download|login|whoami|model_info|list_repo_files)"
    r"|torch\.hub\.(?:load|download_url_to_file|load_state_dict_from_url)"
    r"|datasets\.load_dataset|nltk\.download|gdown\.download|wget\.download"
)
_HUB_ID = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)?")  # `owner/name` or `gpt2`, and no path
_TEMPORARY = re.compile(r"/(?:var/)?tmp(?:/|$)|/dev/")
_WRITING_MODE = re.compile(r"(?=.{0,3}[wax+])[waxrbt+]{1,4}")
_PATH_METHODS = {"write_text", "write_bytes", "mkdir", "touch"}
_NOT_RUN = {"TYPE_CHECKING", "__name__"}


def check(source: Source) -> Iterator[Diagnostic]:
    """What a file that the server imports should not do at that time."""
    calls = _Calls(source.parsed)
    calls.visit(source.parsed)
    for call in calls.found:
        name = calls.full_name(call.func)
        if target := _fetched(name, call):
            message = f"{target} when the server imports this: while that fails, so does every request"
            fix = "put what it fetches into the package, and load it from model_dir in model_fn"
            yield Diagnostic((), message, fix, "warning", source.at(call))
        elif (path := _written(calls, name, call)) and not _TEMPORARY.match(path):
            message = f"writes {path!r} when the server imports this, outside of the temporary folder"
            yield Diagnostic((), message, "write under tempfile.gettempdir()", "warning", source.at(call))


class _Calls(ast.NodeVisitor):
    """Finds the calls that run when a module is imported, those in its own functions that it calls then as well."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[ast.Call] = []
        self._functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        self._full: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._full.update({alias.asname: alias.name for alias in node.names if alias.asname})
            elif isinstance(node, ast.ImportFrom) and not node.level:
                self._full.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})

    def full_name(self, expression: ast.expr) -> str:
        """The name of what is called, with that of its module; empty for what has none."""
        if isinstance(expression, ast.Attribute):
            owner = self.full_name(expression.value)
            return f"{owner}.{expression.attr}" if owner else ""
        return self._full.get(expression.id, expression.id) if isinstance(expression, ast.Name) else ""

    def visit_Call(self, node: ast.Call) -> None:
        self.found.append(node)
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and (called := self._functions.pop(node.func.id, None)):
            for statement in called.body:
                self.visit(statement)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        defaults = [default for default in node.args.kw_defaults if default]
        for expression in [*node.decorator_list, *node.args.defaults, *defaults]:
            self.visit(expression)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Its body does not run."""

    def visit_If(self, node: ast.If) -> None:
        if not any(isinstance(part, ast.Name) and part.id in _NOT_RUN for part in ast.walk(node.test)):
            self.generic_visit(node)


def _fetched(name: str, call: ast.Call) -> str | None:
    """What a call does with the network, as a verb and its object; None if it surely or probably does nothing."""
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if _NETWORK.fullmatch(name):
        return None if _text(_keyword(call, "source")) == "local" else f"calls {name}"
    if method == "from_pretrained":
        model = _text(call.args[0]) if call.args else None
        local = _keyword(call, "local_files_only")
        if isinstance(local, ast.Constant) and local.value is True:
            return None
    elif name == "transformers.pipeline":
        model = _text(call.args[1] if len(call.args) > 1 else _keyword(call, "model"))
    else:
        return None
    return f"loads {model!r} from the Hub" if model and _HUB_ID.fullmatch(model) else None


def _written(calls: _Calls, name: str, call: ast.Call) -> str | None:
    """The path, written in the program, of what a call makes or writes."""
    first = _text(call.args[0]) if call.args else None
    if name == "open":
        mode = _text(call.args[1] if len(call.args) > 1 else _keyword(call, "mode"))
        return first if mode and _WRITING_MODE.fullmatch(mode) else None
    if name in ("os.mkdir", "os.makedirs", "logging.FileHandler"):
        return first
    if name == "logging.basicConfig":
        return _text(_keyword(call, "filename"))
    owner = call.func.value if isinstance(call.func, ast.Attribute) and call.func.attr in _PATH_METHODS else None
    if isinstance(owner, ast.Call) and owner.args and calls.full_name(owner.func) == "pathlib.Path":
        return _text(owner.args[0])
    return None


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _text(expression: ast.expr | None) -> str | None:
    return expression.value if isinstance(expression, ast.Constant) and isinstance(expression.value, str) else None
