"""Sign and GetPublicKey of AWS KMS: moto hashes a digest once more, and does not mind keys that are disabled or made to encrypt.

A model of AWS, not evidence about it (API reference of KMS, "Sign" and "GetPublicKey"); it needs the pinned version of moto.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from sagepack.sandbox.aws.wsgi import AwsError
from sagepack.sandbox.identity import ACCOUNT

if TYPE_CHECKING:
    from sagepack.sandbox.aws.wsgi import JsonObject

OPERATIONS = frozenset({"Sign", "GetPublicKey"})
"""The operations that `call` does."""

_MOST = 4096  # bytes of a message


def call(operation: str, region: str, body: JsonObject) -> JsonObject:
    """The response of an operation.

    Raises:
        AwsError: the key is not there, is disabled or not for signing, or the message does not fit the algorithm.
    """
    key = _key(region, body["KeyId"], operation)
    if operation == "GetPublicKey":
        return {
            "KeyId": key.arn,
            "KeySpec": key.key_spec,
            "CustomerMasterKeySpec": key.key_spec,
            "KeyUsage": key.key_usage,
            "SigningAlgorithms": key.signing_algorithms,
            "PublicKey": base64.b64encode(key.private_key.public_key()).decode(),
        }
    algorithm, message = body["SigningAlgorithm"], base64.b64decode(body["Message"])
    if algorithm not in key.signing_algorithms:
        raise AwsError(
            "InvalidKeyUsageException", f"Algorithm {algorithm} is incompatible with key spec {key.key_spec}."
        )
    if not 1 <= len(message) <= _MOST:
        raise AwsError("ValidationException", f"Value at 'message' must have length between 1 and {_MOST}")
    signature = _signed(key, algorithm, message, is_digest=body.get("MessageType", "RAW") == "DIGEST")
    return {"KeyId": key.arn, "SigningAlgorithm": algorithm, "Signature": base64.b64encode(signature).decode()}


def _signed(key: Any, algorithm: str, message: bytes, *, is_digest: bool) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    kinds: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
    kind = kinds[algorithm[-3:]]
    if not is_digest:
        return bytes(key.private_key.sign(message, algorithm))
    if len(message) != kind.digest_size:
        raise AwsError("ValidationException", f"Digest is invalid length for algorithm {algorithm}.")
    return bytes(key.private_key.private_key.sign(message, ec.ECDSA(utils.Prehashed(kind))))


def _key(region: str, name: str, operation: str) -> Any:
    """The key with an id, ARN or alias.

    Raises:
        AwsError: it is not there, or cannot sign.
    """
    from moto.kms.models import kms_backends

    backend = kms_backends[ACCOUNT][region]
    alias = backend.get_alias_name(name)
    known = backend.get_key_id_from_alias(alias) if alias.startswith("alias/") else backend.get_key_id(name)
    key = backend.keys.get(known or "")
    if key is None:
        raise AwsError("NotFoundException", f"Key '{name}' does not exist")
    if not key.enabled:
        raise AwsError("DisabledException", f"{key.arn} is disabled.")
    if key.key_usage != "SIGN_VERIFY":
        code = "InvalidKeyUsageException" if operation == "Sign" else "UnsupportedOperationException"
        raise AwsError(code, f"{key.arn} key usage is {key.key_usage} which is not valid for {operation}.")
    return key
