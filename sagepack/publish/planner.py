"""From what S3 was seen to hold to the plan of an upload. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.errors import UserError
from sagepack.publish.archive_plan import plan_archive
from sagepack.publish.delta.parts import Limits
from sagepack.publish.documents import MOST_FILES
from sagepack.publish.observation import ArchiveObservation, PrefixObservation
from sagepack.publish.prefix_plan import plan_prefix

if TYPE_CHECKING:
    from sagepack.digest import Digest
    from sagepack.package.manifest import Manifest
    from sagepack.publish.observation import Observation
    from sagepack.publish.upload_plan import UploadPlan


def plan_upload(
    observation: Observation,
    manifest: Manifest,
    limits: Limits | None = None,
    elsewhere: frozenset[Digest] = frozenset(),
) -> UploadPlan:
    """Plan the upload of a package, in the format in which it was observed.

    Args:
        observation: what S3 was seen to hold.
        manifest: the members.
        limits: sizes of parts and units.
        elsewhere: the contents that workers can read, if some are to make units of it.

    Raises:
        UserError: the package has more files than an index holds.
        IntegrityError: an object of another size lies at the key of the archive.
    """
    if len(manifest.members) > MOST_FILES:
        raise UserError(
            f"the package has {len(manifest.members):,} files; at most {MOST_FILES:,} can be published",
            fix="leave out what the endpoint does not load with model.exclude",
        )
    limits = limits or Limits()
    match observation:
        case ArchiveObservation():
            return plan_archive(observation, manifest, limits, elsewhere)
        case PrefixObservation():
            return plan_prefix(observation, manifest, limits, elsewhere)
    raise TypeError(f"no plan for {type(observation).__name__}")
