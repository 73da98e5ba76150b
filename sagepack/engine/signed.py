"""Whether the package of an earlier release is as it was signed: it is about to serve again, and lock and code make another one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sagepack.aws.s3 import S3Uri
from sagepack.deploy import recorded
from sagepack.deploy.deployment import Owner
from sagepack.errors import IntegrityError, SagepackError, UserError
from sagepack.package.manifest import Manifest
from sagepack.publish import gate, remote_read
from sagepack.publish.keys import RELEASE_SIGNATURE, document_beside, package_at
from sagepack.publish.remote_check import PackageError
from sagepack.publish.signatures import known_release
from sagepack.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.deploy.recorded import RecordedDeployment
    from sagepack.engine.context import BuildContext
    from sagepack.publish.signatures import SignedRelease

_CODE = "the code that it was made from"
_UNSIGNED = "check out {} and run `invoke sign`, which reads every byte of it and signs it"
_REPLACED = "find out who wrote there; then delete what is named above, check out {} and run `invoke upload`, which writes it again"
_SIGNED_BY_OTHERS = "find out who signed there; then check out {} and run `invoke sign`, which compares all of it with lock and code, and signs it again"
_UPLOADED_AGAIN = "check out {} and run `invoke deploy`, which makes the model again"
_NOT_OURS = "find out who wrote there; --set trust.verify=null runs it all the same"


class EarlierUploadError(UserError):
    """The package is signed, and is another upload than the one that SageMaker's model names."""


def require_signed(
    context: BuildContext,
    deployment: RecordedDeployment,
    release: str,
    code: str = _CODE,
    instead: str = "",
) -> None:
    """Check, as it is now, that the package of a release is what a key that counts has signed; nothing if none has to.

    Args:
        context: of the run, whose `trust.verify` counts.
        deployment: of the release.
        release: what messages call it.
        code: what messages call the code of the release.
        instead: what else can be done, which the advice ends with.

    Raises:
        UserError: it is not signed; or SageMaker's model names an earlier upload of it.
        PackageError: it is not what was signed.
        IntegrityError: its manifest is not the one of the release.
    """
    if context.trust.must_verify:
        found = _signed(context, deployment, release, code, instead)
        context.progress.note(f"the package of {release} is what {found.by}")


def _signed(
    context: BuildContext, deployment: RecordedDeployment, release: str, code: str = _CODE, instead: str = ""
) -> SignedRelease:
    """The release that a key that counts has signed, and that is there. As `require_signed` otherwise."""
    s3, model = context.clients.s3, S3Uri.parse(deployment.model_data_uri)
    where = document_beside(model, "manifest.json")

    @contextmanager
    def about_the_manifest() -> Iterator[None]:
        try:
            yield
        except UserError as error:
            message, fix = f"it is not the manifest of {release}: {error.message}", _REPLACED.format(code) + instead
            raise IntegrityError(message, where=str(where), fix=fix) from error

    def manifest() -> Manifest:
        with about_the_manifest():
            return _manifest(s3.read(where) or b"", deployment)

    with about_the_manifest():
        package = package_at(model, deployment.manifest_digest)
    try:
        found = gate.require_signed(s3, package, manifest, context.trust.keys)
    except remote_read.UnsignedError as error:
        raise error.with_context(
            message=f"the package of {release} is not signed", fix=_UNSIGNED.format(code) + instead
        ) from error
    except PackageError as error:
        message = f"the package of {release} is not what was signed: {counted(len(error.findings), 'finding')}"
        fix = _SIGNED_BY_OTHERS if error.fix == remote_read.SIGN_AGAIN else _REPLACED
        raise error.with_context(message=message, fix=fix.format(code) + instead) from error
    _require_same_upload(found, deployment, release, _UPLOADED_AGAIN.format(code) + instead)
    return found


def require_signed_config(context: BuildContext, config: str) -> None:
    """The same of what an endpoint configuration is made of: SageMaker is about to fetch it for new instances.

    Args:
        context: of the run.
        config: name of the endpoint configuration.

    Raises:
        UserError, PackageError, IntegrityError: as `require_signed`; or the model was deleted.
        RemoteError: AWS failed after retries.
    """
    if context.trust.must_verify:
        spec = context.spec
        found = recorded.of_config(context.clients.aws, Owner.of(spec), config, spec.endpoint)
        require_signed(context, found, config)


def serving(context: BuildContext, config: str) -> SignedRelease | SagepackError:
    """The same of what serves, whatever it is: the release that was signed, or what is wrong with it.

    Args:
        context: of the run, whose `trust.verify` names a key.
        config: name of the endpoint configuration.

    Raises:
        UserError: model or configuration were deleted, a key cannot be used, or AWS denies to look.
        RemoteError: AWS failed after retries.
    """
    spec = context.spec
    found = recorded.of_config(context.clients.aws, Owner.of(spec), config, spec.endpoint)
    try:
        return _signed(context, found, "the endpoint")
    except (remote_read.UnsignedError, EarlierUploadError, IntegrityError) as error:
        return error


def require_signed_package(context: BuildContext, location: S3Uri) -> dict[str, str] | None:
    """Check that a package in S3 is what a key that counts has signed: it is about to run on this machine.

    Args:
        context: of the run, whose `trust.verify` counts.
        location: of the archive, or of the files, ending in `/`.

    Returns:
        The ETags of the objects that were signed, by key; None if none has to be.

    Raises:
        UserError: it is no package of this program, or not signed.
        PackageError: it is not what was signed.
        ChangedError: it was replaced while it was verified.
    """
    if not context.trust.must_verify:
        return None
    s3, keys = context.clients.s3, context.trust.keys
    signed = known_release(s3.read(document_beside(location, RELEASE_SIGNATURE)), keys)
    if signed is None:
        raise UserError("it is not signed by a key of trust.verify", where=str(location), fix=_NOT_OURS)
    package = package_at(location, signed.release.manifest_digest)

    def manifest() -> Manifest:
        found = Manifest.parse(s3.read(package.manifest_uri) or b"")
        if found.digest != package.digest:
            raise IntegrityError(
                f"it is {found.digest}, and {package.digest} was signed", where=str(package.manifest_uri), fix=_NOT_OURS
            )
        return found

    found = gate.require_signed(s3, package, manifest, keys)
    context.progress.note(f"it is what {found.by}")
    return gate.signed_etags(s3, package, found.release)


def _manifest(data: bytes, deployment: RecordedDeployment) -> Manifest:
    found = Manifest.parse(data)
    if found.digest != deployment.manifest_digest:
        raise UserError(f"it is {found.digest}, and SageMaker's model was made of {deployment.manifest_digest}")
    return found


def _require_same_upload(signed: SignedRelease, deployment: RecordedDeployment, release: str, fix: str) -> None:
    """Check that SageMaker's model names the archive that lies there: it may have been deleted, published and signed again."""
    pinned, etag = deployment.model_etag, signed.release.etag
    if pinned and etag and pinned.strip('"') != etag.strip('"'):
        raise EarlierUploadError(
            f"the model of {release} names an earlier upload of its package, with the ETag {pinned}; what is there now has {etag}",
            where=f"model {deployment.model_name}",
            fix=fix,
        )
