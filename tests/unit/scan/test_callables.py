"""What `trust.allow` permits."""

from __future__ import annotations

import pytest

from sagepack.scan.callables import HARMLESS, is_allowed
from sagepack.scan.finding import Finding, Kind


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


@pytest.mark.parametrize(
    ("names", "can_be_allowed"),
    [(("a.Class",), True), (("posix.system",), False), (("a.Class", "builtins.eval"), False)],
)
def test_what_nobody_can_allow_is_not_proposed(names: tuple[str, ...], can_be_allowed: bool) -> None:
    fix = Finding("model.ckpt", Kind.CALLS, "", names=names).fix
    assert ("allow the name in trust.allow" in fix) is can_be_allowed
    assert ("trust.allow does not take it" in fix) is not can_be_allowed
