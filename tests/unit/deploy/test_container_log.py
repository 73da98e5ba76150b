"""What is shown of a log: real logs of multi-model-server 1.1.11 with the toolkit 2.6.0, and invented ones."""

from __future__ import annotations

import pytest

from sagepack.deploy import known_failures
from sagepack.deploy.container_log import MOST_LINES, has_traceback, telling
from sagepack.deploy.known_failures import OF_CONTAINERS
from tests.helpers.paths import ROOT

LOGS = ROOT / "tests" / "data" / "container_logs"
PREFIX = "2026-11-30T13:31:11,546 [INFO ] W-model-1-stdout com.amazonaws.ml.mms.wlm.WorkerLifeCycle - "
TOOLKIT = '  File "/opt/conda/lib/python3.10/site-packages/sagemaker_huggingface_inference_toolkit/handler_service.py", line 1'
BEGIN = "Traceback (most recent call last):"
DURING = "During handling of the above exception, another exception occurred:"

OF_SYNTAX = """\
Traceback (most recent call last):
  File "/opt/ml/model/code/inference.py", line 1
    def model_fn(model_dir)
                           ^
SyntaxError: expected ':'"""
OF_MEMORY = """\
Traceback (most recent call last):
  File "/opt/ml/model/code/inference.py", line 12, in predict_fn
    attention(data)
  File "/opt/ml/model/code/inference.py", line 8, in attention
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.32 GiB. GPU 0 has a total capacity of 22.20 GiB of \
which 512.00 MiB is free.")
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.32 GiB. GPU 0 has a total capacity of 22.20 GiB of which 512.00 MiB is free."""
OF_SIZE = """\
Unknown exception
io.netty.handler.codec.CorruptedFrameException: Message size exceed limit: 12000040
Unknown exception
io.netty.handler.codec.CorruptedFrameException: Message size exceed limit: 12000040
Backend worker process died."""


@pytest.mark.parametrize(
    ("name", "told", "known"),
    [
        ("syntax", OF_SYNTAX, None),
        ("memory", OF_MEMORY, "gpu-memory"),
        ("large", OF_SIZE, "answer-too-large"),
        ("dies", "allocating the second video", None),
    ],
)
def test_the_cause_is_shown_without_what_the_server_writes_around_it(name: str, told: str, known: str | None) -> None:
    lines = (LOGS / f"{name}.log").read_text(encoding="utf-8").splitlines()
    assert "\n".join(telling(lines)) == told
    found = known_failures.find(told, OF_CONTAINERS)
    assert (found.id if found else None) == known


def worker(*lines: str) -> list[str]:
    return [PREFIX + line for line in lines]


def test_bars_of_progress_tell_nothing() -> None:
    bars = [
        "Loading pipeline components...:   0%|          | 0/5 [00:00<?, ?it/s]",
        "Loading pipeline components...: 100%|██████████| 5/5 [00:00<00:00, 76.87it/s]",
        " 40%|████      | 2/5 [00:01<00:02, 1.2it/s]",
    ]
    assert telling(worker(*bars, "100% of 4/5 are used")) == ["100% of 4/5 are used"]


def test_the_exceptions_that_led_to_the_newest_one_are_shown_and_older_ones_are_not() -> None:
    frame, wrapper = (
        '  File "/opt/ml/model/code/inference.py", line 3, in f',
        "mms.service.PredictionException: b : 400",
    )
    first = [BEGIN, frame, "    g()", "KeyError: 'a'"]
    second = [BEGIN, TOOLKIT, "    self.predict()", frame, "ValueError: b", "and how"]
    lines = worker(BEGIN, "RuntimeError: older", *first, "", DURING, "", *second, DURING, BEGIN, TOOLKIT, wrapper)
    assert telling(lines) == [*first, DURING, BEGIN, frame, "ValueError: b", "and how"]


@pytest.mark.parametrize(
    "raised", ["ValueError: Frontend disconnected", "ConnectionResetError: [Errno 104] Connection reset by peer"]
)
def test_an_exception_of_the_server_itself_hides_no_line_of_the_cause(raised: str) -> None:
    error = "2026-11-30T13:33:16,342 [ERROR] epollEventLoopGroup-4-1 com.amazonaws.ml.mms.wlm.WorkerThread - Unknown exception"
    cause = "io.netty.handler.codec.CorruptedFrameException: Message size exceed limit: 9"
    frame = '  File "/opt/conda/lib/python3.10/site-packages/mms/model_service_worker.py", line 175, in start_worker'
    lines = [error, cause, *worker("Backend worker process died.", BEGIN, frame, "    cl_socket.send(resp)", raised)]
    assert telling(lines) == ["Unknown exception", cause, "Backend worker process died."]


def test_the_log_of_a_server_that_did_not_start_and_of_another_server_is_shown_as_it_is() -> None:
    lines = ["Collecting diffusers==9", "ERROR: No matching distribution found for diffusers==9"]
    assert telling(lines) == lines
    assert telling([f"line {number}" for number in range(50)]) == [f"line {number}" for number in range(30, 50)]


def test_tracebacks_that_two_threads_write_at_the_same_time_are_not_mixed() -> None:
    frame = '  File "/opt/ml/model/code/inference.py", line 3, in f'
    loading = [line.replace("W-model-1", "W-9000-model") for line in worker(BEGIN, frame, "    g()", "KeyError: 'a'")]
    asking = worker("Prediction error", BEGIN, frame, "    h()", "KeyError: 'b'")
    mixed = [*loading[:2], *asking[:3], loading[2], asking[3], loading[3], asking[4]]
    assert telling(mixed) == [BEGIN, frame, "    h()", "KeyError: 'b'"]


def test_a_traceback_of_long_ago_is_not_the_cause() -> None:
    after = [f"step {number}" for number in range(21)]
    assert telling(worker(BEGIN, "KeyError: 'a'", *after)) == after[1:]
    assert telling(worker(BEGIN, "KeyError: 'a'", *after[1:]))[:2] == [BEGIN, "KeyError: 'a'"]


def test_of_a_long_traceback_the_beginning_and_the_exception_are_shown() -> None:
    frames = [f'  File "/opt/ml/model/code/inference.py", line {number}, in f' for number in range(100)]
    told = telling([BEGIN, *frames, "RecursionError: maximum recursion depth exceeded"])
    assert len(told) == MOST_LINES
    assert (told[0], told[4], told[-1]) == (BEGIN, "... 83 lines", "RecursionError: maximum recursion depth exceeded")


@pytest.mark.parametrize("lines", [[], [""], [BEGIN], worker(""), ["  File"], [BEGIN, "  File"]])
def test_a_log_that_is_cut_anywhere_is_taken(lines: list[str]) -> None:
    assert set(telling(lines)) <= set(lines)


def test_a_handler_that_wrote_nothing_is_told_by_no_line() -> None:
    ping = '2026-11-30T13:31:03,877 [INFO ] pool-2-thread-3 ACCESS_LOG - /127.0.0.1:1 "GET /ping HTTP/1.1" 200 215'
    assert telling([ping, *worker("Predict time - 2.7 ms", "Python runtime: 3.10.9")]) == []


def test_a_traceback_is_found_behind_the_prefix_of_the_server() -> None:
    assert has_traceback(worker("a", BEGIN))
    assert not has_traceback(worker("a"))
