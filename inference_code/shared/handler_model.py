"""What the handlers have in common where models are loaded and run. torch is imported where it is used.

In a package this file lies beside the handler that uses it.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def require(model_dir: str, name: str, what: str) -> None:
    """Refuse a package without the file that tells its kind of model.

    Args:
        model_dir: the extracted package.
        name: the file.
        what: the kind of model.

    Raises:
        ValueError: there is no such file.
    """
    if not Path(model_dir, name).is_file():
        raise ValueError(f"{model_dir} holds no {name}: the package must have the files of {what}")


def gpu(context: Any) -> int:
    """The index of this worker's GPU; the server starts one worker per GPU and numbers them."""
    number = getattr(context, "system_properties", {}).get("gpu_id")
    return 0 if number is None else int(number)


def within_memory(work: Callable[[], T], advice: str, free: Callable[[], object] | None = None) -> T:
    """Run a part of a request, and leave the GPU as free as it was, so that the next request finds the same memory.

    Args:
        work: what is run.
        advice: what the caller can lower if the memory does not suffice.
        free: is called when it ends, however it ends.

    Raises:
        ValueError: there was not enough memory on the GPU.
    """
    import torch

    try:
        return work()
    except torch.cuda.OutOfMemoryError as error:
        message = f"not enough GPU memory: {error}".splitlines()[0]
    finally:  # the error is gone by now, and with it the tensors that its traceback held
        if free:
            free()
        if torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()
    raise ValueError(f"{message} {advice}")
