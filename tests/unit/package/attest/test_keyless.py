"""Keyless signatures: whose count, and what is said where they cannot be verified."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest

from sagepack.errors import UserError
from sagepack.package.attest import dsse, oms
from sagepack.package.attest.dsse import SignatureError
from sagepack.package.attest.keyless import Identity
from sagepack.package.attest.keyless_signer import KeylessSigner
from sagepack.package.manifest import Manifest
from tests.helpers.signing import KeyPair

NAME = "sigstore:release@acme.com https://accounts.google.com"
OURS = KeyPair.of("ours")
SIGNED = dsse.signed(oms.statement("model", Manifest(())), OURS.signer)


def identity(name: str = NAME) -> Identity:
    """What an entry of the spec names, in a project with one file."""
    return Identity.parse(name, {"config/sigstore.json": b"{}"}.__getitem__)


def keyless() -> bytes:
    """A bundle of the form of a keyless signature."""
    document = json.loads(SIGNED)
    document["verificationMaterial"] = {"certificate": {"rawBytes": "AA=="}, "tlogEntries": [{"logIndex": "1"}]}
    return json.dumps(document).encode()


def test_an_identity_has_an_issuer() -> None:
    found = identity()
    assert (found.identity, found.issuer) == ("release@acme.com", "https://accounts.google.com")
    assert found.hint != identity(NAME.replace("release", "other")).hint


@pytest.mark.parametrize(
    "name", ["", "sigstore:", "sigstore:a@b.c", "sigstore:a@b.c http://issuer", "a@b.c https://issuer"]
)
def test_what_names_no_identity_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="write 'sigstore:IDENTITY https://ISSUER'"):
        identity(name)


def test_a_keyless_signature_does_not_count_where_only_keys_do_nor_the_other_way_round() -> None:
    with pytest.raises(SignatureError, match="keyless signature of Sigstore, and only these count: key"):
        oms.signed_files(keyless(), [OURS.public])
    with pytest.raises(SignatureError, match="none of those that count"):
        oms.signed_files(SIGNED, [identity()])


def test_an_identity_of_another_instance_brings_the_configuration_of_that() -> None:
    assert (identity().config, identity(f"{NAME}  config/sigstore.json").config) == (None, b"{}")
    assert not identity().is_same(identity(f"{NAME} config/sigstore.json"))
    assert identity().hint != identity(f"{NAME} config/sigstore.json").hint
    assert identity(f"{NAME} config/sigstore.json").is_same(identity(NAME.replace(" ", "  ") + " config/sigstore.json"))


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SIGSTORE_ID_TOKEN": "a.b.c"}, "the token in SIGSTORE_ID_TOKEN"),
        ({"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"}, "this job of GitHub Actions"),
        ({"GITHUB_ACTIONS": "true"}, "permissions: id-token: write"),
        ({"GITLAB_CI": "true"}, "id_tokens: SIGSTORE_ID_TOKEN: aud: sigstore"),
        ({"BUILDKITE": "true"}, "Buildkite"),
        ({}, "set SIGSTORE_ID_TOKEN to a token"),
    ],
)
def test_before_a_login_it_is_known_whether_a_token_is_to_be_had(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    monkeypatch.setitem(sys.modules, "sigstore", ModuleType("sigstore"))
    monkeypatch.setattr(sys, "stdin", None)
    for name in ("SIGSTORE_ID_TOKEN", "GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    try:
        found = KeylessSigner("sigstore", None, ()).token_source()
    except UserError as error:
        found = str(error.fix)
    assert said in found


def test_without_the_extra_nothing_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigstore", None)
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", "a.b.c")
    with pytest.raises(UserError, match="signing without a key needs the package sigstore"):
        KeylessSigner("sigstore", None, ()).log_in()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigstore", None)
    with pytest.raises(UserError, match="needs the package sigstore") as caught:
        oms.signed_files(keyless(), [identity()])
    assert "sagepack[sigstore]" in str(caught.value.fix)
