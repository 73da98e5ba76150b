"""What a Hugging Face Hub answers: requests in, replies out, no sockets.

Answers, headers and error codes follow what huggingface_hub 2.4.0 reads from the real Hub over plain HTTP. There are
no Xet headers: with them the client wants a content-addressed store, which this is not. LFS files are redirected to
`localhost`, another origin than the `127.0.0.1` of the API: the client reads `X-Linked-*` and `X-Repo-Commit` from
the redirect itself, and follows it at once when the origin is the same.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.sandbox.faults import Faults
    from sagepack.sandbox.hub.repositories import Content, Entry, Repository

STRANGER_TOKEN = "hf_sandbox_stranger"  # noqa: S105 - it opens nothing
"""A valid token without access to gated or private repositories."""

_LINK_SECONDS = 3600.0
_PAGE = 1000
_NAME = r"([^/]+/[^/]+)"


@dataclass(frozen=True)
class Call:
    """One request: method, path without query (unquoted), query, bearer token ("" if none) and decoded body."""

    method: str
    route: str
    query: dict[str, list[str]] = field(default_factory=dict)
    token: str = ""
    body: Any = None


@dataclass(frozen=True)
class Reply:
    """One answer: a status with a JSON document, or the content of `entry` (or the range of it that was asked for)."""

    status: int
    document: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    entry: Entry | None = None


class Refusal(Exception):  # noqa: N818 - an answer of the Hub, not a failure of this program
    """An answer that the client turns into one of its exceptions, by the value of `X-Error-Code`."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.reply = Reply(status, {"error": message}, headers)


class HubApi:
    """The routes of the Hub over `content`, as `faults` would have them; `token` has access to everything.

    Attributes:
        port: the port the server listens on, for the addresses in redirects and pages.
    """

    def __init__(self, content: Content, faults: Faults, token: str) -> None:
        self.port = 0
        self._token = token
        self._content = content
        self._faults = faults
        self._key = secrets.token_bytes(32)
        self._routes: list[tuple[re.Pattern[str], Callable[..., Reply]]] = [
            (re.compile(r"/api/whoami-v2"), self._whoami),
            (re.compile(rf"/api/models/{_NAME}(?:/revision/([^/]+))?"), self._info),
            (re.compile(rf"/api/models/{_NAME}/refs"), self._refs),
            (re.compile(rf"/api/models/{_NAME}/tree/([^/]+)(?:/(.*))?"), self._tree),
            (re.compile(rf"/api/models/{_NAME}/paths-info/([^/]+)"), self._paths_info),
            (re.compile(rf"/{_NAME}/resolve/([^/]+)/(.+)"), self._resolve),
            (re.compile(rf"/_cdn/{_NAME}/([^/]+)/(.+)"), self._cdn),
        ]

    def answer(self, call: Call) -> Reply:
        """The answer to `call`."""
        try:
            for pattern, route in self._routes:
                if match := pattern.fullmatch(call.route):
                    return route(call, *match.groups())
        except Refusal as refusal:
            return refusal.reply
        return Reply(404, {"error": f"no route {call.method} {call.route}"})

    def _open(self, call: Call, name: str, revision: str, *, files: bool = False) -> tuple[Repository, str]:
        """The repository and commit, after the checks of the Hub in the Hub's order."""
        if call.token not in {"", self._token, STRANGER_TOKEN}:
            raise Refusal(401, "", "Invalid credentials in Authorization header")
        repository = self._content.repository(name)
        if repository is None or (self._faults.find("private", name) and call.token != self._token):
            raise Refusal(404 if call.token else 401, "RepoNotFound", "Repository not found")
        commit = None if self._faults.find("missing_revision", name) else repository.commit(revision)
        if commit is None:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if files and self._gated(repository) and call.token != self._token:
            restricted = f"Access to model {name} is restricted"
            if call.token:
                raise Refusal(403, "GatedRepo", f"{restricted} and you are not in the authorized list.")
            raise Refusal(401, "GatedRepo", f"{restricted}. You must have access to it and be authenticated.")
        return repository, commit

    def _gated(self, repository: Repository) -> bool:
        closed = repository.gated and not self._faults.find("ungate", repository.name)
        return closed or self._faults.find("gate", repository.name) is not None

    def _whoami(self, call: Call) -> Reply:
        if call.token not in {self._token, STRANGER_TOKEN}:
            raise Refusal(401, "", "Invalid username or password.")
        access = {"accessToken": {"displayName": "sandbox", "role": "read"}}
        return Reply(200, {"type": "user", "id": "0" * 24, "name": "sandbox", "orgs": [], "auth": access})

    def _info(self, call: Call, name: str, revision: str | None) -> Reply:
        repository, commit = self._open(call, name, revision or "main")
        entries = self._content.tree(repository, commit)
        document = {
            "_id": "0" * 24,
            "id": name,
            "modelId": name,
            "author": name.partition("/")[0],
            "sha": commit,
            "private": self._faults.find("private", name) is not None,
            "gated": "auto" if self._gated(repository) else False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "lastModified": "2024-07-10T11:42:54.000Z",
            "createdAt": "2024-01-22T10:19:22.000Z",
            "siblings": [entry.sibling(blobs="blobs" in call.query) for entry in entries],
        }
        return Reply(200, document, {"X-Repo-Commit": commit})

    def _refs(self, call: Call, name: str) -> Reply:
        repository, _ = self._open(call, name, "main")
        branches = [
            {"name": branch, "ref": f"refs/heads/{branch}", "targetCommit": commit}
            for branch, commit in sorted(repository.branches.items())
        ]
        return Reply(200, {"branches": branches, "tags": [], "converts": []})

    def _tree(self, call: Call, name: str, revision: str, folder: str | None) -> Reply:
        repository, commit = self._open(call, name, revision)
        prefix = f"{folder.strip('/')}/" if folder else ""
        items = [entry.tree_item() for entry in self._content.tree(repository, commit) if entry.path.startswith(prefix)]
        if call.query.get("recursive", ["false"])[0].lower() not in {"true", "1"}:
            items = _one_level(items, prefix)
        if prefix and not items:
            raise Refusal(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        page = self._faults.find("page", name)
        size, first = int(page.value) if page else _PAGE, int(call.query.get("cursor", ["0"])[0])
        headers = {"X-Repo-Commit": commit}
        if first + size < len(items):
            recursive = call.query.get("recursive", ["false"])[0]
            more = f"http://127.0.0.1:{self.port}{quote(call.route)}?recursive={recursive}&cursor={first + size}"
            headers["Link"] = f'<{more}>; rel="next"'
        return Reply(200, items[first : first + size], headers)

    def _paths_info(self, call: Call, name: str, revision: str) -> Reply:
        repository, commit = self._open(call, name, revision)
        paths = call.body.get("paths", []) if isinstance(call.body, dict) else []
        found = [self._content.entry(repository, commit, path) for path in paths]
        return Reply(200, [entry.tree_item() for entry in found if entry])

    def _resolve(self, call: Call, name: str, revision: str, path: str) -> Reply:
        repository, commit = self._open(call, name, revision, files=True)
        entry = self._content.entry(repository, commit, path)
        if entry is None:
            raise Refusal(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{entry.oid}"', "Accept-Ranges": "bytes"}
        if entry.sha256 is None:
            return Reply(200, headers=headers, entry=entry)
        headers |= {"X-Linked-ETag": f'"{entry.sha256}"', "X-Linked-Size": str(entry.size)}
        return Reply(302, {}, {**headers, "Location": self._link(f"/_cdn/{name}/{commit}/{path}")})

    def _link(self, path: str) -> str:
        """The address of a file at the CDN, good for a while."""
        lifetime = self._faults.find("link_lifetime", path)
        expires = f"{time.time() + (lifetime.value if lifetime else _LINK_SECONDS):.3f}"
        return f"http://localhost:{self.port}{quote(path)}?Expires={expires}&Signature={self._sign(path, expires)}"

    def _sign(self, path: str, expires: str) -> str:
        return hmac.new(self._key, f"{path}\0{expires}".encode(), hashlib.sha256).hexdigest()

    def _cdn(self, call: Call, name: str, commit: str, path: str) -> Reply:
        expires, signature = (call.query.get(key, [""])[0] for key in ("Expires", "Signature"))
        if not hmac.compare_digest(signature.encode(), self._sign(call.route, expires).encode()):
            return Reply(403, {"error": "Access denied: the signature does not match"})
        if time.time() > float(expires) or self._faults.happen("expire", call.route, call.method):
            return Reply(403, {"error": "Access denied: Request has expired"})
        repository = self._content.repository(name)
        entry = self._content.entry(repository, commit, path) if repository else None
        if entry is None:
            return Reply(404, {"error": "Not found"})
        return Reply(200, headers={"ETag": f'"{entry.sha256 or entry.oid}"', "Accept-Ranges": "bytes"}, entry=entry)


def _one_level(items: list[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """Files directly under `prefix`, after one item for each folder there."""
    files, folders = [], set()
    for item in items:
        first, slash, _ = item["path"][len(prefix) :].partition("/")
        folders.add(first) if slash else files.append(item)
    return [
        {"type": "directory", "oid": hashlib.sha256(name.encode()).hexdigest()[:40], "size": 0, "path": prefix + name}
        for name in sorted(folders)
    ] + files
