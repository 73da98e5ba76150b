"""Signatures with a certificate: a chain to one that counts, and nothing else."""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import BasicConstraints, CertificateBuilder, Name, NameAttribute, random_serial_number
from cryptography.x509.oid import NameOID

from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.package.attest import dsse, oms
from sagepack.package.attest.certificates import Authority
from sagepack.package.attest.dsse import SignatureError
from sagepack.package.attest.keys import CertifiedSigner
from sagepack.package.manifest import Manifest, Member
from sagepack.spec import x509
from tests.helpers import chains
from tests.helpers.signing import KeyPair

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers.chains import Certified

MANIFEST = Manifest.of([Member("a", 1, Digest.sha256(b"a"))])
FILES = {"a": Digest.sha256(b"a").value}


@cache
def acme() -> Certified:
    return chains.root("Acme")


@cache
def between() -> Certified:
    return acme().issue("Acme signing", authority=True)


def bundle(signer: Certified, *chain: Certified) -> bytes:
    """A signature with the certificates of the signer and of others."""
    document = json.loads(dsse.signed(oms.statement("model", MANIFEST), signer.signer))
    certificates = [{"rawBytes": base64.b64encode(each.der).decode()} for each in (signer, *chain)]
    document["verificationMaterial"] = {"x509CertificateChain": {"certificates": certificates}, "tlogEntries": []}
    return json.dumps(document).encode()


def authority(certified: Certified) -> Authority:
    return Authority("acme.pem", certified.der)


def refusal(data: bytes, *keys: Authority) -> str:
    with pytest.raises(SignatureError) as caught:
        oms.signed_files(data, keys)
    return str(caught.value)


def test_what_a_certificate_below_one_that_counts_signed_is_believed_after_its_end() -> None:
    data = bundle(between().issue("signer", days=1), between())
    files, key = oms.signed_files(data, [KeyPair.of("ours").public, authority(acme())])
    assert (files, key.name) == (FILES, "acme.pem")
    assert oms.signed_files(bundle(acme().issue("signer")), [authority(acme())])[0] == FILES


@pytest.mark.parametrize("of_authority", [chains.p384, chains.rsa2048])
def test_chains_of_other_kinds_of_keys_count(of_authority: Callable[[], chains.Key]) -> None:
    root = chains.root("Acme", of_authority())
    middle = root.issue("Acme signing", authority=True, key=of_authority())
    signer = middle.issue("signer", key=chains.p384())
    assert oms.signed_files(bundle(signer, middle), [authority(root)])[0] == FILES
    assert x509.read(signer.der).key == signer.signer.public.der
    chained = CertifiedSigner(replace(signer.signer.public, chain=(signer.der, middle.der)), signer.signer)
    assert oms.signed_files(dsse.signed(oms.statement("model", MANIFEST), chained), [authority(root)])[0] == FILES


def test_a_signer_with_a_key_of_rsa_is_refused() -> None:
    signer = acme().issue("signer", key=chains.rsa2048())
    document = json.loads(bundle(acme().issue("signer")))
    chain = [{"rawBytes": base64.b64encode(signer.der).decode()}]
    document["verificationMaterial"]["x509CertificateChain"]["certificates"] = chain
    assert "not of use: it is a key of the kind RSA" in refusal(json.dumps(document).encode(), authority(acme()))


def test_another_root_of_the_same_name_is_refused() -> None:
    data = bundle(between().issue("signer"), between())
    assert refusal(data, authority(chains.root("Acme"))) == (
        "its certificates do not lead to acme.pem: signature does not match"
    )


def test_an_authority_that_lacks_an_extension_is_told_by_its_name() -> None:
    key = chains.p384()
    name = Name([NameAttribute(NameOID.COMMON_NAME, "Acme")])
    bare = CertificateBuilder(name, name, key.public_key(), random_serial_number())
    bare = bare.not_valid_before(chains.THEN).not_valid_after(chains.THEN + timedelta(days=9))
    bare = bare.add_extension(BasicConstraints(ca=True, path_length=None), critical=True)
    root = chains.Certified(bare.sign(key, hashes.SHA256()), key)
    reason = refusal(bundle(root.issue("signer")), authority(root))
    assert reason.startswith("its certificates do not lead to acme.pem: invalid extension: keyUsage")


def test_a_chain_with_a_gap_is_refused() -> None:
    reason = refusal(bundle(between().issue("signer")), authority(acme()))
    assert reason == "its certificates do not lead to acme.pem: it has issued none of them"


def test_a_signer_is_no_authority() -> None:
    thief = between().issue("signer")
    data = bundle(thief.issue("another"), thief, between())
    assert "do not lead to acme.pem" in refusal(data, authority(acme()))


def test_a_certificate_that_is_not_for_signatures_is_refused() -> None:
    data = bundle(between().issue("server", usage="encrypt"), between())
    assert "not one for signatures" in refusal(data, authority(acme()))


def test_the_signature_must_be_of_the_certificate() -> None:
    data = json.loads(bundle(between().issue("signer"), between()))
    other = json.loads(dsse.signed(oms.statement("model", MANIFEST), KeyPair.of("ours").signer))
    data["dsseEnvelope"] = other["dsseEnvelope"]
    assert "changed after it was signed" in refusal(json.dumps(data).encode(), authority(acme()))


@pytest.mark.parametrize("place", [60, 200, 400])
def test_a_flipped_bit_of_a_certificate_is_refused(place: int) -> None:
    data = json.loads(bundle(between().issue("signer"), between()))
    chain = data["verificationMaterial"]["x509CertificateChain"]["certificates"]
    for each in chain:
        genuine = each["rawBytes"]
        damaged = bytearray(base64.b64decode(genuine))
        damaged[min(place, len(damaged) - 1)] ^= 1
        each["rawBytes"] = base64.b64encode(damaged).decode()
        refusal(json.dumps(data).encode(), authority(acme()))
        each["rawBytes"] = genuine


def test_a_certificate_does_not_count_where_only_keys_do_nor_the_other_way_round() -> None:
    key = KeyPair.of("ours")
    with pytest.raises(SignatureError, match="only these count"):
        oms.signed_files(bundle(acme().issue("signer")), [key.public])
    assert "none of those that count" in refusal(
        dsse.signed(oms.statement("m", MANIFEST), key.signer), authority(acme())
    )


def certified(signer: Certified, *chain: Certified) -> CertifiedSigner:
    """A signer that brings its certificates."""
    mine = (signer.der, *(each.der for each in chain))
    return CertifiedSigner(replace(signer.signer.public, chain=mine), signer.signer)


def test_a_signer_with_a_chain_is_believed_below_its_root_and_by_nobody_else() -> None:
    signer = certified(between().issue("signer"), between())
    data = dsse.signed(oms.statement("model", MANIFEST), signer)
    for above in (acme(), between()):
        files, key = oms.signed_files(data, [KeyPair.of("ours").public, authority(above)])
        assert (files, key.name, key.hint) == (FILES, "acme.pem", signer.public.hint)
    assert "do not lead to acme.pem" in refusal(data, authority(chains.root("Acme")))
    with pytest.raises(SignatureError, match="only these count"):
        oms.signed_files(data, [replace(signer.public, chain=())])


def test_ones_own_chain_counts_as_it_is_and_not_another_of_the_same_key() -> None:
    leaf = between().issue("signer")
    signer = certified(leaf, between())
    data = dsse.signed(oms.statement("model", MANIFEST), signer)
    assert oms.signed_files(data, [signer.public]) == (FILES, signer.public)
    with pytest.raises(SignatureError, match="only these count"):
        oms.signed_files(data, [certified(leaf).public])


def test_whether_a_signer_would_count_is_told_before_it_signs() -> None:
    signer = certified(between().issue("signer"), between()).public
    dsse.require_counts(signer, [authority(acme())])
    for keys in ([KeyPair.of("ours").public], [authority(chains.root("Acme"))]):
        with pytest.raises(SignatureError):
            dsse.require_counts(signer, keys)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(UserError, match="needs the package cryptography") as caught:
        oms.signed_files(bundle_of_nobody(), [Authority("acme.pem", b"")])
    assert "sagepack[certificates]" in str(caught.value.fix)


def bundle_of_nobody() -> bytes:
    document = json.loads(dsse.signed(oms.statement("model", MANIFEST), KeyPair.of("ours").signer))
    document["verificationMaterial"] = {"x509CertificateChain": {"certificates": [{"rawBytes": "AA=="}]}}
    return json.dumps(document).encode()
