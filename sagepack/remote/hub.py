"""The Hugging Face Hub: what a repository holds at a commit, and its bytes from any offset.

Listings, login and Xet transfers are huggingface_hub's; plain HTTP bodies are read by `hub_bytes`, because the client
starts a file anew after a kill, gives up at one 503 of the CDN, and reads a file through one connection.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sagepack.digest import Digest
from sagepack.errors import IntegrityError, UserError
from sagepack.remote.hub_bytes import FileReader, Location
from sagepack.remote.hub_errors import Asked, offline, refusal
from sagepack.remote.hub_http import RETRYABLE, Patience, Transient, retry_after

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

_Answer = TypeVar("_Answer")
SMALL = 64 << 20


@dataclass(frozen=True)
class RepoFile:
    """A file of a repository at a commit.

    Attributes:
        path: path in the repository.
        size: bytes.
        blob: name of the content in huggingface_hub's cache (the ETag): SHA-256 of an LFS file, git SHA-1 of others.
        sha256: SHA-256 of an LFS file; None for others, which must be read to know it.
    """

    path: str
    size: int
    blob: str
    sha256: Digest | None


class Hub:
    """One Hub, one token. Nothing is imported or asked before the first question; threads may share it.

    Args:
        endpoint: address of the Hub; None means `HF_ENDPOINT`, or huggingface.co.
        token: access token; None means `HF_TOKEN` or the client's login. It is sent to the endpoint's origin only.
        cache: folder of the client's cache (its `cache_dir`); None means the client's own.
        backoff: seconds before the second attempt, about.
        tell: told of waits that a person would notice, such as those of a rate limit.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        cache: Path | None = None,
        *,
        backoff: float = 0.5,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.cache = cache
        self._given_endpoint, self._given_token, self._backoff, self._tell = endpoint, token, backoff, tell

    def __repr__(self) -> str:
        return f"Hub({self._given_endpoint!r})"

    @cached_property
    def endpoint(self) -> str:
        """Address of the Hub, without a slash at its end."""
        from huggingface_hub import constants

        return (self._given_endpoint or constants.ENDPOINT).rstrip("/")

    @cached_property
    def _token(self) -> tuple[str, str] | None:
        """The token and where it came from."""
        from huggingface_hub import constants, get_token

        if self._given_token:
            return self._given_token, "this environment's settings"
        if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN or not (token := get_token()):
            return None
        return token, "HF_TOKEN" if os.environ.get("HF_TOKEN", "").strip() == token else "the client's login"

    @cached_property
    def _reader(self) -> FileReader:
        return FileReader(self.endpoint, self._token[0] if self._token else None, self._backoff, self._tell)

    @property
    def has_token(self) -> bool:
        """Whether there is a token at all."""
        return self._token is not None

    def _asked(self, repo: str, revision: str | None = None, path: str | None = None) -> Asked:
        """What is about to be asked.

        Raises:
            UserError: it may not be asked, because the client is set to be offline.
        """
        from huggingface_hub import constants

        asked = Asked(repo, revision, path, self._token[1] if self._token else None)
        if constants.is_offline_mode():
            raise offline(asked)
        return asked

    def resolve(self, repo: str, revision: str) -> str:
        """The commit that a branch, tag or commit names.

        Raises:
            UserError: no such repository or revision, a bad token, or the client is set to be offline.
            RemoteError: the Hub does not answer.
        """
        info = self._ask(lambda api: api.model_info(repo, revision=revision, timeout=30), self._asked(repo, revision))
        return str(info.sha)

    def files(self, repo: str, commit: str) -> list[RepoFile]:
        """All files at a commit, sorted by path.

        Raises:
            UserError, RemoteError: as for `resolve`.
        """
        from huggingface_hub.hf_api import RepoFile as Listed

        # The client tries this question again by itself.
        tree = self._ask(
            lambda api: list(api.list_repo_tree(repo, recursive=True, revision=commit)), self._asked(repo, commit), 1
        )
        return sorted((_file(entry) for entry in tree if isinstance(entry, Listed)), key=lambda file: file.path)

    def who(self) -> str | None:
        """Name of the token's account; None without a token.

        Raises:
            UserError: the Hub does not accept the token.
        """
        return str(self._ask(lambda api: api.whoami(), self._asked("account"))["name"]) if self._token else None

    def read(self, repo: str, commit: str, path: str) -> bytes:
        """The content of a small file (at most 64 MiB), checked against the name the Hub gives the content.

        Raises:
            IntegrityError: what arrived twice is not what the Hub says it is.
            UserError, RemoteError: as for `open`.
        """
        expected, found = self.locate(repo, commit, path).etag, ""
        for _ in range(2):
            content = bytearray()
            for chunk in self.open(repo, commit, path):
                content += chunk
                if len(content) > SMALL:
                    raise UserError("the file is too large to be read at once", where=f"{repo}: {path}")
            if (found := _name(content, expected)) == expected:
                return bytes(content)
        message = f"the Hub says the content is {expected}, what arrived is {found}"
        raise IntegrityError(message, where=Asked(repo, commit, path).where)

    def open(
        self,
        repo: str,
        commit: str,
        path: str,
        offset: int = 0,
        length: int | None = None,
        *,
        stop: threading.Event | None = None,
    ) -> Iterator[bytes]:
        """The bytes of a file from `offset` on, in pieces of at most 256 KiB.

        A connection that is cut, a 429 or 5xx is tried again with back-off, going on at the byte that was reached; an
        expired address is renewed; a server that ignores ranges is read past what is not wanted.

        Args:
            repo: repository id.
            commit: 40 hex digits.
            path: path in the repository.
            offset: first byte.
            length: number of bytes; None means to the end.
            stop: set it to end early, with `Stopped`.

        Raises:
            IntegrityError: the file is shorter than `offset + length`.
            UserError: gated, missing, bad token, or the client is set to be offline.
            RemoteError: it went wrong too often.
        """
        return self._reader.open(self._asked(repo, commit, path), offset, length, stop)

    def ranged(self, repo: str, commit: str, path: str) -> bool:
        """Whether the server has honoured every `Range` asked of this file so far."""
        return self._reader.ranged(self._asked(repo, commit, path))

    def locate(self, repo: str, commit: str, path: str) -> Location:
        """The name of a content and whether it lies in Xet storage, by one HEAD request.

        Raises:
            UserError, RemoteError: as for `open`.
        """
        return self._reader.locate(self._asked(repo, commit, path))

    def uses_xet(self, repo: str, commit: str, path: str) -> bool:
        """Whether the client would fetch this file from Xet storage: it lies there, and hf_xet is here and wanted."""
        from huggingface_hub import constants

        able = find_spec("hf_xet") is not None and not constants.HF_HUB_DISABLE_XET
        return able and self.locate(repo, commit, path).xet

    def fetch(self, repo: str, commit: str, path: str, cache: Path, *, force: bool, add: Callable[[int], None]) -> Path:
        """Let the client download a file into its cache; nobody has checked the bytes.

        Args:
            repo: repository id.
            commit: 40 hex digits.
            path: path in the repository.
            cache: folder of the client's cache.
            force: download even if it is there.
            add: told of bytes as they arrive.

        Raises:
            UserError, RemoteError: as for `resolve`.
        """
        from huggingface_hub import hf_hub_download

        bar: Any = type("Bar", (_Bar,), {"add": staticmethod(add)})
        options = {"revision": commit, "cache_dir": cache, "force_download": force, "tqdm_class": bar}
        return Path(
            self._ask(
                lambda api: hf_hub_download(repo, path, endpoint=self.endpoint, token=api.token, **options),
                self._asked(repo, commit, path),
            )
        )

    def _ask(self, question: Callable[[Any], _Answer], asked: Asked, attempts: int = 6) -> _Answer:
        from huggingface_hub import HfApi

        api = HfApi(endpoint=self.endpoint, token=self._token[0] if self._token else False)
        patience = Patience(self._backoff, asked.where, attempts=attempts, tell=self._tell)
        while True:
            with patience:
                return self._ask_once(question, api, asked)

    def _ask_once(self, question: Callable[[Any], _Answer], api: Any, asked: Asked) -> _Answer:
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        try:
            return question(api)
        except HfHubHTTPError as error:
            status, headers = error.response.status_code, error.response.headers
            if status in RETRYABLE:
                raise Transient(f"the Hub answered {status}", retry_after(headers)) from error
            raise refusal(status, headers, asked) from error
        except HFValidationError as error:
            raise UserError(f"not a repository id: {asked.repo!r}", fix="it is written owner/name") from error
        except (httpx2.TransportError, LocalEntryNotFoundError) as error:
            raise Transient(f"the Hub at {self.endpoint} cannot be reached: {error}") from error


class _Bar:
    """Just enough of a progress bar for the client to report bytes to."""

    add: Callable[[int], None]

    def __init__(self, *_args: Any, **_options: Any) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def update(self, count: float | None = 1) -> None:
        self.add(int(count or 0))

    def _ignore(self, *_args: Any, **_options: Any) -> None:
        pass

    close = refresh = set_description = set_description_str = set_postfix_str = _ignore
    # Present, so that the client does not count what it receives beside what it has written.
    update_transfer = set_transfer_postfix_str = _ignore


def _file(entry: Any) -> RepoFile:
    sha256 = Digest("sha256", entry.lfs.sha256) if entry.lfs else None
    return RepoFile(entry.path, entry.size, sha256.value if sha256 else entry.blob_id, sha256)


def _name(content: bytes | bytearray, like: str) -> str:
    """The Hub's name for a content: SHA-256 for LFS files, git's blob id for others."""
    if len(like) == 64:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
