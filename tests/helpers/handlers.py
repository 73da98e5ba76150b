"""The handlers of this project: imported as the image does it, or asked under the serving stack's Python, without a server."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from sagepack.serving import model_server
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import ModuleType

CODE = ROOT / "inference_code"
_ASK = """
import importlib, json, sys
handler, media_type = importlib.import_module("inference"), "application/json"
model = handler.model_fn(sys.argv[1])
def answer(request):
    return json.loads(handler.transform_fn(model, json.dumps(request).encode(), media_type, media_type))
print("\\n" + json.dumps([answer(request) for request in json.load(sys.stdin)]))
"""

# Threads that wait for each other do not spin: else they take the cores that they wait for, on a machine with other work.
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


def load(folder: str, name: str = "inference") -> ModuleType:
    """A module of a folder, by its bare name, with the helpers of `shared` beside it as in a package.

    Each call gives a new one: what it reads from the environment is read again. No bytecode is written: other tests copy these
    folders as they are.
    """
    folders = [CODE / folder, CODE / "shared"]
    local = [path.stem for each in folders for path in each.glob("*.py")]
    sys.path[:0] = map(str, folders)
    write_none, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        return importlib.import_module(name)
    finally:
        sys.dont_write_bytecode = write_none
        del sys.path[: len(folders)]
        for module in local:  # the next folder has modules of the same names
            sys.modules.pop(module, None)


def ask(handler: str, model: Path, requests: Sequence[dict[str, Any]]) -> list[Any]:
    """The answers of a handler to requests.

    Args:
        handler: a folder of `inference_code`.
        model: the folder of the model's files.
        requests: as JSON documents.
    """
    folders = [str(CODE / name) for name in (handler, "shared")]
    path = {"PYTHONPATH": os.pathsep.join(folders), "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"}
    output = run(["-c", _ASK, str(model)], json.dumps(requests), path)
    answers: list[Any] = json.loads(output.splitlines()[-1])
    return answers


def run(arguments: Sequence[str], text: str, environment: dict[str, str]) -> str:
    """What a program under the serving stack's Python writes to standard output."""
    done = subprocess.run(
        [str(model_server.python()), *arguments],
        input=text,
        env={**os.environ, **_WAITING, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
