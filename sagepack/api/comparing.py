"""How two deployments, or one and the working tree, differ: package, requirements, image and settings. Changes nothing.

The files of a package are compared by manifests: that of the working tree follows from lock and code, that of a deployment
lies beside its package in S3 and must have the digest that the deployment has. No byte of a model is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from sagepack.api import history, results
from sagepack.aws.s3 import S3Uri
from sagepack.aws.session import AccessDeniedError
from sagepack.deploy import drift
from sagepack.deploy.change import NONE, THERE
from sagepack.deploy.deployment import TAG_MANIFEST, Owner
from sagepack.deploy.observe import observe
from sagepack.deploy.overview import require_owned
from sagepack.errors import RemoteError, UserError
from sagepack.package.attest import provenance
from sagepack.package.manifest import Manifest
from sagepack.package.requirements import listing
from sagepack.publish.keys import document_beside
from sagepack.spec import git
from sagepack.spec.keys import by_key
from sagepack.spec.model import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sagepack.api.history import Release
    from sagepack.aws.s3 import S3
    from sagepack.deploy.observe import EndpointState
    from sagepack.deploy.record import DeploymentRecord
    from sagepack.engine.context import BuildContext

LIVE, TREE = "live", "tree"
# Where AWS has what is compared as image and package, and what only follows from that.
_COMPARED_BEFORE = frozenset({"PrimaryContainer.Image", drift.PACKAGE, f"Tags.{TAG_MANIFEST}"})


class Contents(NamedTuple):
    """What a package holds: its files, and its requirements if its provenance can be read."""

    files: Manifest
    requirements: tuple[str, ...] | None


@dataclass(frozen=True)
class _Side:
    """What is known of one side.

    Attributes:
        about: what is shown of it.
        settings: `endpoint` and `environment` of the spec, by key; None if no record says them.
        contents: those of the working tree; None for a package in S3.
        license: of the model; empty if it declares none, None if it is not known.
    """

    about: results.ComparedSide
    settings: Mapping[str, Any] | None
    contents: Contents | None = None
    license: str | None = None


def compare(context: BuildContext, before: str, after: str) -> results.Diff:
    """What changes from one side to the other.

    Args:
        context: of the spec and environment.
        before: `live`, `tree`, or a release as `history.find` takes it.
        after: likewise.

    Raises:
        UserError: there is no such release, no endpoint, or no lock for the working tree; or the endpoint belongs to something
            else.
        RemoteError: AWS failed after retries.
    """
    live = _live_state(context) if LIVE in (before, after) else None
    one, other = (_side(context, text, live) for text in (before, after))
    settings = None
    if live is not None and (before, after) == (LIVE, TREE):
        settings = _drift(context, live)
    elif live is not None and (before, after) == (TREE, LIVE):
        settings = [_reversed(each) for each in _drift(context, live)]
    return _compared(context.clients.s3, one, other, settings)


def compare_release(context: BuildContext, release: Release, other: BuildContext) -> results.Diff:
    """What changes from a release to the working tree in another environment, of the package and its image alone.

    Args:
        context: of the release's environment.
        release: the release.
        other: of the other environment.
    """
    return _compared(context.clients.s3, _of_record(release.record, context.spec.env), _of_tree(other), [])


def published_contents(s3: S3, package: str, manifest: str) -> Contents:
    """What a published package holds, as the documents beside it say.

    Args:
        s3: who reads them.
        package: where SageMaker loads it from.
        manifest: digest that its manifest must have.

    Raises:
        UserError: the manifest is not there, cannot be read, or is another one.
        RemoteError: S3 failed after retries.
    """
    location = document_beside(S3Uri.parse(package), "manifest.json")
    data = s3.read(location)
    if data is None:
        fix = "the package was deleted: `invoke releases` shows others"
        raise UserError("the manifest of the package is not there", where=str(location), fix=fix)
    found = Manifest.parse(data)
    if str(found.digest) != manifest:
        raise UserError(
            f"the manifest of the package has {found.digest}, the deployment was of {manifest}",
            where=str(location),
            fix="somebody wrote there: find out who; `invoke verify --remote` compares a package with lock and code",
        )
    return Contents(
        found, provenance.requirements(s3.read(document_beside(S3Uri.parse(package), "provenance.json")) or b"")
    )


def _compared(s3: S3, one: _Side, other: _Side, settings: list[results.ValueDifference] | None) -> results.Diff:
    unknown: list[str] = []
    files: tuple[results.FileDifference, ...] = ()
    requirements: tuple[results.ValueDifference, ...] = ()
    if one.about.manifest is None or one.about.manifest != other.about.manifest:
        try:
            before, after = (side.contents or _contents(s3, side.about) for side in (one, other))
            files = tuple(_files(before.files, after.files))
            if before.requirements is None or after.requirements is None:
                unknown.append("requirements: the provenance of a package cannot be read")
            else:
                requirements = tuple(_requirements(before.requirements, after.requirements))
        except (UserError, RemoteError) as error:
            unknown.append(f"files and requirements: {error.where or 'S3'}: {error.message}")
    if settings is None:
        if one.settings is None or other.settings is None:
            unknown.append("settings: no record says what was declared for what serves")
        else:
            settings = list(_values(one.settings, other.settings))
    images = [side.about.image for side in (one, other)]
    if None in images:
        unknown.append("image: the model that serves was deleted")
    licenses = (one.license, other.license)
    return results.Diff(
        one.about,
        other.about,
        files=files,
        requirements=requirements,
        image=_value("image", *images) if None not in images and images[0] != images[1] else None,
        settings=tuple(settings or ()),
        license=_value("license", *(name or None for name in licenses)) if _differ(*licenses) else None,
        not_compared=tuple(unknown),
    )


def _differ(before: str | None, after: str | None) -> bool:
    """Whether two licences differ, as far as both are known."""
    return before is not None and after is not None and before != after


def _contents(s3: S3, about: results.ComparedSide) -> Contents:
    if about.package is None or about.manifest is None:
        raise UserError("the model that serves was deleted, and no record says what it was", where=about.name)
    return published_contents(s3, about.package, about.manifest)


def _live_state(context: BuildContext) -> EndpointState:
    """The endpoint as it is.

    Raises:
        UserError: there is none, or it belongs to something else.
    """
    owner = Owner.of(context.spec)
    has_log = context.spec.endpoint.log_retention_in_days is not None
    found = observe(context.clients.aws, owner, log=has_log)
    if found is None:
        fix = "run `invoke deploy`; releases are compared without it: `invoke diff 1 tree`"
        raise UserError("there is no such endpoint", where=f"endpoint {owner.endpoint_name}", fix=fix)
    require_owned(owner, found.tags)
    if found.endpoint.in_progress and found.endpoint.pending_endpoint_config_name:
        context.progress.note(f"an update to {found.endpoint.pending_endpoint_config_name} is going on")
    return found


def _side(context: BuildContext, text: str, live: EndpointState | None) -> _Side:
    if text == TREE:
        return _of_tree(context)
    if text == LIVE and live is not None:
        return _of_live(context, live)
    release = history.find(context, text, "diff")
    return _of_record(release.record, str(release.number))


def _of_tree(context: BuildContext) -> _Side:
    desired, head = context.deployment, git.head(context.work.root)
    about = results.ComparedSide(
        TREE,
        time=None,
        by=None,
        commit=head.commit if head else None,
        clean=head.clean if head else None,
        manifest=str(desired.manifest_digest),
        package=desired.model_data_uri,
        image=desired.image_uri,
        config=desired.endpoint_config_name,
    )
    installed = listing.installed(context.required_lock(), vendored=context.spec.code.vendor)
    requirements = tuple(each.pin for each in installed)
    written = msgspec.json.decode(msgspec.json.encode(desired.endpoint))  # as a record has it
    settings = _settings(written, desired.environment)
    return _Side(about, settings, Contents(context.manifest, requirements), context.required_lock().known_license)


def _of_record(record: DeploymentRecord, name: str) -> _Side:
    about = results.ComparedSide(
        name,
        time=history.moment(record.deployed),
        by=record.by,
        commit=record.commit,
        clean=record.clean,
        manifest=record.manifest,
        package=record.package,
        image=record.image,
        config=record.config,
    )
    return _Side(about, _settings(record.settings, record.variables), license=record.license)


def _of_live(context: BuildContext, live: EndpointState) -> _Side:
    """What serves: AWS says what it is, the newest record of its configuration whose it is."""
    config, container = live.endpoint.endpoint_config_name, (live.model_description or {}).get("PrimaryContainer", {})
    try:
        release = history.serving(context, config)
    except (AccessDeniedError, RemoteError) as error:
        context.progress.note(f"who deployed what serves is not known: {error.message}")
        release = None
    known = _of_record(release.record, LIVE) if release else None
    nothing = results.ComparedSide(LIVE, None, None, None, None, None, None, None, None)
    about = msgspec.structs.replace(known.about if known else nothing, config=config)
    if container:
        about = msgspec.structs.replace(
            about,
            image=container.get("Image"),
            package=container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri"),
        )
    if known is None:
        about = msgspec.structs.replace(about, manifest=live.tags.get(TAG_MANIFEST))
    return _Side(about, known.settings if known else None, license=known.license if known else None)


def _drift(context: BuildContext, live: EndpointState) -> list[results.ValueDifference]:
    """What differs between the endpoint as it is and as the working tree declares it, package and image apart."""
    return [
        results.ValueDifference(change.subject, change.live, change.desired)
        for change in drift.differences(context.deployment, live)
        if change.live is not None and change.desired is not None and change.path not in _COMPARED_BEFORE
    ]


def _reversed(difference: results.ValueDifference) -> results.ValueDifference:
    return results.ValueDifference(difference.subject, difference.after, difference.before)


def _settings(endpoint: dict[str, Any], variables: Iterable[str]) -> dict[str, Any]:
    """Settings by key, flat; of environment variables only the names are compared."""
    return {
        **dict(_flat("endpoint", by_key(Endpoint, endpoint))),
        **{f"environment.{name}": THERE for name in variables},
    }


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}", inner)
    elif value is not None:
        yield key, value


def _values(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[results.ValueDifference]:
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            yield _value(key, before.get(key), after.get(key))


def _value(subject: str, before: object, after: object) -> results.ValueDifference:
    """Two values as text; one that looks like a secret is not shown."""
    found = drift.Difference.between(subject, before, after)
    return results.ValueDifference(subject, found.live, found.desired)


def _files(before: Manifest, after: Manifest) -> Iterator[results.FileDifference]:
    """The files that differ, in the order of the archive; those that are gone last."""
    old = {member.path: member for member in before.members}
    for member in after.members:
        was = old.pop(member.path, None)
        if was != member:
            yield results.FileDifference(member.path, was.size if was else None, member.size)
    for gone in old.values():
        yield results.FileDifference(gone.path, gone.size, None)


def _requirements(before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[results.ValueDifference]:
    old, new = ({each.partition("==")[0]: each.partition("==")[2] for each in side} for side in (before, after))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield results.ValueDifference(name, old.get(name, NONE), new.get(name, NONE))
