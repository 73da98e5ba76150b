"""Workers of an upload in this process, over an S3 in memory: units go through texts as they do to real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

from sagepack.aws.s3 import S3
from sagepack.digest import Digest
from sagepack.errors import SagepackError
from sagepack.publish.upload.context import UnitWorkers
from sagepack.publish.upload.sources import Source, StoredContents
from sagepack.publish.upload.unit_text import Answer, Failure, Services, UnitTask
from sagepack.publish.upload.unit_work import make_unit

SERVICES = Services(region="us-east-1", bucket="bucket")


class Inline(Executor):
    """Runs each unit when it is handed in. `submit` may be replaced to lose, double or spoil the work."""

    def submit(self, task: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(task(*args, **options))
        except Exception as error:  # noqa: BLE001 - as a pool does
            future.set_exception(error)
        return future


def maker(store: object, sources: Sequence[Source]) -> Callable[[str], str]:
    """What `engine.unit.unit` is, over a given S3 and given sources."""

    def make(text: str) -> str:
        try:
            task = UnitTask.parse(text, "worker")
            s3 = cast("S3", store)
            places = {m.value.digest: m.stored.value for m in task.members if m.stored and m.known is None}
            record = make_unit(task, s3, [StoredContents(s3, places), *sources])
            return Answer(record=record).text()
        except SagepackError as error:
            return Answer(failure=Failure.of(error, "worker")).text()

    return make


def workers(
    make: Callable[[str], str],
    contents: Mapping[Digest, str],
    executor: Callable[[], Executor] = lambda: ThreadPoolExecutor(3),
    **options: Any,
) -> UnitWorkers:
    """Workers that can fetch `contents`."""

    @contextmanager
    def opened() -> Iterator[Executor]:
        with executor() as pool:
            yield pool

    return UnitWorkers(opened, make, SERVICES, contents, **options)
