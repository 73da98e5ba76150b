"""Files of keys: every wrong kind is told, and what to do about it."""

from __future__ import annotations

import base64

import pytest

from sagepack.spec import pem
from sagepack.spec.pem import KeyFileError
from tests.helpers.signing import P384, KeyPair
from tests.helpers.signing import pem as text_of

KEY = KeyPair.of("ours")
_OIDS = {
    "P-521": "06052b81040023",
    "secp256k1": "06052b8104000a",
    "RSA": "06092a864886f70d010101",
    "Ed25519": "06032b6570",
    "Ed448": "06032b6571",
}
ENCRYPTED = (
    b"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nAAAA\n-----END EC PRIVATE KEY-----\n"
)


def _by_message(value: bytes | str) -> str:
    """A name that each process of a run gives the same case: each makes keys of its own."""
    return value if isinstance(value, str) else "file"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (text_of("CERTIFICATE", b"x") + KEY.private_pem, "may hold certificates only"),
        (KEY.public_pem, "holds a PUBLIC KEY"),
        (b"", "is empty"),
        (b"\x30\x82\x01", "DER form"),
        (text_of("CERTIFICATE", b"x") * 11, "holds 11 certificates"),
        (b"-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n", "damaged"),
    ],
    ids=_by_message,
)
def test_a_chain_is_certificates_and_nothing_else(data: bytes, message: str) -> None:
    with pytest.raises(KeyFileError, match=message):
        pem.chain(data)


def test_a_chain_keeps_its_order() -> None:
    assert pem.chain(b"text before\n" + text_of("CERTIFICATE", b"x") + text_of("CERTIFICATE", b"y")) == (b"x", b"y")


@pytest.mark.parametrize("kind", _OIDS)
def test_keys_of_other_kinds_are_named(kind: str) -> None:
    der = b"\x30\x10" + bytes.fromhex(_OIDS[kind])
    for read, label in ((pem.public_key, "PUBLIC KEY"), (pem.private_key, "PRIVATE KEY")):
        with pytest.raises(KeyFileError, match=kind) as caught:
            read(text_of(label, der))
        assert "P-256 and P-384" in caught.value.fix


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (KEY.private_pem, "private key, and whoever verifies needs the public one"),
        (text_of("CERTIFICATE", b"x"), "certificate"),
        (text_of("ENCRYPTED PRIVATE KEY", b"x"), "encrypted"),
        (text_of("PKCS7", b"x"), "PKCS7"),
        (ENCRYPTED, "encrypted"),
        (b"ecdsa-sha2-nistp256 AAAA me@here", "key of SSH"),
        (b"", "is empty"),
        (b"-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----", "a damaged PUBLIC KEY"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n", "something damaged in PEM form"),
        (base64.b64decode(KEY.public_pem.split(b"-----")[2]), "DER form"),
        (KEY.public_pem.decode().encode("utf-16"), "PowerShell"),
        (b"hello", "not a key in PEM form"),
        (KEY.public_pem + KEY.private_pem, "holds a private key, too"),
        (text_of("CERTIFICATE", b"x") + KEY.private_pem, "holds a private key, too"),
        (KEY.public_pem + KEY.public_pem, "holds 2 keys or certificates, of which only the first would count"),
        (text_of("CERTIFICATE", b"x") * 3, "holds 3 keys or certificates"),
    ],
    ids=_by_message,
)
def test_what_cannot_verify_is_told(data: bytes, message: str) -> None:
    with pytest.raises(KeyFileError, match=message):
        pem.public_key(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (KEY.public_pem, "public key, which cannot sign"),
        (text_of("OPENSSH PRIVATE KEY", b"x"), "SSH"),
        (text_of("RSA PRIVATE KEY", b"x"), "RSA"),
        (text_of("CERTIFICATE", b"x"), "CERTIFICATE"),
        (ENCRYPTED, "encrypted"),
        (KEY.private_pem + KEY.private_pem, "holds 2 private keys"),
    ],
)
def test_what_cannot_sign_is_told(data: bytes, message: str) -> None:
    with pytest.raises(KeyFileError, match=message):
        pem.private_key(data)


@pytest.mark.parametrize("pair", [KeyPair.of("a"), KeyPair.of("b", P384)])
def test_a_public_key_with_any_bit_flipped_or_cut_off_is_told(pair: KeyPair) -> None:
    der = pem.public_key(pair.public_pem)
    for bit in range(len(der) * 8):
        damaged = bytearray(der)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(pem.KeyFileError, match=r"kind|damaged"):
            pem.public_key(pem.text(bytes(damaged)))
    for size in range(len(der)):
        with pytest.raises(pem.KeyFileError):
            pem.public_key(pem.text(der[:size]))


def test_line_ends_of_windows_a_byte_order_mark_and_the_parameters_of_a_curve_are_no_matter() -> None:
    der = pem.public_key(KEY.public_pem)
    for text in (KEY.public_pem.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + KEY.public_pem):
        assert pem.public_key(text) == der
    assert pem.private_key(text_of("EC PARAMETERS", b"x") + KEY.private_pem) == pem.private_key(KEY.private_pem)


def test_a_private_key_is_seen_in_any_form() -> None:
    assert all(map(pem.holds_private_key, (KEY.private_pem, ENCRYPTED, KEY.public_pem + KEY.private_pem)))
    assert not pem.holds_private_key(KEY.public_pem)


def test_the_text_of_a_key_is_what_openssl_writes() -> None:
    der = pem.public_key(KEY.public_pem)
    assert pem.public_key(pem.text(der)) == der
    assert max(map(len, pem.text(der).splitlines())) == 64
