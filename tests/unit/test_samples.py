"""The requests that `deploy` sends."""

from __future__ import annotations

import base64
import json

import pytest

from tests.helpers.paths import ROOT

SAMPLES = ROOT / "config" / "samples"


@pytest.mark.parametrize(("name", "field"), [("svd", "inputs"), ("llava", "image")])
def test_the_samples_hold_the_picture_that_lies_beside_them(name: str, field: str) -> None:
    sample = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    assert base64.b64decode(sample[field]) == (SAMPLES / "svd.png").read_bytes()
