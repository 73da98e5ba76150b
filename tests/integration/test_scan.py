"""The scan on its way: at `lock` and before the download, from ranges; what is known is not read again."""

from __future__ import annotations

import re
import shutil
from functools import partial
from typing import TYPE_CHECKING

import pytest
import yaml

from sagepack.api.results import ValueDifference
from sagepack.engine.records import Records
from sagepack.engine.verdicts import Verdicts
from sagepack.errors import IntegrityError, SpecError, UserError
from sagepack.scan import VERSION
from tests.helpers import model_samples as samples
from tests.helpers.cloud import Cloud

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from sagepack.api.project import Project
    from sagepack.sandbox.servers import Servers
    from tests.helpers.deployments import RecordedProgress

NAME = "acme/model"
CONFIG = b'{"model_type": "bert"}'
GOOD = samples.safetensors({"a": samples.tensor(0, 5 << 20)}, bytes(5 << 20))
ARGUMENTS = samples.torch_archive(
    b"\x80\x02" + samples.named("transformers.training_args", "TrainingArguments") + b")\x81}b."
)
ALLOWED = "trust.allow=[transformers.training_args.TrainingArguments]"
CARD = b"---\nlicense: other\nlicense_name: acme-1.0\nlicense_link: LICENSE.md\n---\n"


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(tmp_path, sandbox, monkeypatch)


def served(cloud: Cloud, files: Mapping[str, bytes], *sets: str) -> Project:
    """The project, for a model of the Hub with these files."""
    folder = cloud.root / "served"
    for path, data in {"config.json": CONFIG, "README.md": CARD, **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    commit = cloud.servers.hub.repositories.add(NAME, folder)
    spec = cloud.root / "config" / "svd.yaml"
    document = yaml.safe_load(spec.read_text())
    document["model"] = {"id": NAME, "revision": commit, "include": sorted({*files, "config.json"})}
    spec.write_text(yaml.safe_dump(document))
    return cloud.project(*sets)


def read(cloud: Cloud, path: str) -> int:
    """Bytes of a file that the Hub has sent."""
    return sum(request.sent for request in cloud.servers.faults.log if request.path.endswith(f"/{path}"))


def locked(cloud: Cloud) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((cloud.root / "config" / "locks" / "svd-cloud.lock.yaml").read_text())
    return document


def told(project: Project) -> str:
    progress: RecordedProgress = project.progress  # type: ignore[assignment] # `Cloud` gives it
    return progress.text


def test_a_pickle_that_calls_a_shell_is_refused_before_it_is_fetched(cloud: Cloud) -> None:
    evil = samples.torch_archive(samples.EVIL, storage=bytes(9 << 20))
    project = served(cloud, {"model.ckpt": evil, "model.safetensors": GOOD})
    with pytest.raises(SpecError) as refused:
        project.lock()
    lines = refused.value.lines()
    assert lines[1] == "  model.ckpt: would call os.system when loaded (member archive/data.pkl)"
    assert 'exclude it (model.exclude: ["model.ckpt"]), or use safetensors; os.system runs any command' in lines[2]
    assert not (cloud.root / "config" / "locks" / "svd-cloud.lock.yaml").exists()
    assert read(cloud, "model.ckpt") + read(cloud, "model.safetensors") < 300 << 10


def test_every_finding_is_told_at_once(cloud: Cloud) -> None:
    project = served(cloud, {"a.ckpt": samples.EVIL, "b.pkl": samples.EVIL})
    with pytest.raises(SpecError, match=r"(?s)2 problems in the model's files.*a\.ckpt.*b\.pkl"):
        project.lock()


def test_a_header_that_does_not_tile_its_file_is_damage(cloud: Cloud) -> None:
    wrong = samples.safetensors({"a": samples.tensor(0, 4), "b": samples.tensor(2, 6)}, b"123456")
    with pytest.raises(IntegrityError, match=r"overlapping tensors.*byte 130, tensor b") as refused:
        served(cloud, {"model.safetensors": wrong}).lock()
    assert (refused.value.exit_code, refused.value.where) == (4, "model.safetensors")
    with pytest.raises(
        IntegrityError, match=r"2 problems in the model's files, of which model\.safetensors is damaged"
    ) as refused:
        served(cloud, {"model.safetensors": wrong, "a.ckpt": samples.EVIL}).lock()
    assert "os.system" in str(refused.value)  # no finding is lost
    assert "overlapping tensors" in str(refused.value)


def test_what_the_spec_allows_passes_and_the_lock_says_so(cloud: Cloud) -> None:
    served(cloud, {"training_args.bin": ARGUMENTS, "model.safetensors": GOOD}, ALLOWED).lock()
    model = locked(cloud)["model"]
    assert model["scan"] == VERSION
    accepted = {file["path"]: file.get("accepted") for file in model["files"]}
    assert accepted == {
        "config.json": None,
        "model.safetensors": None,
        "training_args.bin": [
            "would call transformers.training_args.TrainingArguments when loaded (member archive/data.pkl)"
        ],
    }
    # The same lock is refused without that word of the spec, and nothing is asked for it.
    cloud.servers.faults.clear()
    with pytest.raises(SpecError, match=r"training_args\.TrainingArguments"):
        cloud.project().plan()
    assert cloud.servers.faults.log == []


def warned(project: Project) -> str:
    """The warnings about `trust.allow`."""
    progress: Any = project.progress
    lines = [note.removeprefix("warning: ") for note in progress.notes if note.startswith("warning: ")]
    begin = next((place for place, line in enumerate(lines) if "trust.allow" in line), len(lines))
    return "\n".join(lines[begin:])


def test_what_trust_allows_in_vain_is_told_with_its_place_and_what_was_meant(cloud: Cloud) -> None:
    misspelt = "transformers.training_args.TrainingArgments"
    project = served(cloud, {"training_args.bin": ARGUMENTS}, f"trust.allow=[{misspelt}, numpy.dtype, sklearn.*]")
    with pytest.raises(SpecError, match=r"training_args\.TrainingArguments"):
        project.lock()
    assert warned(project) == (
        f"--set trust.allow: trust.allow.0: {misspelt!r} allows nothing: no file of the model calls it\n"
        "  did you mean 'transformers.training_args.TrainingArguments'?\n"
        "--set trust.allow: trust.allow.1: 'numpy.dtype' allows nothing: no file of the model calls it\n"
        "  it rebuilds tensors, so it is allowed anyway\n"
        "--set trust.allow: trust.allow.2: 'sklearn.*' allows nothing: no file of the model calls it\n"
        "  remove it, or correct its spelling"
    )
    allowed = cloud.project("trust.allow=[transformers.training_args.*]")
    allowed.lock()
    assert warned(allowed) == ""
    assert cloud.project("trust.allow=[sklearn.*]").scan().exit_code == 1


@pytest.mark.parametrize("key", ["trust.allow", "model.exclude"])
def test_each_line_that_a_finding_proposes_ends_it(cloud: Cloud, key: str) -> None:
    whole = (
        b"\x80\x02"
        + samples.named("a.nn.tasks", "Model")
        + b")\x81"
        + samples.named("a.nn.modules.conv", "Conv")
        + b")\x81\x86."
    )
    script = samples.torch_archive(
        samples.calling("__torch__.a", "Net"), {"archive/code/__torch__/a.py": b"class Net: pass"}
    )
    files = {"yolo.pt": samples.torch_archive(whole), "script.pt": script, "model.safetensors": GOOD}
    with pytest.raises(SpecError) as refused:
        served(cloud, files).lock()
    found = re.findall(rf"{key}: \[(.*?)\]\)", "\n".join(refused.value.lines()))
    served(cloud, files, f"{key}=[{', '.join(dict.fromkeys(found))}]").lock()


def test_what_is_known_is_not_read_again(cloud: Cloud) -> None:
    served(cloud, {"model.safetensors": GOOD}).lock()
    project = cloud.project()
    project.lock(update=True)
    assert read(cloud, "model.safetensors") == 0
    project.package()
    assert len(GOOD) <= read(cloud, "model.safetensors") < len(GOOD) + 1_000  # the rest are bodies of redirects


def test_files_that_changed_are_read_and_no_others(cloud: Cloud) -> None:
    served(cloud, {"a.safetensors": GOOD, "b.safetensors": GOOD}).lock()
    project = served(cloud, {"a.safetensors": GOOD, "b.safetensors": GOOD[:-1] + b"1"})
    project.lock()
    assert read(cloud, "a.safetensors") == 0
    assert read(cloud, "b.safetensors") > 0


def test_warn_reports_and_goes_on(cloud: Cloud) -> None:
    project = served(cloud, {"model.ckpt": samples.EVIL}, "trust.scan=warn")
    project.lock()
    assert "model.ckpt: would call os.system when loaded" in told(project)
    project = cloud.project("trust.scan=warn")
    project.package()
    assert "model.ckpt: would call os.system when loaded" in told(project)


def test_off_reads_nothing_and_the_lock_does_not_say_that_files_were_judged(cloud: Cloud) -> None:
    served(cloud, {"model.ckpt": samples.EVIL, "model.safetensors": GOOD}, "trust.scan=off").lock()
    assert read(cloud, "model.ckpt") == 0
    assert "scan" not in locked(cloud)["model"]


def test_a_lock_from_elsewhere_is_believed_by_nobody_who_fetches_the_files(cloud: Cloud) -> None:
    evil = samples.torch_archive(samples.EVIL, storage=bytes(9 << 20))
    served(cloud, {"model.ckpt": evil}, "trust.scan=off").lock()
    project = cloud.project()
    assert "config.json and 1 more not scanned yet" in str(project.plan().actions[1].reasons)
    for fetch in (project.package, project.upload, partial(project.upload, stream=True)):
        with pytest.raises(SpecError, match=r"os\.system"):
            fetch()
    assert read(cloud, "model.ckpt") < 300 << 10
    assert not [request for request in cloud.servers.aws.faults.log if request.method == "PUT"]


def test_a_lock_of_an_earlier_version_works_and_is_judged_when_it_is_used(cloud: Cloud) -> None:
    served(cloud, {"model.safetensors": GOOD}, "trust.scan=off").lock()
    project = cloud.project()
    project.package(locked=True)
    assert "scanned 2 files: nothing found" in told(project)
    again = cloud.project()
    assert [action.step for action in again.package(locked=True).actions if action.runs] == []


def test_what_arrives_is_judged_again_whatever_the_ranges_held(cloud: Cloud) -> None:
    served(cloud, {"model.ckpt": samples.EVIL}, "trust.scan=off").lock()
    # As if a Hub had sent harmless ranges of a file whose whole content is not.
    records = Records(cloud.root / "build" / "svd-cloud" / "records")
    digests = {file["path"]: f"sha256:{file['sha256']}" for file in locked(cloud)["model"]["files"]}
    Verdicts(digests, ()).save(records)
    with pytest.raises(SpecError, match=r"os\.system"):
        cloud.project().package()
    assert not (cloud.root / "dist").exists()
    with pytest.raises(SpecError, match=r"os\.system"):
        cloud.project().plan()


def test_files_on_this_disk_are_judged_without_the_hub(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    served(cloud, {"model.ckpt": samples.EVIL}, "trust.scan=off").package()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SpecError, match=r"os\.system"):
        cloud.project().package()
    assert cloud.servers.faults.log == []


def test_the_hubs_own_verdict_is_recorded_and_an_unsafe_file_refused(cloud: Cloud) -> None:
    project = served(cloud, {"model.safetensors": GOOD, "other.safetensors": GOOD})
    cloud.servers.faults.unscanned(f"{NAME}/other.safetensors")
    project.lock()
    assert "the Hub's own scan has no verdict on other.safetensors" in told(project)
    verdicts = {file["path"]: file.get("hub_scan") for file in locked(cloud)["model"]["files"]}
    assert verdicts == {"config.json": None, "model.safetensors": "safe", "other.safetensors": None}
    cloud.servers.faults.unsafe(f"{NAME}/model.safetensors")
    with pytest.raises(SpecError, match=r"model\.safetensors: is unsafe, says the Hub's own scan"):
        project.lock(update=True)


def test_the_verdicts_of_a_long_listing_come_from_all_of_its_pages(cloud: Cloud) -> None:
    project = served(cloud, {f"part-{number:03}.bin": bytes(64) for number in range(120)})
    project.lock()
    assert all(
        file.get("hub_scan") == "safe" for file in locked(cloud)["model"]["files"] if file["path"] != "config.json"
    )


CODE = {"config.json": b'{"auto_map": {"AutoModel": "modeling_x.Model"}}', "modeling_x.py": b"class Model: ...\n"}
FOREIGN = {"config.json": b'{"auto_map": {"AutoModel": "other/name--modeling_x.Model"}}'}


def test_code_of_the_model_is_run_only_where_the_spec_says_so(cloud: Cloud) -> None:
    project = served(cloud, CODE)
    with pytest.raises(SpecError, match=r"config\.json: makes a loader run modeling_x\.py"):
        project.lock()
    cloud.project("trust.remote_code=allow").lock()


def test_code_that_is_not_in_the_package_is_not_run(cloud: Cloud) -> None:
    served(cloud, CODE)
    cloud.project("model.exclude=[modeling_x.py]").lock()


def test_code_of_another_repository_is_refused_whatever_the_spec_allows(cloud: Cloud) -> None:
    served(cloud, FOREIGN)
    with pytest.raises(SpecError, match=r"from the repository other/name, which no lock pins"):
        cloud.project("trust.remote_code=allow").lock()


def test_a_model_in_a_folder_is_judged_where_it_lies(cloud: Cloud) -> None:
    served(cloud, {"model.ckpt": samples.EVIL})
    where = ["model.id=null", "model.revision=null", "model.include=null", "model.path=served"]
    with pytest.raises(SpecError, match=r"os\.system"):
        cloud.project(*where).lock()
    (cloud.root / "served" / "model.ckpt").unlink()
    (cloud.root / "served" / "model.safetensors").write_bytes(GOOD)
    cloud.project(*where).package()


@pytest.mark.parametrize("xet", [True, False])
def test_few_requests_judge_many_files(cloud: Cloud, xet: bool) -> None:
    files = {f"model-{number:05}-of-00020.safetensors": GOOD for number in range(20)}
    project = served(cloud, {**files, "tokenizer.json": b"{}" * 1_000, "vocab.txt": b"a\n" * 1_000})
    if not xet:
        cloud.servers.faults.no_xet()
    project.lock()
    requests = [request for request in cloud.servers.faults.log if request.path.startswith(("/_cdn/", "/_xet/"))]
    assert len(requests) == 20
    assert sum(request.sent for request in requests) == 20 * (64 << 10)
    small = [request.path for request in cloud.servers.faults.log if request.path.endswith((".json", ".txt"))]
    assert len(small) == 3  # each once, for its digest


def test_a_licence_that_the_spec_does_not_list_is_refused_by_lock(cloud: Cloud) -> None:
    served(cloud, {"model.safetensors": GOOD})
    with pytest.raises(UserError, match=r"the model's licence is acme-1\.0, and trust\.licenses allows mit"):
        cloud.project("trust.licenses=[mit]").lock()
    cloud.project("trust.licenses=[mit, Acme-1.0]").lock()
    assert locked(cloud)["model"]["license"] == {"id": "other", "name": "acme-1.0", "link": "LICENSE.md"}
    with pytest.raises(UserError, match=r"trust\.licenses allows apache-2\.0"):
        cloud.project("trust.licenses=[apache-2.0]").plan()


def test_a_licence_that_changed_with_the_commit_is_a_difference(cloud: Cloud) -> None:
    served(cloud, {"model.safetensors": GOOD}).deploy()
    (cloud.root / "served" / "README.md").write_bytes(b"---\nlicense: mit\n---\n")
    folder = cloud.root / "served"
    commit = cloud.servers.hub.repositories.add(NAME, folder)
    spec = cloud.root / "config" / "svd.yaml"
    document = yaml.safe_load(spec.read_text())
    document["model"]["revision"] = commit
    spec.write_text(yaml.safe_dump(document))
    cloud.project().lock()
    found = cloud.project().diff()
    assert found.license == ValueDifference("license", "acme-1.0", "mit")
    assert (found.count, found.files) == (1, ())
    assert cloud.project().diff("tree", "live").license == ValueDifference("license", "mit", "acme-1.0")


def test_a_gated_model_is_recorded_as_gated(cloud: Cloud) -> None:
    cloud.project().lock()
    assert locked(cloud)["model"]["gated"] == "auto"


def test_the_task_judges_every_file_and_refuses_by_its_exit_code(cloud: Cloud) -> None:
    project = served(cloud, {"training_args.bin": ARGUMENTS, "model.safetensors": GOOD, "notes.txt": b"a"})
    found = project.scan()
    assert (found.exit_code, found.locked, found.mode, found.license) == (1, False, "strict", "acme-1.0")
    assert {file.path for file in found.files if file.looked_at} == {
        "config.json",
        "model.safetensors",
        "training_args.bin",
    }
    ((file, finding),) = found.findings
    assert (file.path, finding.refused, finding.damaged) == ("training_args.bin", True, False)
    allowed = cloud.project(ALLOWED).scan()
    assert (allowed.exit_code, [finding.refused for _, finding in allowed.findings]) == (0, [False])
    assert cloud.project("trust.scan=warn").scan().exit_code == 0
    assert cloud.project("trust.scan=off").scan().exit_code == 0


def test_the_task_says_damage_by_its_exit_code_and_judges_the_files_of_the_lock(cloud: Cloud) -> None:
    served(cloud, {"model.safetensors": GOOD[:-1]}, "trust.scan=off").lock()
    found = cloud.project().scan()
    assert (found.exit_code, found.locked) == (4, True)


def test_doctor_says_what_is_known_of_the_files(cloud: Cloud) -> None:
    served(cloud, {"model.safetensors": GOOD}).lock()
    (check,) = (check for check in cloud.project().doctor().checks if check.id == "scan")
    assert (check.verdict, check.detail) == ("ok", "judged by content: nothing found")


def test_a_cache_that_nobody_hashed_is_hashed_and_judged_without_the_hub(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(cloud, {"model.safetensors": GOOD}).package()
    shutil.rmtree(cloud.root / "build")  # as on a machine that gets a cache and a lock
    project = cloud.project()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    project.package()
    assert "scanned 2 files: nothing found" in told(project)
    assert cloud.servers.faults.log == []
