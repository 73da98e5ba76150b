"""Syntax that only a newer Python than the image's knows is refused, whatever Python runs the check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.spec.program.test_check import GOOD, HANDLER, TODAY, told, write

if TYPE_CHECKING:
    from pathlib import Path

PY39 = ["image.tag=1.13.1-transformers4.26.0-gpu-py39-cu117-ubuntu20.04"]
PY310 = ["image.tag=2.1.0-transformers4.37.0-gpu-py310-cu118-ubuntu20.04"]
PY311 = ["image.tag=2.3.0-transformers4.48.0-gpu-py311-cu121-ubuntu22.04"]
NAMES = "a = b = {}\n"
TOO_NEW = [
    ("x = a[*b]\n", PY310),
    ("x = a[1, *b]\n", PY310),
    ("def f(*parts: *b): ...\n", PY310),
    ("x = a[y := 1]\n", PY39),
    ("x = a[1, y := 1]\n", PY39),
    ("x = a[\n    y := 1\n]\n", PY39),
    ("x = f'{a['b']}'\n", PY311),
    ("x = f'{f'{a}'}'\n", PY311),
    ('x = f"""{a["""b"""]}"""\n', PY311),
    ("x = f'{a:{'>5'}}'\n", PY311),
    ("x = f'{chr(10)\n}'\n", PY311),
    ("x = f'''{a # why\n}'''\n", PY311),
    ('x = f"{chr(ord("\\n"))}"\n', PY311),
    ("x = f\"{'\\n'.join(a)}\"\n", PY311),
]


@pytest.mark.parametrize(("code", "sets"), TOO_NEW)
def test_syntax_that_the_image_does_not_know_is_refused(tmp_path: Path, code: str, sets: list[str]) -> None:
    write(tmp_path, NAMES + GOOD + code)
    ((severity, location, message),) = told(tmp_path, sets)
    assert (severity, location.startswith(HANDLER)) == ("error", True)
    assert "of the image cannot parse this" in message


KNOWN = [
    ("x = a[(y := 1)]\n", PY39),
    ("x = {y := 1}\n", PY39),
    ("x = a[(*b,)]\n", PY39),
    ("x = a[1, (2, *b)]\n", PY39),
    ("x = a[a[1]], a[1:2, ...], a[()]\n", PY39),
    ("with (open('a') as c, open('b') as d): ...\n", PY39),
    ("x = f'{a!r:{b}}', f'{{a}}\\n', f\"{a['b']}\", f'{a}' f\"{b}\"\n", PY39),
    ("x = f\"{f'{a}'}\"\n", PY39),
    ("x = f'''{\n    a}'''\n", PY39),
    ("x = f'''{a['b']} {a[\"c\"]}'''\n", PY39),
    ("x = f'{a}' '\\n'\n", PY39),
    ("x = rf'\\d{a}'\n", PY39),
    ("x = f'{ {1: 2}[1] }'\n", PY39),
]


@pytest.mark.parametrize(("code", "sets"), KNOWN)
def test_syntax_that_the_image_knows_is_let_pass(tmp_path: Path, code: str, sets: list[str]) -> None:
    write(tmp_path, NAMES + GOOD + code)
    assert told(tmp_path, sets) == []


@pytest.mark.skipif(TODAY >= (3, 12), reason="needs a Python that is older than the image's")
def test_what_no_python_compiles_is_certain_for_a_newer_one_too(tmp_path: Path) -> None:
    for code in ("return 1\n", "nonlocal x\n", "await x\n", "from __future__ import annotations\n"):
        write(tmp_path, GOOD + code)
        assert [severity for severity, *_ in told(tmp_path)] == ["error"]
