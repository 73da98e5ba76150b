"""Which release a rollback goes back to."""

from __future__ import annotations

import pytest

from sagepack.api.history import Release
from sagepack.api.rolling_back import previous
from sagepack.aws.s3 import S3Uri
from sagepack.deploy.record import DeploymentRecord
from tests.helpers.deployments import MANIFEST, MOMENT


def history(*configs: str) -> tuple[Release, ...]:
    """Releases, newest first, by their configurations; `a=2` is a rollback to the release 2 places from the oldest."""
    found: list[Release] = []
    for number, text in enumerate(configs, 1):
        config, _, origin = text.partition("=")
        record = DeploymentRecord(
            name="svd",
            env="cloud",
            endpoint="svd",
            deployed=MOMENT,
            by="arn",
            commit=None,
            clean=None,
            manifest=str(MANIFEST),
            package="s3://b/models/x",
            lock=str(MANIFEST),
            image="image",
            model=config,
            config=config,
            variables=(),
            settings={},
            rolled_back_to=f"s3://b/{origin}" if origin else None,
        )
        found.append(Release(number, S3Uri("b", str(len(configs) - number)), record))
    return tuple(found)


@pytest.mark.parametrize(
    ("releases", "serves", "chosen"),
    [
        (("c", "b", "a"), "c", 2),
        (("c", "c", "b", "a"), "c", 3),  # its scaling was changed in between
        (("c",), "c", None),
        ((), "c", None),
        (("c", "b", "a"), "x", 1),  # what serves was never recorded
        (("c", "b", "a"), "b", 2),  # a rollback that was interrupted before its record
        (("b=1", "c", "b", "a"), "b", 4),  # a second rollback
        (("b=1", "c", "b"), "b", None),
        (("b=9", "c", "b", "a"), "b", 4),  # the record that it repeats was deleted
        (("d", "b=1", "c", "b", "a"), "d", 2),
    ],
)
def test_the_release_before_is_the_last_one_that_served_something_else(
    releases: tuple[str, ...], serves: str, chosen: int | None
) -> None:
    found = previous(history(*releases), serves)
    assert (found.number if found else None) == chosen
