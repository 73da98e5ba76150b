"""Start the image's model server on loopback: a script for the Python of the serving stack, not part of this program.

It calls the image's entry point, `sagemaker_huggingface_inference_toolkit.serving.main()`, with a few changes that let it
run next to other programs on one machine. When standard input ends, which it does when the parent ends, the script kills
its process group and removes its working folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from contextlib import suppress
from types import ModuleType
from typing import Any

import psutil

_TOOLKIT = "sagemaker_huggingface_inference_toolkit"
_OF_THE_HUB = ("HF_API_TOKEN", "HF_MODEL_REVISION", "_load_model_from_hub")
if "HF_MODEL_ID" not in os.environ:
    # This process needs the handler service by its name alone, and of the rest what loads a model from the Hub. They import
    # torch and transformers, which takes some seconds and is the worker's business.
    for module in (ModuleType(f"{_TOOLKIT}.handler_service"), ModuleType(f"{_TOOLKIT}.transformers_utils")):
        module.__dict__.update(dict.fromkeys(_OF_THE_HUB))
        sys.modules[module.__name__] = module

from sagemaker_huggingface_inference_toolkit import mms_model_server, serving  # noqa: E402
from sagemaker_inference import model_server  # noqa: E402


def main() -> None:
    """Serve the package in SAGEMAKER_BASE_DIR/model until standard input ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # 1. Both modules name /etc/sagemaker-mms.properties as the settings file to write.
    model_server.MMS_CONFIG_FILE = mms_model_server.MMS_CONFIG_FILE = os.environ.pop("SAGEPACK_MMS_CONFIG")
    # 2. The toolkit would look for its Java process among all processes of the machine.
    model_server._retrieve_mms_server_process = _java_process  # noqa: SLF001
    # 3. Requirements are installed already, into folders that the worker finds before this environment. This process has
    # imported the toolkit by now, as in a container, where pip changes what only the worker imports later.
    mms_model_server._install_requirements = lambda: None  # noqa: SLF001
    if folders := os.environ.pop("SAGEPACK_PYTHONPATH", ""):
        os.environ["PYTHONPATH"] = folders
    # 4. Another handler service, for `serve --watch`.
    serving.HANDLER_SERVICE = os.environ.pop("SAGEPACK_HANDLER_SERVICE", serving.HANDLER_SERVICE)
    serving.main()


def _java_process() -> Any:
    """The Java process of this process group, as a psutil.Process."""
    for process in psutil.process_iter(["cmdline"]):
        command: list[str] | None = process.info["cmdline"]  # None if it may not be read
        with suppress(ProcessLookupError):  # it has just ended
            if model_server.MMS_NAMESPACE in (command or ()) and os.getpgid(process.pid) == os.getpgid(0):
                return process
    raise RuntimeError("the model server has not started")


def _end_with_parent() -> None:
    """Wait for the end of standard input, then kill the process group: on SIGTERM the server would leave its worker running."""
    while os.read(0, 1024):
        pass
    shutil.rmtree(os.getcwd(), ignore_errors=True)  # noqa: PTH109 - the folder of this run
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    main()
