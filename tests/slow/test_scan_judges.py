"""Programs that nobody here wrote judge the same files: the safetensors reference, picklescan, and torch's loader of weights alone.

Nothing that is malicious is loaded: picklescan reads opcodes, as the scan does, and torch gets what the scan accepts, and the
harmless classes that it does not know either.
"""

from __future__ import annotations

import json
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from sagepack.scan import safetensors
from sagepack.scan.finding import RefusedError
from sagepack.scan.judge import scan
from sagepack.scan.ranges import Ranges
from sagepack.serving import model_server
from tests.helpers import model_samples as samples
from tests.helpers.environments import environment
from tests.helpers.paths import ROOT
from tests.helpers.random_headers import files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.helpers.model_samples import Sample

pytestmark = pytest.mark.slow
MISSING = model_server.unavailable(ROOT)
HEADERS = 50_000

_REFERENCE = """\
import struct, sys
from safetensors import deserialize
data, at = open(sys.argv[1], "rb").read(), 0
while at < len(data):
    (length,) = struct.unpack_from("<Q", data, at)
    try:
        deserialize(data[at + 8 : at + 8 + length])
        print("good")
    except Exception:
        print("bad")
    at += 8 + length
"""

_PICKLESCAN = """\
import json, logging, sys
from picklescan.scanner import scan_file_path
logging.disable(logging.CRITICAL)
def refuses(path):
    try:
        return scan_file_path(path, strict=True).issues_count > 0
    except Exception:  # of 7z without py7zr, of arrays without numpy: no verdict
        return False
print(json.dumps([path for path in json.load(sys.stdin) if refuses(path)]))
"""

_TORCH = """\
import json, sys, warnings, torch
warnings.simplefilter("ignore")
def loads(path):
    try:
        return bool(torch.load(path, weights_only=True) is not None)
    except Exception:
        return False
print(json.dumps([path for path in json.load(sys.stdin) if loads(path)]))
"""


def accepts(path: str, data: bytes) -> bool:
    return not scan(path, len(data), lambda offset, length: data[offset : offset + length])


def accepts_header(data: bytes) -> bool:
    try:
        safetensors.check(Ranges(lambda offset, length: data[offset : offset + length], len(data)))
    except RefusedError:
        return False
    return True


def is_stricter_here(data: bytes) -> bool:
    """Whether the header begins with a space, or a name stands in it twice: the format allows neither, the reference both."""
    try:
        raw = data[8 : 8 + struct.unpack_from("<Q", data)[0]]
        pairs = json.loads(raw, object_pairs_hook=list)
    except (ValueError, struct.error):
        return False
    return raw[:1].isspace() or len(dict(pairs)) != len(pairs)


def written(folder: Path, found: Iterable[Sample]) -> dict[str, Sample]:
    """The samples as files, by their paths."""
    made = {}
    for number, sample in enumerate(found):
        path = folder / str(number) / sample.path
        path.parent.mkdir(parents=True)
        path.write_bytes(sample.data)
        made[str(path)] = sample
    return made


def answer(python: str, program: str, paths: Iterable[str]) -> set[str]:
    """The paths that a judge prints."""
    ran = subprocess.run(
        [python, "-c", program], input=json.dumps(list(paths)), capture_output=True, text=True, check=True, timeout=300
    )
    return set(json.loads(ran.stdout.splitlines()[-1]))


def test_the_reference_gives_the_same_verdict_on_random_headers(tmp_path: Path) -> None:
    made = list(files(HEADERS, seed=13))
    (tmp_path / "headers").write_bytes(b"".join(struct.pack("<Q", len(data)) + data for data in made))
    python = environment("safetensors", ["safetensors==0.8.0"]) / "python"
    ran = subprocess.run(
        [str(python), "-c", _REFERENCE, str(tmp_path / "headers")],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    verdicts = [line == "good" for line in ran.stdout.splitlines()]
    assert verdicts.count(True) > HEADERS // 20
    differ = [
        (theirs, data)
        for data, theirs in zip(made, verdicts, strict=True)
        if accepts_header(data) != theirs and not (theirs and is_stricter_here(data))
    ]
    assert differ == []


def test_the_reference_refuses_the_headers_of_the_corpus(tmp_path: Path) -> None:
    *wrong, twice = samples.headers()
    (tmp_path / "headers").write_bytes(
        b"".join(struct.pack("<Q", len(each.data)) + each.data for each in (*wrong, twice))
    )
    python = environment("safetensors", ["safetensors==0.8.0"]) / "python"
    ran = subprocess.run(
        [str(python), "-c", _REFERENCE, str(tmp_path / "headers")],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert ran.stdout.splitlines() == ["bad"] * len(wrong) + ["good"]


def test_what_picklescan_refuses_is_refused(tmp_path: Path) -> None:
    made = written(tmp_path, [*samples.bad(), *samples.good(), *samples.refused_everywhere()])
    python = environment("picklescan", ["picklescan==1.0.5"]) / "python"
    refused = answer(str(python), _PICKLESCAN, made)
    assert len(refused) > 30
    assert {made[path].name for path in refused if accepts(made[path].path, made[path].data)} == set()


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_torch_loads_the_state_dicts_that_are_accepted_and_refuses_the_classes_that_are_refused(tmp_path: Path) -> None:
    good = [sample for sample in samples.good() if samples.is_of_torch(sample)]
    made = written(tmp_path, [*good, *samples.refused_everywhere()])
    loaded = answer(str(model_server.python(ROOT)), _TORCH, made)
    assert {made[path].name for path in loaded} == {sample.name for sample in good}
    assert all(accepts(sample.path, sample.data) for sample in good)
    assert not any(accepts(sample.path, sample.data) for sample in samples.refused_everywhere())


_WRITE = """\
import collections, json, pathlib, pickle, random, sys, warnings
import numpy as np, torch
warnings.simplefilter("ignore")
out = pathlib.Path(json.load(sys.stdin)[0])
model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Conv2d(3, 4, 3))
torch.save(model.state_dict(), out / "state.bin")
torch.save(model.state_dict(), out / "legacy.pth", _use_new_zipfile_serialization=False)
kinds = "float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 bool complex64 float8_e4m3fn float8_e5m2".split()
torch.save({kind: torch.zeros(3).to(getattr(torch, kind)) for kind in kinds}, out / "types.pt")
optimizer = torch.optim.AdamW(model.parameters())
for parameter in model.parameters():
    parameter.grad = torch.zeros_like(parameter)
optimizer.step()
torch.save(optimizer.state_dict(), out / "optimizer.pt")
states = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.random.get_rng_state()}
torch.save(states, out / "rng_state.pth")
mixed = {"array": np.zeros(3), "number": np.float32(3), "sparse": torch.zeros(3, 3).to_sparse(), "set": {1}}
torch.save({**mixed, "parameter": torch.nn.Parameter(torch.zeros(2)), "size": torch.Size([1])}, out / "mixed.pt")
torch.save(torch.quantize_per_tensor(torch.zeros(4), 0.1, 0, torch.qint8), out / "quantized.pt")
np.save(out / "array.npy", np.zeros(3, dtype=[("x", "f4"), ("y", "i4")]))
np.savez_compressed(out / "arrays.npz", a=np.zeros(1000), b=np.arange(4))
(out / "plain.pkl").write_bytes(pickle.dumps({"a": [1, 2.5, "x", b"y", None, (1,), {3}]}))
torch.save(model, out / "refused-module.pt")
torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), out / "refused-script.pt")
np.save(out / "refused-objects.npy", np.array([{}], dtype=object))
print(json.dumps([str(path) for path in out.iterdir()]))
"""


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_what_torch_and_numpy_write_of_weights_passes_and_programs_do_not(tmp_path: Path) -> None:
    made = answer(str(model_server.python(ROOT)), _WRITE, [str(tmp_path)])
    refused = {path.name for path in tmp_path.iterdir() if not accepts(path.name, path.read_bytes())}
    assert len(made) == 13
    assert refused == {"refused-module.pt", "refused-script.pt", "refused-objects.npy"}
