"""The package's own names: what programs import, without waiting for what they do not use."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sagepack
from sagepack.api.project import Project
from sagepack.errors import SpecError


def test_every_name_that_is_offered_can_be_imported() -> None:
    assert {name: getattr(sagepack, name) for name in sagepack.__all__}["Project"] is Project
    assert sagepack.SpecError is SpecError


def test_a_name_that_is_not_offered_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sagepack' has no attribute 'Projekt'"):
        sagepack.Projekt  # type: ignore[attr-defined]  # noqa: B018


def test_the_package_alone_imports_none_of_its_rooms() -> None:
    program = "import sys, sagepack; print([name for name in sys.modules if name.startswith('sagepack.')])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "['sagepack.version']"
