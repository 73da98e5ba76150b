"""The handler that is yet to be written says so, and reads requests already."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from tests.helpers.handlers import load


def test_each_hook_that_is_yet_to_be_written_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(is_available=lambda: False, OutOfMemoryError=MemoryError)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    handler = load("skeleton")
    with pytest.raises(ValueError, match="load the model in model_fn"):
        handler.model_fn("folder")
    with pytest.raises(ValueError, match="unknown field 'input'"):
        handler.transform_fn(None, b'{"input": 1}', "application/json", "*/*")
    with pytest.raises(ValueError, match="call the model in run"):
        handler.transform_fn(None, b'{"inputs": 1}', "application/json", "*/*")
