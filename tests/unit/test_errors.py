"""Errors and diagnostics: what users and programs see of them."""

from __future__ import annotations

import importlib
import json
import pkgutil
from typing import TYPE_CHECKING

import pytest

import sagepack
from sagepack.errors import Diagnostic, IntegrityError, RemoteError, SagepackError, SpecError, UserError
from sagepack.publish.remote_check import Finding, PackageError
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


def subclasses(cls: type[SagepackError]) -> Iterator[type[SagepackError]]:
    if cls.__module__.startswith("sagepack."):
        yield cls
    for child in cls.__subclasses__():
        yield from subclasses(child)


def test_the_schema_of_errors_names_every_type_of_error_and_no_other() -> None:
    for module in pkgutil.walk_packages(sagepack.__path__, "sagepack."):
        if "sandbox" not in module.name and not module.name.endswith(
            ("__main__", ".launcher", ".reloading")
        ):  # of other programs
            importlib.import_module(module.name)
    schema = json.loads((ROOT / "schemas" / "error.schema.json").read_text())
    listed = schema["properties"]["error"]["properties"]["type"]["enum"]
    assert len(listed) == len(set(listed))
    # Not an error class: what a signal ends with.
    assert set(listed) - {"Interrupted"} == {cls.public_type() for cls in subclasses(SagepackError)}
    codes = schema["properties"]["error"]["properties"]["exit_code"]["enum"]
    assert {cls.exit_code for cls in subclasses(SagepackError)} <= set(codes)


def test_a_private_type_of_error_is_reported_as_its_public_base() -> None:
    class _TimeoutError(RemoteError):
        pass

    assert _TimeoutError("late").to_json()["type"] == "RemoteError"


@pytest.mark.parametrize(
    "error",
    [
        UserError("wrong", where="here", fix="correct it", details=["a", "b"]),
        IntegrityError("other bytes"),
        SpecError([Diagnostic(("name",), "missing", location="a.yaml:1:1")], "the files"),
        PackageError([Finding("s3://b/1", "it is missing")], fix="publish it again"),
    ],
)
def test_an_error_with_more_context_is_a_copy_of_the_same_type_and_the_original_stays(error: SagepackError) -> None:
    before = error.to_json()
    copy = error.with_context(fix="do this", details=["log"])
    assert type(copy) is type(error)
    assert copy.to_json() == {**before, "fix": "do this", "details": ["log"]}
    assert error.to_json() == before
    assert error.with_context(message="other").to_json() == {**before, "message": "other"}


def test_a_dotted_key_quotes_only_the_steps_that_would_mislead() -> None:
    path = ("environment", "A.B", "\x1b[31m", "k" * 900, 3)
    assert Diagnostic(path, "wrong").key == f'environment."A.B"."\\u001b[31m"."{"k" * 60}...".3'
