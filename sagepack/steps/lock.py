"""lock: the revision becomes a commit, every file a size and a SHA-256, the image tag a digest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.fetch import selection
from sagepack.fetch.locking import locked_files
from sagepack.lock import COMMIT, Lock, asked_of
from sagepack.plan import Fact
from sagepack.remote import ecr, pypi
from sagepack.store import Record, write_atomically

if TYPE_CHECKING:
    from sagepack.build import Build
    from sagepack.fetch.selection import Selection
    from sagepack.remote.hub import RepoFile

VERSION = 1
_MODEL_INDEX = "model_index.json"


def fact(build: Build) -> Fact:
    """The lock answers the spec if it holds the digest of what the spec asks for."""
    inputs = _inputs(build)
    lock = build.lock
    if lock is None:
        trouble: tuple[str, ...] = (f"{build.shown(build.work.lock)} is missing",)
    elif lock.asked == asked_of(build.spec):
        trouble = ()
    else:
        record = build.records.load("lock")
        changed = build.differences(record.inputs, inputs) if record else ()
        trouble = changed or ("the spec asks for something else than the lock holds",)
    done = f"{build.shown(build.work.lock)} answers the spec"
    return Fact(VERSION, inputs, trouble=trouble, observed=True, done=done)


def run(build: Build) -> None:
    """Resolve and write the lock.

    Raises:
        UserError: `--locked` forbids it, the repository is gated or missing, a pattern matches nothing, the image is
            unknown.
    """
    if build.locked:
        raise UserError(
            "the lock does not answer the spec, and --locked forbids to change it",
            where=build.shown(build.work.lock),
            fix="run `invoke lock`, look at the difference and commit it",
        )
    lock = resolve(build)
    write_atomically(build.work.lock, lock.text().encode())
    build.forget()
    build.records.save(Record("lock", VERSION, _inputs(build), {"lock": str(Digest.sha256(lock.text().encode()))}))


def resolve(build: Build) -> Lock:
    """Ask the Hub, the registry and the package index what the spec stands for."""
    source, image = build.spec.model, build.spec.image
    build.progress.note(f"lock: asking the Hub for {source.id} at {source.revision}")
    commit = build.hub.resolve(source.id, source.revision)
    if not COMMIT.fullmatch(source.revision):
        build.progress.note(f"lock: {source.revision} is {commit} today; builds want it pinned: revision: {commit}")
    files = build.hub.files(source.id, commit)
    chosen = _choose(build, commit, files)
    build.progress.note(f"lock: {chosen.reason}")
    registry, digest = ecr.resolve(build.aws, image, build.spec.aws.region)
    by_path = {file.path: file for file in files}
    return Lock(
        asked=asked_of(build.spec),
        model=source.id,
        commit=commit,
        files=tuple(locked_files(build.hub, source.id, commit, (by_path[path] for path in chosen.chosen))),
        left_out=chosen.left_out,
        image=f"{image.repository}:{image.tag}",
        image_digest=digest,
        image_registry=registry,
        requirements=pypi.lock(build.spec.code.requirements, image.tag),
    )


def _choose(build: Build, commit: str, files: list[RepoFile]) -> Selection:
    source = build.spec.model
    index = None
    if any(file.path == _MODEL_INDEX for file in files):
        index = json.loads(build.hub.read(source.id, commit, _MODEL_INDEX))
    return selection.choose(files, source.include, source.exclude, source.variant, index)


def _inputs(build: Build) -> dict[str, object]:
    source, image = build.spec.model, build.spec.image
    return {
        "model": {
            "id": source.id,
            "revision": source.revision,
            "include": list(source.include),
            "exclude": list(source.exclude),
            "variant": source.variant,
        },
        "image": {"repository": image.repository, "tag": image.tag, "account": image.account},
        "region": build.spec.aws.region,
        "requirements": list(build.spec.code.requirements),
    }
