"""Keys for signatures as PEM files: which kinds are of use, told without a library for keys. Pure.

Signatures are ECDSA over P-256 or P-384: the kinds that OpenSSF Model Signing, AWS KMS and the AWS common runtime, which every
installation has, know alike.
"""

from __future__ import annotations

import base64
import binascii
import re

from sagepack.decoding import Value

PUBLIC = "PUBLIC KEY"
PRIVATE = ("PRIVATE KEY", "EC PRIVATE KEY")  # PKCS #8 and SEC 1
LIMIT = 64 << 10  # bytes of a file of keys
MOST_CERTIFICATES = 10  # of a chain
KINDS = "P-256 and P-384 (ECDSA) work: `openssl ecparam -name prime256v1 -genkey -noout -out key.pem` makes one"
_CHAIN = "`cat signer.pem intermediate.pem > chain.pem` makes a chain of certificates in PEM form"
TO_PUBLIC = "`openssl ec -in key.pem -pubout -out key.pub` writes the public key of a private one"

_PARAMETERS = "EC PARAMETERS"
_DER = b"\x30"  # SEQUENCE, as every key and certificate begins
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_TO_PEM = (
    "`openssl x509 -inform der -in FILE -out FILE.pem` converts a certificate, `openssl pkey -inform der -in FILE -out FILE.pem` a "
    "private key, and with -pubin -pubout a public one"
)
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----\s*(.*?)\s*-----END \1-----", re.DOTALL)
# Object identifiers as DER has them: the curve, or the kind of the key.
_CURVES = {
    bytes.fromhex("06082a8648ce3d030107"): "P-256",
    bytes.fromhex("06052b81040022"): "P-384",
    bytes.fromhex("06052b81040023"): "P-521",
    bytes.fromhex("06052b8104000a"): "secp256k1",
}
_OTHERS = {
    bytes.fromhex("06092a864886f70d0101"): "RSA",
    bytes.fromhex("06032b6570"): "Ed25519",
    bytes.fromhex("06032b6571"): "Ed448",
}
_USABLE = ("P-256", "P-384")
_UNCOMPRESSED = 4  # the first byte of a point that has both coordinates (SEC 1, section 2.3.3)
_AS_USUAL = "write it again as openssl does: `openssl ec -pubin -in FILE -param_enc named_curve -conv_form uncompressed -out FILE.pub`"


class _Curve(Value, frozen=True):
    """A curve y^2 = x^3 - 3x + b (SP 800-186, section 3.2.1).

    Every command looks at the keys of its spec. The library that verifies would tell a damaged one as well, but takes 70 ms to be
    imported.

    Attributes:
        size: bytes of a coordinate.
        prime: of its field.
        b: its coefficient.
        head: what a public key begins with, before the point (RFC 5480, section 2).
    """

    size: int
    prime: int
    b: int
    head: bytes

    def has(self, key: bytes) -> bool:
        """Whether a public key as DER is a point of the curve, with both coordinates."""
        point = key.removeprefix(self.head)
        if len(key) != len(self.head) + 1 + 2 * self.size or len(point) == len(key) or point[0] != _UNCOMPRESSED:
            return False
        x, y = (int.from_bytes(each, "big") for each in (point[1 : 1 + self.size], point[1 + self.size :]))
        return max(x, y) < self.prime and (y * y - x * x * x + 3 * x - self.b) % self.prime == 0


_POINTS = {
    "P-256": _Curve(
        32,
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
        bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
    ),
    "P-384": _Curve(
        48,
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
        bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200"),
    ),
}


class KeyFileError(ValueError):
    """A file is no key that signatures are made or verified with; the message continues the name of the file.

    Attributes:
        fix: what to do.
    """

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class Block(Value, frozen=True):
    """What a PEM file holds.

    Attributes:
        label: what it says that it is, such as `PUBLIC KEY`.
        der: the bytes.
    """

    label: str
    der: bytes


def public_key(data: bytes) -> bytes:
    """The public key of a PEM file, as DER (SubjectPublicKeyInfo).

    Raises:
        KeyFileError: it is something else.
    """
    block = _read_public(data)
    if block.label == "CERTIFICATE":
        fix = "`openssl x509 -in FILE -noout -pubkey` writes its public key"
        raise KeyFileError("is a certificate, not a public key", fix)
    if block.label != PUBLIC:
        raise KeyFileError(f"holds a {block.label}, not a PUBLIC KEY", TO_PUBLIC)
    require_curve(block)
    return block.der


def certificate(data: bytes) -> bytes | None:
    """The first certificate of a PEM file, as DER; None if it holds something else.

    Raises:
        KeyFileError: it is no PEM file, or holds a private key, or more than one of anything.
    """
    block = _read_public(data)
    return block.der if block.label == "CERTIFICATE" else None


def chain(data: bytes) -> tuple[bytes, ...]:
    """All certificates of a PEM file, as DER and in its order: that of the signer first.

    Raises:
        KeyFileError: it holds something else, or nothing.
    """
    labels = _labels(data)
    if not labels:
        raise _no_pem(data, _CHAIN)
    if other := next((label for label in labels if label != "CERTIFICATE"), None):
        raise KeyFileError(f"holds a {other}, and may hold certificates only", "leave nothing but certificates in it")
    try:
        found = tuple(
            base64.b64decode(b"".join(body.split()), validate=True) for _, body in _BLOCK.findall(data[:LIMIT])
        )
    except (ValueError, binascii.Error) as error:
        raise KeyFileError("holds a damaged certificate", _CHAIN) from error
    if not 1 <= len(found) <= MOST_CERTIFICATES:
        raise KeyFileError(f"holds {len(found)} certificates, and a chain has 1 to {MOST_CERTIFICATES}", _CHAIN)
    return found


def private_key(data: bytes) -> bytes:
    """The private key of a PEM file, as DER (PKCS #8 or SEC 1).

    Raises:
        KeyFileError: it is something else, or encrypted.
    """
    block = _read(data, KINDS)
    if block.label == PUBLIC:
        raise KeyFileError("is a public key, which cannot sign", "name the private key")
    if (count := sum(label.endswith("PRIVATE KEY") for label in _labels(data))) > 1:
        raise KeyFileError(f"holds {count} private keys, and one signs", "leave the one in it that signs")
    if block.label == "OPENSSH PRIVATE KEY":
        raise KeyFileError("is a key of SSH", KINDS)
    if block.label not in PRIVATE and not block.label.endswith("PRIVATE KEY"):
        raise KeyFileError(f"holds a {block.label}, not a private key", KINDS)
    require_curve(block)
    return block.der


def holds_private_key(data: bytes) -> bool:
    """Whether a file holds a private key of any kind, encrypted or not."""
    return any(label.endswith(b"PRIVATE KEY") for label, _ in _BLOCK.findall(data[:LIMIT]))


def text(der: bytes) -> bytes:
    """A public key as every tool writes it: the PEM text whose SHA-256 is the hint in a signature."""
    body = base64.b64encode(der).decode()
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return f"-----BEGIN {PUBLIC}-----\n{lines}\n-----END {PUBLIC}-----\n".encode()


def _labels(data: bytes) -> list[str]:
    """What a PEM file holds, without the parameters of curves."""
    found = [label.decode() for label, _ in _BLOCK.findall(data[:LIMIT])]
    return [label for label in found if label != _PARAMETERS]


def _read_public(data: bytes) -> Block:
    """The one block of a PEM file that everybody may have.

    Raises:
        KeyFileError: it is no PEM file, or holds a private key, or several of anything.
    """
    labels = _labels(data)
    private = [label for label in labels if label.endswith("PRIVATE KEY")]
    if len(private) < len(labels) and private:
        fix = "leave what is public in it; and if others had this file, in git perhaps, make a new key"
        raise KeyFileError("holds a private key, too, which nobody but the signer may have", fix)
    block = _read(data, TO_PUBLIC)
    if private:
        raise KeyFileError("is a private key, and whoever verifies needs the public one", TO_PUBLIC)
    if len(labels) > 1:
        fix = "name a file for each: the key of the spec takes several"
        raise KeyFileError(f"holds {len(labels)} keys or certificates, of which only the first would count", fix)
    return block


def _no_pem(data: bytes, fix: str) -> KeyFileError:
    """What is to be said of a file that holds nothing in PEM form."""
    if not data.strip():
        return KeyFileError("is empty", fix)
    if data.startswith(b"-----BEGIN ") or b"\n-----BEGIN " in data:
        return KeyFileError("holds something damaged in PEM form: an -----END line or some of its text is wrong", fix)
    if data.startswith(_DER):
        return KeyFileError("is in DER form, and PEM is needed (-----BEGIN ...)", _TO_PEM)
    if data.startswith(_UTF16):
        fix = "let openssl write the file itself (-out FILE)"
        return KeyFileError("is text of UTF-16, as > of PowerShell writes it, not PEM", fix)
    if data.startswith((b"ssh-", b"ecdsa-sha2-")):
        return KeyFileError(
            "is a key of SSH, not PEM", "`ssh-keygen -e -m PKCS8 -f FILE` writes a public key of ECDSA as PEM"
        )
    return KeyFileError("is not a key in PEM form (-----BEGIN ...)", fix)


def _read(data: bytes, fix: str) -> Block:
    """The first block of a PEM file that is not the parameters of a curve, which `openssl ecparam -genkey` writes first."""
    for label, body in _BLOCK.findall(data[:LIMIT]):
        if label.decode() == _PARAMETERS:
            continue
        if label == b"ENCRYPTED PRIVATE KEY" or b"Proc-Type" in body:
            raise KeyFileError(
                "is an encrypted private key, and there is nobody to type its password",
                "decrypt it into a place that only the signer can read (`openssl ec -in key.pem -out plain.pem`), give its text in "
                "a variable (env:NAME), or use a key of AWS KMS (kms:...)",
            )
        try:
            return Block(label.decode(), base64.b64decode(b"".join(body.split()), validate=True))
        except (ValueError, binascii.Error):
            raise KeyFileError(f"holds a damaged {label.decode()}", fix) from None
    raise _no_pem(data, fix)


def require_point(key: bytes) -> None:
    """Check that a public key as DER is a point of its curve, if that is P-256 or P-384: one with a flipped bit is not.

    Raises:
        KeyFileError: it is not.
    """
    for name, curve in _POINTS.items():
        if key.startswith(curve.head) and not curve.has(key):
            raise KeyFileError(f"is a damaged key of {name}, or one in an unusual form", _AS_USUAL)


def require_curve(block: Block) -> None:
    """Check that a key is of a curve that signatures are made with; a public one also that it is a point of it, since one flipped bit is not.

    Raises:
        KeyFileError: it is not.
    """
    head = block.der[:64] if block.label != "EC PRIVATE KEY" else block.der  # SEC 1 names the curve after the key
    found = next((name for oid, name in {**_OTHERS, **_CURVES}.items() if oid in head), None)
    if found is None and block.label.startswith(("RSA", "DSA")):
        found = block.label.partition(" ")[0]
    if found not in _USABLE:
        raise KeyFileError(f"is a key of the kind {found}" if found else "is a key of an unknown kind", KINDS)
    if block.label == PUBLIC and not _POINTS[found].has(block.der):
        raise KeyFileError(f"is a damaged key of {found}, or one in an unusual form", _AS_USUAL)
