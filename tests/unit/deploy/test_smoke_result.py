from __future__ import annotations

import pytest

from sagepack.deploy.smoke_result import Smoke


@pytest.mark.parametrize(
    ("smoke", "summary"),
    [
        (Smoke(passed=True, seconds=(12.34, 4.0)), "passed, in 12.3 and 4.0 s"),
        (Smoke(passed=False, reason="by --no-smoke"), "skipped: by --no-smoke"),
    ],
)
def test_people_read_whether_it_passed_or_why_it_was_skipped(smoke: Smoke, summary: str) -> None:
    assert smoke.summary == summary
