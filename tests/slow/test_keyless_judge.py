"""Sigstore's own library judges what claims to be a keyless signature, as far as it can be made without Sigstore's services."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.package.attest import dsse, oms
from sagepack.package.manifest import Manifest
from tests.helpers import chains
from tests.helpers.environments import environment
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
from sagepack.package.attest.keyless import Identity, KeylessError
try:
    Identity("", "release@acme.com", "https://accounts.google.com").payload(sys.stdin.buffer.read())
except KeylessError as error:
    print(error)
"""
# The first entry of a log: of the form that the library asks for, signed by nobody.
ENTRY = {
    "logIndex": "1",
    "logId": {"keyId": base64.b64encode(bytes(32)).decode()},
    "kindVersion": {"kind": "dsse", "version": "0.0.1"},
    "integratedTime": "1700000000",
    "inclusionPromise": {"signedEntryTimestamp": "AAAA"},
    "inclusionProof": {
        "logIndex": "1",
        "rootHash": base64.b64encode(bytes(32)).decode(),
        "treeSize": "2",
        "hashes": [base64.b64encode(bytes(32)).decode()],
        "checkpoint": {"envelope": "log\n1\nAA==\n\n\u2014 log AAAA\n"},
    },
    "canonicalizedBody": base64.b64encode(b"{}").decode(),
}


@pytest.fixture(scope="module")
def python() -> Path:
    """A Python with the library of the extra `sigstore`."""
    return environment("sigstore", ["sigstore==4.5.1", "msgspec"]) / "python"


def forged(material: dict[str, Any] | None = None) -> bytes:
    """A genuine signature of a statement, by a key with a certificate that Sigstore has not issued."""
    signer = chains.root("Fulcio").issue("signer")
    document = json.loads(dsse.signed(oms.statement("model", Manifest(())), signer.signer))
    certificate = {"certificate": {"rawBytes": base64.b64encode(signer.der).decode()}, "tlogEntries": [ENTRY]}
    document["verificationMaterial"] = {**certificate, **(material or {})}
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [
        (b"{}", "failed to load bundle"),
        (forged({"tlogEntries": []}), "exactly one log entry"),
        (forged(), "certificate chain"),
    ],
)
def test_what_sigstore_did_not_issue_is_refused_in_one_line_and_without_the_network(
    python: Path, tmp_path: Path, bundle: bytes, reason: str
) -> None:
    offline = {"HTTPS_PROXY": "http://127.0.0.1:9", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [str(python), "-c", PROGRAM],
        input=bundle,
        capture_output=True,
        env=os.environ | offline,
        check=True,
        timeout=120,
    )
    told = ran.stdout.decode()
    assert told.startswith("it is not a signature of release@acme.com: ")
    assert (reason in told, told.count("\n"), ran.stderr) == (True, 1, b"")
