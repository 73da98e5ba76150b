"""The verdicts about this machine, and how several failures become one error. The rest is in tests/integration."""

from __future__ import annotations

from typing import Any

import pytest

from sagepack.deploy.preflight.check import Check
from sagepack.engine import preflight
from tests.helpers.deployments import endpoint

GIB = 1 << 30
ROLE = Check("role", "execution role", "failed", "there is no role x", "create it")
BUCKET = Check("bucket", "S3 bucket", "failed", "s3://b: there is no such bucket", "make it")


@pytest.mark.parametrize(
    ("folders", "verdict", "words"),
    [
        ({"/cache": (1, GIB), "/dist": (1, GIB)}, "ok", "/cache: 1.0 GiB free, 1 B needed"),
        ({"/cache": (15 * GIB, 9 * GIB), "/dist": (1, GIB)}, "warning", "/cache needs 15.0 GiB, 9.0 GiB are free"),
        ({"/cache": (GIB, GIB)}, "ok", "free"),
    ],
)
def test_what_is_written_must_fit_where_it_is_written(
    folders: dict[str, tuple[int, int]], verdict: str, words: str
) -> None:
    found = preflight.judge_disk(folders)
    assert (found.verdict, words in found.detail) == (verdict, True)
    assert (found.fix is not None) == (verdict != "ok")


@pytest.mark.parametrize(
    ("known", "verdict", "words"),
    [
        ({}, "ok", "nothing found"),
        ({"accepted": ["a.bin"]}, "ok", "the spec allows what was found in a.bin"),
        ({"refused": ["a.bin: would call os.system", "b"]}, "failed", "a.bin: would call os.system, and 1 more"),
        ({"refused": ["a.bin: would call os.system"], "mode": "warn"}, "warning", "a.bin: would call os.system"),
        ({"pending": 3}, "ok", "this machine judges them before it fetches them"),
        ({"pending": 3, "scan": None}, "warning", "3 files not judged yet"),
        ({"mode": "off"}, "warning", "trust.scan is off"),
    ],
)
def test_the_check_of_the_files_says_what_is_known_of_them(known: dict[str, Any], verdict: str, words: str) -> None:
    facts: dict[str, Any] = {"mode": "strict", "refused": [], "accepted": [], "pending": 0, "scan": 1, **known}
    found = preflight.judge_scan(**facts)
    assert (found.verdict, words in found.detail) == (verdict, True)
    assert (found.fix is not None) == (verdict != "ok")


@pytest.mark.parametrize(
    ("gib", "changes", "is_archive", "words"),
    [
        (20, {}, True, ""),
        (25, {}, True, "25.0 GiB; the GPUs of ml.g5.2xlarge have 24.0 GiB"),
        (25, {"instance_type": "ml.g5.12xlarge"}, True, ""),  # four GPUs
        (25, {"instance_type": "ml.m5.xlarge"}, True, ""),  # none
        (25, {"instance_type": "ml.g9.xlarge"}, True, ""),  # of an unknown family nothing is said
        (20, {"instance_type": "ml.m5.xlarge", "volume_size_in_gb": 40}, True, ""),
        (
            21,
            {"instance_type": "ml.m5.xlarge", "volume_size_in_gb": 40},
            True,
            "twice: the archive and what comes out of it",
        ),
        (21, {"instance_type": "ml.m5.xlarge", "volume_size_in_gb": 40}, False, ""),
        (41, {"instance_type": "ml.m5.xlarge", "volume_size_in_gb": 40}, False, "endpoint.volume_size_in_gb is 40"),
    ],
)
def test_a_model_that_cannot_fit_its_instances_is_a_warning(
    gib: int, changes: dict[str, Any], is_archive: bool, words: str
) -> None:
    found = preflight.judge_model_size(gib * GIB, endpoint(**changes), is_archive=is_archive)
    assert found.verdict == ("warning" if words else "ok")
    assert words in found.detail
    assert (found.fix is not None) == bool(words)


@pytest.mark.parametrize(
    ("version", "verdict"),
    [((3, 9, 18), "warning"), ((3, 10, 0), "ok"), ((3, 13, 9), "ok"), ((3, 15, 0), "warning"), ((4, 0, 0), "warning")],
)
def test_a_python_that_is_not_tested_is_a_warning(version: tuple[int, int, int], verdict: str) -> None:
    assert preflight.judge_python(version).verdict == verdict


def test_uploads_that_nobody_continues_are_a_warning() -> None:
    assert preflight.judge_stale_uploads(0, 24).verdict == "ok"
    found = preflight.judge_stale_uploads(2, 24)
    assert found.verdict == "warning"
    assert "invoke gc" in (found.fix or "")


def test_one_failure_is_the_error_and_several_are_its_details() -> None:
    one = preflight._error_of([ROLE])
    assert (one.message, one.fix) == ("execution role: there is no role x", "create it")
    two = preflight._error_of([ROLE, BUCKET])
    assert "2 checks failed" in two.message
    assert [line.strip() for line in two.details] == [
        "execution role: there is no role x",
        "create it",
        "S3 bucket: s3://b: there is no such bucket",
        "make it",
    ]


def test_what_fails_only_because_another_check_failed_is_no_failure_of_its_own() -> None:
    lifecycle = Check("lifecycle-rule", "lifecycle rule", "failed", "there is no such bucket", "make it")
    told = preflight._without_consequences([BUCKET, lifecycle])
    assert told == (BUCKET, Check("lifecycle-rule", "lifecycle rule", "unknown", "not looked at without the S3 bucket"))
    there = Check("bucket", "S3 bucket", "ok", "there")
    assert preflight._without_consequences([there, lifecycle]) == (there, lifecycle)
