"""What `trust.allow` permits."""

from __future__ import annotations

import pytest

from sagepack.scan.callables import HARMLESS, TORCHSCRIPT, is_allowed
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


def test_a_callable_that_the_file_changes_is_not_that_of_its_module() -> None:
    assert not is_allowed("a.b.function (changed)", ["a.b.*"])


def test_one_word_allows_the_programs_of_torchscript_and_no_way_out_of_them() -> None:
    assert is_allowed("__torch__.torch.nn.modules.linear.Linear", [TORCHSCRIPT])
    assert is_allowed("torch.jit._pickle.restore_type_tag", [TORCHSCRIPT])
    assert not is_allowed("__torch__.os.system", [TORCHSCRIPT])
    assert not is_allowed("torch.jit.load", [TORCHSCRIPT])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ("a.b.Class", "c._Class"),
            "if you trust its publisher, allow these classes (trust.allow: [a.b.Class, c._Class])",
        ),
        (("pathlib.PosixPath", "datetime.datetime"), "(trust.allow: [pathlib.PosixPath, datetime.datetime])"),
        (("__torch__.a.A", "__torch__.b.B"), "let this program run (trust.allow: [torch.jit])"),
        (("torch.jit",), "let this program run (trust.allow: [torch.jit])"),
        (("keras.layers.Lambda",), "let this program run (trust.allow: [keras.layers.Lambda])"),
        (("a.b.function", "a.Class"), "trust.allow takes a.b.function, a.Class, but look first"),
        (("logging.Handler",), "trust.allow takes logging.Handler, but look first"),
        (("posix.system",), "trust.allow does not take it"),
        (("a.Class", "builtins.eval"), "trust.allow does not take it"),
        (("transformers.utils.os.system",), "trust.allow does not take it"),
        (("a.function.__globals__.get",), "trust.allow does not take it"),
        (("cloudpickle.cloudpickle._make_function",), "trust.allow does not take it"),
    ],
)
def test_what_may_be_allowed_is_told_ready_to_copy_and_no_more(names: tuple[str, ...], said: str) -> None:
    fix = Finding("out/model[1].ckpt", Kind.CALLS, "", names=names).fix
    assert fix.startswith('exclude it (model.exclude: ["out/model[[]1].ckpt"]), or use safetensors; ')
    assert said in fix
    assert ("trust.allow: [" in fix) is ("trust.allow: [" in said)


@pytest.mark.parametrize("name", ["a callable whose name is not in the file", "a.b.function (changed)", "a. b"])
def test_what_no_spec_can_name_is_not_proposed(name: str) -> None:
    assert "trust.allow" not in Finding("model.ckpt", Kind.CALLS, "", names=(name,)).fix
