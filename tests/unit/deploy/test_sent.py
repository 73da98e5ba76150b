from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from sagepack.deploy.sent import QUEUE_TIME, SentRequest, SentRequests, check_id, new_id
from sagepack.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.now(timezone.utc)
REQUEST = SentRequest("20261130T120000Z-00", "svd", "svd-1", "0" * 64, NOW, "s3://b/out/1.out", abandoned=True)


def test_a_request_is_found_by_its_id_and_others_are_not(tmp_path: Path) -> None:
    remembered = SentRequests(tmp_path / "requests")
    assert remembered.find(REQUEST.inference_id) is None
    remembered.save(REQUEST)
    assert remembered.find(REQUEST.inference_id) == REQUEST
    (tmp_path / "requests" / "damaged.json").write_text("{")
    assert remembered.find("damaged") is None


def test_only_requests_that_are_still_in_the_queue_and_waited_for_by_nobody_count_as_abandoned(tmp_path: Path) -> None:
    remembered = SentRequests(tmp_path)
    other = structs.replace(REQUEST, inference_id="20261130T130000Z-00", abandoned=False)
    remembered.save(REQUEST)
    remembered.save(other)
    assert remembered.abandoned("svd", "svd-1", None) == [REQUEST]
    assert remembered.abandoned("svd", "svd-1", NOW - timedelta(hours=1)) == [REQUEST]
    assert remembered.abandoned("svd", "svd-1", NOW + timedelta(minutes=1)) == []  # the endpoint was made anew
    assert remembered.abandoned("svd", "svd-2", None) == []
    assert remembered.abandoned("llava", "svd-1", None) == []
    remembered.save(structs.replace(REQUEST, sent=NOW - QUEUE_TIME))
    assert remembered.abandoned("svd", "svd-1", None) == []


@pytest.mark.parametrize("wrong", ["", "../x", "a/b", "a b", "-a", "a" * 65, "a\n"])
def test_an_id_is_nothing_that_leads_out_of_its_folder(wrong: str) -> None:
    with pytest.raises(UserError, match="no id"):
        check_id(wrong)


def test_an_id_is_short_enough_for_the_name_of_an_answer() -> None:
    one, two = new_id(), new_id()
    assert one != two
    assert len(f"{one}.out") <= 32  # Filename of InvokeEndpointAsync
    check_id(one)
