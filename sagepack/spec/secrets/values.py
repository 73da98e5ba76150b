"""Secrets that their form gives away: tokens with a known prefix, private keys, URLs with a password.

Sources of the patterns: the documentation of the services, and the rules of gitleaks, trufflehog and detect-secrets. An
expression is compiled when one of its hints is found: importing this module compiles none, and most texts have no hint.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Pattern(NamedTuple):
    """One kind of secret.

    Attributes:
        kind: its name in messages, with an article.
        hints: every match contains at least one of them. They are found much faster than the expression.
        expression: regular expression of the secret. If only a part of a match is the secret, it is the group `secret`.
    """

    kind: str
    hints: tuple[str, ...]
    expression: str


PRIVATE_KEY = "a private key"
BEARER, LOGIN = "a bearer token", "a login"
ADDRESS, CONNECTION = "an address with a password", "a connection string or an address with a secret"
RANDOM_KEY = "a random key of 40 characters, such as an AWS secret key"
# The names of passwords and keys in a connection string or in the query of a URL.
_PARAMETER = r"(?:password|passwd|pwd|api[_-]?key|access[_-]?token|auth[_-]?token|client[_-]?secret|secret|token|sig)"

PATTERNS = (
    Pattern("a Hugging Face token", ("hf_", "api_org_"), r"\b(?:hf_[A-Za-z0-9]{16,}|api_org_[A-Za-z0-9]{30,})"),
    Pattern("an AWS access key", ("AKIA", "ASIA", "ABIA", "ACCA"), r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    Pattern("an AWS session token", ("FwoGZXIvYXdz", "IQoJb3JpZ2lu"), r"\b(?:FwoGZXIvYXdz|IQoJb3JpZ2lu)[A-Za-z0-9/+=]{40,}"),
    Pattern("an Amazon Bedrock key", ("ABSK", "bedrock-api-key-"), r"(?<![\w/+])(?:ABSK|bedrock-api-key-)[A-Za-z0-9+/]{60,}"),
    Pattern(
        PRIVATE_KEY,
        ("PRIVATE KEY", "PuTTY-User-Key-File-", "AGE-SECRET-KEY-1"),
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[^-]*-{0,5}[^-]*|PuTTY-User-Key-File-\d|AGE-SECRET-KEY-1[A-Z0-9]{50,}",
    ),
    Pattern("a key of a Google service account", ("private_key_id",), r"private_key_id\W{1,8}[0-9a-f]{40}\b"),
    Pattern("a Google API key", ("AIza",), r"(?<![\w/+])AIza[\w-]{30,}"),
    Pattern("a Google access token", ("ya29.",), r"\bya29\.[\w-]{16,}"),
    Pattern("a Google client secret", ("GOCSPX-",), r"\bGOCSPX-[\w-]{20,}"),
    Pattern("a Google refresh token", ("1//0",), r"(?<![\w/+])1//0[\w-]{30,}"),
    Pattern(
        "an Azure storage or service key",
        ("AccountKey=", "SharedAccessKey="),
        r"\b(?:AccountKey|SharedAccessKey)=(?P<secret>[A-Za-z0-9+/%]{20,})",
    ),
    Pattern("an Azure client secret", ("Q~",), r"(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,34}(?![\w~.-])"),
    Pattern(
        "a GitHub token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})",
    ),
    Pattern(
        "a GitLab token",
        ("glpat-", "gloas-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glagent-"),
        r"\bgl(?:pat|oas|dt|rt|cbt|ptt|ft|soat|agent)-[\w-]{16,}",
    ),
    Pattern("an Anthropic key", ("sk-ant-",), r"\bsk-ant-[\w-]{20,}"),
    Pattern("an OpenRouter key", ("sk-or-",), r"\bsk-or-v\d-[0-9a-f]{32,}"),
    Pattern("a Langfuse key", ("sk-lf-",), r"\bsk-lf-[0-9a-f-]{32,}"),
    # After a second prefix, hyphens may follow; else only letters and digits, so that `sk-learn-model-...` does not match.
    Pattern(
        "an OpenAI key, or one of the same form",
        ("sk-",),
        r"(?<![\w-])sk-(?:(?:proj|svcacct|admin|service|None)-(?=[\w-]*\d)[\w-]{20,}|(?=[A-Za-z]*\d)[A-Za-z0-9]{20,})",
    ),
    Pattern("a Groq key", ("gsk_",), r"\bgsk_[A-Za-z0-9]{20,}"),
    Pattern("a Replicate token", ("r8_",), r"\br8_[A-Za-z0-9]{24,}"),
    Pattern("an xAI key", ("xai-",), r"\bxai-[A-Za-z0-9]{40,}"),
    Pattern("a Perplexity key", ("pplx-",), r"\bpplx-[A-Za-z0-9]{32,}"),
    Pattern("an NVIDIA key", ("nvapi-",), r"\bnvapi-[\w-]{32,}"),
    Pattern("a Fireworks key", ("fw_",), r"(?<![\w-])fw_(?=[A-Za-z]*\d)[A-Za-z0-9]{20,}"),
    Pattern("a LangSmith key", ("lsv2_",), r"\blsv2_(?:pt|sk)_[0-9a-f]{32}"),
    Pattern("a Pinecone key", ("pcsk_",), r"\bpcsk_\w{30,}"),
    Pattern("a Tavily key", ("tvly-",), r"\btvly-[\w-]{20,}"),
    Pattern("a Jina key", ("jina_",), r"\bjina_[A-Za-z0-9]{40,}"),
    Pattern("a Weights & Biases key", ("wandb_v1_",), r"\bwandb_v1_\w{20,}"),
    Pattern("a RunPod key", ("rpa_",), r"\brpa_[A-Z0-9]{30,}"),
    Pattern("an ElevenLabs key", ("sk_",), r"\bsk_[0-9a-f]{48}\b"),
    Pattern("a Stripe key", ("k_live_", "k_test_", "whsec_"), r"\b(?:[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[\w+/]{24,})"),
    Pattern("a Slack token", ("xox", "xapp-"), r"\b(?:xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{20,})"),
    Pattern(
        "a Slack webhook",
        ("hooks.slack.com/",),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?=[\w/+-]*\d)[\w/+-]{16,}",
    ),
    Pattern("a Discord webhook", ("/api/webhooks/",), r"discord(?:app)?\.com/api/webhooks/\d{6,}/[\w-]{16,}"),
    Pattern("a Teams webhook", (".webhook.office.com/",), r"\.webhook\.office\.com/webhookb2/[\w@-]{30,}"),
    Pattern("a Telegram bot token", (":AA",), r"\b\d{8,10}:AA[\w-]{32,}"),
    Pattern("a SendGrid key", ("SG.",), r"\bSG\.[\w-]{16,}\.[\w-]{16,}"),
    Pattern("a Twilio key", ("SK",), r"\bSK[0-9a-f]{32}\b"),
    Pattern("a Mailgun key", ("key-",), r"\bkey-[0-9a-f]{32}\b"),
    Pattern("a Mailchimp key", ("-us",), r"\b[0-9a-f]{32}-us\d{1,2}\b"),
    Pattern("an npm token", ("npm_",), r"\bnpm_[A-Za-z0-9]{30,}"),
    Pattern("a PyPI token", ("pypi-",), r"(?<![\w-])pypi-(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{30,}"),
    Pattern("a RubyGems key", ("rubygems_",), r"\brubygems_[0-9a-f]{40,}"),
    Pattern("a Docker Hub token", ("dckr_pat_", "dckr_oat_"), r"\bdckr_[po]at_[\w-]{20,}"),
    Pattern("a DigitalOcean token", ("_v1_",), r"\bdo[opr]_v1_[0-9a-f]{32,}"),
    Pattern("a Databricks token", ("dapi",), r"\bdapi[0-9a-f]{32}\b"),
    Pattern("a Vault token", ("hvs.", "hvb.", "hvr."), r"\bhv[sbr]\.[\w-]{20,}"),
    Pattern("a Terraform token", (".atlasv1.",), r"\b[A-Za-z0-9]{8,}\.atlasv1\.[\w-]{20,}"),
    Pattern("a Pulumi token", ("pul-",), r"\bpul-[0-9a-f]{40}\b"),
    Pattern("a Doppler token", ("dp.",), r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{30,}"),
    Pattern("a Grafana token", ("glsa_", "glc_"), r"\b(?:glsa_\w{32,}|glc_[A-Za-z0-9+/]{32,})"),
    Pattern("a New Relic key", ("NRAK-",), r"\bNRAK-[A-Z0-9]{27}\b"),
    Pattern("a Sentry token", ("sntrys_", "sntryu_"), r"\bsntry[su]_[\w+/=-]{30,}"),
    Pattern("an Atlassian token", ("ATATT3", "ATCTT3"), r"\bAT[AC]TT3[\w=-]{30,}"),
    Pattern("a Notion token", ("ntn_",), r"\bntn_[A-Za-z0-9]{40,}"),
    Pattern("a Linear key", ("lin_api_",), r"\blin_api_[A-Za-z0-9]{32,}"),
    Pattern("a Postman key", ("PMAK-",), r"\bPMAK-[0-9a-f-]{40,}"),
    Pattern("an Airtable token", ("pat",), r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{40,}"),
    Pattern("a Shopify token", ("shpat_", "shpca_", "shppa_", "shpss_"), r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b"),
    Pattern("a Supabase key", ("sbp_", "sb_secret_"), r"\b(?:sbp_[0-9a-f]{40}|sb_secret_[\w-]{20,})"),
    Pattern("a PlanetScale token", ("pscale_",), r"\bpscale_(?:tkn|pw|oauth)_[\w.=-]{32,}"),
    Pattern("an Artifactory key", ("AKCp",), r"(?<![\w/+])AKCp[A-Za-z0-9]{50,}"),
    Pattern("an Alibaba Cloud key", ("LTAI",), r"\bLTAI(?=[A-Za-z]*\d)[A-Za-z0-9]{16,20}\b"),
    Pattern("a JSON web token", ("eyJ",), r"(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"),
    Pattern(BEARER, ("earer ", "EARER "), r"\b[Bb](?:earer|EARER) {1,4}(?=[\w.~+/-]*\d)(?=[\w.~+/-]*[A-Za-z])[\w.~+/-]{20,}"),
    # `Authorization: Basic dXNlcjpwYXNz`: the base64 of a user and a password.
    Pattern(LOGIN, ("asic ",), r"\b[Bb]asic {1,4}(?=[A-Za-z0-9+/]*[A-Z])(?=[A-Za-z0-9+/]*[a-z])(?=[A-Za-z+/]*\d)[A-Za-z0-9+/]{12,}={0,2}(?![\w-])"),
    Pattern(ADDRESS, ("://",), r"://[^/\s:@\"'<>]{0,256}:(?P<secret>[^/\s@\"'<>\[\]]{1,512})@"),
    Pattern(
        CONNECTION,
        ("assword=", "ASSWORD=", "asswd=", "wd=", "WD=", "ey=", "oken=", "ecret=", "sig="),
        rf"(?i)[;&?]\s?{_PARAMETER}=(?P<secret>[^;&\s\"'#]{{6,}})",
    ),
)  # fmt: skip

_TEMPLATE = r"(?s)\$[{(].*|\$\w+|\{.*|<[^<>]*>|\[.*\]|%[sdr]|%\(\w+\)s|\*{3,}|\.{3}.*|\u2026.*|.*\.{3}|.*\u2026|x+|X+"
# A random key of 40 characters has on average 26 changes between upper case, lower case, digits and signs, and 4.8 bits of
# entropy per character; 99.8 % have at least the two values below. Paths and names in camel case have fewer, and commit hashes have
# no upper case.
_CHANGES, _BITS = 16, 4.3
_RANDOM_KEY_PATTERN = r"(?<![A-Za-z0-9/+_-])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=_-])"


def never(_text: str) -> bool:
    """False for every text: the default of `find`."""
    return False


def find(text: str, is_harmless: Callable[[str], bool] = never) -> Iterator[tuple[int, int, str]]:
    """The secrets in `text`: begin and end of each match, and the kind of secret.

    Args:
        text: any text.
        is_harmless: whether a password in a URL or a connection string is a placeholder, which is not reported.
    """
    for pattern in PATTERNS:
        if any(hint in text for hint in pattern.hints):
            for match in re.finditer(pattern.expression, text, re.ASCII):
                secret = match.groupdict().get("secret")
                if secret is None or not (is_template(secret) or is_harmless(secret)):
                    yield match.start(), match.end(), pattern.kind
    for match in re.finditer(_RANDOM_KEY_PATTERN, text):
        if _is_random(match[0]):
            yield match.start(), match.end(), RANDOM_KEY


def kind_of(text: str) -> str | None:
    """The kind of the first secret in `text`, by the order of the patterns; None if there is none."""
    return next((kind for _begin, _end, kind in find(text)), None)


def redacted(text: str) -> str:
    """`text` with `(hidden)` in place of each secret in it."""
    pieces, last = [], 0
    for begin, end, _kind in sorted(find(text)):
        if begin >= last:
            pieces += [text[last:begin], "(hidden)"]
        last = max(last, end)
    return "".join([*pieces, text[last:]])


def is_template(text: str) -> bool:
    """Whether `text` is a placeholder of a template: `${DB_PASSWORD}`, `{password}`, `<token>`, `%s`, `***`."""
    return re.fullmatch(_TEMPLATE, text) is not None


def _is_random(text: str) -> bool:
    """Whether 40 characters look random, as AWS secret keys are."""
    classes = [_character_class(character) for character in text]
    if not {"upper", "lower", "digit"} <= set(classes):
        return False
    changes = sum(one != other for one, other in pairwise(classes))
    bits = -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
    return changes >= _CHANGES and bits >= _BITS


def _character_class(character: str) -> str:
    """`digit`, `upper`, `lower` or `sign`."""
    if character.isdigit():
        return "digit"
    if character.isalpha():
        return "upper" if character.isupper() else "lower"
    return "sign"
