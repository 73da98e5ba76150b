"""Rules about trust.

Keys and identities that verify are there, no private key lies where others get it, no pickle may call a shell, and licences are
spelled as everybody does.
"""

from __future__ import annotations

import json
import posixpath
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic
from sagepack.scan.commands import runs_anything
from sagepack.spec import git, licenses, pem, sigstore, x509
from sagepack.spec.pem import KeyFileError
from sagepack.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.spec.rules.view import SpecView

_SIGN, _CERTIFICATES = ("trust", "sign"), ("trust", "certificates")
_CHAIN = "name a PEM file with the certificate of the key that signs, then those between it and one in trust.verify"
_KMS_ARN = re.compile(r"arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):\d{12}:(key|alias)/.+")
_ELSEWHERE = (
    "move it out of the project, make a new key if others have seen it, and name a key of AWS KMS or a file there"
)


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check the keys that `trust` names, as far as they are files, and what it allows pickles to call."""
    for key in ("verify", "publisher"):
        for number, name in enumerate(view.texts("trust", key)):
            if name and (problem := _problem(view, name)):
                message, fix = problem
                yield Diagnostic(("trust", key, number), f"{name!r} {message}", fix)
    yield from _chain(view)
    signer = view.text(*_SIGN) or ""
    if signer.startswith("file:"):
        yield from _private_key(view, signer.removeprefix("file:"))
    if signer.startswith("kms:arn:"):
        yield from _key_arn(view, signer.removeprefix("kms:"))
    if sigstore.is_signer(signer):
        yield from _keyless(view, sigstore.config_of(signer))
    yield from _allowed(view)
    yield from _licenses(view)


def _allowed(view: SpecView) -> Iterator[Diagnostic]:
    """What `trust.allow` names is called with arguments from the file: with some modules that is to run what the file says."""
    names = view.texts("trust", "allow")
    for number, name in enumerate(names):
        if runs_anything(name):
            message = f"{name} lets whoever made the model's files run any command in the container"
            fix = "remove it, and exclude the file that needs it (model.exclude)"
            yield Diagnostic(("trust", "allow", number), message, fix)
    if any(names) and view.text("trust", "scan") == "off":
        message = "it has no effect: trust.scan is off, so nothing is refused"
        yield Diagnostic(("trust", "allow"), message, "write trust.scan: strict", severity="warning")


def _licenses(view: SpecView) -> Iterator[Diagnostic]:
    """A licence that is spelled as no list has it is never the one that a model's card names."""
    for number, name in enumerate(view.texts("trust", "licenses")):
        if name and (known := licenses.meant(name)):
            message = f"{name!r} is a licence of neither SPDX nor the Hub"
            yield Diagnostic(("trust", "licenses", number), message, f"did you mean {known!r}?", severity="warning")


def _problem(view: SpecView, name: str) -> tuple[str, str | None] | None:
    """What is wrong with an identity, or a file of a public key or a certificate, and the fix."""
    path = view.root / name
    if name.startswith(sigstore.PREFIX):
        found = sigstore.identity(name)
        if found is None:
            return "names no identity", sigstore.FORM
        problem = _config(view, found.config)
        return (f"names {found.config}, which {problem}", sigstore.CONFIG) if problem else None
    if not path.is_file():
        return _no_file(view, name, pem.TO_PUBLIC)
    try:
        data = _read(path)
        if certificate := pem.certificate(data):
            x509.whole(certificate)
        else:
            pem.public_key(data)
    except KeyFileError as error:
        return str(error), error.fix
    return None


def _no_file(view: SpecView, name: str, fix: str) -> tuple[str, str]:
    """Why what a name leads to is no file, and the fix; `fix` where nothing of a similar name is there."""
    path = view.root / name
    if name.startswith("file:"):  # as trust.sign has it
        return "does not exist", f"write the path alone: {name.removeprefix('file:')}"
    if path.is_dir():
        public = [posixpath.join(name, each.name) for each in sorted(path.glob("*.pub")) if each.is_file()]
        return "is a folder, not a file", f"name a file in it, such as {public[0]}" if public else fix
    if path.exists():
        return "is not a regular file", fix
    if path.is_symlink():
        return f"is a link to {path.readlink()}, which does not exist", fix
    siblings = [other.relative_to(view.root).as_posix() for other in _files_beside(path, view.root)]
    return "does not exist", did_you_mean(name, siblings) or fix


def _private_key(view: SpecView, name: str) -> Iterator[Diagnostic]:
    """The key that signs need not be on this machine; where it is, nobody else may get it with the project or the package."""
    path = view.root / name
    packaged = [view.text("code", "path"), *view.texts("code", "shared"), view.text("model", "path")]
    folder = next((each for each in packaged if each and _within(name, each)), None)
    if folder is not None:
        yield Diagnostic(_SIGN, f"the private key {name!r} lies in {folder}, whose files are published", _ELSEWHERE)
        return
    if path.is_dir():
        yield Diagnostic(_SIGN, f"{name!r} is a folder, not a file", "name the file of the private key in it")
    if not path.is_file():
        return
    try:
        pem.private_key(_read(path))
    except KeyFileError as error:
        yield Diagnostic(_SIGN, f"{name!r} {error}", error.fix)
        return
    if git.tracks(path):
        message = f"the private key {name!r} is in git, where everybody has it who has the repository"
        yield Diagnostic(_SIGN, message, _ELSEWHERE)


def _chain(view: SpecView) -> Iterator[Diagnostic]:
    """The certificates that signatures bring are there, and begin with that of the key that signs, if that is here to compare."""
    name, signer = view.text(*_CERTIFICATES), view.text(*_SIGN) or ""
    if not name:
        return
    path, private = view.root / name, view.root / signer.removeprefix("file:")
    if not path.is_file():
        message, fix = _no_file(view, name, _CHAIN)
        yield Diagnostic(_CERTIFICATES, f"{name!r} {message}", fix)
        return
    try:
        first = x509.read(pem.chain(_read(path))[0])
    except KeyFileError as error:
        yield Diagnostic(_CERTIFICATES, f"{name!r} {error}", error.fix)
        return
    with suppress(KeyFileError):  # what is wrong with the key itself is told of trust.sign
        if signer.startswith("file:") and private.is_file() and first.point not in pem.private_key(_read(private)):
            message = f"the first certificate of {name!r} is of another key than trust.sign"
            yield Diagnostic(_CERTIFICATES, message, _CHAIN)


def _keyless(view: SpecView, config: str | None) -> Iterator[Diagnostic]:
    """Signing without a key: whose signatures count is known, and the file of the Sigstore instance is there."""
    if problem := _config(view, config):
        yield Diagnostic(_SIGN, f"{config!r} {problem}", sigstore.CONFIG)
        return
    names = view.texts("trust", "verify")
    instances = [found.config for name in names if (found := sigstore.identity(name or ""))]
    fix = f"add whoever signs to trust.verify: '{sigstore.entry('IDENTITY', 'https://ISSUER', config)}'"
    if not names:
        message = "nobody looks at who signed: without trust.verify, whoever can log in to Sigstore may"
        yield Diagnostic(_SIGN, message, fix, severity="warning")
    elif config not in instances:
        message = "what is signed so would not count: trust.verify names no identity of this instance of Sigstore"
        yield Diagnostic(_SIGN, message, fix)
    if view.text(*_CERTIFICATES):
        message = "only a key has certificates: Sigstore issues one for each login"
        yield Diagnostic(_CERTIFICATES, message, "remove it")


def _config(view: SpecView, name: str | None) -> str | None:
    """What is wrong with the file of a Sigstore instance, if one is named; continues its name."""
    if name is None:
        return None
    path = view.root / name
    if not path.is_file():
        return "does not exist"
    try:
        found = json.loads(_read(path))
    except (KeyFileError, ValueError) as error:
        return str(error) if isinstance(error, KeyFileError) else "is not JSON"
    is_one = isinstance(found, dict) and found.get("mediaType") == sigstore.MEDIA_TYPE
    return None if is_one else "is not a client trust configuration of Sigstore"


def _key_arn(view: SpecView, arn: str) -> Iterator[Diagnostic]:
    match, region = _KMS_ARN.fullmatch(arn), view.text("aws", "region")
    if match is None:
        fix = "write kms:arn:aws:kms:REGION:ACCOUNT:key/ID or kms:arn:aws:kms:REGION:ACCOUNT:alias/NAME"
        yield Diagnostic(_SIGN, f"{arn!r} is not the ARN of a key of AWS KMS", fix)
    elif region and match["region"] != region:
        message = f"the key is in {match['region']}, but aws.region is {region}: keys are of one region"
        yield Diagnostic(_SIGN, message, f"name a key in {region}; trust.verify may have the public keys of several")


def _within(name: str, folder: str) -> bool:
    return posixpath.normpath(name).startswith(f"{posixpath.normpath(folder)}/")


def _files_beside(path: Path, root: Path) -> list[Path]:
    return [other for other in path.parent.glob("*") if other.is_file() and other.is_relative_to(root)]


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(pem.LIMIT)
    except OSError as error:
        raise KeyFileError(f"cannot be read: {error.strerror}", "let this user read it") from error
