"""Judge files by programs of others: one line of JSON for each. Runs in an environment of its own.

python attest.py cyclonedx|purl|provenance|dsse:KEY FILE...
"""

# mypy: disable-error-code="import-not-found,import-untyped"
# ruff: noqa: PLC0415 - each judge imports what it judges by, which is not installed beside this program

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def cyclonedx(data: str) -> dict[str, Any]:
    """Whether the strict validator takes a bill of materials."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    version = SchemaVersion.from_version(json.loads(data)["specVersion"])
    error = JsonStrictValidator(version).validate_str(data)
    return {"error": str(error) if error else None}


def purl(data: str) -> dict[str, Any]:
    """The package URLs of a bill of materials, as their reference implementation reads them."""
    from packageurl import PackageURL

    found = []
    for component in json.loads(data)["components"]:
        if "purl" not in component:
            continue
        read = PackageURL.from_string(component["purl"])
        is_image = component["type"] == "container"
        found.append(
            {
                "name": read.name,
                "component": component["name"].rpartition("/")[2],
                "version": read.version,
                "expected": f"sha256:{component['hashes'][0]['content']}" if is_image else component["version"],
            }
        )
    return {"purls": found}


def provenance(data: str) -> dict[str, Any]:
    """A statement as in-toto's library checks it, and its predicate as SLSA's message has it; unknown fields are errors."""
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    read = json_format.Parse(data, statement_pb2.Statement())
    Statement.copy_from_pb(read).validate()
    predicate = json_format.ParseDict(json.loads(data)["predicate"], provenance_pb2.Provenance())
    return {
        "error": None,
        "builder": predicate.run_details.builder.id,
        "dependencies": len(predicate.build_definition.resolved_dependencies),
    }


def dsse(data: str, key_file: str) -> dict[str, Any]:
    """Whether the signature of a bundle verifies, and what it is over."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    key = SSlibKey.from_crypto(load_pem_public_key(Path(key_file).read_bytes()))
    key.keyid = ""  # as the envelope names it
    envelope = Envelope.from_dict(json.loads(data)["dsseEnvelope"])
    try:
        envelope.verify([key], 1)
    except VerificationError as error:
        return {"error": str(error)}
    return {"error": None, "payload": envelope.payload.decode()}


def main() -> None:
    """Judge each file."""
    what, argument = (*sys.argv[1].split(":", 1), "")[:2]
    judges = {"cyclonedx": cyclonedx, "purl": purl, "provenance": provenance}
    for name in sys.argv[2:]:
        data = Path(name).read_text(encoding="utf-8")
        found = dsse(data, argument) if what == "dsse" else judges[what](data)
        sys.stdout.write(f"{json.dumps(found)}\n")


if __name__ == "__main__":
    main()
