"""What `trust.allow` permits."""

from __future__ import annotations

import pytest

from sagepack.scan.callables import HARMLESS, is_allowed


@pytest.mark.parametrize(
    ("name", "allow", "allowed"),
    [
        ("a.b.Class", ["a.b.Class"], True),
        ("a.b.Class", ["a.b.*"], True),
        ("a.b.Class", ["a.*"], False),
        ("a.b.os.system", ["a.b.*"], False),
        ("a.b.Class", ["a.b"], False),
        ("a.b.Class", [], False),
    ],
)
def test_a_name_or_those_of_one_module_are_allowed(name: str, allow: list[str], allowed: bool) -> None:
    assert is_allowed(name, allow) is allowed


def test_nothing_that_loads_or_runs_is_harmless() -> None:
    assert not {name for name in HARMLESS if "load" in name or "eval" in name or "exec" in name or "import" in name}
