"""Where in the code of a package something went wrong, by the log of its container."""

from __future__ import annotations

import pytest

from sagepack.deploy import cause

PLACES = {"code/inference.py": "inference_code/svd/inference.py"}
MMS = "2026-11-30T15:28:35,536 [INFO ] W-model-1-stdout com.amazonaws.ml.mms.wlm.WorkerLifeCycle - "
LOG = """\
Prediction error
Traceback (most recent call last):
  File "/venv/lib/python3.11/site-packages/sagemaker_huggingface_inference_toolkit/handler_service.py", line 242, in handle
    response = self.transform_fn(*([self.model, input_data]))
  File "/tmp/mms-a_1/ml/model/code/inference.py", line 12, in predict_fn
    return helpers.open(model)
  File "/tmp/mms-a_1/ml/model/code/helpers.py", line 3, in open
    raise FileNotFoundError(name)
  File "/usr/lib/python3.11/io.py", line 1, in open
    raise
FileNotFoundError: /tmp/mms-a_1/ml/model/unet/x.bin

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/venv/lib/python3.11/site-packages/mms/service.py", line 108, in predict
    ret = self._entry_point(input_batch, self.context)
mms.service.PredictionException: no such file : 400
"""
SYNTAX = """\
Traceback (most recent call last):
  File "/opt/ml/model/code/inference.py", line 7
    def x(:
          ^
SyntaxError: invalid syntax
"""


def of(log: str) -> cause.Cause:
    return cause.find([MMS + line for line in log.splitlines()], PLACES)


def test_the_innermost_line_of_the_packages_code_is_named_as_people_know_it() -> None:
    found = of(LOG)
    assert (found.where, found.function) == ("code/helpers.py:3", "open")
    assert found.exception == "FileNotFoundError: /opt/ml/model/unet/x.bin"
    assert '  File "inference_code/svd/inference.py", line 12, in predict_fn' in found.lines
    assert not [line for line in found.lines if "mms" in line]


def test_the_line_of_a_program_that_does_not_parse_is_named() -> None:
    found = of(SYNTAX)
    assert (found.where, found.function) == ("inference_code/svd/inference.py:7", None)
    assert found.exception == "SyntaxError: invalid syntax"


def test_the_top_of_a_module_is_no_function() -> None:
    log = 'Traceback (most recent call last):\n  File "/opt/ml/model/code/inference.py", line 1, in <module>\n    x\nKeyError: 1'
    assert of(log)[:3] == ("inference_code/svd/inference.py:1", None, "KeyError: 1")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("KeyError: '/tmp/mms-a_1/ml/model'", "KeyError: '/opt/ml/model'"),
        ("open(/tmp/mms-a_1/ml/model/unet/x.bin)", "open(/opt/ml/model/unet/x.bin)"),
        ("/tmp/mms-a_1/ml/model/code/inference.py:3: Warning", "inference_code/svd/inference.py:3: Warning"),
        ("/tmp/mms-a_1/ml/model/code/other.json", "code/other.json"),
        ("/tmp/ml/models and /a/ml/model.py", "/tmp/ml/models and /a/ml/model.py"),
    ],
)
def test_the_folder_of_the_package_is_shown_as_in_the_container(line: str, shown: str) -> None:
    assert cause.readable([line], PLACES) == [shown]


@pytest.mark.parametrize("log", ["", "allocating\n"])
def test_without_a_traceback_there_is_no_place(log: str) -> None:
    assert of(log)[:3] == (None, None, None)


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ("WorkerInitializationException: Backend worker did not respond in given time", "invocation-timeout"),
        ("CorruptedFrameException: Message size exceed limit: 12000040", "answer-too-large"),
        ("MemoryError", "host-memory"),
        ("MMS worker started.", "worker-died"),
    ],
)
def test_a_worker_died_of_what_its_log_says(line: str, known: str) -> None:
    found = cause.known(f"Worker died.\n{line}\nBackend worker process died.")
    assert found is not None
    assert found.id == known


def test_the_advice_of_a_known_failure_names_no_command_that_shows_the_log_of_an_endpoint() -> None:
    found = cause.known("Worker died.")
    assert found is not None
    assert "invoke logs" not in found.fix
    assert "MMS_MAX_RESPONSE_SIZE" in found.fix
    assert cause.known("Model is not initialized, will try to load model again.") is None


def test_a_line_that_quotes_a_whole_picture_is_cut() -> None:
    (shown,) = cause.readable([f"ValueError: no URL: {'A' * 8000}"], {})
    assert shown == f"ValueError: no URL: {'A' * 480}... (8,020 characters)"


@pytest.mark.parametrize(
    "words",
    ["AssertionError: Torch not compiled with CUDA enabled", "RuntimeError: Found no NVIDIA driver on your system."],
)
def test_code_that_wants_a_gpu_where_none_is_is_no_code_that_fails_everywhere(words: str) -> None:
    found = cause.known(words)
    assert found is not None
    assert "torch.cuda.is_available()" in found.fix
