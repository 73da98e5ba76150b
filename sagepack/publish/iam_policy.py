"""The minimal IAM policy for publishing. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.aws.iam_policy import Arns, Statement, document, statement
from sagepack.aws.s3 import S3Uri
from sagepack.publish.keys import CONTENTS, RELEASE_SIGNATURE, SIGNATURES, UPLOAD_NOTES, PackageFormat
from sagepack.spec.images import partition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.model import Artifact, Spec


def publish_policy(spec: Spec) -> dict[str, Any]:
    """An identity policy for whoever publishes `spec`: exactly the actions and resources that publishing uses.

    The publisher writes the packages of the spec's own name, and pointers. Of the packages of other names, and of those
    under `artifact.reuse_from`, it reads what a copy needs: pointers, indexes, and models (a copy reads its source with
    the permissions of the caller). So the publisher of one name cannot write to the packages of another. A pointer proves
    nothing: who can write it can make others look at a package, but not trust it.

    Publishing deletes nothing but the notes of an upload that workers made, once it is complete; `gc`, which deletes packages,
    has a policy of its own. Multipart uploads to a bucket with SSE-KMS also need
    `kms:Decrypt` (S3 user guide, "Multipart upload API and permissions").

    Args:
        spec: its target, `reuse_from`, region, account and encryption are used.
    """
    artifact, region = spec.artifact, spec.aws.region
    arns = Arns(partition(region), region, spec.aws.account)
    target = S3Uri.parse(artifact.target)
    tags = ["s3:PutObjectTagging"] if artifact.tags else []
    upload = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    own, pointers, others = f"{spec.name}/*", f"{CONTENTS}/*", _models(spec)
    statements = [
        statement("Packages", ["s3:PutObject", "s3:GetObject", *upload, *tags], arns.objects(target, own)),
        # A `*` would also match the slash in `<digest>/model/`, and so files of a prefix.
        statement("Notes", ["s3:DeleteObject"], arns.objects(target, f"{spec.name}/{'?' * 16}/{UPLOAD_NOTES}/*")),
        statement("Pointers", ["s3:PutObject", "s3:GetObject", *tags], arns.objects(target, pointers)),
        statement("Others", ["s3:GetObject"], arns.objects(target, *others)),
        arns.listing("Look", target, own, pointers, *others),
        # For `doctor`, which lists unfinished uploads and looks for a lifecycle rule that ends them; neither action
        # supports a condition on the prefix.
        statement("Stale", ["s3:ListBucketMultipartUploads", "s3:GetLifecycleConfiguration"], [arns.bucket(target)]),
    ]
    for number, location in enumerate(map(S3Uri.parse, artifact.reuse_from), 1):
        read = (pointers, f"{spec.name}/releases/*", *others)
        statements.append(statement(f"Reuse{number}", ["s3:GetObject"], arns.objects(location, *read)))
        statements.append(arns.listing(f"LookReuse{number}", location, *read))
    return document([*statements, *_encryption(spec, arns), *_signing(spec, arns)])


def sign_policy(spec: Spec) -> dict[str, Any]:
    """An identity policy for whoever signs what others have published: it reads the package and writes its signatures alone.

    So who signs cannot change what is signed, and who publishes need not be able to sign.

    Args:
        spec: its target, region, account, encryption and key are used.
    """
    arns = Arns(partition(spec.aws.region), spec.aws.region, spec.aws.account)
    target, own = S3Uri.parse(spec.artifact.target), f"{spec.name}/*"
    tags = ["s3:PutObjectTagging"] if spec.artifact.tags else []
    # A `*` would also match the slash in `<digest>/model/`, and so files of a prefix.
    signatures = [f"{spec.name}/{'?' * 16}/{name}" for name in SIGNATURES]
    return document(
        [
            statement("Read", ["s3:GetObject"], arns.objects(target, own)),
            statement("Signatures", ["s3:PutObject", *tags], arns.objects(target, *signatures)),
            arns.listing("Look", target, own),
            *_encryption(spec, arns),
            *_signing(spec, arns),
        ]
    )


def _encryption(spec: Spec, arns: Arns) -> Iterator[Statement]:
    """What writing and reading needs of the key with which objects are encrypted."""
    if spec.artifact.sse == "aws:kms" and spec.artifact.kms_key_id:
        yield arns.key("Encrypt", ["kms:GenerateDataKey", "kms:Decrypt"], spec.artifact.kms_key_id)


def _signing(spec: Spec, arns: Arns) -> Iterator[Statement]:
    """What signing needs of a key of AWS KMS."""
    kind, _, key = (spec.trust.sign or "").partition(":")
    if kind == "kms":
        yield arns.key("Sign", ["kms:GetPublicKey", "kms:Sign"], key)


def worker_policy(spec: Spec) -> dict[str, Any]:
    """An identity policy for the workers that make the units of an upload of `spec`.

    They send parts of uploads that somebody else has begun and completes, and leave records of them. S3 has one permission for parts
    and for whole objects, so they could put a model at its key; an index or a release, which lead to it, they cannot write. They
    read what a part borrows from a model that is in S3.

    Args:
        spec: its name, target, `reuse_from`, region, account and encryption are used.
    """
    artifact, region = spec.artifact, spec.aws.region
    arns = Arns(partition(region), region, spec.aws.account)
    target, model = S3Uri.parse(artifact.target), _model(artifact)
    package = f"{spec.name}/{'?' * 16}"
    tags = ["s3:PutObjectTagging"] if artifact.tags else []
    parts = ["s3:PutObject", "s3:ListMultipartUploadParts"]
    sources = [target, *map(S3Uri.parse, artifact.reuse_from)]
    statements = [
        statement("Parts", parts, arns.objects(target, f"{package}/{model}")),
        statement("Records", ["s3:PutObject", *tags], arns.objects(target, f"{package}/{UPLOAD_NOTES}/*")),
        statement("Sources", ["s3:GetObject"], [arn for each in sources for arn in arns.objects(each, f"*/{model}")]),
    ]
    if artifact.sse == "aws:kms" and artifact.kms_key_id:
        statements.append(arns.key("Encrypt", ["kms:GenerateDataKey", "kms:Decrypt"], artifact.kms_key_id))
    return document(statements)


def removal_statements(spec: Spec) -> list[Statement]:
    """What the removal of the packages of `spec` needs: its own name's keys, and the pointers that lead to them.

    Args:
        spec: its target, region, account and encryption are used.
    """
    artifact, region = spec.artifact, spec.aws.region
    arns = Arns(partition(region), region, spec.aws.account)
    target = S3Uri.parse(artifact.target)
    own, pointers = f"{spec.name}/*", f"{CONTENTS}/*"
    # It writes a release record again that it deleted too early, and pointers that are to lead elsewhere.
    objects = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", *(["s3:PutObjectTagging"] if artifact.tags else [])]
    uploads = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    found = [
        statement("Packages", objects, arns.objects(target, own, pointers)),
        statement("Uploads", uploads, arns.objects(target, own)),
        arns.listing("Look", target, own, pointers),
        statement("Unfinished", ["s3:ListBucketMultipartUploads"], [arns.bucket(target)]),
    ]
    return [*found, *_encryption(spec, arns)]


def _models(spec: Spec) -> tuple[str, ...]:
    """The keys of any package, below a target, that a copy needs: its index, its model, and its signature if those count.

    `*` also matches slashes.
    """
    signature = (f"*/{RELEASE_SIGNATURE}",) if spec.trust.sign or spec.trust.verify else ()
    return f"*/{PackageFormat(spec.artifact.layout).index_name}", f"*/{_model(spec.artifact)}", *signature


def _model(artifact: Artifact) -> str:
    """The keys of a model, below the folder of its package."""
    format_ = PackageFormat(artifact.layout)
    return format_.model_name if format_ is PackageFormat.ARCHIVE else f"{format_.model_name}*"
