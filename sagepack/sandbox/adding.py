"""Puts a model of the user's own into the Hub of the running sandbox."""

from __future__ import annotations

import http.client
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from sagepack.decoding import Commit, MalformedError, decode_json
from sagepack.errors import UserError
from sagepack.files import content_problem, content_root, is_lfs_pointer
from sagepack.sandbox.identity import CONTROL_HEADER
from sagepack.sandbox.miniatures import models as miniatures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.sandbox.process import Sandbox

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_SHOWN = 10
_POINTER_BYTES = 64
_HASHING_SECONDS = 7200.0


class _Added(msgspec.Struct):
    commit: Commit


def check(name: str, folder: Path) -> None:
    """Check what is to be added, without a sandbox.

    Raises:
        UserError: the name is not `owner/name` or that of a miniature, or the folder is not there, is empty, or holds
            what a repository cannot hold.
    """
    if not _NAME.fullmatch(name) or "--" in name or ".." in name:
        fix = "write it as owner/name, such as acme/sst2: letters, digits, and - _ . within"
        raise UserError("this is not the name of a repository", where=name, fix=fix)
    if name.casefold() in {model.name.casefold() for model in miniatures.MODELS}:
        fix = "choose another name, such as your own in place of the owner's"
        raise UserError("the sandbox has a miniature of its own under this name", where=name, fix=fix)
    if not folder.is_dir():
        what = "this is not a folder" if folder.exists() else "there is no such folder"
        raise UserError(what, where=str(folder), fix="give the folder that holds the model's files (config.json, ...)")
    problems = list(_problems(folder))
    if problems:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise UserError(
            "the folder holds what a repository cannot hold", where=str(folder), details=problems[:_SHOWN] + more
        )


def add(sandbox: Sandbox, name: str, folder: Path) -> str:
    """Serve `folder`, which was checked, as repository `name`; it is hashed the first time.

    Returns:
        The commit: the same for the same name and content.

    Raises:
        UserError: the sandbox cannot read a file, or has ended meanwhile.
    """
    connection = http.client.HTTPConnection(urlsplit(sandbox.hub_url).netloc, timeout=_HASHING_SECONDS)
    headers = {CONTROL_HEADER: sandbox.control_token, "Content-Type": "application/json"}
    try:
        body = json.dumps({"name": name, "folder": str(folder.absolute())})
        connection.request("POST", "/_sandbox/own-models", body, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status == http.client.BAD_REQUEST:
            raise UserError(json.loads(answer)["error"], where=str(folder), fix="correct it and run the command again")
        return decode_json(answer, _Added).commit
    except (OSError, http.client.HTTPException, MalformedError) as error:
        fix = f"run the command again; the log is {sandbox.log}"
        raise UserError(f"the sandbox did not add the model: {error}", where=name, fix=fix) from error
    finally:
        connection.close()


def _problems(folder: Path) -> Iterator[str]:
    """What in the folder is not a plain file, each with what to do; one line too if there is nothing in it."""
    inside, count = content_root(folder), 0
    for current, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - {".git"})
        links = [name for name in folders if (Path(current) / name).is_symlink()]
        for name in links:
            yield f"{(Path(current) / name).relative_to(folder)}: a link to a folder: copy the folder instead"
        for name in sorted(names):
            count += 1
            path = Path(current) / name
            problem = content_problem(path, inside) or _pointer_problem(path)
            if problem:
                yield f"{path.relative_to(folder)}: {problem[0]}: {problem[1]}"
    if not count:
        yield "no file: give the folder that holds the model's files (config.json, ...)"


def _pointer_problem(path: Path) -> tuple[str, str] | None:
    try:
        with path.open("rb") as file:
            is_pointer = is_lfs_pointer(file.read(_POINTER_BYTES))
    except OSError as error:
        return f"cannot be read: {error.strerror}", "give this user the right to read it"
    return ("a pointer of git LFS, not the file itself", "run `git lfs pull`") if is_pointer else None
