"""The index that pip is configured for is the one that uv asks, and nobody sees its password."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagepack.errors import RemoteError
from sagepack.package.requirements import index as module
from sagepack.package.requirements.index import PackageIndex, without_credentials
from tests.helpers import package_index

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "https://me:hunter2@pypi.company/simple"


def uv_variables(index: PackageIndex) -> dict[str, str]:
    return {name: value for name, value in index.variables.items() if name.startswith(("UV_", "SSL_"))}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which no file of this machine's pip is found."""
    monkeypatch.setattr(module, "_SYSTEM", tmp_path / "pip.conf")
    return {
        "HOME": str(tmp_path),
        "XDG_CONFIG_DIRS": str(tmp_path / "xdg"),
        "XDG_CONFIG_HOME": str(tmp_path / ".config"),
    }


def test_without_a_configuration_it_is_pypi(home: dict[str, str], tmp_path: Path) -> None:
    index = PackageIndex.of(home, tmp_path)
    assert (index.urls, index.name) == (("https://pypi.org/simple",), "https://pypi.org/simple")
    assert uv_variables(index) == {
        "UV_DEFAULT_INDEX": "https://pypi.org/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_the_variables_of_pip_become_those_of_uv(home: dict[str, str], tmp_path: Path) -> None:
    pip = {
        "PIP_INDEX_URL": SECRET,
        "PIP_EXTRA_INDEX_URL": "https://a/simple https://b/simple",
        "PIP_FIND_LINKS": "wheels https://c/links.html",
        "PIP_TRUSTED_HOST": "a b",
        "PIP_CERT": "/etc/company.pem",
    }
    index = PackageIndex.of({**home, **pip}, tmp_path)
    assert uv_variables(index) == {
        "UV_DEFAULT_INDEX": SECRET,
        "UV_INDEX": f"{SECRET} https://a/simple https://b/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INSECURE_HOST": "a b",
        "SSL_CERT_FILE": "/etc/company.pem",
    }
    assert index.find_links == (str(tmp_path / "wheels"), "https://c/links.html")


def test_no_index_leaves_only_the_folders(home: dict[str, str], tmp_path: Path) -> None:
    index = PackageIndex.of({**home, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}, tmp_path)
    assert (index.urls, index.find_links, index.name) == ((), ("/wheels",), "/wheels")


def test_the_files_of_pip_count_and_its_variables_count_more(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "xdg" / "pip").mkdir(parents=True)
    (tmp_path / "xdg" / "pip" / "pip.conf").write_text("[global]\nindex-url = https://system/simple\ntimeout = 60\n")
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text("[global]\nextra-index-url =\n  https://a%20\n  https://b\n")
    index = PackageIndex.of(home, tmp_path)
    assert index.urls == ("https://system/simple", "https://a%20", "https://b")
    index = PackageIndex.of({**home, "PIP_INDEX_URL": "https://mine/simple"}, tmp_path)
    assert index.urls[0] == "https://mine/simple"
    assert PackageIndex.of({**home, "PIP_CONFIG_FILE": "/dev/null"}, tmp_path).urls == ("https://pypi.org/simple",)


def test_an_index_that_uv_is_configured_for_comes_before_that_of_pip(home: dict[str, str], tmp_path: Path) -> None:
    both = {**home, "UV_DEFAULT_INDEX": "https://u/simple", "UV_INDEX": "own=https://v/simple", "PIP_INDEX_URL": SECRET}
    index = PackageIndex.of({**both, "UV_FIND_LINKS": "a,b"}, tmp_path)
    assert index.urls == ("https://v/simple", "https://u/simple")
    assert index.find_links == (str(tmp_path / "a"), str(tmp_path / "b"))
    assert uv_variables(index) == {"UV_DEFAULT_INDEX": "https://u/simple", "UV_INDEX": "own=https://v/simple"}


def test_no_other_setting_of_uv_has_an_effect(home: dict[str, str], tmp_path: Path) -> None:
    settings = {"UV_PRERELEASE": "allow", "UV_CONSTRAINT": "c.txt", "UV_RESOLUTION": "lowest", "UV_OVERRIDE": "o.txt"}
    index = PackageIndex.of({**home, **settings, "UV_CACHE_DIR": "/cache"}, tmp_path)
    assert set(uv_variables(index)) == {"UV_CACHE_DIR", "UV_DEFAULT_INDEX", "UV_INDEX_STRATEGY"}


def test_passwords_are_not_shown(home: dict[str, str], tmp_path: Path) -> None:
    index = PackageIndex.of({**home, "PIP_INDEX_URL": SECRET}, tmp_path)
    assert index.name == "https://pypi.company/simple"
    assert index.hidden(f"no answer from {SECRET}/x (hunter2)") == "no answer from https://pypi.company/simple/x (***)"
    assert without_credentials("https://a:b@c:8/d?token=e#sha256=f") == "https://c:8/d"


def test_credentials_go_to_the_host_of_the_index_and_to_no_other(home: dict[str, str], tmp_path: Path) -> None:
    with package_index.serving() as mine, package_index.serving() as other:
        mine.password = other.password = "hunter2"
        for each in (mine, other):
            each.add("film", "1.0")
        index = PackageIndex.of({**home, "PIP_INDEX_URL": mine.url.replace("//", "//me:hunter2@")}, tmp_path)
        with index.open(f"{mine.url}/film/") as response:
            assert b"film-1.0" in response.read()
        with pytest.raises(RemoteError, match="401"):
            index.open(f"{other.url}/film/")


def test_credentials_of_netrc_are_sent(home: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    with package_index.serving() as mine:
        mine.password = "hunter2"
        mine.add("film", "1.0")
        with PackageIndex.of({**home, "PIP_INDEX_URL": mine.url}, tmp_path).open(f"{mine.url}/film/") as response:
            assert response.status == 200
