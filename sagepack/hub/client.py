"""The Hugging Face Hub: what a repository holds at a commit, and its bytes from any offset.

Where the Hub is and which token to bring is looked up as huggingface_hub does it. The requests are this program's own, by
ranges over HTTP, for files in Xet storage too: huggingface_hub starts a file anew after a kill, gives up at one 503 of the
CDN, names the file that it writes as the Hub tells it to, and asks for tokens of Xet storage wherever the Hub says.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from sagepack.decoding import MalformedError
from sagepack.digest import Digest
from sagepack.errors import IntegrityError, UserError
from sagepack.hub.http import CHUNK, HttpPool
from sagepack.hub.range_reader import FileReader
from sagepack.hub.refusals import HubRequest, malformed, offline
from sagepack.hub.responses import ANSWER_BYTES, MODEL_INDEX_BYTES, account_of, commit_of, files_of, next_page, origin
from sagepack.package.manifest import check_paths
from sagepack.package.revision import Revision
from sagepack.retry import RetryPolicy
from sagepack.spec.model import COMMIT

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sagepack.hub.responses import RepoFile
    from sagepack.retry import Retries

_Value = TypeVar("_Value")
SMALL = 64 << 20
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]+")


class Hub:
    """One Hub, one token. Nothing is imported or asked before the first question; threads may share it.

    Args:
        endpoint: address of the Hub; None means `HF_ENDPOINT`, or huggingface.co.
        token: access token; None means `HF_TOKEN` or the client's login. It is sent to the endpoint's origin only.
        cache: folder of the client's cache (its `cache_dir`); None means the client's own.
        backoff: the longest wait before the second attempt, in seconds (`RetryPolicy`).
        notify: called with one line for each wait of more than 3 s, such as those of a rate limit.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        cache: Path | None = None,
        *,
        backoff: float = 0.5,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self.cache = cache
        self._given_endpoint, self._given_token = endpoint, token
        self._retry = RetryPolicy(backoff, notify=notify)

    @cached_property
    def endpoint(self) -> str:
        """Address of the Hub, without a slash at its end.

        Raises:
            UserError: it is no address of a Hub, or holds a password.
        """
        from huggingface_hub import constants

        endpoint = (self._given_endpoint or constants.ENDPOINT).rstrip("/")
        try:
            origin(endpoint)
        except MalformedError:
            message = "this is not an `http` or `https` address, or it holds a user name or a password"
            fix = "write it like https://huggingface.co, and give a token in HF_TOKEN"
            raise UserError(message, where="HF_ENDPOINT", fix=fix) from None
        return endpoint

    @cached_property
    def _token(self) -> tuple[str, str] | None:
        """The token and where it came from."""
        from huggingface_hub import constants, get_token

        source, token = "this environment's settings", self._given_token
        if not token:
            if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
                return None
            try:
                token = get_token()
            except (OSError, UnicodeDecodeError) as error:
                raise UserError("the client's login cannot be read", fix="`hf auth login`") from error
            source = "HF_TOKEN" if os.environ.get("HF_TOKEN", "").strip() == token else "the client's login"
        if token and not _TOKEN.fullmatch(token):
            raise UserError(f"the token from {source} holds characters that no token has", fix="copy it once more")
        return (token, source) if token else None

    @cached_property
    def _wire(self) -> HttpPool:
        return HttpPool(self.endpoint, self._token[0] if self._token else None)

    @cached_property
    def _reader(self) -> FileReader:
        return FileReader(self._wire, self._retry)

    @property
    def has_token(self) -> bool:
        """Whether there is a token at all."""
        return self._token is not None

    def _asked(self, repo: str, revision: str | None = None, path: str | None = None) -> HubRequest:
        """What is about to be asked.

        Raises:
            UserError: it may not be asked: the client is set to be offline, the repository's id or the path is none.
        """
        from huggingface_hub import constants

        asked = HubRequest(repo, revision, path, self._token[1] if self._token else None)
        if constants.is_offline_mode():
            raise offline(asked)
        if path is not None:
            check_paths([path])
        if not _REPOSITORY.fullmatch(repo):
            raise UserError(f"not a repository id: {repo!r}", fix="it is written owner/name")
        return asked

    def resolve(self, repo: str, name: str) -> Revision:
        """The commit that `name`, a branch, tag or commit of the repository, stands for.

        Raises:
            UserError: no such repository or revision, a bad token, or the client is set to be offline.
            RemoteError: the Hub does not answer, or not as a Hub does.
            IntegrityError: it says that a commit is another commit.
        """
        asked = self._asked(repo, name)
        commit = self._document(f"models/{quote(repo)}/revision/{quote(name, safe='')}", asked, commit_of)
        if COMMIT.fullmatch(name) and commit != name:
            raise IntegrityError(f"the Hub names commit {commit} in answer to commit {name}", where=repo)
        return Revision(repo, commit)

    def files(self, revision: Revision) -> list[RepoFile]:
        """All files at a commit, sorted by path.

        Raises:
            UserError, RemoteError: as for `resolve`.
        """
        asked = self._asked(revision.repo, revision.commit)
        tree = f"{quote(revision.repo)}/tree/{quote(revision.commit, safe='')}"
        url = f"{self.endpoint}/api/models/{tree}?recursive=true&expand=false"
        try:
            return files_of(self._pages(url, asked))
        except MalformedError as error:
            raise malformed("the listing", error, asked) from error

    def who(self) -> str | None:
        """Name of the token's account; None without a token.

        Raises:
            UserError: the Hub does not accept the token.
        """
        return self._document("whoami-v2", self._asked("account"), account_of) if self._token else None

    def read(self, revision: Revision, file: RepoFile) -> bytes:
        """The content of a file of at most 1 MiB, checked as by `digest`.

        Raises:
            UserError: it is larger; and as for `digest`.
            IntegrityError, RemoteError: as for `digest`.
        """
        kept: list[bytes] = []
        self._digest(revision, file, MODEL_INDEX_BYTES, kept)
        return b"".join(kept)

    def digest(self, revision: Revision, file: RepoFile) -> Digest:
        """SHA-256 of a file of at most 64 MiB, read and checked against the name that the listing gives its content.

        Raises:
            IntegrityError: what arrived twice has another name.
            UserError, RemoteError: as for `open`.
        """
        return self._digest(revision, file, SMALL)

    def _digest(self, revision: Revision, file: RepoFile, limit: int, kept: list[bytes] | None = None) -> Digest:
        where = f"{revision}: {file.path}"
        if file.size > limit:
            fix = "leave it out with model.include or model.exclude"
            raise UserError(f"the file has {file.size:,} bytes, at most {limit:,} are read", where=where, fix=fix)
        found = ""
        for _ in range(2):
            sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
            if kept is not None:
                kept.clear()
            for chunk in self.open(revision, file.path, 0, file.size):
                sha256.update(chunk)
                git.update(chunk)
                if kept is not None:
                    kept.append(chunk)
            found = sha256.hexdigest() if file.sha256 else git.hexdigest()
            if found == file.etag:
                return Digest("sha256", sha256.hexdigest())
        raise IntegrityError(f"the Hub says the content is {file.etag}, what arrived is {found}", where=where)

    def open(
        self,
        revision: Revision,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        stop: threading.Event | None = None,
    ) -> Iterator[bytes]:
        """The bytes of a file from `offset` on, in pieces of at most 256 KiB.

        A connection that is cut or sends too little, a 429 or 5xx is tried again with back-off, going on at the byte that
        was reached; an expired address is renewed; a server that ignores ranges is read past what is not wanted.

        Args:
            revision: the commit.
            path: path in the repository.
            offset: first byte.
            length: number of bytes; None means to the end.
            stop: set it to end early, with `Stopped`.

        Raises:
            IntegrityError: the file is shorter than `offset + length`.
            UserError: gated, missing, bad token, or the client is set to be offline.
            RemoteError: it went wrong too often.
        """
        return self._reader.open(self._asked(revision.repo, revision.commit, path), offset, length, stop)

    def ranged(self, revision: Revision, path: str) -> bool:
        """Whether the server has honoured every `Range` asked of this file so far."""
        return self._reader.ranged(self._asked(revision.repo, revision.commit, path))

    def _document(self, route: str, asked: HubRequest, parse: Callable[[bytes], _Value]) -> _Value:
        """The value of an answer of the API."""
        retries = self._retry.begin(asked.where)
        body, _ = self._answer(f"{self.endpoint}/api/{route}", asked, retries)
        try:
            return parse(body)
        except MalformedError as error:
            raise malformed("the answer", error, asked) from error

    def _pages(self, url: str | None, asked: HubRequest) -> Iterator[bytes]:
        """The pages of a listing. Their failures are counted together, so that a server that is slow or busy at each of them ends the work."""
        retries = self._retry.begin(asked.where)
        while url:
            body, headers = self._answer(url, asked, retries)
            retries.progressed(len(body))
            yield body
            url = next_page(headers, url)

    def _answer(self, url: str, asked: HubRequest, retries: Retries) -> tuple[bytes, Mapping[str, str]]:
        """The body and the headers of an answer of the API."""
        while True:
            with retries, self._wire.get(url, asked) as (_, response):
                chunks, size = [], 0
                while chunk := response.read(CHUNK, decode_content=False):
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > ANSWER_BYTES:
                        raise malformed("the answer", MalformedError(f"it exceeds {ANSWER_BYTES >> 20} MiB"), asked)
                return b"".join(chunks), response.headers
