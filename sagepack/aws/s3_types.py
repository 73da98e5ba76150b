"""Values of S3: locations, objects, uploads and parts, what every written object gets, and errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from sagepack.errors import IntegrityError, RemoteError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sagepack.digest import Digest


class ChangedError(RemoteError):
    """An object that was to be read or copied was deleted, or is not the one that was seen before."""

    def __init__(self, message: str, location: S3Uri) -> None:
        super().__init__(message, where=str(location), fix="run the command again: it looks again at what is there")
        self.location = location


class RefusedError(IntegrityError):
    """S3 refuses to complete an upload: its parts do not make an object of the size and checksum in the request."""


class StalePartError(RefusedError):
    """S3 has another part of a number than was named: somebody who makes the same upload has sent it again meanwhile."""


class UploadGoneError(RemoteError):
    """There is no such multipart upload: somebody else has completed or aborted it."""


@dataclass(frozen=True, order=True)
class S3Uri:
    """An object in S3, or a prefix of keys; `str()` gives its URI."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def child(self, name: str) -> S3Uri:
        """The location `name` below this one. Whether this key ends in a slash makes no difference."""
        return S3Uri(self.bucket, f"{self.key.rstrip('/')}/{name}".lstrip("/"))

    @property
    def parent(self) -> S3Uri:
        """The prefix above it, without a slash at its end."""
        return S3Uri(self.bucket, self.key.rstrip("/").rpartition("/")[0])

    @classmethod
    def parse(cls, uri: str) -> S3Uri:
        """The location that `s3://bucket/key` names. The key is taken as it is written and may be empty.

        Raises:
            UserError: the text is no such URI.
        """
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise UserError("not an S3 URI", where=repr(uri), fix="write s3://bucket or s3://bucket/prefix")
        return cls(bucket, key)


@dataclass(frozen=True)
class Bucket:
    """A bucket that exists.

    Attributes:
        region: its region.
        owned: whether the account that was asked about owns it; None if S3 does not say so to this caller.
    """

    region: str
    owned: bool | None


@dataclass(frozen=True)
class ObjectRef:
    """An object under the ETag that it was seen with: what is read or copied later must still have that ETag."""

    location: S3Uri
    etag: str


@dataclass(frozen=True)
class ObjectInfo:
    """The answer of HeadObject.

    Attributes:
        size: bytes.
        etag: with its quotes, as conditions take it.
        version_id: in a bucket with versioning.
        checksums: base64 values of CRCs by algorithm, of the full object only (composite checksums are left out).
        sha256: of the full object, if it was written with it. S3 compared it with the bytes then (developer guide, "Checking object
            integrity").
    """

    size: int
    etag: str
    version_id: str | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    sha256: Digest | None = None


@dataclass(frozen=True)
class ObjectSummary:
    """An object in a listing; `modified` is the time by S3's clock."""

    location: S3Uri
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True)
class MultipartHandle:
    """A multipart upload that is not completed. `initiated` is the time by S3's clock, if it comes from a listing."""

    location: S3Uri
    id: str
    initiated: datetime | None = None


@dataclass(frozen=True)
class UploadedPart:
    """A part that S3 has: its size in bytes, and its checksum in base64 as it was sent or as S3 computed it, if any."""

    number: int
    etag: str
    size: int
    checksum: str | None = None


@dataclass(frozen=True)
class WriteOptions:
    """What every written object gets, and who must own the bucket.

    Attributes:
        bucket: the bucket that `owner` must own; other buckets (sources of copies) may belong to other accounts.
        owner: account id for `ExpectedBucketOwner`; None sends no such condition.
        sse: `AES256`, `aws:kms`, or None for the bucket's default.
        kms_key_id: for `aws:kms`.
        storage_class: None means STANDARD.
        tags: object tags.
    """

    bucket: str = ""
    owner: str | None = None
    sse: str | None = None
    kms_key_id: str | None = None
    storage_class: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The arguments of PutObject, CopyObject and CreateMultipartUpload."""
        given = {
            "ServerSideEncryption": self.sse,
            "SSEKMSKeyId": self.kms_key_id,
            "StorageClass": self.storage_class,
            "Tagging": urlencode(self.tags) or None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def owners(self, bucket: str, source: str | None = None) -> dict[str, str]:
        """The owner conditions of a request on `bucket`, which copies from bucket `source` if that is given."""
        if self.owner is None:
            return {}
        conditions = {"ExpectedBucketOwner": self.owner} if bucket == self.bucket else {}
        return {**conditions, "ExpectedSourceBucketOwner": self.owner} if source == self.bucket else conditions
