"""The client of the Hugging Face Hub: which files a repository has at a commit, and their bytes from any offset.

The address of the Hub and the token are found as huggingface_hub finds them. The requests are made here, as range requests
over HTTP and as range streams of hf_xet, because huggingface_hub downloads a file from the beginning after a kill, gives up
at the first 503 of the CDN, takes the name of the file that it writes from the Hub's response, and requests tokens of Xet
storage from whatever address the Hub names.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from sagepack.decoding import MalformedError
from sagepack.digest import Digest
from sagepack.errors import IntegrityError, SagepackError, UserError
from sagepack.hub.address import KEY, VARIABLE, HubAddress
from sagepack.hub.http import CHUNK, HttpPool
from sagepack.hub.range_reader import FileReader
from sagepack.hub.refusals import HubRequest, malformed, offline
from sagepack.hub.responses import MODEL_INDEX_BYTES, RESPONSE_BYTES, files_of, info_of, next_page, origin, version_of
from sagepack.package.manifest import check_paths
from sagepack.package.revision import Revision
from sagepack.retry import RetryPolicy
from sagepack.spec.model import COMMIT

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from sagepack.hub.ranges import Range
    from sagepack.hub.responses import ModelFacts, ModelVersion, RepoFile
    from sagepack.retry import Retries

_Value = TypeVar("_Value")
# Files outside LFS, whose SHA-256 the Hub does not know, are read for the lock up to this size.
_MAX_READ_BYTES = 64 << 20
# A check that takes longer than this says less than it costs.
_CHECK = RetryPolicy(backoff=0.2, attempts=2, fix="run the same command again")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]+")


class Hub:
    """A Hub and a token. Threads may share it. Importing the HTTP libraries and looking for the token wait for the first use.

    Args:
        endpoint: address of the Hub; None means `HF_ENDPOINT`, or huggingface.co.
        token: access token; None means `HF_TOKEN`, or that of `hf auth login`. It is sent to the endpoint's origin only.
            Where the spec names the Hub, it is sent if `HF_ENDPOINT` names the same one.
        cache: folder of the Hugging Face cache (`cache_dir` of huggingface_hub); None means its default.
        backoff: the longest wait before the second attempt, in seconds (`RetryPolicy`).
        notify: called with one line for each wait of more than 3 s, such as those of a rate limit.
        source: who named `endpoint` (see `HubAddress`).
    """

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        cache: Path | None = None,
        *,
        backoff: float = 0.5,
        notify: Callable[[str], None] | None = None,
        source: str = VARIABLE,
    ) -> None:
        self.cache = cache
        self._given_endpoint, self._given_token, self._source = endpoint, token, source
        self._retry = RetryPolicy(backoff, notify=notify)

    @cached_property
    def address(self) -> HubAddress:
        """Where the Hub is.

        Raises:
            UserError: it is not an `http` or `https` URL, or it contains a user name or a password.
        """
        from huggingface_hub import constants

        endpoint = (self._given_endpoint or constants.ENDPOINT).rstrip("/")
        _origin(endpoint, self._source)
        return HubAddress(endpoint, self._source)

    @property
    def endpoint(self) -> str:
        """The Hub's address, without a slash at its end; errors are those of `address`."""
        return self.address.url

    @property
    def is_offline(self) -> bool:
        """Whether `HF_HUB_OFFLINE` forbids every request."""
        from huggingface_hub import constants

        return constants.is_offline_mode()

    @cached_property
    def _token(self) -> tuple[str, str] | None:
        """The token, and where it was found, for messages; None without one."""
        from huggingface_hub import constants, get_token

        source, token = "this environment's settings", self._given_token
        if not token:
            if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN or not self._is_users_choice():
                return None
            try:
                token = get_token()
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(
                    "the token of `hf auth login` cannot be read", fix="run `hf auth login` again"
                ) from error
            source = "HF_TOKEN" if os.environ.get("HF_TOKEN", "").strip() == token else "`hf auth login`"
        if token and not _TOKEN.fullmatch(token):
            raise UserError(f"the token from {source} contains characters that no token has", fix="copy it again")
        return (token, source) if token else None

    def _is_users_choice(self) -> bool:
        """Whether the user's environment names this Hub, and not a spec alone, which may come from anybody."""
        from huggingface_hub import constants

        if self._source != KEY:
            return True
        return _origin(self.endpoint, KEY) == _origin(constants.ENDPOINT.rstrip("/"), VARIABLE)

    @cached_property
    def _pool(self) -> HttpPool:
        return HttpPool(self.address, self._token[0] if self._token else None)

    @cached_property
    def _reader(self) -> FileReader:
        return FileReader(self._pool, self._retry)

    def _request(self, repo: str, revision: str | None = None, path: str | None = None) -> HubRequest:
        """A request that may be sent.

        Raises:
            UserError: `HF_HUB_OFFLINE` is set, or the repository id or the path is not valid.
        """
        from huggingface_hub import constants

        request = HubRequest(repo, revision, path, self._token[1] if self._token else None, self.address)
        if constants.is_offline_mode():
            raise offline(request)
        if path is not None:
            check_paths([path])
        if not _REPOSITORY.fullmatch(repo):
            raise UserError(f"not a repository id: {repo!r}", fix="write it as owner/name")
        return request

    def resolve(self, repo: str, name: str) -> Revision:
        """The commit that `name`, a branch, tag or commit of the repository, stands for.

        Raises:
            UserError: no such repository or revision, a bad token, or `HF_HUB_OFFLINE` is set.
            RemoteError: the Hub cannot be reached, or its response is not valid.
            IntegrityError: `name` is a commit, and the Hub returned a different one.
        """
        return Revision(repo, self.version(repo, name).commit)

    def version(self, repo: str, name: str) -> ModelVersion:
        """The commit that `name` stands for, with what the Hub says about it. One request; raises as `resolve`."""
        request = self._request(repo, name)
        found = self._document(f"models/{quote(repo)}/revision/{quote(name, safe='')}", request, version_of)
        if COMMIT.fullmatch(name) and found.commit != name:
            raise IntegrityError(f"the Hub returned commit {found.commit} for commit {name}", where=repo)
        return found

    def describe(self, repo: str) -> ModelFacts:
        """What the Hub says about a model: its class, its task, and the commit of its main branch.

        Raises:
            UserError, RemoteError: as for `resolve`.
        """
        return self._document(f"models/{quote(repo)}", self._request(repo), info_of)

    def other_kind(self, repo: str) -> str | None:
        """What a repository is that is no model: `dataset`, `space`, or None if there is none of either.

        Raises:
            UserError: `HF_HUB_OFFLINE` is set, or the repository id is not valid.
        """
        request = self._request(repo)
        for kind in ("dataset", "space"):
            with suppress(SagepackError):
                self._get(f"{self.endpoint}/api/{kind}s/{quote(repo)}", request, _CHECK.begin(request.where))
                return kind
        return None

    def check_access(self, repo: str) -> str | None:
        """Check that the files of a repository may be read: it exists, and its gate, if any, is open for the token.

        Returns:
            Where the token was found that was sent; None without one.

        Raises:
            UserError, RemoteError: as for `resolve`; a Hub that cannot be reached is given up after two attempts.
        """
        request = self._request(repo)
        self._get(f"{self.endpoint}/api/models/{quote(repo)}/auth-check", request, _CHECK.begin(request.where))
        return request.token

    def files(self, revision: Revision, *, scans: bool = False) -> list[RepoFile]:
        """All files at a commit, sorted by path.

        Args:
            revision: the commit.
            scans: with the verdicts of the Hub's scan. Its pages are shorter then: 50 files instead of 1,000.

        Raises:
            UserError, RemoteError: as for `resolve`.
        """
        request = self._request(revision.repo, revision.commit)
        tree = f"{quote(revision.repo)}/tree/{quote(revision.commit, safe='')}"
        url = f"{self.endpoint}/api/models/{tree}?recursive=true&expand={'true' if scans else 'false'}"
        try:
            return files_of(self._pages(url, request))
        except MalformedError as error:
            raise malformed("the file listing", error, request) from error

    def read(self, revision: Revision, file: RepoFile) -> bytes:
        """The content of a file of at most 1 MiB, checked as in `digest`.

        Raises:
            UserError: the file is larger; and as for `digest`.
            IntegrityError, RemoteError: as for `digest`.
        """
        chunks: list[bytes] = []
        self._digest(revision, file, MODEL_INDEX_BYTES, chunks)
        return b"".join(chunks)

    def digest(self, revision: Revision, file: RepoFile) -> Digest:
        """SHA-256 of a file of at most 64 MiB, which is read and compared with its ETag in the listing.

        Raises:
            IntegrityError: the content did not have that ETag, twice in a row.
            UserError: the file is larger; and as for `open`.
            RemoteError: as for `open`.
        """
        return self._digest(revision, file, _MAX_READ_BYTES)

    def _digest(self, revision: Revision, file: RepoFile, limit: int, chunks: list[bytes] | None = None) -> Digest:
        where = f"{revision}: {file.path}"
        if file.size > limit:
            fix = "exclude it with model.include or model.exclude"
            raise UserError(f"the file has {file.size:,} bytes; at most {limit:,} are read", where=where, fix=fix)
        found = ""
        for _ in range(2):
            sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
            if chunks is not None:
                chunks.clear()
            for chunk in self.open(revision, file.path, 0, file.size):
                sha256.update(chunk)
                git.update(chunk)
                if chunks is not None:
                    chunks.append(chunk)
            found = sha256.hexdigest() if file.sha256 else git.hexdigest()
            if found == file.etag:
                return Digest("sha256", sha256.hexdigest())
        raise IntegrityError(f"the Hub lists the content {file.etag} and sent {found}", where=where)

    def open(
        self,
        revision: Revision,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        stop: threading.Event | None = None,
    ) -> Iterator[bytes]:
        """The bytes of a file from `offset` on, in chunks of at most 256 KiB.

        A request that fails with 429 or 5xx, or whose connection breaks or stalls, is sent again after a pause, for the bytes
        that have not arrived yet. An expired URL of the CDN is renewed. If the server ignores `Range`, the bytes before
        `offset` are read and dropped. Large files in Xet storage are read from there; if that fails, from the CDN.

        Args:
            revision: the commit.
            path: path in the repository.
            offset: first byte.
            length: number of bytes; None means to the end.
            stop: set it in another thread to end early, with `CancelledError`.

        Raises:
            IntegrityError: the file is shorter than `offset + length`.
            UserError: the repository is gated or missing, the token is bad, or `HF_HUB_OFFLINE` is set.
            RemoteError: the last attempt failed.
        """
        return self._reader.open(self._request(revision.repo, revision.commit, path), offset, length, stop)

    def ranges(
        self, revision: Revision, path: str, ranges: Iterable[Range], *, stop: threading.Event | None = None
    ) -> Iterator[tuple[int, bytes]]:
        """Chunks of several ranges of a file, with their offsets; otherwise as `open`.

        Args:
            revision: the commit.
            path: path in the repository.
            ranges: read one after the other; some are asked for before the one before is complete.
            stop: set it in another thread to end early, with `CancelledError`.
        """
        return self._reader.ranges(self._request(revision.repo, revision.commit, path), ranges, stop)

    def in_xet(self, revision: Revision, path: str, length: int, *, stop: threading.Event | None = None) -> bool:
        """Whether a file of which so many bytes are wanted comes from Xet storage, which gives any range.

        Raises:
            UserError, RemoteError: as for `open`.
        """
        return self._reader.in_xet(self._request(revision.repo, revision.commit, path), length, stop)

    def ranged(self, revision: Revision, path: str) -> bool:
        """Whether the server has respected `Range` in every request for this file so far."""
        return self._reader.ranged(self._request(revision.repo, revision.commit, path))

    def _document(self, route: str, request: HubRequest, parse: Callable[[bytes], _Value]) -> _Value:
        """The parsed response of a route of the API."""
        retries = self._retry.begin(request.where)
        body, _ = self._get(f"{self.endpoint}/api/{route}", request, retries)
        try:
            return parse(body)
        except MalformedError as error:
            raise malformed("the response", error, request) from error

    def _pages(self, url: str | None, request: HubRequest) -> Iterator[bytes]:
        """The pages of a listing. Failures are counted over all pages, so that a server that fails at each page is given up."""
        retries = self._retry.begin(request.where)
        while url:
            body, headers = self._get(url, request, retries)
            retries.progressed(len(body))
            yield body
            url = next_page(headers, url)

    def _get(self, url: str, request: HubRequest, retries: Retries) -> tuple[bytes, Mapping[str, str]]:
        """The body and the headers of a response of the API."""
        while True:
            with retries, self._pool.get(url, request) as (_, response):
                chunks, size = [], 0
                while chunk := response.read(CHUNK, decode_content=False):
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > RESPONSE_BYTES:
                        error = MalformedError(f"it exceeds {RESPONSE_BYTES >> 20} MiB")
                        raise malformed("the response", error, request)
                return b"".join(chunks), response.headers


def _origin(endpoint: str, source: str) -> tuple[str, str, int]:
    """The origin of a Hub's address.

    Raises:
        UserError: it has none; `source` is where it was written.
    """
    try:
        return origin(endpoint)
    except MalformedError:
        message = "this is not an `http` or `https` URL, or it contains a user name or a password"
        fix = "write it like https://huggingface.co, and give a token in HF_TOKEN"
        raise UserError(message, where=source, fix=fix) from None
