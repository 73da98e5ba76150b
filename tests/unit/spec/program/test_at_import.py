"""What the code does when the server imports it, in every worker and at every start, is told as a warning."""

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
    ("from huggingface_hub import hf_hub_download as get\nif True:\n    get('a/b', 'c')\n", "3:5", "calls huggingface_hub.hf_hub_download"),
    ("import torch\nx = torch.hub.load('a/b', 'c')\n", "2:5", "calls torch.hub.load"),
    ("from transformers import AutoModel\nx = AutoModel.from_pretrained('owner/name')\n", "2:5", "loads 'owner/name' from the Hub"),
    ("import transformers\nx = transformers.AutoModel.from_pretrained('gpt2')\n", "2:5", "loads 'gpt2' from the Hub"),
    ("from transformers import pipeline\nx = pipeline('a', model='owner/name')\n", "2:5", "loads 'owner/name' from the Hub"),
    ("import requests\nclass A:\n    x = requests.get('https://a')\n", "3:9", "calls requests.get"),
    ("import requests\ndef load():\n    return requests.get('https://a')\nx = load()\n", "3:12", "calls requests.get"),
    ("import requests\ndef f(x=requests.get('https://a')): ...\n", "2:9", "calls requests.get"),
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


PASSED = [
    "import requests\ndef predict_fn(data, model): return requests.get(data)\n",
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
    write(tmp_path, GOOD + "def predict_fn(data, model):\n    import helper\n")
    assert told(tmp_path) == []
