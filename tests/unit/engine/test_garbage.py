"""The judge of garbage: facts in, what nobody needs out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from msgspec import structs

from sagepack.aws.s3 import MultipartHandle, ObjectSummary, S3Uri
from sagepack.deploy.hosted import Hosted, Model
from sagepack.engine.garbage import Facts, Garbage, OwnConfig, Rules, judge
from sagepack.publish.stored import StoredFolder
from tests.helpers.deployments import RECORD

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
OLD = NOW - timedelta(days=100)
RULES = Rules(keep=2, before=NOW - timedelta(days=1), answers_before=NOW - timedelta(days=30))
HERE = S3Uri("b", "models/svd/releases/x.json")


def folder(number: int, *, modified: datetime = OLD, released: bool = True) -> StoredFolder:
    short = f"{number:016x}"
    location = S3Uri("b", f"models/svd/{short}")
    record = S3Uri("b", f"models/svd/releases/2026010{number}T000000Z-{short}.json")
    written = ObjectSummary(location.child("model.tar.gz"), 7, '"e"', modified)
    records = (ObjectSummary(record, 1, '"r"', modified),) if released else ()
    return StoredFolder(f"svd/{short}", location, (written,), records)


def model(name: str, number: int, created: datetime = OLD) -> Model:
    return Model(name, f"arn:{name}", created, frozenset({f"{folder(number).location}/model.tar.gz"}))


def deployed(number: int, **more: Any) -> Any:
    return structs.replace(RECORD, package=f"{folder(number).location}/model.tar.gz", **more)


def numbers(found: Garbage) -> list[int]:
    return [int(each.path[-16:], 16) for each in found.packages]


FACTS = Facts(folders=(folder(1), folder(2), folder(3)))


def test_of_packages_that_nothing_uses_only_the_newest_stays() -> None:
    found = judge(FACTS, RULES)
    assert numbers(found) == [1, 2]
    assert found.kept == {folder(3).path: "it is the newest: the next one copies its contents"}


def test_a_package_without_a_release_record_is_not_the_newest() -> None:
    facts = replace(FACTS, folders=(folder(1), folder(2, released=False)))
    assert numbers(judge(facts, RULES)) == [2]


def test_a_young_package_stays_whole_or_not() -> None:
    young = folder(1, modified=NOW, released=False)
    assert numbers(judge(replace(FACTS, folders=(young, folder(2), folder(3))), RULES)) == [2]


def test_a_folder_in_which_an_upload_has_just_begun_is_no_garbage_and_keeps_what_lies_there() -> None:
    begun = MultipartHandle(folder(1).location.child("model.tar.gz"), "id", NOW)
    empty = replace(folder(1), objects=(), releases=(), uploads=(begun,))
    partly = replace(folder(2), uploads=(begun,))
    assert judge(replace(FACTS, folders=(empty, partly, folder(3))), RULES).packages == ()


def test_the_strongest_reason_is_told() -> None:
    serving = Hosted(models={"m": "endpoint e serves it"})
    facts = replace(
        FACTS, models=(model("m", 3), model("idle", 3)), served=serving, records={"prod": [(HERE, deployed(3))]}
    )
    assert judge(facts, RULES).kept == {folder(3).path: "model m loads it, and endpoint e serves it"}


def test_a_model_of_ours_that_is_removed_keeps_no_package() -> None:
    facts = replace(FACTS, models=(model("ours", 1), model("young", 2, NOW)), own_models=frozenset({"ours", "young"}))
    found = judge(facts, RULES)
    assert (found.models, numbers(found)) == (("ours",), [1])


def test_what_a_kept_deployment_names_stays() -> None:
    records = {"cloud": [(HERE, deployed(1, model="ours", config="config"))]}
    facts = replace(
        FACTS,
        models=(model("ours", 1),),
        own_models=frozenset({"ours"}),
        own_configs={"config": OwnConfig(OLD, frozenset({"ours"})), "former": OwnConfig(OLD, frozenset({"ours"}))},
        records=records,
    )
    found = judge(facts, RULES)
    assert (found.models, found.configs, numbers(found)) == ((), ("former",), [2])
    assert found.kept[folder(1).path] == "deployed to cloud on 2026-01-01 00:00, one of the newest 2 there"


def test_what_an_upload_left_goes_once_its_package_is_whole_and_the_notes_are_old() -> None:
    def note(number: int, name: str, modified: datetime) -> ObjectSummary:
        return ObjectSummary(folder(number).location.child(f"upload/{name}"), 1, '"e"', modified)

    old, young, unfinished = note(3, "id/00001.json", OLD), note(3, "0123.json", NOW), note(2, "0123.json", OLD)
    whole = replace(folder(3), objects=(*folder(3).objects, old, young))
    partly = replace(folder(2), objects=(unfinished,), releases=(), uploads=(MultipartHandle(HERE, "id", NOW),))
    assert judge(replace(FACTS, folders=(partly, whole)), RULES).notes == (old,)


def test_old_inputs_of_jobs_go_whatever_else_is_not_known() -> None:
    place = S3Uri("b", "models/svd/remote/0123456789abcdef")
    old, young = (ObjectSummary(place.child("input.tar.gz"), 1, '"e"', modified) for modified in (OLD, NOW))
    facts = replace(FACTS, job_inputs=(old, young))
    for each in (facts, replace(facts, unknown=("denied",))):
        assert judge(each, RULES).job_inputs == (old,)


def test_where_something_is_not_known_only_uploads_and_old_answers_go() -> None:
    upload = MultipartHandle(folder(1).location.child("model.tar.gz"), "id", OLD)
    answer = ObjectSummary(S3Uri("b", "async/svd/output/x.out"), 1, '"e"', OLD)
    facts = replace(FACTS, parts={upload: 5}, exchanged=(answer,), unknown=("denied",))
    assert judge(facts, RULES) == Garbage(uploads=((upload, 5),), exchanged=(answer,), unknown=("denied",))
