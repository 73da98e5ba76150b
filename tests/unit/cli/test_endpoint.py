"""What the flags of the tasks about an endpoint mean."""

from __future__ import annotations

import pytest

from sagepack.cli.endpoint import _field
from sagepack.errors import UserError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("seed=7", 7),
        ("seed=", ""),
        ("question=What is 1=1?", "What is 1=1?"),
        ('question="7"', "7"),
        ("normalize=true", True),
        ("width=null", None),
        ('labels=["a", "b"]', ["a", "b"]),
    ],
)
def test_a_field_is_json_or_else_text(text: str, value: object) -> None:
    assert _field(text) == (text.partition("=")[0], value)


@pytest.mark.parametrize("text", ["seed", "=1", "a..b=1", ".a=1", ""])
def test_a_field_without_a_name_or_a_value_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no field") as caught:
        _field(text)
    assert caught.value.fix == "write NAME=VALUE, such as seed=7, or parameters.seed=7 for one in an object"
