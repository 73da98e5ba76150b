"""What answers an invocation that no test has scripted: the package itself, or why that cannot be.

A package runs under the handler of the image's own toolkit, in a process of its own, when the toolkit and the libraries
of the image are installed beside this program; the Java server in front of it is left to the `serve` command.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

from sagepack.sandbox import world

_PACKAGES = {
    "torch": "torch",
    "transformers": "transformers",
    "sagemaker-huggingface-inference-toolkit": "sagemaker_huggingface_inference_toolkit",
    "multi-model-server": "mms",
}
NOT_INSTALLED = "ServingStackNotInstalled"
"""The `type` of the failure of an endpoint that cannot run its package here."""


def missing() -> list[str]:
    """What the image's handler needs and this interpreter does not have."""
    return [name for name, module in _PACKAGES.items() if find_spec(module) is None]


def answer(model: dict[str, Any], content: bytes, content_type: str, accept: str, timeout: float) -> tuple[int, bytes]:
    """Status and body that the package of `model` answers with; a body other than of status 200 says what went wrong.

    Args:
        model: CreateModel's request.
        content: the request.
        content_type: its media type.
        accept: the media type that is asked for.
        timeout: seconds it may take.
    """
    if lacking := missing():
        return 503, _failure(
            503,
            NOT_INSTALLED,
            f"the sandbox cannot run the package: {', '.join(lacking)} not installed; "
            "install the image's serving stack (`pip install 'sagepack[serve]'` or `make serve`), then `invoke sandbox.stop`",
        )
    container = (model.get("Containers") or [model["PrimaryContainer"]])[0]
    with tempfile.TemporaryDirectory(prefix="sagepack-model-") as folder:
        try:
            _unpack(container, Path(folder))
        except (OSError, tarfile.TarError) as error:
            return 500, _failure(500, "ModelDataError", f"Failed to extract model data archive: {error}")
        return _run(folder, container.get("Environment", {}), content, content_type, accept, timeout)


def _unpack(container: dict[str, Any], folder: Path) -> None:
    """Put the model data where the container finds it."""
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    uri = container.get("ModelDataUrl") or source["S3Uri"]
    if source.get("S3DataType") == "S3Prefix":
        for path, data in world.read_below(uri):
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return
    packed = world.read(uri)
    if packed is None:
        raise FileNotFoundError(uri)
    with tarfile.open(fileobj=BytesIO(packed), mode="r:gz") as archive:
        archive.extractall(folder, filter="data")


def _run(
    folder: str, environment: dict[str, str], content: bytes, content_type: str, accept: str, timeout: float
) -> tuple[int, bytes]:
    # As in the container: the package's code first, and never the network.
    seen = {**os.environ, **environment, "HF_HUB_OFFLINE": "1", "PYTHONPATH": f"{folder}/code"}
    command = [sys.executable, str(Path(__file__).with_name("container.py")), folder, content_type, accept]
    try:
        done = subprocess.run(
            command, input=content, stdout=subprocess.PIPE, env=seen, cwd=folder, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return 504, _failure(504, "InvocationTimeout", f"the package did not answer in {timeout:.0f} s")
    head, _, body = done.stdout.partition(b"\n")
    if done.returncode != 0 or not head:
        return 500, _failure(500, "WorkerDied", f"the process of the package ended with status {done.returncode}")
    return int(json.loads(head)["status"]), body


def _failure(status: int, kind: str, message: str) -> bytes:
    """A failure in the words of the image's server."""
    return json.dumps({"code": status, "type": kind, "message": message}).encode()
