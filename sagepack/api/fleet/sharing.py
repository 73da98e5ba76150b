"""What the plans of all jobs come to, with the contents that several need counted once. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from sagepack.api.fleet.selection import SHARED_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.api.fleet.selection import Member
    from sagepack.api.results import Job
    from sagepack.engine.plan import Content


class Shared:
    """What the jobs before have fetched and sent.

    Args:
        stream: whether model files go from the Hub to S3 without this disk, so that each job fetches them anew.
    """

    def __init__(self, *, stream: bool) -> None:
        self._stream = stream
        self._fetched: set[tuple[str, str]] = set()
        self._sent: set[tuple[str, str]] = set()

    def after_those(self, job: Job, member: Member, contents: Sequence[Content]) -> Job:
        """The plan of a job that runs after those before it.

        Args:
            job: the plan as it is alone.
            member: its spec and environment.
            contents: how each file would get to S3; empty if nothing is published.
        """
        return self._publish(job, member, contents) if contents else self._download(job, member)

    def _download(self, job: Job, member: Member) -> Job:
        """Of the files that are fetched no more can be new than there are bytes that no job before has."""
        new = [file for file in member.files if (member.cache, str(file.digest)) not in self._fetched]
        if job.fetch:
            self._fetched |= {(member.cache, str(file.digest)) for file in new}
        return replace(job, fetch=min(job.fetch, sum(file.size for file in new))) if member.files else job

    def _publish(self, job: Job, member: Member, contents: Sequence[Content]) -> Job:
        digests = {file.path: str(file.digest) for file in member.files}
        places = (member.target, *member.reuse_from)
        fetch, send, copy = job.fetch, job.send, job.copy
        for content in contents:
            digest = digests.get(content.path)
            if digest is None:
                continue
            if content.sent and content.size >= SHARED_BYTES:
                if any((place, digest) in self._sent for place in places):
                    fetch, send, copy = fetch - content.fetched, send - content.sent, copy + content.size
                    continue
                self._sent.add((member.target, digest))
            if content.fetched and not (self._stream or member.streams):
                if (member.cache, digest) in self._fetched:
                    fetch -= content.fetched
                self._fetched.add((member.cache, digest))
        return replace(job, fetch=max(0, fetch), send=max(0, send), copy=copy)
