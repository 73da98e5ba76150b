"""The handlers of this project, asked without a server, under the serving stack's Python."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

from sagepack.sandbox.serving import model_server
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ASK = """
import importlib, json, sys
handler, media_type = importlib.import_module("inference"), "application/json"
model = handler.model_fn(sys.argv[1])
def answer(request):
    if hasattr(handler, "transform_fn"):
        return json.loads(handler.transform_fn(model, json.dumps(request).encode(), media_type, media_type))
    return handler.predict_fn(request, model)
print("\\n" + json.dumps([answer(request) for request in json.load(sys.stdin)]))
"""

# Threads that wait for each other do not spin: else they take the cores that they wait for, on a machine with other work.
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


def ask(handler: str, model: Path, requests: Sequence[dict[str, Any]]) -> list[Any]:
    """The answers of a handler to requests.

    Args:
        handler: a folder of `inference_code`.
        model: the folder of the model's files.
        requests: as JSON documents.
    """
    folders = [str(ROOT / "inference_code" / name) for name in (handler, "shared")]
    path = {"PYTHONPATH": os.pathsep.join(folders), "HF_HUB_OFFLINE": "1"}
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
