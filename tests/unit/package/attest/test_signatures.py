"""Signed statements and the keys that sign them: who signed what, and that nothing else passes."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from sagepack.digest import Digest
from sagepack.package.attest import dsse, oms
from sagepack.package.attest.dsse import SignatureError
from sagepack.package.attest.keys import PrivateKey, PublicKey
from sagepack.package.manifest import Manifest, Member
from sagepack.spec.pem import KeyFileError
from sagepack.spec.pem import text as pem_text
from tests.helpers.signing import P256, P384, KeyPair, pem

CURVES = pytest.mark.parametrize("kind", [P256, P384])
OURS, THEIRS = KeyPair.of("ours"), KeyPair.of("theirs")
PATHS = ("a/x", "a-b", "unet/model.safetensors", "code/inference.py", "é/ü.bin")
MANIFEST = Manifest.of(Member(path, len(path), Digest.sha256(path.encode())) for path in PATHS)
FILES = {member.path: member.digest.value for member in MANIFEST.members}
SIGNED = dsse.signed(oms.statement("svd", MANIFEST), OURS.signer)


class Anything(Struct):
    predicate: dict[str, Any]


def refusal(data: bytes, *keys: KeyPair) -> str:
    with pytest.raises(SignatureError) as caught:
        oms.signed_files(data, [key.public for key in keys or (OURS,)])
    return str(caught.value)


def changed(data: bytes, **fields: Any) -> bytes:
    """A bundle with another envelope or material."""
    return json.dumps({**json.loads(data), **fields}).encode()


def with_payload(payload: bytes, key: KeyPair = OURS) -> bytes:
    """A bundle over any bytes, validly signed."""
    document = json.loads(SIGNED)
    signature = key.signer.sign(dsse.pae(payload))
    document["dsseEnvelope"] |= {
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(document).encode()


@CURVES
def test_what_was_signed_comes_back_with_the_key_that_signed_it(kind: Any) -> None:
    key = KeyPair.of("any", kind)
    data = dsse.signed(oms.statement("svd", MANIFEST), key.signer)
    files, by = oms.signed_files(data, [OURS.public, key.public])
    assert (files, by) == (FILES, key.public)


@CURVES
@settings(max_examples=20)
@given(predicate=st.dictionaries(st.text(), st.integers(-(2**60), 2**60) | st.text() | st.booleans()))
def test_every_statement_survives_the_round_trip(kind: Any, predicate: dict[str, Any]) -> None:
    key = KeyPair.of("any", kind)
    data = dsse.signed(dsse.statement("it", "0" * 64, "urn:x", predicate), key.signer)
    assert dsse.opened(data, [key.public], Anything)[0].predicate == predicate


def test_every_flipped_bit_is_refused() -> None:
    for place in range(len(SIGNED)):
        for bit in range(0, 8, 1 if place % 7 == 0 else 8):
            damaged = bytearray(SIGNED)
            damaged[place] ^= 1 << bit
            if bytes(damaged[place : place + 1]).isspace() and SIGNED[place : place + 1].isspace():
                continue  # the newline at the end
            with pytest.raises(SignatureError):
                oms.signed_files(bytes(damaged), [OURS.public])


def test_another_key_is_refused_by_the_name_of_those_that_count() -> None:
    message = refusal(SIGNED, THEIRS)
    assert OURS.public.hint[:16] in message
    assert "none of those that count: key.pub" in message


def test_a_signature_under_the_hint_of_another_key_is_refused() -> None:
    material = {"publicKey": {"hint": THEIRS.public.hint}, "tlogEntries": []}
    assert "changed after it was signed" in refusal(changed(SIGNED, verificationMaterial=material), THEIRS)


def older(key: KeyPair, **more: Any) -> bytes:
    """A bundle as the library of Model Signing wrote it before 1.1: with the key itself, and an empty `keyid`."""
    document = json.loads(SIGNED)
    raw = base64.b64encode(key.public_pem).decode()
    document["verificationMaterial"] = {"publicKey": {"rawBytes": raw, "keyDetails": "PKIX_ECDSA_P256_SHA_256", **more}}
    document["dsseEnvelope"]["signatures"][0]["keyid"] = None
    return json.dumps(document).encode()


def test_an_older_signature_that_holds_its_key_counts_only_if_the_key_does() -> None:
    ours = KeyPair(OURS.private_pem, pem_text(OURS.public.der))
    assert oms.signed_files(older(ours), [THEIRS.public, OURS.public])[0] == FILES
    assert "none of those that count" in refusal(older(ours), THEIRS)
    assert "changed after it was signed" in refusal(older(KeyPair(b"", pem_text(THEIRS.public.der))), THEIRS)
    assert "a hint, or the key" in refusal(older(ours, hint=OURS.public.hint))


def test_a_keyless_signature_is_refused_with_the_reason() -> None:
    material = {"certificate": {"rawBytes": "AA=="}, "tlogEntries": [{"logIndex": "1"}]}
    assert "keyless" in refusal(changed(SIGNED, verificationMaterial=material))
    both = {"publicKey": {"hint": OURS.public.hint}, "tlogEntries": [{"logIndex": "1"}]}
    assert "only a keyless signature has entries" in refusal(changed(SIGNED, verificationMaterial=both))


def test_a_statement_of_another_kind_is_refused() -> None:
    other = dsse.signed(dsse.statement("svd", "0" * 64, "urn:other", {}), OURS.signer)
    assert "another kind of statement" in refusal(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["serialization"].update(method="shards"), "method"),
        (lambda p: p["serialization"].update(hash_type="blake3"), "hash_type"),
        (lambda p: p["resources"][0].update(algorithm="blake3"), "algorithm"),
        (lambda p: p["resources"][0].update(digest="0" * 63), "digest"),
        (lambda p: p["resources"][0].update(digest="0" * 64), "contradicts itself"),
        (lambda p: p["resources"].reverse(), "contradicts itself"),
        (lambda p: p["resources"].pop(), "contradicts itself"),
        (lambda p: p.clear(), "missing"),
    ],
)
def test_a_signed_statement_that_says_nothing_of_whole_files_is_refused(change: Any, message: str) -> None:
    document = oms.statement("svd", MANIFEST)
    change(document["predicate"])
    assert message in refusal(dsse.signed(document, OURS.signer))


def test_a_file_that_is_named_twice_is_refused() -> None:
    document = oms.statement("svd", MANIFEST)
    resources = document["predicate"]["resources"]
    resources.append(resources[-1])
    whole = hashlib.sha256(b"".join(bytes.fromhex(each["digest"]) for each in resources))
    document["subject"][0]["digest"]["sha256"] = whole.hexdigest()
    assert "twice" in refusal(dsse.signed(document, OURS.signer))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b"null",
        changed(SIGNED, mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2"),
        changed(SIGNED, more=1),
        changed(SIGNED, verificationMaterial={"certificate": {"rawBytes": ""}}),
        changed(SIGNED, dsseEnvelope={**json.loads(SIGNED)["dsseEnvelope"], "signatures": []}),
        changed(SIGNED, dsseEnvelope={**json.loads(SIGNED)["dsseEnvelope"], "payloadType": "text/plain"}),
        changed(SIGNED, dsseEnvelope={**json.loads(SIGNED)["dsseEnvelope"], "payload": "a"}),
        changed(SIGNED, dsseEnvelope={**json.loads(SIGNED)["dsseEnvelope"], "payload": "é"}),
    ],
)
def test_hostile_bundles_are_refused(data: bytes) -> None:
    assert refusal(data)


@pytest.mark.parametrize("payload", [b"", b"null", b"{", b"\xff", b'{"_type": 1}', b"[" * 100_000])
def test_hostile_payloads_are_refused_even_if_they_are_signed(payload: bytes) -> None:
    assert "another kind of statement" in refusal(with_payload(payload))


def test_files_are_in_the_order_of_folders() -> None:
    """As Model Signing's own library has them: its root digest is over the digests in this order."""
    document = oms.statement("svd", MANIFEST)
    names = [each["name"] for each in document["predicate"]["resources"]]
    assert names.index("a/x") < names.index("a-b")


def test_differences_name_each_file() -> None:
    other = {**FILES, "a-b": "0" * 64, "new": "1" * 64}
    del other["a/x"]
    lines = oms.differences(FILES, other)
    assert [line.split()[0] for line in lines] == ["a-b", "a/x", "new"]
    assert [line.split()[0] for line in oms.differences(FILES, other, more_signed=True)] == ["a-b", "new"]
    assert oms.differences(FILES, FILES) == []


@CURVES
def test_a_key_is_the_same_in_every_form(kind: Any) -> None:
    key = KeyPair.of("any", kind)
    assert key.signer.public.hint == key.public.hint == PublicKey.of_der("other", key.public.der).hint
    assert key.public.verifies(b"message", key.signer.sign(b"message"))
    assert not key.public.verifies(b"other", key.signer.sign(b"message"))


@pytest.mark.parametrize("signature", [b"", b"0", bytes(70), b"\x30\x06\x02\x01\x01\x02\x01\x01"])
def test_what_is_no_signature_verifies_nothing(signature: bytes) -> None:
    assert not OURS.public.verifies(b"message", signature)


def test_parameters_before_a_private_key_do_not_matter() -> None:
    """`openssl ecparam -genkey` writes them without -noout."""
    parameters = pem("EC PARAMETERS", bytes.fromhex("06082a8648ce3d030107"))
    assert PrivateKey.read("key", parameters + OURS.private_pem).public.hint == OURS.public.hint


@pytest.mark.parametrize("read", [PrivateKey.read, PublicKey.read])
@settings(max_examples=20)
@given(data=st.binary(max_size=300))
def test_other_bytes_are_no_key(read: Any, data: bytes) -> None:
    for text in (data, pem("PUBLIC KEY", data), pem("PRIVATE KEY", data), pem("EC PRIVATE KEY", data)):
        with pytest.raises(KeyFileError):
            read("key", text)


def test_a_damaged_key_is_refused() -> None:
    der = bytearray(OURS.public.der)
    der[40] ^= 1  # no longer a point of the curve
    with pytest.raises(KeyFileError, match="damaged"):
        PublicKey.read("key", pem("PUBLIC KEY", bytes(der)))
