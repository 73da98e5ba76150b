"""From a spec to a lock: the Hub, the registry and the package index are asked what the spec stands for."""

from __future__ import annotations

import difflib
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sagepack import scan
from sagepack.aws import ecr
from sagepack.decoding import MalformedError
from sagepack.digest import Digest
from sagepack.engine import publisher_signature, scanning
from sagepack.errors import UserError
from sagepack.hub import selection
from sagepack.hub.lock_files import resolve_files
from sagepack.hub.responses import MODEL_INDEX, MODEL_INDEX_BYTES, model_index_of
from sagepack.package.contents import check_model_paths
from sagepack.package.lock import Lock, lock_inputs_digest
from sagepack.package.requirements.index import PackageIndex
from sagepack.package.requirements.resolve import resolve as resolve_requirements
from sagepack.package.revision import Revision
from sagepack.scan import code
from sagepack.spec import images
from sagepack.spec.model import COMMIT
from sagepack.text import format_bytes, one_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sagepack.aws.session import Aws
    from sagepack.engine.context import BuildContext
    from sagepack.hub.client import Hub
    from sagepack.hub.responses import RepoFile
    from sagepack.hub.selection import Selection
    from sagepack.package.license import License
    from sagepack.package.lock import LockedFile, LockedPackage
    from sagepack.spec.model import Image, Spec


def resolve(context: BuildContext) -> Lock:
    """Ask the Hub, the registry and the package index what the spec stands for.

    Raises:
        UserError: the repository is gated or missing, a pattern matches nothing, a path cannot be packaged; or the spec does not
            allow the licence, or what a file holds.
        RemoteError: the Hub does not answer, or not as a Hub does.
        IntegrityError: what it sends is not what it says; or a file is damaged.
    """
    image, progress = context.spec.image, context.progress
    source = find_source(context)
    if source.revision:
        check_license(context.spec, source.license)
    judged = scanning.judge(context, source.files, source.place, source.texts)
    scanning.warn_of_unused(context, judged)
    scanning.enforce(context, scanning.refused(context.spec.trust, source.files, judged))
    with progress.activity(f"asking the registry for {image.repository}:{image.tag}"):
        registry, digest = find_image(context.clients.aws, image, context.spec.aws.region)
    return Lock(
        spec_digest=lock_inputs_digest(context.spec),
        revision=source.revision,
        files=scanning.with_accepted(source.files, judged),
        excluded=source.excluded,
        image=f"{image.repository}:{image.tag}",
        image_digest=digest,
        image_registry=registry,
        requirements=context.spec.code.requirements,
        packages=_packages(context),
        folder=context.spec.model.path,
        endpoint=context.spec.hub_endpoint if source.revision else None,
        license=source.license,
        gated=source.gated,
        task=source.task,
        scan=None if context.spec.trust.scan == "off" else scan.VERSION,
        signed_by=source.signed_by,
    )


def _packages(context: BuildContext) -> tuple[LockedPackage, ...]:
    """What the requirements take: as the lock has it while neither they nor the image changed."""
    image, declared, progress = context.spec.image, context.spec.code.requirements, context.progress
    last = context.lock if not context.renew else None
    if not declared:
        return ()
    is_same_image = last is not None and last.image == f"{image.repository}:{image.tag}"
    if last and is_same_image and last.requirements == declared:
        return last.packages
    with progress.activity("asking the package index for the requirements"):
        found = resolve_requirements(
            declared,
            image.tag,
            PackageIndex.of(os.environ, Path.cwd()),
            is_known=image.repository == images.repository(),
            keep={package.name: package.version for package in last.packages} if last and is_same_image else {},
            where=context.where,
        )
    for warning in found.warnings:
        progress.warn(warning)
    if told := brought(found.packages, packed=context.spec.code.vendor):
        progress.note(told)
    return found.packages


def brought(packages: Sequence[LockedPackage], *, packed: bool) -> str:
    """What the requirements bring, with its bytes; empty if the image has it all."""
    new = [package for package in packages if not package.in_image]
    if not new:
        return ""
    listed = one_of(f"{package.name} {package.version} ({format_bytes(package.size)})" for package in new)
    how = "packed" if packed else "installed at each start of a container"
    told = f"{how}: {listed}; {format_bytes(sum(package.size for package in new))} together"
    if packed and (others := [package for package in packages if package.in_image]):
        names, size = one_of(package.name for package in others), sum(package.size for package in others)
        told += f"; and {format_bytes(size)} that the image probably has: {names}"
    return told


class Source(NamedTuple):
    """Where the files of the model come from, and which they are.

    Attributes:
        revision: the repository and its commit; None for a folder.
        files: those that a package takes, sorted by path.
        excluded: number and bytes of the others.
        place: where their bytes are.
        texts: content of files that were read already, by path.
        license, gated, task: what the Hub says of the model.
        signed_by: which key of its publisher has signed every file, as `Lock` has it.
    """

    revision: Revision | None
    files: tuple[LockedFile, ...]
    excluded: tuple[int, int]
    place: scanning.Place
    texts: Mapping[str, bytes]
    license: License | None = None
    gated: str | None = None
    task: str | None = None
    signed_by: str | None = None


def find_source(context: BuildContext) -> Source:
    """Ask the Hub, or look at the folder, which files the model has.

    Raises:
        UserError, RemoteError, IntegrityError: as `resolve`.
    """
    return _folder(context) if context.spec.model.path is not None else _repository(context)


def check_license(spec: Spec, found: License | None) -> None:
    """Check that the licence of a model is one of `trust.licenses`.

    Raises:
        UserError: it is not; or the model card names none.
    """
    allowed = spec.trust.licenses
    if not allowed or (found and found.is_among(allowed)):
        return
    what = f"the model's licence is {found}" if found else "the model's card names no licence"
    fix = (
        f"read it; if it suits you, add {found} to trust.licenses"
        if found
        else "choose another model, or remove trust.licenses"
    )
    raise UserError(f"{what}, and trust.licenses allows {one_of(allowed)}", where=spec.model.id, fix=fix)


def _folder(context: BuildContext) -> Source:
    found = context.folder_content
    if found is None:
        fix = "correct model.path, or run the command where the folder is"
        raise UserError("there is no such folder", where=str(context.model_folder.folder), fix=fix)
    context.progress.note(found.reason)
    signed_by, folder = None, context.model_folder.folder
    if context.spec.trust.publisher:
        path = folder / publisher_signature.SIGNATURE
        data = path.read_bytes() if path.is_file() and path.stat().st_size <= MODEL_INDEX_BYTES else None
        signed_by = publisher_signature.require_signed(context, str(folder), found.files, data)
    return Source(None, found.files, found.excluded, scanning.Place.of(context, None), {}, signed_by=signed_by)


def _repository(context: BuildContext) -> Source:
    source, hub, progress = context.spec.model, context.clients.hub, context.progress
    name, asked = source.id or "", source.revision or ""
    with progress.activity(f"asking the Hub for {name} at {asked}"):
        version = hub.version(name, asked)
        revision = Revision(name, version.commit)
        files = hub.files(revision, scans=True)
        chosen = _choose(context, revision, files)
        by_path = {file.path: file for file in files}
        texts: dict[str, bytes] = {}
        locked = resolve_files(
            hub, revision, (by_path[path] for path in chosen.chosen), partial(_read, hub, revision, texts)
        )
    if not COMMIT.fullmatch(asked):
        progress.note(f"{asked} is {revision.commit} today; `invoke lock --pin` writes that into the spec")
    progress.note(chosen.reason)
    if new := [path for path in chosen.chosen if by_path[path].sha256 and by_path[path].hub_scan is None]:
        progress.note(f"the Hub's own scan has no verdict on {one_of(new)}")
    signed_by = None
    if context.spec.trust.publisher:
        signature = by_path.get(publisher_signature.SIGNATURE)
        data = hub.read(revision, signature) if signature else None
        signed_by = publisher_signature.require_signed(context, str(revision), locked, data)
    place = scanning.Place.of(context, revision)
    told = (version.license, version.gated, version.task)
    return Source(revision, tuple(locked), chosen.excluded, place, texts, *told, signed_by)


def _read(hub: Hub, revision: Revision, texts: dict[str, bytes], file: RepoFile) -> Digest:
    """The digest of a small file; of one that may name code, keep the content for the scan."""
    if file.size > MODEL_INDEX_BYTES or not code.is_configuration(file.path):
        return hub.digest(revision, file)
    texts[file.path] = hub.read(revision, file)
    return Digest.sha256(texts[file.path])


def _choose(context: BuildContext, revision: Revision, files: list[RepoFile]) -> Selection:
    """The files to take. Their paths are checked before one of them is asked for."""
    source = context.spec.model
    listed = next((file for file in files if file.path == MODEL_INDEX), None)
    index = None
    if listed and not source.include:
        try:
            index = model_index_of(context.clients.hub.read(revision, listed))
        except MalformedError as error:
            where = f"{revision}: {MODEL_INDEX}"
            raise UserError(f"not an index of a pipeline: {error}", where=where, fix="write model.include") from error
    chosen = selection.choose(files, source.include, source.exclude, source.variant, index)
    check_model_paths(chosen.chosen)
    return chosen


def find_image(aws: Aws, image: Image, region: str) -> tuple[str, Digest]:
    """Host of the registry that serves `image` in `region`, and the digest that its tag has there now.

    Raises:
        UserError: the tag or repository is not there, or the registry may not be read.
    """
    registry = images.registry(region, image.account)
    try:
        return registry, ecr.image_digest(aws, registry, image.repository, image.tag)
    except ecr.NoTagError as error:
        known = images.known_tags() if image.repository == images.repository() else ()
        fix = _did_you_mean(image.tag, known) or "see the list of AWS deep learning container images"
        raise UserError(error.message, where=error.where, fix=fix) from error
    except ecr.NoRepositoryError as error:
        near = (
            None if image.repository == images.repository() else _did_you_mean(image.repository, [images.repository()])
        )
        account = registry.partition(".")[0]
        fix = near or f"check image.account (the registry is account {account}'s in {region}) and aws.region"
        raise UserError(error.message, where=error.where, fix=fix) from error


def _did_you_mean(name: str, known: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(name, [other for other in known if other != name], n=3)
    return f"did you mean {' or '.join(near)}?" if near else None
