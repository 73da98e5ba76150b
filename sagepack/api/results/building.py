"""Results of the tasks that check, plan, make and publish a package."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Any

from sagepack.api.results.base import BLOCKED, DAMAGED, FOUND_WORK, Result
from sagepack.decoding import Value
from sagepack.deploy.origin import Origin  # noqa: TC001 - msgspec reads the annotations
from sagepack.engine.outputs import (
    Archive,  # noqa: TC001 - msgspec reads the annotations
    LiveEndpoint,  # noqa: TC001 - msgspec reads the annotations
    Published,  # noqa: TC001 - msgspec reads the annotations
)
from sagepack.engine.plan import (
    Action,  # noqa: TC001 - msgspec reads the annotations
    Content,  # noqa: TC001 - msgspec reads the annotations
)


class Validated(Result, frozen=True):
    """The spec and the files that it names have no errors.

    Attributes:
        config: the spec's file, as messages name it.
        name: name of the model's packages.
        env: the environment.
    """

    config: str
    name: str
    env: str


class Initialized(Result, frozen=True):
    """The files of a project, or of a model in it, that were written.

    Attributes:
        files: all of them.
        spec: the one to read first.
        task: what the model is for, in the Hub's words.
        image, instance_type: that were chosen for it.
        seen: what the model says about itself, one line each: library, class and task, files, weights, licence.
        assumptions: what was assumed, one sentence each, with the key to change.
        next: the commands to go on with.
    """

    files: tuple[str, ...]
    spec: str
    task: str
    image: str
    instance_type: str
    seen: tuple[str, ...]
    assumptions: tuple[str, ...]
    next: tuple[str, ...]


class AddedPackage(Value, frozen=True):
    """A Python package that the requirements add to the image.

    Attributes:
        name: its normalized name.
        version: its version.
        size: bytes of its wheel.
        replaces: the version that the image has, which it replaces; None if the image lacks the package.
    """

    name: str
    version: str
    size: int
    replaces: str | None = None


class Locked(Result, frozen=True):
    """What the spec was resolved to.

    Attributes:
        path: the lock file.
        repo: the model's repository, `owner/name`; None for a folder.
        commit: its commit, 40 hex digits.
        folder: the model's folder, as the spec names it; None for a repository.
        files: number of model files.
        size: bytes of them together.
        changed: whether the file was written with another content than before.
        pinned: the file of the spec in which the commit now stands in place of a branch; None if none was changed.
        packages: what the requirements of the spec add to the image, with what they need themselves.
        license: the model's licence, as its card names it; null if it names none, or for a folder.
        gated: `auto` or `manual`, if the Hub gives the files only to those who accepted conditions.
        accepted: the files in which the scan found something that the spec does not refuse.
    """

    path: str
    repo: str | None
    commit: str | None
    folder: str | None
    files: int
    size: int
    changed: bool
    pinned: str | None = None
    packages: tuple[AddedPackage, ...] = ()
    license: str | None = None
    gated: str | None = None
    accepted: tuple[str, ...] = ()


class ScanFinding(Value, frozen=True):
    """What the scan found in a file.

    Attributes:
        kind: `calls`: a pickle names callables that are not known to be harmless; `code`: a configuration makes a loader run Python
            files of the model; `foreign-code`: of another repository; `program`; `container`: packed, and not looked into;
            `unreadable`; `malformed`: not what a program that writes the format writes; `hub`: the Hub's own scan says so.
        message: what, and where in the file.
        fix: what to do.
        names: the callables, as `trust.allow` takes them; for `code` the files.
        refused: whether the spec refuses it; else it allows it, or `trust.scan` is `off`.
        damaged: whether the bytes themselves are wrong.
    """

    kind: str
    message: str
    fix: str
    names: tuple[str, ...]
    refused: bool
    damaged: bool


class ScannedFile(Value, frozen=True):
    """A file of the model, judged.

    Attributes:
        path: path in the model.
        size: bytes.
        looked_at: whether its content matters; a text or a picture is what its name says.
        hub_scan: what the Hub's own scan said when the lock was made, such as `safe`; null if it said nothing.
        findings: what was found in it.
    """

    path: str
    size: int
    looked_at: bool
    hub_scan: str | None
    findings: tuple[ScanFinding, ...]


class Scanned(Result, frozen=True):
    """What the model's files hold, and what the spec says about it.

    Attributes:
        mode: `trust.scan` of the spec.
        locked: whether the files are those of the lock; else they are those that `lock` would take.
        files: all files of the package that come from the model.
        bytes_read: of them, from the Hub or from this disk.
        license: the model's licence, as its card names it; null if it names none, or for a folder.
        gated: `auto` or `manual`, if the Hub gives the files only to those who accepted conditions.
    """

    mode: str
    locked: bool
    files: tuple[ScannedFile, ...]
    bytes_read: int
    license: str | None
    gated: str | None

    @property
    def findings(self) -> tuple[tuple[ScannedFile, ScanFinding], ...]:
        """Each finding with its file."""
        return tuple((file, finding) for file in self.files for finding in file.findings)

    @property
    def exit_code(self) -> int:
        """4 for damaged files and 1 for other findings that `strict` refuses; else 0."""
        refused = [finding for _, finding in self.findings if finding.refused and self.mode == "strict"]
        return DAMAGED if any(finding.damaged for finding in refused) else BLOCKED if refused else 0


class Plan(Result, frozen=True):
    """What would run, and why.

    Attributes:
        goal: the step that was asked for, or `package`.
        actions: every step of the goal, in the order they run.
        contents: how each file gets to S3; null where no upload would run.
        promoted_from: the release of another environment whose package is copied; null for one from the working tree.
    """

    goal: str
    actions: tuple[Action, ...]
    contents: tuple[Content, ...] | None = None
    promoted_from: Origin | None = None

    @property
    def exit_code(self) -> int:
        """0: nothing to do; 1: something that must not be changed is in the way; 2: something to do."""
        statuses = {action.status for action in self.actions}
        return BLOCKED if "blocked" in statuses else FOUND_WORK if "run" in statuses else 0


class Built(Result, frozen=True):
    """The steps that ran, and what they made.

    Attributes:
        goal: the step that was asked for, or `package`.
        actions: every step of the goal as it was taken, with its seconds.
        manifest: digest of the manifest, the identity of the package.
        archive: the archive on this disk, if the goal includes it.
        artifact: the package in S3, if the goal includes it.
        endpoint: what serves it, if the goal includes that.
        promoted_from: the release of another environment whose package was copied; null for one from the working tree.
    """

    goal: str
    actions: tuple[Action, ...]
    manifest: str | None = None
    archive: Archive | None = None
    artifact: Published | None = None
    endpoint: LiveEndpoint | None = None
    promoted_from: Origin | None = None


class Verified(Result, frozen=True):
    """The local archive is what its manifest says.

    Attributes:
        archive: the archive.
        files: number of its files.
        rebuilt: whether a build from nothing gave the same bytes.
    """

    archive: Archive
    files: int
    rebuilt: bool


class Signature(Value, frozen=True):
    """Who signed a package.

    Attributes:
        key: the public key that verified it: its file, or the name of its private part where no file was named; or the identity of Sigstore.
        hint: SHA-256, in hex, of the PEM text of the public key; of the certificate, where one signed; of an identity of Sigstore: of it,
            its issuer, and the file of an instance of one's own, a line each.
        signed: when, as the signer says.
    """

    key: str
    hint: str
    signed: datetime


class Signed(Result, frozen=True):
    """The package that is published is signed.

    Attributes:
        artifact: address of the package.
        manifest: digest of the manifest.
        key: the key or identity that signed it, as the spec names it.
        hint: as `Signature` has it.
        before: the public key or identity whose signature it had before; null if it had none that counts.
        changed: whether it was signed now; false if the same one had signed it before.
        bytes_read: bytes of the model that were read to be sure of it.
    """

    artifact: str
    manifest: str
    key: str
    hint: str
    before: str | None
    changed: bool
    bytes_read: int


# Versions of CycloneDX in which bills of materials are written; the first is the one that is published.
SBOM_VERSIONS = ("1.6", "1.7")


class Sbom(Result, frozen=True):
    """The bill of materials of a package.

    Attributes:
        spec_version: of CycloneDX.
        document: the bill; a published package has the same beside it, in version 1.6.
    """

    spec_version: str
    document: dict[str, Any]


class VerifiedRemote(Result, frozen=True):
    """What S3 holds of the package is what lock and code make.

    Attributes:
        artifact: address of the package.
        manifest: digest of the manifest.
        release: address of the record of its release.
        deep: whether every byte was read and hashed.
        files: number of files of the package.
        size: bytes of them together.
        requests: number of requests that the check took.
        bytes_read: bytes that the check read.
        not_compared: what could not be compared, and why.
        signature: who signed it; null if the spec has nothing of that in `trust`.
        builder: URI of who built it, as the provenance says; null in one of an earlier version.
        commit: of the project that it was built from, likewise; null without git.
        modified: whether files of the project differed from that commit.
        sbom: whether a bill of materials is beside it.
        earlier: those of the two documents, by name, that were made from another lock of the same files, with another image for example.
    """

    artifact: str
    manifest: str
    release: str
    deep: bool
    files: int
    size: int
    requests: int
    bytes_read: int
    not_compared: tuple[str, ...]
    signature: Signature | None = None
    builder: str | None = None
    commit: str | None = None
    modified: bool = False
    sbom: bool = False
    earlier: tuple[str, ...] = ()


class Cleaned(Result, frozen=True):
    """What was removed from this disk.

    Attributes:
        removed: the folders.
    """

    removed: tuple[str, ...]
