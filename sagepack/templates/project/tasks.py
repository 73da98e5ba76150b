"""The tasks of `invoke`, which are those of `sagepack`, for this project."""

from sagepack.cli import interrupts

interrupts.install()  # before the imports that take time: from here on Ctrl-C is one line and exit code 130

import gc
from pathlib import Path

from sagepack.cli.tasks import collection

namespace = collection(Path(__file__).resolve().parent)
gc.freeze()  # what was imported stays: at its end Python need not look through it once more
