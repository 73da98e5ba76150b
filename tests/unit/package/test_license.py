"""Licences as model cards declare them, against those that a spec allows."""

from __future__ import annotations

import pytest

from sagepack.package.license import License


@pytest.mark.parametrize(
    ("found", "names", "allowed"),
    [
        (License("mit"), ["MIT"], True),
        (License("mit"), ["apache-2.0"], False),
        (License("other", "acme-1.0"), ["acme-1.0"], True),
        (License("other", "acme-1.0"), ["mit"], False),
        (License("other"), ["mit"], False),
        (License("mit, apache-2.0"), ["apache-2.0", "mit"], True),
        (License("mit, gpl-3.0"), ["mit"], False),
        (License("gpl-3.0", "mit"), ["mit"], False),
        (License("other", "acme-1.0"), ["other"], False),
        (License("other"), ["other"], True),
        (License("mit, other", "acme-1.0"), ["mit", "acme-1.0"], True),
        (License("mit, other", "acme-1.0"), ["acme-1.0"], False),
    ],
)
def test_each_licence_of_a_model_has_to_be_allowed(found: License, names: list[str], allowed: bool) -> None:
    assert found.is_among(names) is allowed


def test_a_licence_without_a_word_of_the_hub_is_shown_by_its_name() -> None:
    assert str(License("other", "acme-1.0", "LICENSE")) == "acme-1.0"
    assert str(License("openrail++", "SDXL")) == "openrail++"
