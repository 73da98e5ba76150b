"""Keys in a spec: public ones that verify, and private ones that nobody else may get."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from sagepack.spec import sigstore
from sagepack.spec.pem import public_key
from tests.helpers import chains
from tests.helpers.signing import KeyPair, pem
from tests.helpers.specs import errors, load, project, warnings

if TYPE_CHECKING:
    from pathlib import Path

KEY = KeyPair.of("ours")


def problem(root: Path, *sets: str) -> tuple[str, str]:
    """Key and message of the one error."""
    [found] = errors(root, sets)
    assert found.location  # a place to look at
    return found.key, f"{found.message}; {found.fix}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("os.system", "lets whoever made the model's files run any command"),
        ("transformers.utils.os.system", "lets whoever made the model's files run any command"),
        ("dill._dill._create_function", "lets whoever made the model's files run any command"),
        ("builtins.*", "lets whoever made the model's files run any command"),
        ("*", "write module.name"),
        ("TrainingArguments", "write module.name"),
    ],
)
def test_no_pickle_may_be_allowed_to_run_anything(tmp_path: Path, name: str, said: str) -> None:
    key, message = problem(tmp_path, f"trust.allow=['{name}']")
    assert (key, said in message) == ("trust.allow.0", True)


def test_names_are_allowed_in_vain_where_nothing_is_refused_and_that_is_told_once(tmp_path: Path) -> None:
    allowed = "trust.allow=[transformers.training_args.*, transformers.trainer_utils.*]"
    assert warnings(tmp_path, [allowed]) == []
    [found] = warnings(tmp_path, [allowed, "trust.scan=off"])
    assert (found.key, "has no effect" in found.message) == ("trust.allow", True)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("apache2.0", "apache-2.0"),
        ("Apache 2", None),
        ("apache-2", "apache-2.0"),
        ("cc-by-nc-4", "cc-by-nc-4.0"),
        ("llama-3.1", "llama3.1"),
        ("Apache-2.0", None),
        ("llama3.1", None),
        ("ODbL-1.0", None),
        ("stable-video-diffusion-1-1-community", None),
        ("acme-1.0", None),
    ],
)
def test_a_licence_that_is_probably_misspelt_is_told(tmp_path: Path, name: str, meant: str | None) -> None:
    found = warnings(tmp_path, [f"trust.licenses=[mit, '{name}']"])
    assert [(each.key, each.fix) for each in found] == (
        [("trust.licenses.1", f"did you mean {meant!r}?")] if meant else []
    )


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True)


def test_public_keys_of_the_project_verify(tmp_path: Path) -> None:
    KEY.write(tmp_path / "config" / "keys", "prod")
    sets = ["trust.verify=[config/keys/prod.pub]", "trust.sign=file:/nowhere/prod.pem"]
    assert warnings(tmp_path, sets) == []
    assert load(tmp_path, sets).spec().trust.verify == ("config/keys/prod.pub",)


@pytest.mark.parametrize("key", ["verify", "publisher", "certificates"])
def test_what_is_no_file_is_told_as_what_it_is(tmp_path: Path, key: str) -> None:
    keys = tmp_path / "keys"
    KEY.write(keys, "prod")
    (keys / "old.pub").symlink_to("/nowhere/old.pub")
    os.mkfifo(keys / "pipe.pub")

    def said(name: str) -> str:
        return problem(tmp_path, f"trust.{key}={name}" if key == "certificates" else f"trust.{key}=[{name}]")[1]

    assert said("keys") == "'keys' is a folder, not a file; name a file in it, such as keys/prod.pub"
    assert said("keys/old.pub").startswith("'keys/old.pub' is a link to /nowhere/old.pub, which does not exist; ")
    assert said("keys/pipe.pub").startswith("'keys/pipe.pub' is not a regular file; ")
    assert said("file:keys/prod.pub") == "'file:keys/prod.pub' does not exist; write the path alone: keys/prod.pub"
    assert said("keys/prd.pub") == "'keys/prd.pub' does not exist; did you mean 'keys/prod.pub'?"


def test_a_folder_cannot_sign(tmp_path: Path) -> None:
    KEY.write(tmp_path / "keys", "prod")
    assert problem(tmp_path, "trust.sign=file:keys") == (
        "trust.sign",
        "'keys' is a folder, not a file; name the file of the private key in it",
    )


def test_a_missing_key_is_told_with_one_that_is_there(tmp_path: Path) -> None:
    KEY.write(tmp_path / "config" / "keys", "prod")
    key, message = problem(tmp_path, "trust.verify=[config/keys/prd.pub]")
    assert key == "trust.verify.0"
    assert "'config/keys/prd.pub' does not exist; did you mean 'config/keys/prod.pub'?" in message


@pytest.mark.parametrize("key", ["verify", "publisher"])
def test_an_identity_of_sigstore_counts_with_its_issuer_and_the_file_of_its_instance(tmp_path: Path, key: str) -> None:
    whole = "sigstore:a@acme.com https://accounts.google.com"
    assert warnings(tmp_path, [f"trust.{key}=['{whole}']"]) == []
    found, message = problem(tmp_path, f"trust.{key}=['sigstore:a@acme.com']")
    assert (found, "sigstore:IDENTITY https://ISSUER" in message) == (f"trust.{key}.0", True)
    file = tmp_path / "config" / "own.json"
    for text, reason in (
        (None, "does not exist"),
        ("no", "is not JSON"),
        ("{}", "is not a client trust configuration"),
    ):
        if text is not None:
            file.write_text(text)
        found, message = problem(tmp_path, f"trust.{key}=['{whole} config/own.json']")
        assert (found, f"names config/own.json, which {reason}" in message) == (f"trust.{key}.0", True)
    file.write_text(json.dumps({"mediaType": sigstore.MEDIA_TYPE}))
    assert warnings(tmp_path, [f"trust.{key}=['{whole} config/own.json']"]) == []


def test_whoever_signs_without_a_key_is_named_among_those_that_count(tmp_path: Path) -> None:
    KEY.write(tmp_path / "config" / "keys", "prod")
    (tmp_path / "config" / "own.json").write_text(json.dumps({"mediaType": sigstore.MEDIA_TYPE}))
    whole = "sigstore:a@acme.com https://accounts.google.com"
    assert warnings(tmp_path, ["trust.sign=sigstore", f"trust.verify=['{whole}']"]) == []
    assert (
        warnings(tmp_path, ["trust.sign=sigstore:config/own.json", f"trust.verify=['{whole} config/own.json']"]) == []
    )
    [warned] = warnings(tmp_path, ["trust.sign=sigstore"])
    assert "whoever can log in to Sigstore may" in warned.message
    for sign, verify in (
        ("sigstore", "config/keys/prod.pub"),
        ("sigstore", f"{whole} config/own.json"),
        ("sigstore:config/own.json", whole),
    ):
        key, message = problem(tmp_path, f"trust.sign={sign}", f"trust.verify=['{verify}']")
        assert (key, "would not count" in message) == ("trust.sign", True)
    assert problem(tmp_path, "trust.sign=sigstore:config/other.json")[0] == "trust.sign"
    (tmp_path / "chain.pem").write_bytes(chains.root("Acme").issue("signer").pem)
    key, message = problem(tmp_path, "trust.sign=sigstore", f"trust.verify=['{whole}']", "trust.certificates=chain.pem")
    assert (key, "only a key has certificates" in message) == ("trust.certificates", True)


def test_certificates_verify_and_those_of_a_signer_are_for_its_key(tmp_path: Path) -> None:
    root = chains.root("Acme")
    signer = root.issue("signer")
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "chain.pem").write_bytes(signer.pem + root.pem)
    (tmp_path / "turned.pem").write_bytes(root.pem + signer.pem)
    (tmp_path / "signer.key").write_bytes(signer.private_pem)
    sets = ["trust.verify=[root.pem]", "trust.sign=file:signer.key"]
    assert warnings(tmp_path, [*sets, "trust.certificates=chain.pem"]) == []
    assert warnings(tmp_path, ["trust.sign=kms:alias/prod", "trust.certificates=chain.pem"]) == []
    key, message = problem(tmp_path, *sets, "trust.certificates=turned.pem")
    assert (key, "is of another key than trust.sign" in message) == ("trust.certificates", True)
    assert "did you mean 'chain.pem'?" in problem(tmp_path, *sets, "trust.certificates=chains.pem")[1]
    assert "may hold certificates only" in problem(tmp_path, *sets, "trust.certificates=signer.key")[1]
    (tmp_path / "damaged.pem").write_bytes(pem("CERTIFICATE", b"x"))
    assert "holds a damaged certificate" in problem(tmp_path, *sets, "trust.certificates=damaged.pem")[1]


@pytest.mark.parametrize("key", ["verify", "publisher"])
def test_what_is_damaged_inside_of_a_file_that_verifies_is_told(tmp_path: Path, key: str) -> None:
    """As a file that an editor, or a tool for line ends, has changed within the base64."""
    root = chains.root("Acme", chains.rsa2048()).der
    public = public_key(KEY.public_pem)
    for kind, der, said in (
        ("CERTIFICATE", root[:-40], "holds a damaged certificate"),
        ("CERTIFICATE", root[:5] + root[6:], "holds a damaged certificate"),
        ("CERTIFICATE", public, "holds a damaged certificate"),
        ("PUBLIC KEY", public[:-1], "is a damaged key of P-256"),
        ("PUBLIC KEY", public[:-1] + bytes([public[-1] ^ 1]), "is a damaged key of P-256"),
    ):
        (tmp_path / "other.pem").write_bytes(pem(kind, der))
        KEY.write(tmp_path, "prod")
        where, message = problem(tmp_path, f"trust.{key}=[prod.pub, other.pem]")
        assert (where, said in message) == (f"trust.{key}.1", True)
    (tmp_path / "root.pem").write_bytes(pem("CERTIFICATE", root))
    assert warnings(tmp_path, [f"trust.{key}=[root.pem]"]) == []


def test_a_private_key_does_not_verify(tmp_path: Path) -> None:
    KEY.write(tmp_path, "prod")
    key, message = problem(tmp_path, "trust.verify=[prod.pub, prod.pem]")
    assert (key, "openssl ec -in key.pem -pubout" in message) == ("trust.verify.1", True)


def test_a_key_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "rsa.pub").write_bytes(pem("PUBLIC KEY", bytes.fromhex("300006092a864886f70d010101")))
    (tmp_path / "ed.pem").write_bytes(pem("PRIVATE KEY", bytes.fromhex("300006032b6570")))
    assert "is a key of the kind RSA; P-256 and P-384" in problem(tmp_path, "trust.verify=[rsa.pub]")[1]
    assert "is a key of the kind Ed25519; P-256 and P-384" in problem(tmp_path, "trust.sign=file:ed.pem")[1]


@pytest.mark.parametrize(
    "sets", [[], ["code.shared=[code_of/shared]"], ["model.id=null", "model.revision=null", "model.path=weights"]]
)
def test_a_private_key_among_what_is_published_is_refused(tmp_path: Path, sets: list[str]) -> None:
    project(tmp_path)
    folder = "code_of/toy" if not sets else sets[-1].partition("=")[2].strip("[]")
    (tmp_path / folder).mkdir(exist_ok=True)
    found = {each.key: each.message for each in errors(tmp_path, [*sets, f"trust.sign=file:./{folder}/sub/key.pem"])}
    assert f"lies in {folder}, whose files are published" in found["trust.sign"]


def test_a_private_key_in_git_is_refused(tmp_path: Path) -> None:
    KEY.write(tmp_path, "prod")
    git(tmp_path, "init", "-q")
    assert errors(tmp_path, ["trust.sign=file:prod.pem"]) == []
    git(tmp_path, "add", "prod.pem")
    key, message = problem(tmp_path, "trust.sign=file:prod.pem")
    assert key == "trust.sign"
    assert "is in git" in message
    assert "make a new key" in message


@pytest.mark.parametrize("value", ["alias/prod", "kms:", "kms:a b", "env:1A", "file:", "s3://bucket/key.pem"])
def test_what_names_no_key_is_refused(tmp_path: Path, value: str) -> None:
    assert "write kms:KEY, file:PATH, env:NAME" in problem(tmp_path, f"trust.sign='{value}'")[1]


@pytest.mark.parametrize(
    ("arn", "said"),
    [
        ("arn:aws:kms:eu-west-1:111122223333:alias/prod", "the key is in eu-west-1, but aws.region is us-east-1"),
        ("arn:aws:s3:us-east-1:111122223333:key/1234", "is not the ARN of a key"),
        ("arn:aws:kms:us-east-1:111122223333:grant/1234", "is not the ARN of a key"),
    ],
)
def test_an_arn_is_one_of_a_key_in_the_region_of_the_spec(tmp_path: Path, arn: str, said: str) -> None:
    key, message = problem(tmp_path, f"trust.sign=kms:{arn}")
    assert (key, said in message) == ("trust.sign", True)


@pytest.mark.parametrize(
    "value",
    [
        "kms:alias/prod",
        "kms:arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "env:SIGNING_KEY_PEM",
    ],
)
def test_keys_that_are_no_files_are_not_looked_for(tmp_path: Path, value: str) -> None:
    assert warnings(tmp_path, [f"trust.sign={value}"]) == []
