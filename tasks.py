"""The tasks of `invoke`, each a function of `sagepack.cli`."""

from __future__ import annotations

from sagepack.cli import interrupts

if __name__ == "tasks":  # as invoke imports this file; before the imports that take time
    interrupts.install()

import gc
import sys
from pathlib import Path

from sagepack.cli.main import uncaught
from sagepack.cli.tasks import collection

if __name__ == "tasks":
    sys.excepthook = uncaught
namespace = collection(Path(__file__).resolve().parent)
if __name__ == "tasks":
    # What has been imported lives as long as the process. Without this, Python looks through all of it once more when it
    # ends, which takes a tenth of a run with nothing to do.
    gc.freeze()
