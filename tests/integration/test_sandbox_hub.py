"""The sandbox's Hub, used by the real huggingface_hub client."""

from __future__ import annotations

import hashlib
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
import pytest
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from sagepack.sandbox.miniatures import models as miniature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.sandbox.faults import Faults
    from sagepack.sandbox.servers import Servers

SVD = miniature.SVD
LARGE = "unet/diffusion_pytorch_model.fp16.safetensors"


@cache
def contents() -> dict[str, bytes]:
    return dict(SVD.files())


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30) as client:
        yield client


@pytest.fixture
def api(sandbox: Servers) -> HfApi:
    return HfApi(endpoint=sandbox.hub_url, token=sandbox.hf_token)


def download(sandbox: Servers, target: Path, token: str | bool | None = None, **options: Any) -> Path:
    options.setdefault("revision", SVD.commit)
    folder = snapshot_download(
        SVD.name,
        endpoint=sandbox.hub_url,
        token=sandbox.hf_token if token is None else token,
        cache_dir=target,
        **options,
    )
    return Path(folder)


def test_the_client_downloads_every_file_unchanged(sandbox: Servers, tmp_path: Path) -> None:
    folder = download(sandbox, tmp_path)
    expected = contents()
    assert {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()} == set(expected)
    assert all((folder / path).read_bytes() == content for path, content in expected.items())
    assert folder.name == SVD.commit


def test_a_branch_resolves_to_the_pinned_commit(api: HfApi) -> None:
    assert api.model_info(SVD.name, revision="main").sha == SVD.commit


def test_model_info_knows_sizes_and_digests_of_large_files(api: HfApi) -> None:
    siblings = {item.rfilename: item for item in api.model_info(SVD.name, files_metadata=True).siblings or []}
    for path, content in contents().items():
        assert siblings[path].size == len(content)
        lfs = siblings[path].lfs
        assert (lfs.sha256 if lfs else None) == (
            hashlib.sha256(content).hexdigest() if path.endswith((".safetensors", ".webp")) else None
        )


def test_a_tree_of_several_pages_is_the_whole_tree(api: HfApi, faults: Faults) -> None:
    faults.page(3)
    listed = {
        item.path for item in api.list_repo_tree(SVD.name, recursive=True, revision=SVD.commit) if hasattr(item, "size")
    }
    assert set(contents()) <= listed
    assert len([request for request in faults.log if "/tree/" in request.path]) > 3


def test_paths_info_lists_existing_paths_and_refs_the_branches(api: HfApi) -> None:
    infos = api.get_paths_info(SVD.name, ["unet/config.json", "not/there"], revision=SVD.commit)
    assert [info.path for info in infos] == ["unet/config.json"]
    assert [branch.target_commit for branch in api.list_repo_refs(SVD.name).branches] == [SVD.commit]


def test_whoami_accepts_no_unknown_token(api: HfApi) -> None:
    assert api.whoami()["name"] == "sandbox"
    with pytest.raises(HfHubHTTPError):
        api.whoami(token="hf_wrong")


def test_a_gated_repository_shows_its_listing_but_no_file_without_access(sandbox: Servers, tmp_path: Path) -> None:
    assert HfApi(endpoint=sandbox.hub_url, token=False).model_info(SVD.name).gated == "auto"
    for token in (False, sandbox.no_access_token):
        with pytest.raises(GatedRepoError):
            download(sandbox, tmp_path, token=token)


def test_faults_can_remove_the_gate_of_a_repository_and_make_it_private(
    sandbox: Servers, faults: Faults, tmp_path: Path
) -> None:
    faults.ungate(SVD.name)
    assert download(sandbox, tmp_path, token=False, allow_patterns="*.md")
    faults.private(SVD.name)
    with pytest.raises(RepositoryNotFoundError):
        HfApi(endpoint=sandbox.hub_url, token=False).model_info(SVD.name)


def test_the_client_raises_its_own_error_for_each_missing_resource_and_an_invalid_token(
    api: HfApi, tmp_path: Path
) -> None:
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("nobody/nothing")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(SVD.name, revision="0" * 40)
    with pytest.raises(RemoteEntryNotFoundError):
        api.hf_hub_download(SVD.name, "no/such.file", revision=SVD.commit, cache_dir=tmp_path)
    with pytest.raises(HfHubHTTPError) as caught:
        api.model_info(SVD.name, token="hf_wrong")
    assert caught.value.response.status_code == 401


def test_a_fault_can_hide_the_revisions_of_a_repository(api: HfApi, faults: Faults) -> None:
    faults.missing_revision(SVD.name)
    with pytest.raises(RevisionNotFoundError):
        api.model_info(SVD.name, revision=SVD.commit)


def test_the_client_resumes_after_a_cut(sandbox: Servers, faults: Faults, tmp_path: Path) -> None:
    faults.no_xet()
    faults.cut("*/unet/diffusion_pytorch_model.safetensors", after=10_500_000)
    folder = download(sandbox, tmp_path, allow_patterns="unet/*")
    assert (folder / "unet/diffusion_pytorch_model.safetensors").read_bytes() == contents()[
        "unet/diffusion_pytorch_model.safetensors"
    ]
    gets = [item for item in faults.log if item.path.endswith("model.safetensors") and item.path.startswith("/_cdn/")]
    assert gets[0].sent == 10_500_000
    assert gets[1].range == "bytes=10485760-"  # where the client's last whole chunk ended


def test_a_corrupted_body_has_the_right_size_and_exactly_one_wrong_byte(
    sandbox: Servers, faults: Faults, tmp_path: Path
) -> None:
    faults.corrupt("*/vae/*.fp16.safetensors", at=1000)
    folder = download(sandbox, tmp_path, allow_patterns="vae/*.fp16.safetensors")
    got = (folder / "vae/diffusion_pytorch_model.fp16.safetensors").read_bytes()
    true = contents()["vae/diffusion_pytorch_model.fp16.safetensors"]
    assert [at for at, (one, other) in enumerate(zip(got, true, strict=True)) if one != other] == [1000]


def test_injected_statuses_come_in_turn_and_then_the_real_response(
    http: httpx.Client, sandbox: Servers, faults: Faults
) -> None:
    faults.status("*/refs", 503, 429, retry_after=7)
    address = f"{sandbox.hub_url}/api/models/{SVD.name}/refs"
    responses = [http.get(address) for _ in range(3)]
    assert [response.status_code for response in responses] == [503, 429, 200]
    assert responses[0].headers["retry-after"] == "7"


def resolved(http: httpx.Client, sandbox: Servers, path: str, revision: str = SVD.commit) -> str:
    address = f"{sandbox.hub_url}/{SVD.name}/resolve/{revision}/{path}"
    response = http.head(address, headers={"Authorization": f"Bearer {sandbox.hf_token}"})
    assert response.status_code == 302
    return str(response.headers["location"])


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=100-", 100, -1), ("bytes=-5", -5, -1), ("bytes=7-7", 7, 7)],
)
def test_the_response_to_a_range_request_has_exactly_the_requested_bytes(
    http: httpx.Client, sandbox: Servers, header: str, first: int, last: int
) -> None:
    content = contents()[LARGE]
    response = http.get(resolved(http, sandbox, LARGE), headers={"Range": header})
    assert response.status_code == 206
    size = len(content)
    assert response.content == content[first % size : last % size + 1]
    assert response.headers["content-range"] == f"bytes {first % size}-{last % size}/{size}"


def test_a_range_past_the_end_has_status_416_and_an_ignored_range_returns_the_whole_file(
    http: httpx.Client, sandbox: Servers, faults: Faults
) -> None:
    address, size = resolved(http, sandbox, LARGE), len(contents()[LARGE])
    assert http.get(address, headers={"Range": f"bytes={size}-"}).status_code == 416
    faults.ignore_range()
    response = http.get(address, headers={"Range": "bytes=5-9"})
    assert (response.status_code, len(response.content)) == (200, size)


def test_a_truncated_body_has_headers_of_a_complete_one(http: httpx.Client, sandbox: Servers, faults: Faults) -> None:
    faults.truncate("*", keep=10)
    response = http.get(resolved(http, sandbox, LARGE))
    assert (len(response.content), response.headers["content-length"]) == (10, "10")


def test_signed_urls_expire_and_cannot_be_forged(http: httpx.Client, sandbox: Servers, faults: Faults) -> None:
    address = resolved(http, sandbox, LARGE)
    assert http.get(address).status_code == 200
    assert http.get(address.replace("Signature=", "Signature=0")).status_code == 403
    faults.expire("*/unet/*")
    assert [http.get(address).status_code for _ in range(2)] == [403, 200]
    faults.link_lifetime(-1)
    assert http.get(resolved(http, sandbox, LARGE)).status_code == 403


def test_lfs_files_are_redirected_to_another_origin_and_small_files_are_not(
    http: httpx.Client, sandbox: Servers
) -> None:
    assert resolved(http, sandbox, LARGE).startswith("http://localhost:")
    headers = {"Authorization": f"Bearer {sandbox.hf_token}"}
    response = http.head(f"{sandbox.hub_url}/{SVD.name}/resolve/main/unet/config.json", headers=headers)
    assert (response.status_code, response.headers["x-repo-commit"]) == (200, SVD.commit)


def test_paths_outside_of_the_repository_are_not_served(http: httpx.Client, sandbox: Servers) -> None:
    headers = {"Authorization": f"Bearer {sandbox.hf_token}"}
    for path in ("%2e%2e/%2e%2e/x", "unet/%2e%2e/model_index.json", "unet//config.json", "%2fetc/passwd"):
        response = http.get(f"{sandbox.hub_url}/{SVD.name}/resolve/main/{path}", headers=headers)
        assert response.status_code == 404, path


def test_faults_can_be_set_over_http_with_the_token_only(http: httpx.Client, sandbox: Servers) -> None:
    address = f"{sandbox.hub_url}/_sandbox/faults"
    rules = [{"kind": "status", "path": "*/refs", "value": 500, "times": 1}]
    assert http.post(address, json=rules).status_code == 403
    control = {"X-Sandbox-Token": sandbox.credentials.control_token}
    assert http.post(address, json=rules, headers=control).json()[0]["kind"] == "status"
    assert http.get(f"{sandbox.hub_url}/api/models/{SVD.name}/refs").status_code == 500
    assert http.post(address, json=[{"kind": "fire"}], headers=control).status_code == 400
    assert http.delete(address, headers=control).json() == []


def test_a_second_commit_moves_the_branch_and_keeps_the_first_commit(
    sandbox: Servers, api: HfApi, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "config.json").write_text(folder.name)
    before = sandbox.hub.repositories.add("me/mine", first)
    after = sandbox.hub.repositories.add("me/mine", second)
    assert before != after == api.model_info("me/mine").sha
    for commit, text in ((before, "first"), (after, "second")):
        file = api.hf_hub_download("me/mine", "config.json", revision=commit, cache_dir=tmp_path / "cache")
        assert Path(file).read_text() == text


def test_latency_and_rate_slow_a_response_down(http: httpx.Client, sandbox: Servers, faults: Faults) -> None:
    address = resolved(http, sandbox, "vae/diffusion_pytorch_model.fp16.safetensors")
    faults.latency(0.1)
    faults.rate(25_000_000)
    began = time.monotonic()
    assert len(http.get(address).content) == 5_397_016
    assert time.monotonic() - began > 0.3
