"""What the code does with the network, the disk and the GPU is told where the container cannot do it, or should not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.spec.program.test_check import GOOD, HANDLER, told, write

if TYPE_CHECKING:
    from pathlib import Path

WARNED = [
    ("import requests\nx = requests.get('https://a').json()\n", "2:5", "calls requests.get when the server imports this"),
    ("import requests as r\nr.post('https://a')\n", "2:1", "calls requests.post"),
    ("from urllib.request import urlopen\nwith urlopen('https://a') as x: ...\n", "2:6", "calls urllib.request.urlopen"),
    ("import urllib.request as u\nu.urlretrieve('https://a')\n", "2:1", "calls urllib.request.urlretrieve"),
    ("from huggingface_hub import hf_hub_download as get\nif True:\n    get('a/b', 'c')\n", "3:5", "loads 'a/b' from the Hub"),
    ("import torch\nx = torch.hub.load('a/b', 'c')\n", "2:5", "calls torch.hub.load"),
    ("from transformers import AutoModel\nx = AutoModel.from_pretrained('owner/name')\n", "2:5", "loads 'owner/name' from the Hub"),
    ("import transformers\nx = transformers.AutoModel.from_pretrained('gpt2')\n", "2:5", "loads 'gpt2' from the Hub"),
    ("from transformers import pipeline\nx = pipeline('a', model='owner/name')\n", "2:5", "loads 'owner/name' from the Hub"),
    ("import requests\nclass A:\n    x = requests.get('https://a')\n", "3:9", "calls requests.get"),
    ("import requests\ndef load():\n    return requests.get('https://a')\nx = load()\n", "3:12", "calls requests.get"),
    ("import requests\ndef f(x=requests.get('https://a')): ...\n", "2:9", "calls requests.get"),
    ("import subprocess\nsubprocess.check_call(['pip', 'install', 'x'])\n", "2:1", "runs 'pip install x' when the server imports this"),
    ("import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'pip', 'install', 'x'])\n", "2:1", "runs 'pip install x'"),
    ("import os\nos.system('apt-get update')\n", "2:1", "runs 'apt-get update'"),
    ("import boto3\ns3 = boto3.client('s3')\ns3.download_file('a', 'b', '/tmp/c')\n", "3:1", "calls boto3.client().download_file"),
    ("import requests\nx = requests.Session()\nx.get('https://a')\n", "3:1", "calls requests.Session().get"),
    ("LOG = 'x.log'\nopen(LOG, 'w')\n", "2:1", "writes 'x.log'"),
    ("from pathlib import Path\nOUT = Path('/opt') / 'cache'\nOUT.mkdir()\n", "3:1", "writes '/opt/cache'"),
    ("open('log.txt', 'a')\n", "1:1", "writes 'log.txt' when the server imports this"),
    ("open('/opt/ml/model/x', mode='wb')\n", "1:1", "writes '/opt/ml/model/x'"),
    ("from pathlib import Path\nPath('cache').mkdir(exist_ok=True)\n", "2:1", "writes 'cache'"),
    ("import os\nos.makedirs('/opt/cache', exist_ok=True)\n", "2:1", "writes '/opt/cache'"),
    ("import logging\nlogging.basicConfig(filename='x.log')\n", "2:1", "writes 'x.log'"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "where", "message"), WARNED)
def test_network_and_files_at_import_are_warned_about(tmp_path: Path, code: str, where: str, message: str) -> None:
    write(tmp_path, code + GOOD)
    ((severity, location, text),) = told(tmp_path)
    assert (severity, location) == ("warning", f"{HANDLER}:{where}")
    assert message in text


@pytest.mark.parametrize(
    ("code", "severity", "message"),
    [
        ("import sys\nsys.exit('no GPU')\n" + GOOD, "error", "ends the worker when the server imports this: the server starts"),
        ("import sys\nif sys.argv:\n    sys.exit(1)\n" + GOOD, "warning", "ends the worker when the server imports this"),
        ("def model_fn(model_dir): quit()\n", "error", "ends the worker in model_fn: the server starts another"),
        (GOOD + "import os\ndef predict_fn(data, model):\n    if not data: os._exit(1)\n    return 1\n", "warning", "ends the worker in predict_fn: the request fails"),
    ],
)  # fmt: skip
def test_code_that_ends_the_worker_is_told(tmp_path: Path, code: str, severity: str, message: str) -> None:
    write(tmp_path, code)
    found = [(how, text) for how, _, text in told(tmp_path) if message in text]
    assert [how for how, _ in found] == [severity]


PASSED = [
    "import requests\ndef predict_fn(data, model): return requests.get(data)\n",
    "import sys\nif __name__ == '__main__':\n    sys.exit(1)\n",
    "def exit(code): ...\nexit(1)\n",
    "import requests\nfetch = lambda: requests.get('https://a')\n",
    "import requests\nif __name__ == '__main__':\n    requests.get('https://a')\n",
    "import requests\nsession = requests.Session()\n",
    "x = {}.get('https://a')\n",
    "from transformers import AutoModel\nx = AutoModel.from_pretrained('/opt/ml/model')\n",
    "from transformers import AutoModel\nx = AutoModel.from_pretrained('./weights')\n",
    "from transformers import AutoModel\nx = AutoModel.from_pretrained('owner/name', local_files_only=True)\n",
    "from transformers import AutoModel\nimport os\nx = AutoModel.from_pretrained(os.environ['X'])\n",
    "import torch\nx = torch.hub.load('/opt/x', 'c', source='local')\n",
    "open('labels.txt')\nopen('labels.txt', 'rb')\n",
    "import boto3\ns3 = boto3.client('s3')\n",
    "import subprocess\nsubprocess.run(['ffmpeg', '-version'])\n",
    "open('/tmp/x', 'w')\nopen('/dev/null', 'w')\n",
    "import os, tempfile\nos.makedirs(tempfile.gettempdir() + '/x')\n",
]


@pytest.mark.parametrize("code", PASSED)
def test_what_is_harmless_or_runs_later_is_let_pass(tmp_path: Path, code: str) -> None:
    write(tmp_path, code + GOOD)
    assert told(tmp_path) == []


def test_a_helper_counts_if_it_is_imported_with_the_program(tmp_path: Path) -> None:
    write(tmp_path, "import requests\nrequests.get('https://a')\n", "helper.py")
    write(tmp_path, "import helper\n" + GOOD)
    assert [one[:2] for one in told(tmp_path)] == [("warning", "code_of/toy/helper.py:2:1")]
    write(tmp_path, GOOD + "def predict_fn(data, model):\n    import helper\n    return data\n")
    assert told(tmp_path) == []


ISOLATED = ["endpoint.enable_network_isolation=true"]
OFFLINE = ["environment.HF_HUB_OFFLINE=1"]
LOAD = "from transformers import AutoModel\ndef model_fn(model_dir):\n    {}\n"
IN_HOOKS = [
    (LOAD.format("return AutoModel.from_pretrained('owner/name')"), "3:12", "loads 'owner/name' from the Hub in model_fn: the weights of the package are not used"),
    (LOAD.format("return AutoModel.from_pretrained('owner/toy')"), "3:12", "load it from model_dir in model_fn: the package has it there"),
    ("MODEL = 'owner/name'\n" + LOAD.format("return AutoModel.from_pretrained(MODEL)"), "4:12", "loads 'owner/name'"),
    (LOAD.format("name = 'owner/name'\n    return AutoModel.from_pretrained(name)"), "4:12", "loads 'owner/name'"),
    (LOAD.format("return load()\ndef load():\n    return AutoModel.from_pretrained('owner/name')"), "5:12", "loads 'owner/name'"),
    (LOAD.format("return AutoModel.from_pretrained('owner/name', cache_dir='/tmp/x')"), "3:12", "loads 'owner/name'"),
    ("from huggingface_hub import snapshot_download as get\ndef model_fn(model_dir):\n    return get('a/b')\n", "3:12", "loads 'a/b'"),
    ("import requests\ndef model_fn(model_dir):\n    return requests.get('https://a')\n", "3:12", "calls requests.get in model_fn, each time a container starts"),
    ("import os\ndef model_fn(model_dir):\n    os.makedirs(os.path.join(model_dir, 'cache'))\n", "3:5", "writes '/opt/ml/model/cache' in model_fn"),
    (GOOD + "def predict_fn(data, model):\n    with open('x.json', 'w') as file: file.write('x')\n    return 1\n", "3:10", "writes 'x.json' in predict_fn"),
    (GOOD + "def predict_fn(data, model):\n    data.save('out.png')\n    return 1\n", "3:5", "writes 'out.png' in predict_fn"),
    ("import torch\ndef model_fn(model_dir):\n    torch.save({}, '/opt/x.pt')\n", "3:5", "writes '/opt/x.pt'"),
    ("from pathlib import Path\ndef model_fn(model_dir):\n    (Path.home() / 'x').write_text('a')\n", "3:5", "writes '~/x'"),
    ("class M:\n    def run(self): open('x', 'w')\ndef model_fn(model_dir): return M()\n", "2:20", "writes 'x' in model_fn"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "where", "message"), IN_HOOKS)
def test_what_the_hooks_do_with_network_and_files_is_warned_about(
    tmp_path: Path, code: str, where: str, message: str
) -> None:
    write(tmp_path, code)
    ((severity, location, text),) = told(tmp_path)
    assert (severity, location) == ("warning", f"{HANDLER}:{where}")
    assert message in text


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (LOAD.format("return AutoModel.from_pretrained('owner/name')"), "loads 'owner/name' from the Hub, but"),
        ("from huggingface_hub import snapshot_download\nsnapshot_download('a/b')\n" + GOOD, "loads 'a/b'"),
    ],
)
@pytest.mark.parametrize(
    ("sets", "why"),
    [(ISOLATED, "the container has no network"), (OFFLINE, "HF_HUB_OFFLINE in the environment forbids")],
)
def test_a_model_of_the_hub_is_refused_where_the_hub_cannot_be_reached(
    tmp_path: Path, code: str, message: str, sets: list[str], why: str
) -> None:
    write(tmp_path, code)
    ((severity, _, text),) = told(tmp_path, sets)
    assert severity == "error"
    assert message in text
    assert why in text


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        ("    return requests.get('https://a')\n", "error"),
        ("    if data:\n        return requests.get('https://a')\n    return 1\n", "warning"),
        ("    try:\n        return requests.get('https://a')\n    except OSError:\n        return 1\n", "warning"),
    ],
)
def test_an_isolated_container_calls_no_service(tmp_path: Path, code: str, severity: str) -> None:
    write(tmp_path, "import requests\n" + GOOD + "def predict_fn(data, model):\n" + code)
    assert [one[0] for one in told(tmp_path, ISOLATED)] == [severity]
    assert told(tmp_path) == []


@pytest.mark.parametrize(
    "code",
    [
        "from huggingface_hub import snapshot_download\n    return snapshot_download('a/b', local_files_only=True)",
        "from huggingface_hub import snapshot_download\n    return snapshot_download('a/b', cache_dir=model_dir + '/hub')",
        "return AutoModel.from_pretrained('owner/name', cache_dir=model_dir)",
        "import requests\n    return requests.get('http://127.0.0.1:9000/ready')",
        "import subprocess\n    subprocess.run(['pip', 'install', '--no-index', '--find-links', model_dir + '/wheels', 'x'])",
    ],
)
@pytest.mark.parametrize("sets", [ISOLATED, OFFLINE, []])
def test_what_stays_within_the_container_is_let_pass(tmp_path: Path, code: str, sets: list[str]) -> None:
    write(tmp_path, LOAD.format(code))
    assert told(tmp_path, sets) == []


CPU = ["image.tag=2.6.0-transformers4.51.3-cpu-py312-ubuntu22.04", "endpoint.instance_type=ml.m5.xlarge"]
CUDA = [
    ("return AutoModel.from_pretrained(model_dir).to('cuda')", "uses the device 'cuda'"),
    ("return AutoModel.from_pretrained(model_dir, device_map='cuda:0')", "uses the device 'cuda:0'"),
    ("device = 'cuda'\n    return AutoModel.from_pretrained(model_dir).to(device)", "uses the device 'cuda'"),
    ("return AutoModel.from_pretrained(model_dir).cuda()", "calls cuda()"),
    ("x = AutoModel.from_pretrained(model_dir)\n    x.enable_model_cpu_offload()", "calls enable_model_cpu_offload()"),
]


@pytest.mark.parametrize(("code", "message"), CUDA)
def test_a_gpu_is_refused_where_the_image_cannot_use_one(tmp_path: Path, code: str, message: str) -> None:
    write(tmp_path, LOAD.format(code))
    ((severity, _, text),) = told(tmp_path, CPU)
    assert severity == "error"
    assert f"{message}, but the image has no CUDA" in text
    assert told(tmp_path) == []


@pytest.mark.parametrize(
    "code",
    [
        "import torch\n    x = AutoModel.from_pretrained(model_dir)\n    if torch.cuda.is_available():\n        x.to('cuda')",
        "import torch\n    return AutoModel.from_pretrained(model_dir).to('cuda' if torch.cuda.is_available() else 'cpu')",
        "return AutoModel.from_pretrained(model_dir).to('cpu')",
        "return AutoModel.from_pretrained(model_dir, cache_dir=model_dir)",
        "return AutoModel.from_pretrained(model_dir + '/weights')",
        "import tempfile\n    with tempfile.TemporaryDirectory() as x:\n        open(x + '/a', 'w')",
        "open('/tmp/x', 'w')\n    with open(model_dir + '/config.json') as file:\n        return file.read()",
    ],
)
def test_a_hook_that_asks_for_the_gpu_and_keeps_to_its_folders_is_let_pass(tmp_path: Path, code: str) -> None:
    write(tmp_path, LOAD.format(code))
    assert told(tmp_path, CPU) == []
