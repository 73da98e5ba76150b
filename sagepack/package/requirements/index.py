"""The package index that this machine is configured for.

Users have configured pip: by `PIP_INDEX_URL`, `PIP_EXTRA_INDEX_URL`, `PIP_FIND_LINKS`, `PIP_NO_INDEX`, `PIP_TRUSTED_HOST`
and `PIP_CERT`, or in a `pip.conf`. uv reads none of it, so it is translated, unless a variable of uv names an index. All of
it goes to uv in the environment: an address may hold a password, and everybody can read the arguments of a process. As pip
does, uv then takes the best version of all indexes. No other setting of uv has an effect, nor has a `uv.toml`.
"""

from __future__ import annotations

import base64
import configparser
import netrc
import re
import ssl
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from sagepack.decoding import Value
from sagepack.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PYPI = "https://pypi.org/simple"
_TIMEOUT = 60.0  # seconds without a byte
_OF_PIP = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert")
_OF_UV = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX")
# What uv may read of the environment: where packages are and how to get there, and a wish for packages of some age.
_KEPT = re.compile(
    r"UV_(?:DEFAULT_INDEX|INDEX|EXTRA_INDEX|FIND_LINKS|NO_INDEX|INSECURE_HOST|KEYRING|HTTP|REQUEST_TIMEOUT|NATIVE_TLS"
    r"|SYSTEM_CERTS|OFFLINE|CACHE_DIR|NO_CACHE|CONCURRENT|EXCLUDE_NEWER|CREDENTIALS)"
)
_SYSTEM = Path("/etc/pip.conf")
_FALSE = {"", "0", "false", "no", "off", "n", "f"}


class PackageIndex(Value, frozen=True):
    """Where packages come from.

    Attributes:
        variables: the environment of uv.
        urls: the addresses of all indexes, which may hold credentials, the most important one first.
        find_links: folders and pages with packages; folders are absolute.
    """

    variables: Mapping[str, str]
    urls: tuple[str, ...]
    find_links: tuple[str, ...]

    @classmethod
    def of(cls, environ: Mapping[str, str], folder: Path) -> PackageIndex:
        """What an environment and the files of pip say.

        Args:
            environ: the environment of this process.
            folder: relative paths in it are relative to this one.
        """
        others = {name: value for name, value in environ.items() if not name.startswith("UV_")}
        kept = {name: value for name, value in environ.items() if _KEPT.match(name)}
        if any(kept.get(name) for name in _OF_UV):
            default = kept.get("UV_DEFAULT_INDEX") or kept.get("UV_INDEX_URL") or PYPI
            extra = f"{kept.get('UV_INDEX', '')} {kept.get('UV_EXTRA_INDEX_URL', '')}".split()
            links = _absolute(kept.pop("UV_FIND_LINKS", "").replace(",", " ").split(), folder)
            urls = (
                () if _is_true(kept.get("UV_NO_INDEX", "")) else (*(each.rpartition("=")[2] for each in extra), default)
            )
            return cls({**others, **kept}, urls, links)
        pip = _of_pip(environ)
        default, extra = pip.get("index-url", "").strip() or PYPI, pip.get("extra-index-url", "").split()
        if _is_true(pip.get("no-index", "")):
            found, urls = dict[str, str](), ()
        else:
            # Of a version that several indexes have, uv knows the files of the first one only, and that is never the default
            # one: a partial mirror would hide the files of the others.
            listed = " ".join((default, *extra)) if extra else ""
            found, urls = {"UV_DEFAULT_INDEX": default, "UV_INDEX": listed}, (default, *extra)
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
        found["UV_INSECURE_HOST"] = " ".join(pip.get("trusted-host", "").split())
        if pip.get("cert") and "SSL_CERT_FILE" not in environ:
            found["SSL_CERT_FILE"] = pip["cert"]
        chosen = {name: value for name, value in found.items() if value}
        return cls({**others, **kept, **chosen}, urls, _absolute(pip.get("find-links", "").split(), folder))

    @property
    def name(self) -> str:
        """The index as messages name it: without credentials."""
        return without_credentials(self.urls[0]) if self.urls else ", ".join(map(without_credentials, self.find_links))

    def hidden(self, text: str) -> str:
        """`text` without the addresses and credentials of the indexes in it."""
        for url in (*self.urls, *self.find_links):
            parts = urlsplit(url)
            text = text.replace(url, without_credentials(url))
            for secret in {parts.password, unquote(parts.password or "")} - {None, ""}:
                text = text.replace(str(secret), "***")
        return text

    def open(self, url: str, headers: Mapping[str, str] | None = None) -> Any:
        """The response to a GET request; credentials of the index, or of `.netrc`, are sent to its own host only.

        Raises:
            RemoteError: there is no way to the host, or it refuses.
        """
        parts = urlsplit(url)  # urllib would take credentials in it for a part of the host's name
        address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        request = urllib.request.Request(address, headers=dict(headers or {}))
        if token := self._credentials(url):
            # A redirect to another host must not get it.
            request.add_unredirected_header("Authorization", f"Basic {token}")
        try:
            return urllib.request.urlopen(
                request, timeout=_TIMEOUT, context=_trusting(self.variables.get("SSL_CERT_FILE"))
            )
        except OSError as error:
            reason = getattr(error, "reason", None) or error.strerror or error
            code = f"{error.code} " if isinstance(error, urllib.error.HTTPError) else ""
            raise RemoteError(
                f"cannot fetch it: {code}{reason}",
                where=without_credentials(url),
                fix="check the way to the package index (PIP_INDEX_URL or UV_DEFAULT_INDEX), and its credentials",
            ) from error

    def _credentials(self, url: str) -> str | None:
        target = urlsplit(url)
        for parts in map(urlsplit, (url, *self.urls, *self.find_links)):
            if parts.username is not None and (parts.scheme, parts.hostname, parts.port) == (
                target.scheme,
                target.hostname,
                target.port,
            ):
                return _basic(unquote(parts.username), unquote(parts.password or ""))
        with suppress(OSError, netrc.NetrcParseError):
            found = netrc.netrc().authenticators(target.hostname or "")
            return _basic(found[0], found[2] or "") if found else None
        return None


@cache
def _trusting(authorities: str | None) -> ssl.SSLContext:
    """TLS that trusts the authorities in a file; without one, those of the system."""
    return ssl.create_default_context(cafile=authorities)


def without_credentials(url: str) -> str:
    """An address without user, password and query."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _absolute(links: list[str], folder: Path) -> tuple[str, ...]:
    return tuple(link if "://" in link else str(folder / Path(link).expanduser()) for link in links)


def _is_true(text: str) -> bool:
    return text.strip().lower() not in _FALSE


def _of_pip(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of pip about indexes: its variables before its files, and of those the nearest to the user first."""
    found: dict[str, str] = {}
    for path in _configurations(environ):
        parser = configparser.RawConfigParser()
        with suppress(OSError, configparser.Error, UnicodeDecodeError):
            parser.read(path, encoding="utf-8")
        for section in ("global", "install"):
            if parser.has_section(section):
                found |= {key: value for key, value in parser.items(section) if key in _OF_PIP}
    for key in _OF_PIP:
        if value := environ.get(f"PIP_{key.upper().replace('-', '_')}"):
            found[key] = value
    return found


def _configurations(environ: Mapping[str, str]) -> Iterator[Path]:
    """The files that pip reads, the most important one last (pip documentation, "Configuration")."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == "/dev/null":
        return
    home = Path(environ.get("HOME", "/"))
    for folder in reversed(environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")):
        yield Path(folder) / "pip" / "pip.conf"
    yield _SYSTEM
    yield home / ".pip" / "pip.conf"
    if sys.platform == "darwin":
        yield home / "Library" / "Application Support" / "pip" / "pip.conf"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    yield Path(sys.prefix) / "pip.conf"
    if named:
        yield Path(named)
