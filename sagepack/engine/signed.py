"""Whether the package of an earlier release is as it was signed: it is about to serve again, and lock and code make another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.aws.s3 import S3Uri
from sagepack.errors import IntegrityError, UserError
from sagepack.package.manifest import Manifest
from sagepack.publish import remote_read
from sagepack.publish.keys import document_beside, package_at
from sagepack.publish.remote_check import PackageError
from sagepack.text import counted

if TYPE_CHECKING:
    from sagepack.deploy.recorded import RecordedDeployment
    from sagepack.engine.context import BuildContext

_UNSIGNED = "check out {} and run `invoke sign`, which reads every byte of it and signs it"
_REPLACED = "find out who wrote there; then delete what is named above, check out {} and run `invoke upload`, which writes it again"
_UPLOADED_AGAIN = "check out {} and run `invoke deploy`, which makes the model again"


def require_signed(
    context: BuildContext,
    deployment: RecordedDeployment,
    release: str,
    code: str = "the code that it was made from",
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
    if not context.trust.must_verify:
        return
    s3, model = context.clients.s3, S3Uri.parse(deployment.model_data_uri)
    where = document_beside(model, "manifest.json")
    try:
        manifest = Manifest.parse(s3.read(where) or b"")
        package = package_at(model, deployment.manifest_digest)
        _require_manifest(manifest, deployment)
    except UserError as error:
        raise IntegrityError(
            f"it is not the manifest of {release}: {error.message}",
            where=str(where),
            fix=_REPLACED.format(code) + instead,
        ) from error
    try:
        checked = remote_read.verify(s3, package, manifest, context.progress, keys=context.trust.keys)
    except remote_read.UnsignedError as error:
        raise error.with_context(
            message=f"the package of {release} is not signed", fix=_UNSIGNED.format(code) + instead
        ) from error
    except PackageError as error:
        message = f"the package of {release} is not what was signed: {counted(len(error.findings), 'finding')}"
        raise error.with_context(message=message, fix=_REPLACED.format(code) + instead) from error
    _require_same_upload(checked, deployment, release, _UPLOADED_AGAIN.format(code) + instead)
    if signature := checked.signature:
        context.progress.note(
            f"the package of {release} is what {signature.key} signed on {signature.signed:%Y-%m-%d %H:%M} UTC"
        )


def _require_manifest(manifest: Manifest, deployment: RecordedDeployment) -> None:
    if manifest.digest != deployment.manifest_digest:
        raise UserError(f"it is {manifest.digest}, and SageMaker's model was made of {deployment.manifest_digest}")


def _require_same_upload(checked: remote_read.Checked, deployment: RecordedDeployment, release: str, fix: str) -> None:
    """Check that SageMaker's model names the archive that lies there: it may have been deleted, published and signed again."""
    pinned, signed = deployment.model_etag, checked.comparison.signed
    etag = signed.release.etag if signed else None
    if pinned and etag and pinned.strip('"') != etag.strip('"'):
        raise UserError(
            f"the model of {release} names an earlier upload of its package, with the ETag {pinned}; what is there now has {etag}",
            where=f"model {deployment.model_name}",
            fix=fix,
        )
