"""A Hub that lies, names paths and other hosts, never ends, or is not a Hub at all."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import re
import ssl
import subprocess
import sys
import time
import traceback
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.digest import Digest
from sagepack.engine import resolver as resolving
from sagepack.errors import IntegrityError, RemoteError, SagepackError, UserError
from sagepack.hub import sockets
from sagepack.hub.client import Hub
from sagepack.hub.download import download
from sagepack.hub.hash_cache import HashCache
from sagepack.hub.lock_files import resolve_files
from sagepack.hub.xet import SMALLEST
from sagepack.package.revision import Revision
from sagepack.progress import Silent
from sagepack.spec.model import Code, Image, ModelSource
from tests.helpers.hostile_hub import COMMIT, REPO, REVISION, TREE, HostileHub, answer, entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

PINNED = Revision(REPO, COMMIT)
TOKEN = "hf_" + "s3cret" * 5
FILE = f"/{REPO}/resolve/{COMMIT}/config.json"
HTML = "<html><body>Please log in to the network</body></html>"


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))


def git_name(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def site(answers: Mapping[str, Iterable[bytes]]) -> Callable[[str], Iterable[bytes]]:
    """Answers by path, whatever the query."""
    missing = answer("{}", 404, X_Error_Code="EntryNotFound")
    return lambda path: answers.get(path.partition("?")[0], missing)


def ask_all(hub: Hub) -> dict[str, Callable[[], object]]:
    """Every kind of question."""
    return {
        REVISION: lambda: hub.resolve(REPO, "main"),
        TREE: lambda: hub.files(PINNED),
        FILE: lambda: list(hub.open(PINNED, "config.json")),
    }


def refusal(question: Callable[[], object]) -> str:
    """What a question is refused with; empty if it is answered."""
    try:
        question()
    except SagepackError as error:
        return str(error)
    return ""


# --- names ---


@pytest.mark.parametrize("name", ["../../../../outside", "{home}/outside"])
def test_no_name_of_a_content_writes_outside_the_cache(tmp_path: Path, name: str) -> None:
    content = b"{}"
    oid = name.format(home=tmp_path)
    answers = {TREE: answer([entry(oid=oid)]), FILE: answer(content, ETag=f'"{git_name(content)}"')}
    with HostileHub(site(answers)) as home:
        hub = Hub(home.url, cache=tmp_path / "cache/hub", backoff=0.001)

        def lock_and_download() -> None:
            files = resolve_files(hub, PINNED, hub.files(PINNED))
            download(hub, PINNED, files, hash_cache=HashCache(tmp_path / "trust"), progress=Silent())

        with pytest.raises(RemoteError, match=r"the file listing of the Hub is not valid: \[0\].oid: expected"):
            lock_and_download()
    assert list(tmp_path.iterdir()) == []
    assert home.paths == [TREE]


@pytest.mark.parametrize(
    "path", ["../../evil.json", "/etc/evil.json", "a\\..\\evil.json", "e\x1b[31mvil.json", "a/" * 1500 + "evil.json"]
)
def test_a_path_is_checked_before_it_is_requested(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagepack.aws.ecr.image_digest", lambda *_: Digest.sha256(b""))
    with HostileHub(site({REVISION: answer({"id": REPO, "sha": COMMIT}), TREE: answer([entry(path)])})) as home:
        with pytest.raises(UserError, match=r"the path (is not a plain|contains a control|has more than)") as caught:
            resolving.resolve(build(home))
        assert home.paths == [REVISION, TREE]
        hub = Hub(home.url)
        with pytest.raises(UserError, match="the path"):
            hub.open(PINNED, path)
    assert str(caught.value).replace("\n", "").isprintable()
    assert "model.exclude" in str(caught.value)


@pytest.mark.parametrize("commit", ["main", "A" * 40, "../../x", "", None, 5])
def test_a_commit_that_is_none_ends_the_lock_before_the_next_question(commit: Any) -> None:
    with HostileHub(site({REVISION: answer({"id": REPO, "sha": commit})})) as home:
        told = refusal(lambda: resolving.resolve(build(home)))
    assert "the response of the Hub is not valid: sha: expected" in told
    assert home.paths == [REVISION]


def test_a_commit_is_not_another_commit() -> None:
    with (
        HostileHub(lambda _path: answer({"id": REPO, "sha": "1" * 40})) as home,
        pytest.raises(IntegrityError, match="returned commit 1"),
    ):
        Hub(home.url).resolve(REPO, COMMIT)


@pytest.mark.parametrize("content", [b"[]", b"5", b"{", b'{"a": "\xff"}', b'{"a":' * 200_000])
def test_an_index_of_a_pipeline_that_is_none_is_reported(content: bytes) -> None:
    index = entry("model_index.json", size=len(content), oid=git_name(content))
    answers = {
        REVISION: answer({"id": REPO, "sha": COMMIT}),
        TREE: answer([index]),
        f"/{REPO}/resolve/{COMMIT}/model_index.json": answer(content, ETag=f'"{git_name(content)}"'),
    }
    with HostileHub(site(answers)) as home:
        with pytest.raises(
            UserError, match=r"model_index.json: not an index of a pipeline: .*\n.*model.include"
        ) as caught:
            resolving.resolve(build(home))
        assert not re.search(r"Error\b|Exception", str(caught.value))


def build(home: HostileHub) -> Any:
    """As much of a build as resolving asks for before it asks AWS."""
    spec = SimpleNamespace(
        model=ModelSource(REPO, "main"),
        image=Image("r", "t"),
        code=Code("code"),
        aws=SimpleNamespace(region="us-east-1"),
    )
    clients = SimpleNamespace(hub=Hub(home.url, TOKEN, backoff=0.001), aws=None)
    return SimpleNamespace(spec=spec, clients=clients, progress=Silent())


def test_a_content_is_what_its_name_says(tmp_path: Path) -> None:
    wanted, sent = b"{}", b"[]"
    answers = {TREE: answer([entry(oid=git_name(wanted))]), FILE: answer(sent)}
    with HostileHub(site(answers)) as home:
        hub = Hub(home.url, cache=tmp_path)
        with pytest.raises(IntegrityError, match=f"lists the content {git_name(wanted)} and sent {git_name(sent)}"):
            resolve_files(hub, PINNED, hub.files(PINNED))
    assert home.paths == [TREE, FILE, FILE]


# --- documents and headers ---


@pytest.mark.parametrize("body", [HTML, "", "null", "[1]", "[{}]", "[" * 200_000, b"\xff\xfe", "{}"])
def test_an_answer_that_is_none_is_reported_in_one_line(body: bytes | str) -> None:
    with HostileHub(lambda _path: answer(body)) as home:
        questions = ask_all(Hub(home.url, TOKEN, backoff=0.001))
        for path in (REVISION, TREE):
            with pytest.raises(RemoteError, match=r"of the Hub is not valid: [^\n]+\n.*HF_ENDPOINT") as caught:
                questions[path]()
            assert not re.search(r"Error\b|Exception|DOCTYPE|html", caught.value.message)


@pytest.mark.parametrize(
    "target",
    ["http://[::1", "http://h:99999/", "file:///etc/passwd", "ftp://h/", "http://me:secret@h/", "http://e\\@h/"],
)
def test_a_redirect_that_leads_nowhere_is_reported(target: str) -> None:
    with HostileHub(lambda _path: answer(status=302, Location=target)) as home:
        for question in ask_all(Hub(home.url, TOKEN, backoff=0.001)).values():
            with pytest.raises(RemoteError, match="a redirect of the Hub is not valid: the address") as caught:
                question()
            assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Length": "\xb2"},
        {"Content_Length": "-1"},
        {"Content_Length": "9" * 5000},
        {"Content_Length": "2, 3"},
        {"Content_Encoding": "gzip"},
        {"Content_Encoding": "br"},
        {"Transfer_Encoding": "chunked"},
        {"Content_Range": "bytes 0-1/" + "9" * 5000},
        {"X": "x" * 70_000},
        {f"X{n}": "" for n in range(200)},
    ],
)
def test_headers_without_sense_are_no_surprise(headers: dict[str, Any]) -> None:
    with HostileHub(lambda _path: answer("{}", **headers)) as home:
        for question in ask_all(Hub(home.url, TOKEN, backoff=0)).values():
            assert not re.search(r"Error\b|Exception|Traceback", refusal(question))


@pytest.mark.parametrize("status", [201, 204, 226, 300, 304, 402, 418, 451])
def test_a_status_that_nobody_expects_is_reported(status: int) -> None:
    with HostileHub(lambda _path: answer("", status, X_Error_Message="so " * 10_000)) as home:
        for question in ask_all(Hub(home.url, TOKEN, backoff=0)).values():
            with pytest.raises(RemoteError, match=str(status)) as caught:
                question()
            assert len(str(caught.value)) < 400


@pytest.mark.parametrize("wait", ["\xb2", "9" * 5000, "soon", "Thu, 01 Jan 99999 00:00:00 GMT"])
def test_a_wait_without_sense_is_not_kept(wait: str) -> None:
    answers = itertools.chain(
        [answer(status=429, Retry_After=wait)], itertools.repeat(answer({"id": REPO, "sha": COMMIT}))
    )
    with HostileHub(lambda _path: next(answers)) as home:
        assert Hub(home.url, backoff=0.001).resolve(REPO, "main") == PINNED


# --- secrets ---


def test_the_token_does_not_follow_the_pages_of_a_listing_to_another_origin() -> None:
    with HostileHub(lambda _path: answer([entry("two")])) as elsewhere:
        first = answer([entry("one")], Link=f'<{elsewhere.url}/page?cursor=2>; rel="next"')
        with HostileHub(site({TREE: first})) as home:
            files = Hub(home.url, TOKEN).files(PINNED)
    assert [file.path for file in files] == ["one", "two"]
    assert [token for _, token in home.seen] == [f"Bearer {TOKEN}"]
    assert elsewhere.seen == [("/page?cursor=2", None)]


@pytest.mark.parametrize("form", ["http://{there}\\@{home}/x", "http://{there}\t@{home}/x", "http://{home}@{there}/x"])
def test_no_spelling_of_an_address_brings_the_token_elsewhere(form: str) -> None:
    with HostileHub(lambda _path: answer("{}")) as elsewhere:
        here: list[str] = []

        def redirect(_path: str) -> Iterable[bytes]:
            return answer(status=302, Location=form.format(there=elsewhere.url[7:], home=here[0]))

        with HostileHub(redirect) as home:
            here.append(home.url[7:])
            for question in ask_all(Hub(home.url, TOKEN, backoff=0)).values():
                with pytest.raises(RemoteError):
                    question()
    assert elsewhere.seen == []


@pytest.mark.parametrize("route", [{}, {"X_Xet_Refresh_Route": "{url}/route"}], ids=["file", "token"])
def test_what_lies_in_xet_storage_brings_no_token_elsewhere_and_writes_no_other_file(
    route: dict[str, str], tmp_path: Path
) -> None:
    content = bytes(SMALLEST)  # large enough for the storage to be asked
    digest = Digest.sha256(content)
    with HostileHub(lambda _path: answer(content)) as elsewhere:
        headers = {
            "X_Xet_Hash": "0" * 64,
            **{name: value.format(url=elsewhere.url) for name, value in route.items()},
            "X_Linked_Etag": f'"{tmp_path}/outside"',
            "X_Linked_Size": str(len(content)),
            "X_Repo_Commit": COMMIT,
        }
        large = entry("w.bin", size=len(content), lfs={"oid": digest.value, "size": len(content), "pointerSize": 1})
        answers = {
            TREE: answer([large]),
            f"/{REPO}/resolve/{COMMIT}/w.bin": answer(status=302, Location=f"{elsewhere.url}/cdn", **headers),
        }
        with HostileHub(site(answers)) as home:
            hub = Hub(home.url, TOKEN, tmp_path / "a/hub", backoff=0.001)
            files = resolve_files(hub, PINNED, hub.files(PINNED))
            got = download(hub, PINNED, files, hash_cache=HashCache(tmp_path / "trust"), progress=Silent())
    assert got["w.bin"].read_bytes() == content
    assert elsewhere.seen == [("/cdn", None)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "trust", "trust.lock"]


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """TLS of 127.0.0.1, trusted for the test."""
    name = "/CN=127.0.0.1"
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", name]
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key), "-days", "2"]
    subprocess.run(["openssl", *made, *files], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def test_no_redirect_and_no_page_leads_from_https_to_http(tls: ssl.SSLContext) -> None:
    with HostileHub(lambda _path: answer("[]")) as plain:
        for headers, told in (
            ({"status": 302, "Location": f"{plain.url}/x"}, "redirect"),
            ({"Link": f'<{plain.url}/x>; rel="next"'}, "listing"),
        ):
            with HostileHub(lambda _path, headers=headers: answer("[]", **headers), tls) as home:  # type: ignore[misc]
                found = refusal(lambda url=home.url: Hub(url, TOKEN, backoff=0.001).files(PINNED))  # type: ignore[misc]
            assert re.search(f"{told} of the Hub is not valid: .*from https to http", found)
    assert plain.seen == []


def test_a_certificate_that_nobody_trusts_is_reported(tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with HostileHub(lambda _path: answer("[]"), tls) as home:
        told = refusal(lambda: Hub(home.url, TOKEN, backoff=0.001).files(PINNED))
    assert re.search(r"127.0.0.1: no trusted connection: .*\n.*SSL_CERT_FILE", told)
    assert home.seen == []


@pytest.mark.parametrize(
    "endpoint", ["http://me:s3cret@127.0.0.1:9", "http://me:s3cret@127.0.0.1:99999", "me:s3cret@h", "http://s3cret\\@h"]
)
def test_a_password_in_the_endpoint_is_refused_and_not_printed(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    for question in ask_all(Hub(None, TOKEN, backoff=0)).values():
        with pytest.raises(UserError, match=r"HF_ENDPOINT: .*password\n.*HF_TOKEN") as caught:
            question()
        assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("token", ["hf_töken", "hf_\nX: y", "hf_ a", "hf_\udcff"])
def test_a_token_that_is_none_is_reported_and_not_printed(token: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"hf_\xff")
    with HostileHub(lambda _path: answer("{}")) as home:
        for given, told in ((token, "characters that no token has"), (None, "cannot be read")):
            for question in ask_all(Hub(home.url, given)).values():
                with pytest.raises(UserError, match=told) as caught:
                    question()
                assert token not in str(caught.value)
    assert home.seen == []


# --- without end ---


def drip(*pieces: bytes) -> Iterator[bytes]:
    """The pieces, then a byte now and then."""
    yield from pieces
    while True:
        time.sleep(0.01)
        yield b" "


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "pieces",
    [(), (b"HTTP/1.1 200 OK\r\nX: ",), (HEAD,), (HEAD, b"x" * 70_000), (CHUNKED, b"5;")],
    ids=["status", "head", "body", "rest", "chunk"],
)
def test_a_server_that_sends_too_little_is_given_up(pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "STALL_SECONDS", 0.03)
    told: list[str] = []
    monkeypatch.setattr("sagepack.retry.NOTICED", 0.02)
    with HostileHub(lambda _path: drip(*pieces)) as home:
        for path, question in ask_all(Hub(home.url, TOKEN, backoff=0, notify=told.append)).items():
            with pytest.raises(
                RemoteError, match=r"failed: timed out, too few bytes arrived \(6 times\)\n  run the same command again"
            ):
                question()
            told.append(path)
    assert len(told) == 3 * 6


def test_a_server_that_sends_nothing_is_given_up_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "READ_SECONDS", 0.05)

    def silence() -> Iterator[bytes]:
        time.sleep(0.5)
        yield b""

    with (
        HostileHub(lambda _path: silence()) as home,
        pytest.raises(RemoteError, match="timed out, too few bytes arrived"),
    ):
        Hub(home.url, backoff=0).resolve(REPO, "main")


def test_a_slow_reader_is_not_a_slow_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "STALL_SECONDS", 0.1)
    monkeypatch.setattr(sockets, "PROGRESS", 1 << 30)
    content = bytes(3_000_000)
    with HostileHub(lambda _path: answer(content)) as home:
        got = 0
        for chunk in Hub(home.url, backoff=0).open(PINNED, "config.json"):
            got += len(chunk)
            time.sleep(0.03)
    assert (got, len(home.seen)) == (len(content), 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"X: x\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 10_000),
        (CHUNKED + b"0\r\n", b"X: x\r\n" * 1000),
        (CHUNKED + b"1;", b"x" * 10_000),
    ],
    ids=["continue", "headers", "header", "trailers", "extension"],
)
def test_what_surrounds_a_body_has_an_end(first: bytes, again: bytes) -> None:
    with HostileHub(lambda _path: itertools.chain([first], itertools.repeat(again))) as home:
        for question in ask_all(Hub(home.url, TOKEN, backoff=0)).values():
            with pytest.raises(RemoteError, match=r"the connection to .* failed: the response is not valid HTTP"):
                question()


@pytest.mark.parametrize("length", ["5, 5", "-1", "x", "5"])
def test_the_body_of_a_redirect_is_not_waited_for(length: str) -> None:
    endless = b"HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: %s\r\n\r\n" % length.encode()
    with HostileHub(
        lambda path: (
            answer({"id": REPO, "sha": COMMIT})
            if path == "/ok"
            else itertools.chain([endless], itertools.repeat(bytes(9999)))
        )
    ) as home:
        assert Hub(home.url, backoff=0).resolve(REPO, "main") == PINNED


def test_an_answer_has_an_end() -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n["
    with HostileHub(lambda _path: itertools.chain([head], itertools.repeat(b" " * 100_000))) as home:
        questions = ask_all(Hub(home.url, TOKEN, backoff=0))
        for path in (REVISION, TREE):
            with pytest.raises(RemoteError, match="it exceeds 16 MiB"):
                questions[path]()


def test_a_listing_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagepack.hub.responses._PAGES", 20)
    with HostileHub(lambda path: answer([entry(f"f{len(path)}")], Link=f'<{path}x>; rel="next"')) as home:
        told = refusal(lambda: Hub(home.url, TOKEN, backoff=0).files(PINNED))
    assert "the file listing of the Hub is not valid: the listing has more than 20 pages" in told
    assert len(home.seen) == 21


def test_the_pages_of_a_listing_share_one_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub that is busy before each page of a few bytes ends it as soon as one that is busy before the first."""
    monkeypatch.setattr("sagepack.retry.LONGEST_WAIT", 0.001)
    turns = itertools.count()
    busy, page = answer(status=429, Retry_After="999999999"), answer([entry()], Link='</next>; rel="next"')
    with HostileHub(lambda _path: page if next(turns) % 2 else busy) as home, pytest.raises(RemoteError, match="429"):
        Hub(home.url, TOKEN, backoff=0).files(PINNED)
    assert len(home.seen) < 10


MEASURED = """
import sys
from sagepack.errors import SagepackError
from sagepack.hub.client import Hub
from sagepack.hub.lock_files import resolve_files
from sagepack.package.revision import Revision
hub, revision, small = Hub(sys.argv[1], backoff=0), Revision("a/b", "0" * 40), Revision("small/files", "0" * 40)
for ask in (
    lambda: hub.files(revision),
    lambda: hub.resolve("a/b", "main"),
    lambda: resolve_files(hub, revision, hub.files(small)),
):
    try:
        ask()
    except SagepackError as error:
        print(str(error).splitlines()[0])
# Not ru_maxrss: that begins with what the process had that started this one.
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) >> 10)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_is_bounded_whatever_the_hub_sends() -> None:
    """Names of which a text in memory takes four times the bytes; answers without end; eight files of 64 MiB at once."""
    numbers = itertools.count()

    def page() -> tuple[bytes, ...]:
        # json.dumps would write the character as twelve bytes.
        text = json.dumps([entry(f"{next(numbers)}{'n' * 4000}~") for _ in range(3500)]).replace("~", "\U0001f600")
        return answer(text, Link='</next>; rel="next"')

    small = [entry(f"small{n}", size=64 << 20, oid=git_name(str(n).encode())) for n in range(8)]
    bomb = gzip.compress(bytes(100 << 20))

    def answers(path: str) -> Iterable[bytes]:
        if "/small/files/" in path:
            return answer(small)
        if "/revision/" in path:
            return answer(bomb, Content_Encoding="gzip")
        if "/resolve/" in path:
            return itertools.chain([b"HTTP/1.1 200 OK\r\n\r\n"], itertools.repeat(bytes(1 << 20), 64))
        return page()

    with HostileHub(answers) as home:
        run = subprocess.run([sys.executable, "-c", MEASURED, home.url], capture_output=True, text=True, check=True)
    *told, peak = run.stdout.splitlines()
    assert [re.search(r"too many files|compressed|the Hub lists the content", line) is not None for line in told] == [
        True
    ] * 3
    assert int(peak) < 300
