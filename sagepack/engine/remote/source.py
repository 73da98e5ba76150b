"""What a job starts from: this program, the list of what it needs, and of the project what publishing reads. No weights, no secret.

<target>/<name>/remote/<16 hex>/start.py       `start`, which the container runs
                               /input.tar.gz   program/ requirements.txt project/, the same bytes for the same content
"""

from __future__ import annotations

import gzip
import io
import tarfile
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from sagepack.digest import Digest
from sagepack.engine.remote import start
from sagepack.errors import UserError
from sagepack.package.attest.certificates import Authority
from sagepack.spec import sigstore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.engine.context import BuildContext
    from sagepack.spec.code_tree import CodeFile

JOB = "job.json"
_PACKAGE = Path(__file__).parents[2]
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_CERTIFICATES = Path(__file__).with_name("certificates.txt")  # what is needed beside it where a certificate counts
_LEFT_OUT = {"__pycache__", "templates"}  # the templates are for new projects


class JobDocument(msgspec.Struct, frozen=True):
    """What the job is told, `job.json` in its project.

    Attributes:
        config: the spec's file, relative to the project.
        env: the environment.
        region: of AWS.
        token_secret: ARN of the secret with the token for the Hub.
    """

    config: str
    env: str
    region: str
    token_secret: str | None = None


class JobSource:
    """The input of a job.

    Attributes:
        digest: of all of its content.
        files: the objects by name.
    """

    def __init__(self, entries: dict[str, tuple[bytes, bool]]) -> None:
        packed = _packed(entries)
        begin = Path(start.__file__).read_bytes()
        self.digest = Digest.sha256(packed + begin)
        # The digest is of what is in it: another version of zlib may compress it otherwise.
        self.files = {"start.py": begin, "input.tar.gz": gzip.compress(packed, compresslevel=6, mtime=0)}

    @classmethod
    def of(cls, context: BuildContext) -> JobSource:
        """The input for the package that lock and code of a run make.

        Raises:
            UserError: a file is outside the project, or was changed since the run began; or a key of `trust` cannot be used.
        """
        needed = _REQUIREMENTS.read_bytes()
        if any(isinstance(key, Authority) for key in context.trust.keys):
            needed += _CERTIFICATES.read_bytes()
        return cls(dict([*_program(), ("requirements.txt", (needed, False)), *_project(context)]))


def _project(context: BuildContext) -> Iterator[tuple[str, tuple[bytes, bool]]]:
    """The project as the job finds it: the merged spec, an empty overlay, the lock, and the files that the spec names."""
    spec, root = context.spec, context.work.root
    config = f"config/{spec.name}.yaml"
    document = JobDocument(config, spec.env, spec.aws.region, spec.remote.token_secret if spec.remote else None)
    found = {
        JOB: msgspec.json.encode(document),
        config: msgspec.json.format(msgspec.json.encode(_declared(context))),  # JSON is YAML
        f"config/env/{spec.env}.yaml": b"{}\n",
        context.work.lock_path.relative_to(root).as_posix(): context.work.lock_path.read_bytes(),
    }
    for name, data in found.items():
        yield f"project/{name}", (data, False)
    for file in context.code.files:
        if isinstance(file.source, Path):
            yield f"project/{_inside(file.source, root)}", (_unchanged(file, file.source), file.executable)
    expected = spec.sample.expect.schema if spec.sample and spec.sample.expect else None
    chain = spec.trust.certificates if signs_there(context) else None
    keys = (chain, *map(_file_of, spec.trust.verify))
    for path in (spec.sample.file if spec.sample else None, expected, *keys):
        if isinstance(path, str) and (root / path).is_file():
            yield f"project/{_inside(root / path, root)}", ((root / path).read_bytes(), False)


def _file_of(name: str) -> str | None:
    """The file that an entry of `trust.verify` names; None if it is an identity of public Sigstore."""
    found = sigstore.identity(name)
    return found.config if found else name


def _unchanged(file: CodeFile, path: Path) -> bytes:
    """A file of the code as it was when the run began, which the identity of the package follows from.

    Raises:
        UserError: it was changed.
    """
    data = path.read_bytes()
    if Digest.sha256(data) != file.digest:
        raise UserError("the file was changed while the job was prepared", where=str(path), fix="run the command again")
    return data


def _declared(context: BuildContext) -> dict[str, Any]:
    """The merged spec without what is about this machine: its AWS profile, its cluster, a key here that signs, and that its services are the sandbox's.

    The publisher's signature was verified here, and the lock travels along.

    In the sandbox the job is given the addresses of its services as a job in AWS is given its role.
    """
    own = {"cluster", "sandbox", "hub"} if context.spec.sandbox else {"cluster"}
    data = {key: value for key, value in context.declared.items() if key not in own}
    own_keys = set() if signs_there(context) else {"sign", "certificates"}
    left_out = {"aws": {"profile"}, "trust": {"publisher"} | own_keys}
    return {
        section: {key: value for key, value in values.items() if key not in left_out[section]}
        if section in left_out
        else values
        for section, values in data.items()
    }


def signs_there(context: BuildContext) -> bool:
    """Whether the job itself signs: with a key of AWS KMS, which its role may use. Other keys do not travel."""
    return (context.spec.trust.sign or "").startswith("kms:")


def _inside(path: Path, root: Path) -> str:
    """A file of the project, relative to it.

    Raises:
        UserError: it is elsewhere.
    """
    try:
        return PurePosixPath(path.absolute().relative_to(root.absolute())).as_posix()
    except ValueError as error:
        fix = "move it into the project, or publish without --remote"
        raise UserError("a file outside the project does not travel with a job", where=str(path), fix=fix) from error


@cache
def _program() -> tuple[tuple[str, tuple[bytes, bool]], ...]:
    """The files of this program."""
    return tuple(
        (f"program/{path.relative_to(_PACKAGE.parent).as_posix()}", (path.read_bytes(), False))
        for path in sorted(_PACKAGE.rglob("*"))
        if path.is_file() and not _LEFT_OUT & set(path.relative_to(_PACKAGE).parts) and path.suffix != ".pyc"
    )


def _packed(entries: dict[str, tuple[bytes, bool]]) -> bytes:
    """A tar file that depends on names, contents and modes alone."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, (data, executable) in sorted(entries.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755 if executable else 0o644
            archive.addfile(member, io.BytesIO(data))
    return output.getvalue()
