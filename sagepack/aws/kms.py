"""AWS KMS: whether a key exists, and is of use; and signatures by keys that never leave it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.session import aws_call, error_code, message_of
from sagepack.decoding import convert
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.aws.session import Aws

# KeySpec -> SigningAlgorithm, of the keys that model signatures are made with (AWS KMS developer guide, "Elliptic curve key specs").
_ALGORITHMS = {"ECC_NIST_P256": "ECDSA_SHA_256", "ECC_NIST_P384": "ECDSA_SHA_384"}
_NOT_FOUND = {"NotFoundException", "InvalidArnException"}
# What KMS says of a key that is there and cannot sign.
_UNUSABLE = {
    "DisabledException",
    "KMSInvalidStateException",
    "InvalidKeyUsageException",
    "UnsupportedOperationException",
}
_MAKE = "name a key with the key spec ECC_NIST_P256 and the usage SIGN_VERIFY, which is enabled, in aws.region"


class Key(msgspec.Struct, rename="pascal", frozen=True):
    """A key (API reference of KMS, KeyMetadata).

    Attributes:
        arn: its ARN.
        key_state: `Enabled` for one that can be used.
        key_spec: `SYMMETRIC_DEFAULT` for one that encrypts data of other services.
    """

    arn: str
    key_state: str
    key_spec: str


def describe_key(aws: Aws, key: str) -> Key | None:
    """DescribeKey; None if there is no such key.

    Args:
        aws: the session.
        key: id, ARN, alias or the ARN of an alias.

    Raises:
        AccessDeniedError: the caller may not look at it.
    """
    import botocore.exceptions

    with aws_call("looking at the key", key):
        try:
            return convert(aws.client("kms").describe_key(KeyId=key)["KeyMetadata"], Key)
        except botocore.exceptions.ClientError as error:
            if error_code(error) in _NOT_FOUND:
                return None
            raise


class SigningKey(msgspec.Struct, rename="pascal", frozen=True):
    """A key that signs (API reference of KMS, GetPublicKey).

    Attributes:
        public_key: SubjectPublicKeyInfo, as DER.
        key_spec: its kind.
    """

    public_key: bytes
    key_spec: str

    @property
    def algorithm(self) -> str:
        """The `SigningAlgorithm` of its signatures."""
        return _ALGORITHMS[self.key_spec]


def signing_key(aws: Aws, key: str) -> SigningKey:
    """GetPublicKey.

    Args:
        aws: the session.
        key: id, ARN, alias or the ARN of an alias.

    Raises:
        AccessDeniedError: the caller may not see it.
        UserError: there is no such key, or it is none that model signatures are made with.
    """
    with _signing(key):
        answer = aws.client("kms").get_public_key(KeyId=key)
        found = convert({name: answer[name] for name in ("PublicKey", "KeySpec")}, SigningKey)
        if found.key_spec not in _ALGORITHMS:
            raise UserError(
                f"the key is of the kind {found.key_spec}, which signs nothing here", where=f"kms:{key}", fix=_MAKE
            )
        return found


def sign(aws: Aws, key: str, digest: bytes, algorithm: str) -> bytes:
    """Sign: a signature as DER over a message with this digest.

    Raises:
        AccessDeniedError: the caller may not use the key.
        UserError: the key cannot sign.
    """
    with _signing(key):
        answer = aws.client("kms").sign(KeyId=key, Message=digest, MessageType="DIGEST", SigningAlgorithm=algorithm)
        return convert(answer["Signature"], bytes)


@contextmanager
def _signing(key: str) -> Iterator[None]:
    """Say of a key that cannot sign what can.

    Raises:
        UserError: there is no such key, or it cannot sign.
    """
    import botocore.exceptions

    where = f"kms:{key}"
    with aws_call("signing with the key", where):
        try:
            yield
        except botocore.exceptions.ClientError as error:
            code = error_code(error)
            if code in _NOT_FOUND:
                raise UserError("there is no such key", where=where, fix=_MAKE) from error
            if code in _UNUSABLE:
                raise UserError(f"the key cannot sign: {message_of(error)}", where=where, fix=_MAKE) from error
            raise
