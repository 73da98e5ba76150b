"""Certificates read without a library: as the library reads them, and nothing else."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sagepack.spec import x509
from sagepack.spec.pem import KeyFileError
from tests.helpers import chains

ROOT = chains.root("Acme")


@pytest.mark.parametrize("certified", [ROOT, ROOT.issue("signer"), ROOT.issue("in 2060", days=13_000)])
def test_key_and_times_are_those_that_a_library_reads(certified: chains.Certified) -> None:
    found, judge = x509.read(certified.der), certified.certificate
    public = judge.public_key()
    assert found.key == public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert found.point == public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert (found.begins, found.ends) == (judge.not_valid_before_utc, judge.not_valid_after_utc)


def test_whatever_is_cut_off_or_changed_is_read_or_refused_and_never_fails_otherwise() -> None:
    der = ROOT.der
    for size in range(len(der)):
        with pytest.raises(KeyFileError):
            x509.read(der[:size])
    for place in range(len(der)):
        damaged = bytearray(der)
        damaged[place] ^= 0xFF
        try:
            x509.read(bytes(damaged))
        except KeyFileError:
            continue
