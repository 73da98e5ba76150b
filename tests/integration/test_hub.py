"""The Hub as the engine asks it: listings, bytes from any offset, and messages for every way to be refused."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.digest import Digest
from sagepack.errors import IntegrityError, RemoteError, SagepackError, UserError
from sagepack.hub import address
from sagepack.hub.client import Hub
from sagepack.hub.lock_files import resolve_files
from sagepack.package.revision import Revision
from sagepack.retry import CancelledError
from sagepack.sandbox.miniatures import models as miniature
from tests.helpers.hostile_hub import HostileHub, answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sagepack.hub.responses import RepoFile
    from sagepack.sandbox.faults import Faults
    from sagepack.sandbox.servers import Servers

SVD = miniature.SVD
REVISION = Revision(SVD.name, SVD.commit)
LARGE = "unet/diffusion_pytorch_model.fp16.safetensors"
SECRET = "hf_" + "s3cret" * 5


def hub_of(sandbox: Servers, token: str | None = None) -> Hub:
    return Hub(sandbox.hub_url, token, backoff=0.01)


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))


@pytest.fixture
def hub(sandbox: Servers) -> Hub:
    return hub_of(sandbox, sandbox.hf_token)


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    return dict(SVD.files())


def test_a_branch_becomes_a_commit_and_a_commit_stays_one(hub: Hub) -> None:
    assert hub.resolve(SVD.name, "main") == hub.resolve(SVD.name, SVD.commit) == REVISION


def test_the_listing_has_size_name_and_digest_of_every_file(
    hub: Hub, faults: Faults, contents: dict[str, bytes]
) -> None:
    faults.page(4)
    files = {file.path: file for file in hub.files(REVISION)}
    assert {path: file.size for path, file in files.items()} == {path: len(data) for path, data in contents.items()}
    assert files[LARGE].sha256 == Digest.sha256(contents[LARGE])
    assert files[LARGE].etag == Digest.sha256(contents[LARGE]).value
    assert files["unet/config.json"].sha256 is None
    assert len(files["unet/config.json"].etag) == 40


def test_a_lock_has_the_digest_of_small_files_too(hub: Hub, contents: dict[str, bytes]) -> None:
    locked = resolve_files(hub, REVISION, hub.files(REVISION))
    assert {file.path: file.digest for file in locked} == {path: Digest.sha256(data) for path, data in contents.items()}


def listed(hub: Hub, path: str) -> RepoFile:
    return next(file for file in hub.files(REVISION) if file.path == path)


def test_a_small_file_is_read_whole_and_one_that_is_not_small_is_refused(hub: Hub, contents: dict[str, bytes]) -> None:
    index = listed(hub, "model_index.json")
    assert hub.read(REVISION, index) == contents[index.path]
    assert hub.digest(REVISION, listed(hub, LARGE)) == Digest.sha256(contents[LARGE])
    for ask, size in ((hub.read, (1 << 20) + 1), (hub.digest, (64 << 20) + 1)):
        with pytest.raises(UserError, match=rf"has {size:,} bytes.*\n.*model.exclude"):
            ask(REVISION, replace(index, size=size))


def test_a_small_file_that_arrives_damaged_is_read_again_and_never_believed(
    hub: Hub, faults: Faults, contents: dict[str, bytes]
) -> None:
    index = listed(hub, "model_index.json")
    faults.corrupt("*/model_index.json", at=3, times=1)
    assert hub.read(REVISION, index) == contents["model_index.json"]
    faults.corrupt("*/model_index.json", at=3)
    with pytest.raises(IntegrityError, match="the Hub lists the content"):
        hub.digest(REVISION, index)


@pytest.mark.parametrize("faulty", [False, True])
@pytest.mark.parametrize(("offset", "length"), [(0, None), (0, 10), (5, None), (100_000, 300_001), (7, 0), (0, 0)])
def test_any_range_is_exactly_its_bytes(
    hub: Hub, faults: Faults, contents: dict[str, bytes], offset: int, length: int | None, faulty: bool
) -> None:
    if faulty:
        faults.ignore_range()
        faults.cut(after=90_000, times=2)
    end = None if length is None else offset + length
    assert b"".join(hub.open(REVISION, LARGE, offset, length)) == contents[LARGE][offset:end]
    small = "unet/config.json"
    assert b"".join(hub.open(REVISION, small, 3, 20)) == contents[small][3:23]


def test_a_signed_address_is_used_until_it_expires(hub: Hub, faults: Faults) -> None:
    ranges = {f"bytes={offset}-{offset + 9}": offset for offset in range(1000, 1040, 10)}
    for offset in ranges.values():
        assert len(b"".join(hub.open(REVISION, LARGE, offset, 10))) == 10
    # Other tests use other ranges: one of their requests may be recorded late.
    mine = [request.path for request in faults.log if request.range in ranges]
    assert len([path for path in mine if "/resolve/" in path]) == 1
    assert len(mine) == 1 + len(ranges)
    faults.link_lifetime(-1)
    faults.expire()
    with pytest.raises(RemoteError, match="the CDN refused"):
        list(hub.open(REVISION, LARGE, 0, 10))


def test_more_than_there_is_is_an_integrity_error(hub: Hub, contents: dict[str, bytes]) -> None:
    size = len(contents[LARGE])
    with pytest.raises(IntegrityError, match=f"has {size} bytes on the Hub, {size + 1} were expected"):
        list(hub.open(REVISION, LARGE, 0, size + 1))
    with pytest.raises(IntegrityError, match=r"bytes on the Hub, \d+ were expected"):
        list(hub.open(REVISION, LARGE, size, 1))


def test_the_wait_that_the_server_asks_for_is_kept(hub: Hub, faults: Faults) -> None:
    faults.status(f"*/{LARGE}", 429, retry_after=1, times=None)
    waited: list[float] = []

    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0)
            faults.clear()  # not after one response: a late request of another test may get it
            return False

    list(hub.open(REVISION, LARGE, 0, 10, stop=Clock()))
    assert len(waited) == 1
    assert 1 <= waited[0] < 1.1


def test_reading_ends_when_it_is_stopped(hub: Hub) -> None:
    stop = threading.Event()
    chunks = hub.open(REVISION, LARGE, stop=stop)
    next(chunks)
    stop.set()
    with pytest.raises(CancelledError):
        list(chunks)


def test_requests_are_requested_again_when_the_hub_is_busy(hub: Hub, faults: Faults) -> None:
    faults.status("/api/models/*/revision/*", 503, 429, 500)
    assert hub.resolve(SVD.name, "main") == REVISION


def test_a_hub_that_stays_busy_or_is_not_there_is_a_remote_error(hub: Hub, faults: Faults) -> None:
    faults.status("/api/models/*/revision/*", 503, times=None)
    with pytest.raises(RemoteError, match=r"503 \(6 times\)"):
        hub.resolve(SVD.name, "main")
    nobody = Hub("http://127.0.0.1:9", "x", backoff=0.001)
    for ask in (lambda: nobody.resolve(SVD.name, "main"), lambda: list(nobody.open(REVISION, "a"))):
        with pytest.raises(
            RemoteError,
            match=r"(?s)connection to 127.0.0.1:9 failed.*check that http://127.0.0.1:9 \(from HF_ENDPOINT\).*the same command",
        ):
            ask()


def test_a_hub_that_cannot_be_reached_through_a_proxy_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:s3cret@127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(RemoteError, match=r"the proxy in http_proxy works") as caught:
        Hub("http://hub.company", "x", backoff=0.001, source=address.KEY).resolve(SVD.name, "main")
    assert "http://hub.company (from hub.endpoint)" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_page_in_the_place_of_a_hub_is_the_users_to_correct() -> None:
    with HostileHub(lambda _path: answer("<html>", 404, Content_Type="text/html")) as home:
        for source in (address.VARIABLE, address.KEY):
            with pytest.raises(UserError, match=rf"(?s)not the address of a Hub.*{home.url}.*correct {source}"):
                Hub(home.url, source=source).resolve(SVD.name, "main")


def test_a_hub_that_only_the_spec_names_gets_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    with HostileHub(lambda _path: answer("", 401, X_Error_Code="RepoNotFound")) as home:
        with pytest.raises(UserError, match=rf"(?s)export HF_ENDPOINT={home.url} HF_TOKEN"):
            Hub(home.url, source=address.KEY).resolve(SVD.name, "main")
        assert home.seen[-1][1] is None
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"{home.url}/")
        with pytest.raises(UserError, match="the token from HF_TOKEN"):
            Hub(home.url, source=address.KEY).resolve(SVD.name, "main")
        assert home.seen[-1][1] == f"Bearer {SECRET}"


def test_the_sandbox_says_what_its_hub_holds_and_how_to_add_a_model(sandbox: Servers) -> None:
    hub = Hub(sandbox.hub_url, sandbox.hf_token, source=address.SANDBOX)
    with pytest.raises(UserError, match=rf"(?s)holds only .*{SVD.name}.*sandbox.add acme/sst2 FOLDER"):
        hub.resolve("acme/sst2", "main")


def read(path: str, repo: str = SVD.name, commit: str = SVD.commit) -> Callable[[Hub], Any]:
    return lambda hub: b"".join(hub.open(Revision(repo, commit), path))


def resolve(repo: str, revision: str) -> Callable[[Hub], Any]:
    return lambda hub: hub.resolve(repo, revision)


@pytest.mark.parametrize(
    ("token", "ask", "message"),
    [
        (None, read(LARGE), r"gated, and there is no token\n.*http://127.0.0.1:\d+/stabilityai/.*export HF_TOKEN"),
        ("stranger", read(LARGE), r"no access yet\n.*visit http://127.0.0.1:\d+/stabilityai/.*accept the conditions"),
        (
            None,
            resolve("nobody/nothing", "main"),
            r"no such repository, or it is private\n.*check model.id; if.*HF_TOKEN",
        ),
        ("good", resolve("nobody/nothing", "main"), r"no such repository, or this token has no access to it"),
        ("good", read("a.txt", "nobody/nothing"), r"no such repository, or this token has no access to it"),
        ("good", resolve(SVD.name, "0" * 40), r"no revision '0{40}'\n.*/commits/main.*model.revision"),
        ("good", read(LARGE, commit="0" * 40), r"no revision '0{40}'"),
        ("good", read("no/such.file"), r"no such file at this commit\n.*invoke lock --update"),
        ("bad", resolve(SVD.name, "main"), r"rejects the token from .*\n.*hf auth login"),
        ("bad", read(LARGE), r"rejects the token from .*\n.*settings/tokens"),
        ("good", resolve("not a repository", "main"), r"not a repository id.*\n.*owner/name"),
    ],
)
def test_every_refusal_has_its_own_message(
    sandbox: Servers, token: str | None, ask: Callable[[Hub], Any], message: str
) -> None:
    tokens = {"good": sandbox.hf_token, "stranger": sandbox.no_access_token, "bad": SECRET}
    hub = hub_of(sandbox, tokens[token] if token else None)
    with pytest.raises(UserError, match=f"(?s){message}") as caught:
        ask(hub)
    assert caught.value.exit_code == 1
    assert SECRET not in str(caught.value)


def test_a_refusal_says_where_the_token_came_from(
    sandbox: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(SECRET)
    with pytest.raises(UserError, match="the token from `hf auth login`"):
        hub_of(sandbox).resolve(SVD.name, "main")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(UserError, match="the token from HF_TOKEN"):
        hub_of(sandbox).resolve(SVD.name, "main")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    assert hub_of(sandbox)._token is None


def test_offline_is_reported_before_any_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with HostileHub(lambda _path: answer()) as home:
        hub = Hub(home.url)
        for ask in (resolve(SVD.name, "main"), read(LARGE), lambda hub: hub.files(REVISION)):
            with pytest.raises(UserError, match="HF_HUB_OFFLINE"):
                ask(hub)
    assert home.seen == []


def test_the_token_is_in_no_error_no_log_and_no_representation(
    sandbox: Servers, faults: Faults, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    hub = hub_of(sandbox, SECRET)
    faults.status("*", 503, times=1)
    texts = [repr(hub)]
    for ask in (read(LARGE), resolve(SVD.name, "main"), read("x", "a/b")):
        with pytest.raises(SagepackError) as caught:
            ask(hub)
        chain: BaseException | None = caught.value
        while chain:
            texts.append(f"{chain} {chain!r} {getattr(chain, '__notes__', '')}")
            chain = chain.__cause__ or chain.__context__
    texts += [caplog.text, *capfd.readouterr()]
    assert not any(SECRET in text for text in texts)


def test_signed_addresses_are_in_no_error(hub: Hub, faults: Faults) -> None:
    faults.cut(after=0, times=None)
    with pytest.raises(RemoteError) as caught:
        list(hub.open(REVISION, LARGE))
    assert "Signature" not in str(caught.value)


def test_the_token_follows_redirects_at_home_and_never_leaves() -> None:
    with HostileHub(lambda _path: answer(b"content")) as elsewhere:
        answers = {"/a/b/resolve/main/f": answer(status=307, Location="/new/b/resolve/main/f")}
        answers["/new/b/resolve/main/f"] = answer("moved", 302, Location=f"{elsewhere.url}/cdn?Signature=x")
        with HostileHub(answers.__getitem__) as home:
            hub = Hub(home.url, SECRET, backoff=0.001)
            for _ in range(2):  # the address that was signed is used again
                assert b"".join(hub.open(Revision("a/b", "main"), "f")) == b"content"
    assert home.seen == [(path, f"Bearer {SECRET}") for path in answers]
    assert elsewhere.seen == [("/cdn?Signature=x", None)] * 2


def test_redirects_in_a_circle_end() -> None:
    with HostileHub(lambda path: answer(status=302, Location=path)) as home:
        hub = Hub(home.url, backoff=0.001)
        for ask in (read("f", "a/b", "main"), resolve("a/b", "main")):
            with pytest.raises(RemoteError, match="too many redirects"):
                ask(hub)


def test_a_range_that_was_not_requested_is_not_taken() -> None:
    server = HostileHub(lambda _path: answer("0123", 206, Content_Range="bytes 0-3/10"))
    with server as home, pytest.raises(RemoteError, match="another range"):
        list(Hub(home.url, backoff=0.001).open(Revision("a/b", "main"), "f", 4, 4))


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with HostileHub(lambda _path: answer(b"by proxy")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert b"".join(Hub("http://hub.invalid", backoff=0.001).open(Revision("a/b", "main"), "f")) == b"by proxy"
    assert proxy.seen == [("http://hub.invalid/a/b/resolve/main/f", None)]


def test_nothing_is_imported_before_the_first_question() -> None:
    program = (
        "import sys, sagepack.hub.client, sagepack.hub.download\n"
        "sagepack.hub.client.Hub()\n"
        "print([name for name in ('huggingface_hub', 'urllib3', 'filelock', 'httpx2') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.strip() == "[]"
