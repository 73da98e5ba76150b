"""The detector: what is a secret by its form, by its name, and in the text of a file; and what is none.

No example stands here as it would in a real file: all are assembled from pieces, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

import base64
import codecs
import json
import random
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.spec.secrets import LIMIT, files, names, texts, values
from tests.helpers.specs import errors

ALNUM, HEX = string.ascii_letters + string.digits, string.digits + "abcdef"


def drawn(count: int, characters: str = ALNUM) -> str:
    """Random characters, the same in each run: of each class at least one."""
    return "aB3"[: 3 if characters == ALNUM else 0] + "".join(
        random.Random(count).choices(characters, k=count - (3 if characters == ALNUM else 0))
    )


def hexes(count: int) -> str:
    return drawn(count, HEX)


AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY"
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\n" + drawn(64) + "\n-----END RSA " + "PRIVATE KEY-----\n"
JWT = "eyJ" + drawn(20) + "." + "eyJ" + drawn(30) + "." + drawn(43)

# What the detector calls it, and examples.
FORMS = {
    "a Hugging Face token": ["hf" + "_" + drawn(34), "api" + "_org_" + drawn(34)],
    "an AWS access key": ["AKIA" + "IOSFODNN7EXAMPLE", "ASIA" + "ABCD" * 4],
    "an AWS session token": ["IQoJb3JpZ2lu" + "X2Vj" + drawn(80)],
    "an Amazon Bedrock key": ["ABSK" + drawn(110)],
    "a private key": [PEM, "-----BEGIN OPENSSH " + "PRIVATE KEY-----", "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----"],
    "a key of a Google service account": ['{"type": "service_account", "private_' + f'key_id": "{hexes(40)}"}}'],
    "a Google API key": ["AI" + "za" + drawn(35)],
    "a Google access token": ["ya" + "29." + drawn(60)],
    "a Google client secret": ["GOC" + "SPX-" + drawn(28)],
    "a Google refresh token": ["1/" + "/0" + drawn(40)],
    "an Azure storage or service key": [f"DefaultEndpointsProtocol=https;AccountName=a;Account{'Key='}{drawn(86)}=="],
    "an Azure client secret": [drawn(3) + "8" + "Q~" + drawn(34)],
    "a GitHub token": ["gh" + "p_" + drawn(36), "github" + "_pat_" + drawn(60)],
    "a GitLab token": ["gl" + "pat-" + drawn(20)],
    "an Anthropic key": ["sk" + "-ant-api03-" + drawn(90)],
    "an OpenRouter key": ["sk" + "-or-v1-" + hexes(64)],
    "a Langfuse key": ["sk" + "-lf-" + f"{hexes(8)}-{hexes(4)}-{hexes(4)}-{hexes(4)}-{hexes(12)}"],
    "an OpenAI key, or one of the same form": ["sk" + "-" + drawn(48), "sk" + "-proj-" + drawn(70) + "-x_" + drawn(8)],
    "a Groq key": ["gs" + "k_" + drawn(52)],
    "a Replicate token": ["r8" + "_" + drawn(37)],
    "an xAI key": ["xa" + "i-" + drawn(80)],
    "a Perplexity key": ["pp" + "lx-" + drawn(48)],
    "an NVIDIA key": ["nv" + "api-" + drawn(64)],
    "a Fireworks key": ["fw" + "_" + drawn(24)],
    "a LangSmith key": ["ls" + "v2_pt_" + hexes(32) + "_" + hexes(10)],
    "a Pinecone key": ["pc" + "sk_" + drawn(6) + "_" + drawn(60)],
    "a Tavily key": ["tv" + "ly-" + drawn(32)],
    "a Jina key": ["ji" + "na_" + drawn(60)],
    "a Weights & Biases key": ["wandb" + "_v1_" + drawn(40)],
    "a RunPod key": ["rp" + "a_" + drawn(46, string.ascii_uppercase + string.digits)],
    "an ElevenLabs key": ["sk" + "_" + hexes(48)],
    "a Stripe key": ["sk" + "_live_" + drawn(24), "rk" + "_live_" + drawn(24), "wh" + "sec_" + drawn(32)],
    "a Slack token": ["xo" + "xb-" + "123456789012-" + drawn(24)],
    "a Slack webhook": ["https://hooks.slack" + ".com/services/T0000000/B0000000/" + drawn(24)],
    "a Discord webhook": ["https://discord" + ".com/api/webhooks/123456789012345678/" + drawn(68)],
    "a Teams webhook": ["https://x.webhook" + ".office.com/webhookb2/" + drawn(40)],
    "a Telegram bot token": ["123456789" + ":AA" + drawn(33)],
    "a SendGrid key": ["S" + "G." + drawn(22) + "." + drawn(43)],
    "a Twilio key": ["S" + "K" + hexes(32)],
    "a Mailgun key": ["ke" + "y-" + hexes(32)],
    "a Mailchimp key": [hexes(32) + "-us" + "12"],
    "an npm token": ["np" + "m_" + drawn(36)],
    "a PyPI token": ["py" + "pi-AgEIcHlwaS5vcmc" + drawn(60)],
    "a RubyGems key": ["ruby" + "gems_" + hexes(48)],
    "a Docker Hub token": ["dckr" + "_pat_" + drawn(27)],
    "a DigitalOcean token": ["do" + "p_v1_" + hexes(64)],
    "a Databricks token": ["da" + "pi" + hexes(32)],
    "a Vault token": ["hv" + "s." + drawn(90)],
    "a Terraform token": [drawn(14) + ".atlas" + "v1." + drawn(67)],
    "a Pulumi token": ["pu" + "l-" + hexes(40)],
    "a Doppler token": ["d" + "p.st." + drawn(43)],
    "a Grafana token": ["gl" + "sa_" + drawn(32) + "_" + hexes(8)],
    "a New Relic key": ["NR" + "AK-" + drawn(27, string.ascii_uppercase + string.digits)],
    "a Sentry token": ["snt" + "rys_" + drawn(60)],
    "an Atlassian token": ["ATA" + "TT3" + drawn(180)],
    "a Notion token": ["nt" + "n_" + drawn(46)],
    "a Linear key": ["lin" + "_api_" + drawn(40)],
    "a Postman key": ["PM" + "AK-" + hexes(24) + "-" + hexes(34)],
    "an Airtable token": ["pa" + "t" + drawn(14) + "." + hexes(64)],
    "a Shopify token": ["shp" + "at_" + hexes(32)],
    "a Supabase key": ["sb" + "p_" + hexes(40)],
    "a PlanetScale token": ["pscale" + "_tkn_" + drawn(43)],
    "an Artifactory key": ["AK" + "Cp" + drawn(69)],
    "an Alibaba Cloud key": ["LT" + "AI5t" + drawn(18)],
    "a JSON web token": [JWT],
    "a bearer token": ["Authorization: Bear" + "er " + drawn(40)],
    "a login": ["Authorization: Bas" + "ic " + base64.b64encode(b"someone:hunter22").decode()],
    "an address with a password": ["postgres://svd:" + "hunter22@db.example.org/x", "redis://:" + "hunter22@cache"],
    "a connection string or an address with a secret": [
        "Server=db;Database=x;User Id=svd;Pass" + "word=hunter22;",
        "https://example.org/v1?api_" + "key=" + drawn(20),
    ],
    "a random key of 40 characters, such as an AWS secret key": [AWS_SECRET, drawn(40, ALNUM + "+/")],
}

COMMIT, SHA256 = (
    "043843887ccd51926e3efed36270444a838e7861",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
)
HARMLESS_VALUES = [
    COMMIT,
    SHA256,
    f"sha256:{SHA256}",
    "arn:aws:secretsmanager:us-east-1:210987654321:secret:prod/hf-AbCdEf",
    "arn:aws:iam::210987654321:role/service-role/AmazonSageMaker-ExecutionRole-20240101T000000",
    "sk-learn-model-trained-on-imagenet",
    "hf_cache_dir_for_models",
    "123e4567-e89b-12d3-a456-426614174000",
    "StableDiffusionXLControlNetPipelineV2Abc",  # 40 characters
    "com/boto/boto3/blob/develop/CONTRIBUTING",  # 40 as well
    "AllowEc2InstancesWithEncryptedEbsVolumes",
    "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference:2.6.0",
    "https://user@example.org:8080/path",
    "postgres://svd:${DB_PASSWORD}@db.example.org/x",
    "https://example.org/v1?api_" + "key={key}",
    "sha384-" + base64.b64encode(bytes(range(48))).decode(),
    base64.b64encode(bytes(range(256))).decode(),
    "basic understanding of diffusion models2",
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, examples in FORMS.items() for text in examples])
@pytest.mark.parametrize("around", ["{}", "X={}", '"{}"', "see {} for more", "a\n{}\nb"])
def test_a_secret_is_known_by_its_form_wherever_it_stands(kind: str, text: str, around: str) -> None:
    assert kind in {found for _begin, _end, found in values.find(around.format(text))}
    assert drawn(8) not in values.redacted(around.format(text))


def test_every_form_has_an_example() -> None:
    assert {form.kind for form in values.PATTERNS} | {values.RANDOM_KEY} == set(FORMS)


@pytest.mark.parametrize("text", HARMLESS_VALUES)
def test_what_only_looks_like_a_secret_is_none(text: str) -> None:
    assert values.kind_of(text) is None
    assert values.redacted(text) == text


def test_random_keys_are_found_and_digests_are_not() -> None:
    source = random.Random(7)
    keys = ["".join(source.choices(ALNUM + "+/", k=40)) for _ in range(2000)]
    assert sum(values.kind_of(f"X={key}") is None for key in keys) < 12
    digests = [source.randbytes(20).hex() for _ in range(2000)]
    assert not any(values.kind_of(digest) for digest in digests)


def test_a_picture_in_base64_holds_no_secret() -> None:
    source = random.Random(11)
    for _ in range(8):
        picture = base64.b64encode(source.randbytes(150_000)).decode()
        assert texts.search("sample.json", json.dumps({"inputs": picture}).encode()) == []
        assert texts.search("a.bin", b"\0" + source.randbytes(200_000)) == []


# Name, value: each would be read by anybody who may describe the model.
REAL = [
    *((f"SETTING_{number}", FORMS[kind][0]) for number, kind in enumerate([
        "a Hugging Face token", "an AWS access key", values.RANDOM_KEY, "a private key", "a GitHub token", "a GitLab token",
        "an OpenAI key, or one of the same form", "an Anthropic key", "a Slack token", "a Google API key", "a JSON web token",
        "an address with a password", "a Stripe key", "a SendGrid key", "an npm token", "a PyPI token", "a DigitalOcean token",
        "an Azure storage or service key", "a Slack webhook", "a Google access token", "a Replicate token", "a Groq key",
        "a Databricks token", "a Vault token", "a connection string or an address with a secret",
    ])),
    *((name, "hunter22") for name in (
        "HF_TOKEN", "DB_PASSWORD", "CLIENT_SECRET", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "dbPassword", "GITHUB_TOKEN",
        "WANDB_API_KEY", "DB_PASS", "DB_PWD", "OPENAI_KEY", "SIGNING_KEY", "ENCRYPTION_KEY", "COHERE_API_KEY",
    )),
    ("TOKENS", "x1y2z3w4,a5b6c7d8"),
]  # fmt: skip
HARMLESS = [
    ("API_KEY_HEADER", "X-Api-Key"),
    ("MODEL_TOKEN", "<image>"),
    ("CHAT_TEMPLATE_TOKEN", "chatml"),
    ("DECODER_START_TOKEN", "BOS"),
    ("CREDENTIAL_PROVIDER", "instance-profile"),
    ("SECRETS_MANAGER_REGION", "us-east-1"),
    ("BACKBONE", "sk-learn-model-trained-on-imagenet"),
    ("TOKENIZERS_PARALLELISM", "true"),
    ("MAX_NEW_TOKENS", "many"),
    ("MONKEY_MODE", "on"),
    ("MODEL_COMMIT", COMMIT),
    ("WEIGHTS_SHA256", SHA256),
    ("DB_PASSWORD", "arn:aws:secretsmanager:us-east-1:210987654321:secret:x"),
    ("HF_TOKEN_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:210987654321:secret:x"),
    ("API_KEY_NAME", "main-key"),
    ("EOS_TOKEN", "</s>"),
    ("STOP_TOKENS", "###,END"),
    ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"),
    ("KEY", "x"),
    ("CACHE_KEY", "svd-2024"),
    ("S3_KEY", "models/svd/model.tar.gz"),
    ("PARTITION_KEY", "tenant-7"),
    ("PUBLIC_KEY", "ssh-ed25519 AAAAC3Nza"),
    ("KMS_KEY_ID", "1234abcd-12ab-34cd-56ef-1234567890ab"),
    ("SIGNING_KEY", "alias/prod-signing"),
    ("SECRET_NAME", "prod/hf"),
    ("PASSWORD_FILE", "/run/secrets/db"),
    ("GOOGLE_APPLICATION_CREDENTIALS", "/opt/ml/model/code/sa.json"),
    ("TOKEN_LIMIT", "4096"),
    ("PWD", "/opt/ml"),
    ("NUM_PASS", "twice"),
    ("BYPASS_CACHE", "hard"),
    ("COMPASS", "north"),
    ("AUTHOR", "hunter22"),
    ("HF_HOME", "/tmp/hf_home"),
    ("PASSAGE_LENGTH", "long"),
    ("REQUEST_ID", "123e4567-e89b-12d3-a456-426614174000"),
]


@pytest.mark.parametrize(
    "section", ["environment", "endpoint.tags", "artifact.tags", "sample.request", "sample.request.a"]
)
def test_no_real_looking_value_passes_and_none_is_repeated(tmp_path: Path, section: str) -> None:
    for name, value in REAL:
        problems = errors(tmp_path, [f"{section}.{name}={json.dumps(value)}"])
        assert [problem.key for problem in problems if "looks like a" in problem.message] == [f"{section}.{name}"], name
        assert value not in "".join(map(str, problems))


@pytest.mark.parametrize("section", ["environment", "endpoint.tags", "sample.request"])
def test_no_harmless_value_is_refused(tmp_path: Path, section: str) -> None:
    for name, value in HARMLESS:
        problems = errors(tmp_path, [f"{section}.{name}={json.dumps(value)}"])
        assert not [problem for problem in problems if "looks like" in problem.message], name


@pytest.mark.parametrize("section", ["environment", "endpoint.tags", "sample.request", "code", "endpoint"])
def test_a_secret_that_stands_as_a_key_is_refused_and_not_repeated(tmp_path: Path, section: str) -> None:
    token = FORMS["a Hugging Face token"][0]
    problems = errors(tmp_path, [f"{section}.{token}=x"])
    assert any("the key looks like a Hugging Face token" in problem.message for problem in problems)
    assert token not in repr(problems)


def test_a_secret_is_not_repeated_where_the_document_cannot_be_read(tmp_path: Path) -> None:
    token = FORMS["a Hugging Face token"][0]
    for setting in (
        token,
        f"environment.{token}=[",
        f"environment={{{token}: 1, {token}: 2}}",
        f"a.b=*{token}",
        f"a.b=!{token} x",
    ):
        problems = errors(tmp_path, [setting])
        assert problems
        assert token not in repr(problems)


def test_a_rule_about_another_key_does_not_repeat_a_secret(tmp_path: Path) -> None:
    key = FORMS["an AWS access key"][0]
    problems = errors(
        tmp_path, [f"artifact.target=s3://toys/{key}", f"endpoint.async.s3_output_path=s3://toys/{key}/out"]
    )
    assert problems
    assert key not in repr(problems)


@pytest.mark.parametrize(
    ("name", "sense"),
    [
        ("APIKey", "certain"), ("x-api-key", "certain"), ("SECRET_KEY_BASE", "certain"), ("PGPASSWORD", "certain"),
        ("password1", "certain"), ("OAUTH2_CLIENT_SECRET", "certain"), ("VAULT_TOKEN", "certain"), ("token", "possible"),
        ("pass", "possible"), ("TWILIO_AUTH_TOKEN", "certain"), ("AWS_ACCESS_KEY_ID", "certain"), ("DD_APP_KEY", "certain"),
        ("key", None), ("keys", None), ("next_token", None), ("token_type", None), ("secret_name", None), ("compass", None),
        ("eos_token_id", None), ("password_policy", None), ("PWD", None), ("stripe_publishable_key", None), ("", None), ("_", None),
    ],
)  # fmt: skip
def test_a_name_says_whether_its_value_is_a_secret(name: str, sense: str | None) -> None:
    assert names.confidence(name) == sense


# A folder of inference code: what a person might have left in it, and what is there by right.
PLANTED = [
    ("a.py", "TOKEN = '{}'".format(FORMS["a Hugging Face token"][0])),
    ("a.py", "# once used {}".format(FORMS["an AWS access key"][0])),
    ("a.py", f"boto3.client('s3', aws_secret_access_key='{drawn(40, ALNUM + '+/')}')"),
    ("a.py", "DB_PASSWORD = 'hunter22'"),
    ("a.py", "config = {'password': 'hunter22'}"),
    ("a.py", "os.environ['OPENAI_API_KEY'] = 'abcd1234efgh'"),
    ("a.py", "os.environ.setdefault('WANDB_API_KEY', 'abcd1234efgh')"),
    ("a.py", "def connect(host, password='hunter22'): ..."),
    ("a.py", "if token == 'abcd1234efgh': ..."),
    ("a.py", "url = 'postgres://svd:" + "hunter22@db/x'"),
    ("a.ipynb", '   "api_key = \\"abcd1234efgh\\"\\n",'),
    ("a.yaml", "password: hunter22"),
    ("a.json", '{"client_secret": "abcd1234efgh"}'),
    ("a.toml", "api_key = 'abcd1234efgh'"),
    ("a.sh", "export DB_PASSWORD=hunter22"),
    ("a.ini", "password = hunter22"),
    ("a.txt", PEM.splitlines()[0]),
]
BESIDE = [
    ("a.py", f"REVISION = '{COMMIT}'"),
    ("a.py", f"DIGESTS = {{'unet': '{SHA256}'}}"),
    ("a.py", "SECRET_ARN = 'arn:aws:secretsmanager:us-east-1:210987654321:secret:prod/hf-AbCdEf'"),
    ("a.py", "IMAGE_TOKEN = '<image>'; eos_token = '<|end|>'; tokens = ['hello', 'world']"),
    ("a.py", "token = os.environ['HF_TOKEN']; password = os.getenv('DB_PASSWORD', '')"),
    ("a.py", "client = OpenAI(base_url=url, api_key='EMPTY')"),
    ("a.py", "raise ValueError('password must have at least 8 characters')"),
    ("a.py", "secret = client.get_secret_value(SecretId='prod/svd/v2')"),
    ("a.py", "url = f'https://{user}:{password}@{host}/x'"),
    ("a.json", '{"eos_token": "</s>", "pad_token": "[PAD]", "secret": 1234, "password": 5678}'),
    ("a.yaml", "api_key: ${OPENAI_API_KEY}\npassword: <your password>\ntoken: changeme"),
    ("a.txt", f"imageio==2.37.0 --hash=sha256:{SHA256}"),
]


@pytest.mark.parametrize(("name", "line"), PLANTED)
def test_what_was_left_in_a_file_is_found_on_its_line(name: str, line: str) -> None:
    assert [found.line for found in texts.search(name, f"\n\n{line}\n".encode())] == [3]


@pytest.mark.parametrize(("name", "text"), BESIDE)
def test_what_is_in_a_file_by_right_is_not_refused(name: str, text: str) -> None:
    assert texts.search(name, text.encode()) == []


@pytest.mark.parametrize(("name", "line"), PLANTED)
@pytest.mark.parametrize(
    "comment", ["# sagepack: not a secret", "// Sagepack: not a secret", "<!-- sagepack: not a secret -->"]
)
def test_a_comment_excuses_its_line_and_no_other(name: str, line: str, comment: str) -> None:
    if name == "a.py" and not comment.startswith("#"):
        return
    assert texts.search(name, f"{line} {comment}\n".encode()) == []
    assert len(texts.search(name, f"{comment}\n{line}\n{line} {comment}\n{line}\n".encode())) == 2


@pytest.mark.parametrize(
    "program",
    [
        "x.api_key = {}",
        "api_key: str = {}",
        "f(api_key={})",
        "f(**{{'api_key': {}}})",
        "def f(*, api_key={}): ...",
        "f = lambda api_key={}: api_key",
        "if (api_key := {}): ...",
        "user, api_key = 'svd', {}",
        "assert {} == api_key",
        "if api_key in ('', {}): ...",
        "hmac.compare_digest(api_key, {})",
        "os.getenv('API_KEY', {})",
        "api_key = os.environ.get('K') or {}",
        "api_key = os.environ.get('K', {})",
        "api_key = x if y else {}",
        "api_key = SecretStr({})",
        "api_key = ({}).encode()",
        "api_keys = [{}]",
        "parser.add_argument('--api-key', default={})",
        "class A:\n    api_key = Field(default={})",
        "setattr(openai, 'api_key', {})",
    ],
)
@pytest.mark.parametrize(
    "literal", ["'abcd1234efgh'", "b'abcd1234efgh'", "('abcd' '1234efgh')", "'abcd' + '1234efgh'", "f'abcd1234{x}efgh'"]
)
def test_a_literal_is_found_whatever_gives_it_its_name(program: str, literal: str) -> None:
    assert texts.search("a.py", program.format(literal).encode()), program
    assert (
        texts.search(
            "a.py",
            program.replace("api_key", "colour")
            .replace("api-key", "c")
            .replace("API_KEY", "C")
            .format(literal)
            .encode(),
        )
        == []
    )


@pytest.mark.parametrize("broken", ["def f(:\n", "print 'x'\n", "x = '\n", "(" * 5000])
def test_a_program_that_does_not_parse_is_searched_by_lines(broken: str) -> None:
    assert [found.line for found in texts.search("a.py", f"api_key = 'abcd1234efgh'\n{broken}".encode())] == [1]


@pytest.mark.parametrize("chain", ["1+", "x.", "-", "not ", "a=", "lambda:", "("])
def test_no_program_ends_the_search(chain: str) -> None:
    text = f"api_key = 'abcd1234efgh'\n{chain * (LIMIT // len(chain) - 99)}1"
    assert [found.line for found in texts.search("a.py", text.encode())] == [1]


@pytest.mark.parametrize(
    "key", ["password \x1b[31m", "password" + "y" * 100, "password_\ud800", FORMS["a GitHub token"][0] + "_key"]
)
def test_a_name_that_nobody_would_choose_is_not_repeated(key: str) -> None:
    found = texts.search("a.py", f"x = {{{key!a}: 1}}; y = {{{'secret ' + key!a}: 'hunter22'}}".encode())
    assert all(key not in one.kind for one in found)
    assert "a secret, by its name" in {one.kind for one in found} or key.startswith("gh")


@given(
    st.binary(max_size=300) | st.text().map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from(["a.py", "a.json", "a"]),
)
def test_the_search_takes_any_file(data: bytes, name: str) -> None:
    for prefix in (b"", b"password = ", codecs.BOM_UTF16_LE, b"-----BEGIN "):
        assert all(found.line >= 0 for found in texts.search(name, prefix + data))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_text_is_searched_whatever_its_encoding(encoding: str) -> None:
    text = "# gr\u00fc\u00dfe\nDB_PASSWORD=hunter22\n"
    data = text.encode(encoding)
    assert [found.line for found in texts.search("a.sh", data)] == [2]


def test_of_a_binary_only_tokens_with_a_prefix_are_found() -> None:
    token = FORMS["a GitHub token"][0]
    data = b"\0\1\2" + f"{PEM}{AWS_SECRET}\0{token}\0".encode()
    assert texts.search("a.so", data) == [texts.Occurrence(0, "a GitHub token")]


def test_a_connection_string_in_a_literal_is_found_and_one_in_a_docstring_is_not() -> None:
    call = "connect('host=db user=svd password=hunter22 dbname=x')"
    assert texts.search("a.py", call.encode()) == [texts.Occurrence(1, "a secret, by its name password")]
    assert texts.search("a.py", b'def f():\n    """Call connect(password=hunter22x)."""\n') == []


CERTIFICATE = "-----BEGIN CERTIFICATE-----\n{}\n{}\n-----END CERTIFICATE-----\n".format(
    drawn(64), drawn(40, ALNUM + "+/")
)


def test_certificates_are_no_secrets_and_private_keys_beside_them_are() -> None:
    assert texts.is_public(CERTIFICATE.encode() * 2)
    assert texts.search("ca.txt", CERTIFICATE.encode()) == []
    assert not texts.is_public((CERTIFICATE + PEM).encode())
    assert not texts.is_public(b"-----BEGIN CERTIFICATE-----\n")
    assert not texts.is_public(b"")


@pytest.mark.parametrize(
    "name",
    [
        ".env", ".env.production", ".ENV.local", ".envrc", ".netrc", ".git-credentials", ".npmrc", ".pypirc", "id_rsa", "id_ed25519",
        "credentials", "credentials.json", "credentials-prod.json", "service-account-prod.json", "client_secret_1.json",
        "prod_accessKeys.csv", "secrets.toml", "key.p12", "key.pfx", "x.kdbx", "terraform.tfstate",
    ],
)  # fmt: skip
def test_files_are_refused_by_convention(name: str) -> None:
    assert files.reason_for_file(name)


@pytest.mark.parametrize(
    "name",
    [
        "core.py",
        "core.yaml",
        "credentials.py",
        "secrets.py",
        "environment.py",
        "id_mapping.py",
        "id_rsa.pub",
        "env.py",
        "keys.json",
        "x.crt",
    ],
)
def test_files_of_ordinary_names_are_not(name: str) -> None:
    assert files.reason_for_file(name) is None
    assert not files.may_be_key_file(name)
