"""The sandbox's Xet storage, read by the real clients: huggingface_hub and hf_xet."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hf_xet
import httpx2 as httpx
import pytest
from huggingface_hub import hf_hub_download, snapshot_download

from sagepack.sandbox.faults import Fault
from sagepack.sandbox.hub import xet
from sagepack.sandbox.miniatures.models import MODELS

if TYPE_CHECKING:
    from sagepack.sandbox.faults import Faults, Kind
    from sagepack.sandbox.miniatures.models import Miniature
    from sagepack.sandbox.servers import Servers

REPO = "bench/xet"
LARGE, SMALL = "unet/weights.safetensors", "one chunk.bin"
CONTENTS = {
    LARGE: random.Random(7).randbytes(2_500_001),
    SMALL: b"few bytes",
    "empty.bin": b"",
    "config.json": b"{}",
}
CONFIG = hf_xet.XetConfig().with_config(
    {"client.retry_max_attempts": 1, "client.retry_base_delay": "10ms", "telemetry.enabled": False}
)


class Scene:
    """One repository in Xet storage, and where its client writes."""

    def __init__(self, sandbox: Servers, folder: Path) -> None:
        self.sandbox, self.folder = sandbox, folder
        for path, content in CONTENTS.items():
            target = folder / "model" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        self.commit = sandbox.hub.repositories.add(REPO, folder / "model")
        self.api = f"{sandbox.hub_url}/api/models/{REPO}"
        self.options: dict[str, Any] = {"endpoint": sandbox.hub_url, "token": sandbox.hf_token}

    def file(self, path: str) -> bytes:
        cache = self.folder / "cache"
        return Path(hf_hub_download(REPO, path, cache_dir=cache, revision=self.commit, **self.options)).read_bytes()

    def token(self, repo: str = REPO, revision: str = "main") -> dict[str, Any]:
        address = f"{self.sandbox.hub_url}/api/models/{repo}/xet-read-token/{revision}"
        response = httpx.get(address, headers={"Authorization": f"Bearer {self.sandbox.hf_token}"})
        return dict(response.raise_for_status().json())

    def hash(self, path: str) -> str:
        items = httpx.get(f"{self.api}/tree/main?recursive=true").json()
        return str(next(item["xetHash"] for item in items if item["path"] == path))

    def reconstruction(self, token: str, byte_range: str = "bytes=0-9") -> httpx.Response:
        address = f"http://localhost:{self.sandbox.hub.api.port}/_xet/v2/reconstructions/{self.hash(LARGE)}"
        return httpx.get(address, headers={"Authorization": f"Bearer {token}", "Range": byte_range})

    def paths(self) -> list[str]:
        return [request.path for request in self.sandbox.faults.log]


@pytest.fixture
def scene(sandbox: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(xet, "CHUNKS", 16)  # so that the large file has three xorbs
    return Scene(sandbox, tmp_path)


@pytest.mark.parametrize("version", ["v2", "v1"])
def test_the_client_downloads_every_file_out_of_xorbs(scene: Scene, faults: Faults, version: str) -> None:
    if version == "v1":
        faults.status("/_xet/v2/*", 404, times=None)
    folder = Path(snapshot_download(REPO, cache_dir=scene.folder / "cache", **scene.options))
    assert {path: (folder / path).read_bytes() for path in CONTENTS} == CONTENTS
    paths = scene.paths()
    assert {path.split("/")[6] for path in paths if path.startswith("/_xet/xorbs/") and path.endswith(LARGE)} == {
        "0",
        "1",
        "2",
    }
    assert any(path.startswith(f"/_xet/{version}/reconstructions/") for path in paths)
    assert not any(path.startswith("/_cdn/") for path in paths)


def test_a_single_file_is_found_by_the_headers_of_its_address(scene: Scene) -> None:
    assert {path: scene.file(path) for path in CONTENTS} == CONTENTS
    assert not any(path.startswith("/_cdn/") for path in scene.paths())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_large_files_of_the_miniatures_are_stored_as_those_of_the_real_hub(
    sandbox: Servers, model: Miniature
) -> None:
    items = httpx.get(f"{sandbox.hub_url}/api/models/{model.name}/tree/{model.commit}?recursive=true").json()
    large = [item for item in items if item["path"].endswith(".safetensors")]
    assert len(large) > 0
    assert all(re.fullmatch("[0-9a-f]{64}", item["xetHash"]) and item["lfs"] for item in large)
    assert not [item for item in items if item["path"].endswith(".json") and "xetHash" in item]


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (65_535, 65_537), (1_048_576, 2_097_152), (1_048_575, 1_048_577), (3, 2_500_000), (2_500_000, 2_500_001)],
)
def test_any_range_is_exactly_its_bytes(scene: Scene, start: int, end: int) -> None:
    token = scene.token()
    group = hf_xet.XetSession(CONFIG).new_download_stream_group(
        endpoint=token["casUrl"], token=token["accessToken"], token_expiry_unix_secs=token["exp"]
    )
    info = hf_xet.XetFileInfo(scene.hash(LARGE), len(CONTENTS[LARGE]))
    assert b"".join(group.download_stream(info, start, end)) == CONTENTS[LARGE][start:end]


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("cut", "*/unet/*", 100_000),
        ("truncate", "*/xorbs/*", 100_000),
        ("status", "*/unet/*", 503),
        ("status", "*/reconstructions/*", 500),
        ("status", "*/xet-read-token/*", 503),
        ("expire", "*/xorbs/*", 0),
        ("latency", "*", 0.05),
        ("rate", "*/xorbs/*", 20e6),
    ],
)
def test_the_client_survives_what_goes_wrong_once(
    scene: Scene, faults: Faults, kind: Kind, path: str, value: float
) -> None:
    faults.add(Fault(kind, path, times=None if kind in {"latency", "rate"} else 1, value=value, method="GET"))
    assert scene.file(LARGE) == CONTENTS[LARGE]
    assert not any(path.startswith("/_cdn/") for path in scene.paths())


def test_a_flipped_byte_arrives_as_if_it_were_right(scene: Scene, faults: Faults) -> None:
    at = 2_000_000
    faults.corrupt(f"*/{LARGE}", at=at)
    got = scene.file(LARGE)
    assert [place for place, (one, other) in enumerate(zip(got, CONTENTS[LARGE], strict=True)) if one != other] == [at]


def test_a_token_of_the_storage_is_good_for_one_commit_and_a_while(
    scene: Scene, faults: Faults, tmp_path: Path
) -> None:
    token = scene.token()["accessToken"]
    assert scene.reconstruction(token).status_code == 200
    assert scene.reconstruction(token, "bytes=2500001-").status_code == 416
    assert [scene.reconstruction(bad).status_code for bad in ("hf_x", "a:b:c:d", token[:-1])] == [401] * 3
    faults.expire("*/reconstructions/*")
    assert [scene.reconstruction(token).status_code for _ in range(2)] == [401, 200]
    (tmp_path / "other").mkdir()
    (tmp_path / "other/x.bin").write_bytes(b"x")
    scene.sandbox.hub.repositories.add("bench/other", tmp_path / "other")
    assert scene.reconstruction(scene.token("bench/other")["accessToken"]).status_code == 404
    faults.link_lifetime(-1)
    expired = scene.token()
    assert expired["exp"] < time.time()
    assert scene.reconstruction(expired["accessToken"]).status_code == 401


def test_the_addresses_of_xorbs_expire_and_cannot_be_forged(scene: Scene, faults: Faults) -> None:
    def address() -> str:
        [places] = scene.reconstruction(scene.token()["accessToken"]).json()["xorbs"].values()
        return str(places[0]["url"])

    assert httpx.get(address()).status_code == 200
    assert httpx.get(address().replace("/xorbs/bench/xet", "/xorbs/svd/other")).status_code == 403
    assert httpx.get(address().replace("/0/unet", "/9/unet")).status_code == 403
    faults.link_lifetime(-1, "*/xorbs/*")
    assert httpx.get(address()).status_code == 403


def test_a_gate_is_closed_for_the_storage_too(scene: Scene, faults: Faults, sandbox: Servers) -> None:
    faults.gate(REPO)
    for headers, status in (({}, 401), ({"Authorization": f"Bearer {sandbox.no_access_token}"}, 403)):
        response = httpx.get(f"{scene.api}/xet-read-token/main", headers=headers)
        assert (response.status_code, response.headers["x-error-code"]) == (status, "GatedRepo")


def test_a_hub_without_xet_storage_redirects_to_the_cdn(scene: Scene, faults: Faults) -> None:
    faults.no_xet(REPO)
    assert scene.file(LARGE) == CONTENTS[LARGE]
    assert not any("xet" in path.removeprefix(f"/{REPO}").removeprefix(f"/_cdn/{REPO}") for path in scene.paths())
    assert httpx.get(f"{scene.api}/xet-read-token/main").status_code == 404
    assert "xetHash" not in httpx.get(f"{scene.api}/tree/main").text
