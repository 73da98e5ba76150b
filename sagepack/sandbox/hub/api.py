"""The HTTP API of a Hugging Face Hub as a function of requests, without sockets.

Documents, headers and error codes are those that huggingface_hub 2.4.0 and hf_xet 1.8.0 read from the real Hub. Files in LFS
are in Xet storage too, as there: their headers and the listing name them, a token opens the store (`/_xet`), and plain HTTP is
redirected to the CDN (`/_cdn`). Both are at `localhost`, an origin different from the `127.0.0.1` of the API: the client
reads `X-Linked-*` and `X-Repo-Commit` from the redirect itself, and follows it at once when the origin is the same.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from sagepack.sandbox.hub import card, xet
from sagepack.sandbox.hub.file_response import ByteRange
from sagepack.sandbox.hub.repositories import ChangedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.sandbox.faults import Faults
    from sagepack.sandbox.hub.file_response import Content
    from sagepack.sandbox.hub.repositories import RepoFile, Repositories, Repository

NO_ACCESS_TOKEN = "hf_sandbox_no_access"  # noqa: S105 - it gives access to nothing
"""A valid token without access to gated or private repositories."""

_LINK_SECONDS = 3600.0
_PAGE, _EXPANDED_PAGE = 1000, 50
_NAME = r"([^/]+/[^/]+)"
_DESCRIBING = ("config.json", "model_index.json")


@dataclass(frozen=True)
class ApiRequest:
    """One request.

    Attributes:
        method: HTTP method.
        route: path without the query, with percent-encoding removed.
        query: name -> values.
        token: bearer token; empty if there is none.
        body: the decoded JSON document or form.
        byte_range: the header `Range`.
    """

    method: str
    route: str
    query: dict[str, list[str]] = field(default_factory=dict)
    token: str = ""
    body: Any = None
    byte_range: str | None = None


@dataclass(frozen=True)
class ApiResponse:
    """One response: a status with a JSON document, or with the content of `file` (all of it or the requested range)."""

    status: int
    document: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    file: Content | None = None


class HubError(Exception):
    """An error response. The client selects its exception by `code`, the value of `X-Error-Code`."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.response = ApiResponse(status, {"error": message}, headers)


class HubApi:
    """The routes of the Hub over `repositories`, with `faults`; `token` has access to everything.

    Attributes:
        port: the port that the server listens on, used in redirects and in links to further pages.
    """

    def __init__(self, repositories: Repositories, faults: Faults, token: str) -> None:
        self.port = 0
        self._token = token
        self._repositories = repositories
        self._faults = faults
        self._key = secrets.token_bytes(32)
        self._routes: list[tuple[re.Pattern[str], Callable[..., ApiResponse]]] = [
            (re.compile(r"/api/whoami-v2"), self._whoami),
            (re.compile(rf"/api/models/{_NAME}(?:/revision/([^/]+))?"), self._info),
            (re.compile(rf"/api/models/{_NAME}/refs"), self._refs),
            (re.compile(rf"/api/models/{_NAME}/auth-check"), self._auth_check),
            (re.compile(rf"/api/models/{_NAME}/tree/([^/]+)(?:/(.*))?"), self._tree),
            (re.compile(rf"/api/models/{_NAME}/paths-info/([^/]+)"), self._paths_info),
            (re.compile(rf"/{_NAME}/resolve/([^/]+)/(.+)"), self._resolve),
            (re.compile(rf"/_cdn/{_NAME}/([^/]+)/(.+)"), self._cdn),
            (re.compile(rf"/api/models/{_NAME}/xet-read-token/([^/]+)"), self._xet_token),
            (re.compile(r"/_xet/(v[12])/reconstructions/([0-9a-f]{64})"), self._reconstruction),
            (re.compile(rf"/_xet/xorbs/{_NAME}/([^/]+)/([0-9]+)/(.+)"), self._xorb),
        ]

    def respond(self, request: ApiRequest) -> ApiResponse:
        """The response to `request`."""
        try:
            for pattern, route in self._routes:
                if match := pattern.fullmatch(request.route):
                    return route(request, *match.groups())
        except HubError as error:
            return error.response
        except ChangedError:
            message = "the folder of this model has changed since it was added"
            return HubError(404, "RevisionNotFound", message).response
        return ApiResponse(404, {"error": f"no route {request.method} {request.route}"})

    def _open(self, request: ApiRequest, name: str, revision: str, *, files: bool = False) -> tuple[Repository, str]:
        """Check access as the Hub does, in the Hub's order, and return the repository and commit."""
        if request.token not in {"", self._token, NO_ACCESS_TOKEN}:
            raise HubError(401, "", "Invalid credentials in Authorization header")
        repository = self._repositories.repository(name)
        if repository is None or (self._faults.find("private", name) and request.token != self._token):
            held = ", ".join(self._repositories.names())
            raise HubError(404 if request.token else 401, "RepoNotFound", f"the sandbox's Hub holds only {held}")
        commit = None if self._faults.find("missing_revision", name) else repository.resolve(revision)
        if commit is None:
            known = ", ".join(repository.commits)
            raise HubError(404, "RevisionNotFound", f"no revision {revision[:60]}: the sandbox holds {known} of it")
        if files and self._gated(repository) and request.token != self._token:
            restricted = f"Access to model {name} is restricted"
            if request.token:
                raise HubError(403, "GatedRepo", f"{restricted} and you are not in the authorized list.")
            raise HubError(401, "GatedRepo", f"{restricted}. You must have access to it and be authenticated.")
        return repository, commit

    def _gated(self, repository: Repository) -> bool:
        closed = repository.gated and not self._faults.find("ungate", repository.name)
        return closed or self._faults.find("gate", repository.name) is not None

    def _whoami(self, request: ApiRequest) -> ApiResponse:
        if request.token not in {self._token, NO_ACCESS_TOKEN}:
            raise HubError(401, "", "Invalid username or password.")
        access = {"accessToken": {"displayName": "sandbox", "role": "read"}}
        return ApiResponse(200, {"type": "user", "id": "0" * 24, "name": "sandbox", "orgs": [], "auth": access})

    def _info(self, request: ApiRequest, name: str, revision: str | None) -> ApiResponse:
        repository, commit = self._open(request, name, revision or "main")
        files = self._repositories.tree(repository, commit)
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
            "config": _config(files),
            **card.read(files),
            "siblings": [file.sibling(blobs="blobs" in request.query) for file in files],
        }
        return ApiResponse(200, document, {"X-Repo-Commit": commit})

    def _refs(self, request: ApiRequest, name: str) -> ApiResponse:
        repository, _ = self._open(request, name, "main")
        branches = [
            {"name": branch, "ref": f"refs/heads/{branch}", "targetCommit": commit}
            for branch, commit in sorted(repository.branches.items())
        ]
        return ApiResponse(200, {"branches": branches, "tags": [], "converts": []})

    def _auth_check(self, request: ApiRequest, name: str) -> ApiResponse:
        self._open(request, name, "main", files=True)
        return ApiResponse(200, {})

    def _tree(self, request: ApiRequest, name: str, revision: str, folder: str | None) -> ApiResponse:
        repository, commit = self._open(request, name, revision)
        prefix = f"{folder.strip('/')}/" if folder else ""
        files = self._repositories.tree(repository, commit)
        expand = _is_set(request, "expand")
        items = [self._item(repository, file, expand=expand) for file in files if file.path.startswith(prefix)]
        if not _is_set(request, "recursive"):
            items = _one_level(items, prefix)
        if prefix and not items:
            raise HubError(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        page = self._faults.find("page", name)
        size = int(page.value) if page else _EXPANDED_PAGE if expand else _PAGE
        first = int(request.query.get("cursor", ["0"])[0])
        headers = {"X-Repo-Commit": commit}
        if first + size < len(items):
            asked = "&".join(
                f"{name}={request.query[name][0]}" for name in ("recursive", "expand") if name in request.query
            )
            more = f"http://127.0.0.1:{self.port}{quote(request.route)}?{asked}&cursor={first + size}"
            headers["Link"] = f'<{more}>; rel="next"'
        return ApiResponse(200, items[first : first + size], headers)

    def _item(self, repository: Repository, file: RepoFile, *, expand: bool) -> dict[str, Any]:
        """A file in a listing; with `expand`, what the Hub's own scan says of it."""
        item, path = file.tree_item(xet=self._has_xet(repository)), f"{repository.name}/{file.path}"
        if expand:
            status = "unsafe" if self._faults.find("unsafe", path) else "safe"
            status = "unscanned" if self._faults.find("unscanned", path) else status
            scan = {"status": status, "message": None, "reportLink": None}
            item["securityFileStatus"] = {
                "status": status,
                "avScan": scan,
                "pickleImportScan": {**scan, "pickleImports": []},
            }
        return item

    def _paths_info(self, request: ApiRequest, name: str, revision: str) -> ApiResponse:
        repository, commit = self._open(request, name, revision)
        paths = request.body.get("paths", []) if isinstance(request.body, dict) else []
        found = [self._repositories.file(repository, commit, path) for path in paths]
        expand = isinstance(request.body, dict) and request.body.get("expand") is True
        return ApiResponse(200, [self._item(repository, file, expand=expand) for file in found if file])

    def _resolve(self, request: ApiRequest, name: str, revision: str, path: str) -> ApiResponse:
        repository, commit = self._open(request, name, revision, files=True)
        file = self._repositories.file(repository, commit, path)
        if file is None:
            raise HubError(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{file.oid}"', "Accept-Ranges": "bytes"}
        if file.sha256 is None:
            return ApiResponse(200, headers=headers, file=file)
        headers |= {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
        if file.xet_hash and self._has_xet(repository):
            tokens = f"http://127.0.0.1:{self.port}/api/models/{quote(name)}/xet-read-token/{commit}"
            headers |= {
                "X-Xet-Hash": file.xet_hash,
                "X-Xet-Refresh-Route": tokens,
                "Link": f'<{tokens}>; rel="xet-auth"',
            }
        return ApiResponse(302, {}, {**headers, "Location": self._link(f"/_cdn/{name}/{commit}/{path}")})

    def _has_xet(self, repository: Repository) -> bool:
        return self._faults.find("no_xet", repository.name) is None

    def _expiry(self, path: str) -> float:
        lifetime = self._faults.find("link_lifetime", path)
        return time.time() + (lifetime.value if lifetime else _LINK_SECONDS)

    def _link(self, path: str) -> str:
        """A signed URL of a file at the CDN, or of a xorb, with an expiry time."""
        expires = f"{self._expiry(path):.3f}"
        return f"http://localhost:{self.port}{quote(path)}?Expires={expires}&Signature={self._sign(path, expires)}"

    def _sign(self, path: str, expires: str) -> str:
        return hmac.new(self._key, f"{path}\0{expires}".encode(), hashlib.sha256).hexdigest()

    def _cdn(self, request: ApiRequest, name: str, commit: str, path: str) -> ApiResponse:
        file = self._linked(request, name, commit, path)
        return ApiResponse(200, headers={"ETag": f'"{file.sha256 or file.oid}"', "Accept-Ranges": "bytes"}, file=file)

    def _linked(self, request: ApiRequest, name: str, commit: str, path: str) -> RepoFile:
        """The file that a signed URL is about, if the URL is in order."""
        expires, signature = (request.query.get(key, [""])[0] for key in ("Expires", "Signature"))
        if not self._is_signed(request.route, expires, signature):
            raise HubError(403, "", "Access denied: the signature does not match")
        if time.time() > float(expires) or self._faults.happen("expire", request.route, request.method):
            raise HubError(403, "", "Access denied: Request has expired")
        repository = self._repositories.repository(name)
        file = self._repositories.file(repository, commit, path) if repository else None
        if file is None:
            raise HubError(404, "", "Not found")
        return file

    def _is_signed(self, text: str, expires: str, signature: str) -> bool:
        return hmac.compare_digest(signature.encode(), self._sign(text, expires).encode())

    def _xet_token(self, request: ApiRequest, name: str, revision: str) -> ApiResponse:
        """A token for the files of one commit in Xet storage, in both forms: headers, and the document."""
        repository, commit = self._open(request, name, revision, files=True)
        if not self._has_xet(repository):
            raise HubError(404, "", "this Hub has no Xet storage")
        scope, expires = f"{quote(name, safe='')}:{commit}", str(int(self._expiry(request.route)))
        token, store = f"{scope}:{expires}:{self._sign(scope, expires)}", f"http://localhost:{self.port}/_xet"
        headers = {"X-Xet-Access-Token": token, "X-Xet-Token-Expiration": expires, "X-Xet-Cas-Url": store}
        return ApiResponse(200, {"accessToken": token, "exp": int(expires), "casUrl": store}, headers)

    def _reconstruction(self, request: ApiRequest, version: xet.Version, name: str) -> ApiResponse:
        """Where the chunks of a file lie, of those that the token of Xet storage is good for."""
        model, commit, expires, signature = (*request.token.split(":"), "", "", "", "")[:4]
        is_good = self._is_signed(f"{model}:{commit}", expires, signature) and time.time() < int(expires)
        if not is_good or self._faults.happen("expire", request.route, request.method):
            raise HubError(401, "", "the token of Xet storage is not valid, or has expired")
        repository = self._repositories.repository(unquote(model))
        files = self._repositories.tree(repository, commit) if repository else []
        file = next((file for file in files if file.xet_hash == name), None)
        if file is None or repository is None:
            raise HubError(404, "", "Not found")
        span = ByteRange.parse(request.byte_range, file.size)
        if span is None:
            raise HubError(416, "", "no byte of the range exists")
        place, path = f"/_xet/xorbs/{repository.name}/{commit}", file.path
        links = xet.reconstruction(file, span, version, lambda xorb: self._link(f"{place}/{xorb.number}/{path}"))
        return ApiResponse(200, links)

    def _xorb(self, request: ApiRequest, name: str, commit: str, number: str, path: str) -> ApiResponse:
        xorb = xet.Xorb(self._linked(request, name, commit, path), int(number))
        return ApiResponse(200, headers={"Accept-Ranges": "bytes"}, file=xorb)


def _is_set(request: ApiRequest, name: str) -> bool:
    """Whether a flag of the query is true."""
    return request.query.get(name, ["false"])[0].lower() in {"true", "1"}


def _one_level(items: list[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """One item for each folder directly under `prefix`, then the files there."""
    files, folders = [], set()
    for item in items:
        first, slash, _ = item["path"][len(prefix) :].partition("/")
        folders.add(first) if slash else files.append(item)
    return [
        {"type": "directory", "oid": hashlib.sha256(name.encode()).hexdigest()[:40], "size": 0, "path": prefix + name}
        for name in sorted(folders)
    ] + files


def _config(files: list[RepoFile]) -> dict[str, Any]:
    """What the Hub repeats of the files that describe a model: the class of transformers, and that of diffusers."""
    config: dict[str, Any] = {}
    for path, found in ((file.path, file.content) for file in files if file.path in _DESCRIBING):
        with suppress(OSError, ValueError, TypeError, KeyError):
            document = dict(json.loads(found.read_bytes()))
            if path == "config.json":
                config |= {key: document[key] for key in ("architectures", "model_type") if key in document}
            else:
                config["diffusers"] = {"_class_name": document["_class_name"]}
    return config
