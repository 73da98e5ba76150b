"""Keyless signatures: whose count, and what is said where they cannot be verified."""

from __future__ import annotations

import json
import sys

import pytest

from sagepack.errors import UserError
from sagepack.package.attest import dsse, oms
from sagepack.package.attest.dsse import SignatureError
from sagepack.package.attest.keyless import Identity
from sagepack.package.manifest import Manifest
from tests.helpers.signing import KeyPair

NAME = "sigstore:release@acme.com https://accounts.google.com"
OURS = KeyPair.of("ours")
SIGNED = dsse.signed(oms.statement("model", Manifest(())), OURS.signer)


def keyless() -> bytes:
    """A bundle of the form of a keyless signature."""
    document = json.loads(SIGNED)
    document["verificationMaterial"] = {"certificate": {"rawBytes": "AA=="}, "tlogEntries": [{"logIndex": "1"}]}
    return json.dumps(document).encode()


def test_an_identity_has_an_issuer() -> None:
    found = Identity.parse(NAME)
    assert (found.identity, found.issuer) == ("release@acme.com", "https://accounts.google.com")
    assert found.hint != Identity.parse(NAME.replace("release", "other")).hint


@pytest.mark.parametrize(
    "name", ["", "sigstore:", "sigstore:a@b.c", "sigstore:a@b.c http://issuer", "a@b.c https://issuer"]
)
def test_what_names_no_identity_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="write sigstore:IDENTITY ISSUER"):
        Identity.parse(name)


def test_a_keyless_signature_does_not_count_where_only_keys_do_nor_the_other_way_round() -> None:
    with pytest.raises(SignatureError, match="keyless signature of Sigstore, and only these count: key"):
        oms.signed_files(keyless(), [OURS.public])
    with pytest.raises(SignatureError, match="none of those that count"):
        oms.signed_files(SIGNED, [Identity.parse(NAME)])


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigstore", None)
    with pytest.raises(UserError, match="needs the package sigstore") as caught:
        oms.signed_files(keyless(), [Identity.parse(NAME)])
    assert "sagepack[sigstore]" in str(caught.value.fix)
