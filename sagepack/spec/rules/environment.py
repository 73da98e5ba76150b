"""Rules about the container's environment variables: limits of the service, and variables without their usual effect.

Source for their effects: the code of sagemaker-huggingface-inference-toolkit 2.6.0 and of multi-model-server 1.1.11, the
server of the known images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic
from sagepack.spec.rules.secrets import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.rules.view import SpecView

MAX_ENTRY = 1024  # bytes of a name, and of a value (API reference: ContainerDefinition.Environment)
MAX_TOTAL = 32 * 1024  # bytes of all names and values
DEFAULT_MESSAGE = 6_553_500  # bytes: the server's default limit of a request, and of a response
JAVA_MAX = 2**31 - 1  # the server stores these limits in a Java int
ASYNC_SECONDS = 3600  # the longest that an asynchronous invocation may take
_SIZES = ("MMS_MAX_REQUEST_SIZE", "MMS_MAX_RESPONSE_SIZE")
_WITHOUT_EFFECT = {
    "HF_MODEL_REVISION": "it only selects the revision that HF_MODEL_ID downloads",
    "SAGEMAKER_SUBMIT_DIRECTORY": "the toolkit of this image does not read it",
}
_PORT = "SageMaker sends requests to port 8080 of the container"
# Where the server listens and finds the package is SageMaker's: the one value that each may have, and why. `serve` sets its own.
_OF_SERVICE = {
    "MMS_INFERENCE_ADDRESS": ("http://0.0.0.0:8080", _PORT),
    "SAGEMAKER_BASE_DIR": ("/opt/ml", "SageMaker extracts the package to /opt/ml/model"),
    "SAGEMAKER_BIND_TO_PORT": ("8080", _PORT),
    "SAGEMAKER_MULTI_MODEL": ("false", "the server would start without the model of the package"),
}


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check `environment`, except for secrets."""
    yield from _limits(view)
    yield from _model_id(view)
    yield from _without_effect(view)
    yield from _of_service(view)
    yield from _timeouts(view)
    yield from _numbers(view)


def _limits(view: SpecView) -> Iterator[Diagnostic]:
    total = 0
    for key, value in view.text_map("environment").items():
        sizes = {"name": len(key.encode()), "value": len(value.encode())}
        total += sum(sizes.values())
        for part, size in sizes.items():
            if size > MAX_ENTRY:
                yield Diagnostic(
                    ("environment", key), f"the {part} has {size:,} bytes; the service allows {MAX_ENTRY:,}"
                )
    if total > MAX_TOTAL:
        yield Diagnostic(
            ("environment",), f"names and values have {total:,} bytes together; the service allows {MAX_TOTAL:,}"
        )


def _model_id(view: SpecView) -> Iterator[Diagnostic]:
    if "HF_MODEL_ID" in view.text_map("environment"):
        yield Diagnostic(
            ("environment", "HF_MODEL_ID"),
            "with HF_MODEL_ID the container ignores the packaged weights and downloads the model from the Hub at every start",
            "remove it; the model is declared under model, and its files are in the package",
        )


def _without_effect(view: SpecView) -> Iterator[Diagnostic]:
    for key in view.text_map("environment"):
        path = ("environment", key)
        if key.startswith("TS_"):
            message = "it has no effect: TS_* variables configure TorchServe, which this image does not use"
            yield Diagnostic(path, message, f"the server of this image reads MMS_{key[3:]}", severity="warning")
        elif key in _WITHOUT_EFFECT:
            yield Diagnostic(path, f"it has no effect: {_WITHOUT_EFFECT[key]}", "remove it", severity="warning")


def _of_service(view: SpecView) -> Iterator[Diagnostic]:
    given = view.text_map("environment")
    for key in sorted(given.keys() & _OF_SERVICE.keys()):
        allowed, why = _OF_SERVICE[key]
        if given[key].lower() != allowed:
            yield Diagnostic(("environment", key), f"the endpoint would answer nothing: {why}", "remove it")


def _timeouts(view: SpecView) -> Iterator[Diagnostic]:
    for key, unit, limit in (
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "minutes", ASYNC_SECONDS // 60),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "seconds", ASYNC_SECONDS),
        ("MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS", "seconds", ASYNC_SECONDS),
    ):
        value = view.integer_text("environment", key)
        if value is not None and value > limit:
            yield Diagnostic(
                ("environment", key),
                f"{value:,} {unit}, but an asynchronous invocation is ended after {limit:,}",
                "set SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS if you mean seconds" if unit == "minutes" else None,
                severity="warning",
            )


def _numbers(view: SpecView) -> Iterator[Diagnostic]:
    """Variables that the server reads as positive integers. It does not start with any other value."""
    counts = ("SAGEMAKER_MODEL_SERVER_WORKERS", "MMS_DEFAULT_WORKERS_PER_MODEL", "MMS_JOB_QUEUE_SIZE")
    times = (
        "SAGEMAKER_MODEL_SERVER_TIMEOUT",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS",
        "MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS",
    )
    for key in (*_SIZES, *counts, *times):
        text, value, path = view.text("environment", key), view.integer_text("environment", key), ("environment", key)
        if text is None:
            continue
        if value is None or not 1 <= value <= JAVA_MAX:
            yield Diagnostic(path, f"{safe(path, text)} is not an integer from 1 to {JAVA_MAX:,}")
        elif key in _SIZES and value < DEFAULT_MESSAGE:
            message = f"{value:,} bytes is below the server's own default of {DEFAULT_MESSAGE:,}"
            yield Diagnostic(
                path,
                message,
                "the server refuses larger requests with status 413 and ends the worker at larger responses",
                severity="warning",
            )
