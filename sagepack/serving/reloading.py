"""The image's handler service, which can also take new code: a module for the worker of the serving stack, not of this program.

A request of the media type `RELOAD` has the package's code imported again, with or without a call of `model_fn`. Code and model
from before stay at hand until they are settled: they go on to serve if anything fails, and can be put back.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from typing import Any

from mms.service import PredictionException
from sagemaker_huggingface_inference_toolkit.handler_service import HuggingFaceHandlerService

RELOAD = "application/x-sagepack-reload"  # as in `model_server`


class ReloadingHandlerService(HuggingFaceHandlerService):  # type: ignore[misc]
    """The toolkit's own, and `RELOAD`. The server expects one class in this module."""

    def handle(self, data: Any, context: Any) -> Any:
        """Answer a request, or do what one of the media type `RELOAD` says."""
        headers = context.request_processor[0].get_request_properties()
        if RELOAD not in {headers.get("Content-Type"), headers.get("content-type")}:
            return super().handle(data, context)
        try:
            done = self._obey(json.loads(bytes(data[0].get("body"))), context)
        except BaseException as error:
            raise PredictionException(str(error) or type(error).__name__, 400) from error
        context.set_response_content_type(0, "application/json")
        return [json.dumps(done).encode()]

    def _obey(self, order: str, context: Any) -> str:
        """Do it; says what that was: `called` if `model_fn` was."""
        code = os.path.join(context.system_properties.get("model_dir"), "code") + os.sep  # noqa: PTH118 - as Python names it
        if order == "undo":
            _put_back(self, code)
        elif order == "settle":
            _BEFORE.clear()
            gc.collect()
        else:
            _BEFORE[:] = [(_modules(code), dict(self.__dict__))]
            order = "called" if order == "call" or not self.initialized else order
            try:
                self._import_again(context, call=order == "called")
            except BaseException:
                _put_back(self, code)
                raise
        return order

    def _import_again(self, context: Any, *, call: bool) -> None:
        """Take the code as it is now. Only what the toolkit sets when it initializes is set again."""
        _forget(_BEFORE[0][0])
        for name in ("load", "preprocess", "predict", "postprocess", "transform_fn"):
            self.__dict__.pop(name, None)
        for name in [name for name in self.__dict__ if name.endswith("_extra_arg")]:
            self.__dict__[name] = []
        if call:
            self.initialize(context)
        else:
            self.validate_and_initialize_user_module()


# Of the code before the newest: its modules, and what the service had. At most one.
_BEFORE: list[tuple[dict[str, Any], dict[str, Any]]] = []


def _put_back(service: ReloadingHandlerService, code: str) -> None:
    """Serve what served before."""
    modules, state = _BEFORE.pop()
    _forget(_modules(code))
    sys.modules.update(modules)
    service.__dict__.clear()
    service.__dict__.update(state)


def _modules(code: str) -> dict[str, Any]:
    """The imported modules of the package's code."""
    own = [name for name, module in sys.modules.items() if (getattr(module, "__file__", None) or "").startswith(code)]
    return {name: sys.modules[name] for name in own}


def _forget(modules: dict[str, Any]) -> None:
    """Have these imported again by whoever imports them next."""
    for name in modules:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
