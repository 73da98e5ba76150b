"""Start the image's own server on loopback: a script for the Python that has the serving stack, not for this package's.

It is what the image's entry point calls, `sagemaker_huggingface_inference_toolkit.serving.main()`, with three differences
that let it run beside other programs of one machine. All of it dies with the process that holds the other end of its
standard input.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import threading
from contextlib import suppress
from typing import Any


def main() -> None:
    """Serve the package in SAGEMAKER_BASE_DIR/model until standard input ends."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    server: Any = importlib.import_module("sagemaker_inference.model_server")
    toolkit: Any = importlib.import_module("sagemaker_huggingface_inference_toolkit.mms_model_server")
    # 1. The file of settings is /etc/sagemaker-mms.properties in both.
    server.MMS_CONFIG_FILE = toolkit.MMS_CONFIG_FILE = os.environ.pop("SAGEPACK_MMS_CONFIG")
    # 2. The toolkit looks for its Java process among all processes of the machine.
    server._retrieve_mms_server_process = lambda: _java(server.MMS_NAMESPACE)  # noqa: SLF001
    # 3. Requirements would be installed into this Python, at every start: only say what an endpoint would install.
    os.environ["PIP_DRY_RUN"] = "1"
    importlib.import_module("sagemaker_huggingface_inference_toolkit.serving").main()


def _java(namespace: str) -> Any:
    """The Java process of this process group."""
    processes = importlib.import_module("psutil").process_iter(["cmdline"])  # None where it may not be read
    for process in processes:
        if namespace in (process.info["cmdline"] or ()) and _group(process.pid) == os.getpgid(0):
            return process
    raise RuntimeError("the model server has not started")


def _group(process: int) -> int | None:
    with suppress(ProcessLookupError):  # it has just ended
        return os.getpgid(process)
    return None


def _die_with_parent() -> None:
    """Wait for the end of standard input, then end the group: a worker outlives a server that is asked to end."""
    while os.read(0, 1024):
        pass
    shutil.rmtree(os.getcwd(), ignore_errors=True)  # noqa: PTH109 - the folder of this run
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    main()
