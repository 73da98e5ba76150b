from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from sagepack.deploy.sent import QUEUE_TIME, SentRequest, SentRequests, check_id, new_id
from sagepack.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
REQUEST = SentRequest("20261130T120000Z-00", "svd", "svd-1", "0" * 64, NOW, "s3://b/out/1.out", abandoned=True)


def test_a_request_is_found_by_its_id_and_others_are_not(tmp_path: Path) -> None:
    remembered = SentRequests(tmp_path / "requests")
    assert remembered.find(REQUEST.inference_id) is None
    remembered.save(REQUEST)
    assert remembered.find(REQUEST.inference_id) == REQUEST
    (tmp_path / "requests" / "damaged.json").write_text("{")
    assert remembered.find("damaged") is None


def test_only_a_request_that_is_still_in_the_queue_and_waited_for_by_nobody_counts_as_abandoned(tmp_path: Path) -> None:
    remembered = SentRequests(tmp_path)
    remembered.save(REQUEST)
    same = structs.replace(REQUEST, inference_id="20261130T130000Z-00", sent=NOW + timedelta(hours=1))
    assert remembered.abandoned(same, None) == REQUEST
    assert remembered.abandoned(same, NOW - timedelta(hours=1)) == REQUEST
    assert remembered.abandoned(same, NOW + timedelta(minutes=1)) is None  # the endpoint was made anew
    for change in ({"endpoint": "other"}, {"config": "svd-2"}, {"digest": "1" * 64}, {"sent": NOW + 2 * QUEUE_TIME}):
        assert remembered.abandoned(structs.replace(same, **change), None) is None
    remembered.save(structs.replace(REQUEST, abandoned=False))
    assert remembered.abandoned(same, None) is None


@pytest.mark.parametrize("wrong", ["", "../x", "a/b", "a b", "-a", "a" * 65, "a\n"])
def test_an_id_is_nothing_that_leads_out_of_its_folder(wrong: str) -> None:
    with pytest.raises(UserError, match="no id"):
        check_id(wrong)


def test_an_id_is_short_enough_for_the_name_of_an_answer() -> None:
    one, two = new_id(), new_id()
    assert one != two
    assert len(f"{one}.out") <= 32  # Filename of InvokeEndpointAsync
    check_id(one)
