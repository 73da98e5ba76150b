"""Each byte of the package came from one place, in all and by file."""

from __future__ import annotations

from msgspec.structs import replace

from sagepack.api.events import CameFrom
from sagepack.api.report import origins
from sagepack.api.report.last_run import LastRun
from tests.helpers.reports import GIB, MIB, happened, run


def test_bytes_of_the_package_in_s3_were_copied_fetched_sent_or_there() -> None:
    (way,) = origins.ways(run(), 5 * GIB)
    assert [(source.kind, source.size) for source in way.sources] == [
        ("copied", 4 * GIB),
        ("fetched", 100 * MIB),
        ("kept", GIB - 100 * MIB),
    ]
    assert way.size == 5 * GIB


def test_bytes_that_an_upload_streams_are_fetched() -> None:
    found = run()
    (upload,) = [step for step in found.steps if step.name == "upload"]
    (way,) = origins.ways(replace(found, steps=(replace(upload, copied=0, fetched=40 * MIB),)), 0)
    assert [(source.kind, source.size) for source in way.sources] == [("fetched", 40 * MIB), ("sent", 60 * MIB)]


def test_bytes_of_an_archive_on_this_machine_were_fetched_or_there() -> None:
    found = run(happened()[:9])
    actions = tuple(replace(action, step="tar") if action.step == "upload" else action for action in found.actions)
    (way,) = origins.ways(replace(found, actions=actions), 5 * GIB)
    assert [(source.kind, source.size) for source in way.sources] == [("fetched", 4 * GIB), ("kept", GIB)]


def with_files(**files: tuple[CameFrom, ...]) -> LastRun:
    found = run()
    return replace(found, steps=tuple(replace(step, files=files.get(step.name)) for step in found.steps))


def kinds(file: origins.File) -> list[tuple[str, int]]:
    return [(source.kind, source.size) for source in file.sources]


def test_a_file_in_s3_was_copied_or_fetched_and_sent_or_sent_or_there() -> None:
    upload = (
        CameFrom("copied", 1, 4 * GIB, 0, 0, 4 * GIB),
        CameFrom("fetched", 1, 60 * MIB, 0, 60 * MIB, 0),
        CameFrom("streamed", 1, 30 * MIB, 30 * MIB, 30 * MIB, 0),
        CameFrom("sent before", 1, 10 * MIB, 0, 4 * MIB, 0),
        CameFrom(None, 7, 6 * MIB, 0, 6 * MIB, 0),
    )
    download = (CameFrom("copied", 1, 4 * GIB, 0, 0, 0), CameFrom("fetched", 1, 60 * MIB, 60 * MIB, 0, 0))
    (way,) = origins.ways(with_files(upload=upload, download=download), 5 * GIB)
    assert {file.name: kinds(file) for file in way.files} == {
        "copied": [("copied", 4 * GIB)],
        "fetched": [("fetched", 60 * MIB)],
        "streamed": [("fetched", 30 * MIB)],
        "sent before": [("sent", 4 * MIB), ("kept", 6 * MIB)],
        "the 7 other files": [("sent", 6 * MIB)],
    }


def test_what_is_not_shown_one_by_one_is_shown_together() -> None:
    upload = tuple(CameFrom(f"file {number}", 1, 5 * MIB, 0, 5 * MIB, 0) for number in range(20))
    (way,) = origins.ways(with_files(upload=(*upload, CameFrom(None, 80, 8 * MIB, 0, 8 * MIB, 0))), 5 * GIB)
    assert [file.name for file in way.files] == [*(f"file {number}" for number in range(8)), "the 92 other files"]
    assert sum(file.size for file in way.files) == 108 * MIB


def test_a_file_of_the_archive_was_fetched_or_there() -> None:
    found = with_files(download=(CameFrom("a", 1, 4 * GIB, 4 * GIB, 0, 0), CameFrom("b", 1, MIB, 0, 0, 0)))
    actions = tuple(replace(action, step="tar") if action.step == "upload" else action for action in found.actions)
    (way,) = origins.ways(replace(found, actions=actions), 5 * GIB)
    assert {file.name: kinds(file) for file in way.files} == {
        "a": [("fetched", 4 * GIB)],
        "b": [("kept", MIB)],
        "all other files": [("kept", GIB - MIB)],
    }


def test_files_that_all_came_the_same_way_are_not_told_one_by_one() -> None:
    found = with_files(upload=(CameFrom("a", 1, GIB, 0, GIB, 0),))
    (upload,) = [step for step in found.steps if step.name == "upload"]
    (way,) = origins.ways(replace(found, steps=(replace(upload, copied=0, sent=GIB),)), GIB)
    assert (len(way.sources), way.files) == (1, ())
