"""What a name says about its value: `DB_PASSWORD` names a secret, `MAX_NEW_TOKENS` and `API_KEY_HEADER` do not."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal

from sagepack.spec.secrets.values import is_template

# A name is certain if only secrets have it; `token` and `pass` also have other meanings.
Confidence = Literal["certain", "possible"]

# fmt: off
_CERTAIN = {
    "SECRET", "SECRETS", "PASSWORD", "PASSWORDS", "PASSWD", "PASSPHRASE", "PASSCODE", "CREDENTIAL", "CREDENTIALS",
    "CREDS", "APIKEY", "APIKEYS",
}
_ENDINGS = (
    "PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "APIKEY", "SECRETKEY", "PRIVATEKEY", "ACCESSKEY", "AUTHTOKEN",
    "ACCESSTOKEN", "APITOKEN",
)
# Words before KEY that make it a secret. KEY alone may be the key of a cache, of a map or of an object in S3.
_KEYS = {
    "API", "ACCESS", "SECRET", "PRIVATE", "AUTH", "SIGNING", "SIGN", "ENCRYPTION", "ENCRYPT", "DECRYPTION", "CRYPTO",
    "MASTER", "ACCOUNT", "APP", "SERVICE", "SHARED", "HMAC", "AES", "RSA", "SSH", "GPG", "PGP", "JWT", "WEBHOOK",
    "LICENSE", "DEPLOY", "FERNET", "SUBSCRIPTION", "ADMIN",
}
# Services that issue keys.
_ISSUERS = {
    "OPENAI", "ANTHROPIC", "CLAUDE", "AZURE", "GOOGLE", "GEMINI", "COHERE", "GROQ", "MISTRAL", "REPLICATE", "HF",
    "HUGGINGFACE", "WANDB", "STRIPE", "TWILIO", "SENDGRID", "MAILGUN", "DATADOG", "PINECONE", "STABILITY", "DEEPSEEK",
    "OPENROUTER", "PERPLEXITY", "TOGETHER", "FIREWORKS", "XAI", "NVIDIA", "NGC", "VOYAGE", "JINA", "TAVILY", "SERPAPI",
    "SERPER", "DEEPGRAM", "ELEVENLABS", "LANGCHAIN", "LANGSMITH", "LANGFUSE", "SENTRY",
}
_ACCOUNTS = {
    "HF", "HUB", "API", "AUTH", "ACCESS", "REFRESH", "BEARER", "SESSION", "OAUTH", "PERSONAL", "BOT", "VAULT", "GITHUB",
    "GH", "GITLAB", "SLACK", "DISCORD", "TELEGRAM", "NPM", "PYPI", "REPLICATE", "DOCKER", "ACCOUNT",
}
# Words that make TOKEN a token of a tokenizer, or a number of tokens.
_TOKENIZER = {
    "BOS", "EOS", "PAD", "UNK", "SEP", "CLS", "MASK", "STOP", "IMAGE", "VIDEO", "AUDIO", "SPEECH", "SPECIAL", "EXTRA",
    "ADDED", "CHAT", "TEMPLATE", "DECODER", "ENCODER", "START", "END", "BEGIN", "FIRST", "LAST", "NEXT", "PREV", "NEW",
    "LINE", "MAX", "MIN", "NUM", "NUMBER", "TOTAL", "COUNT", "INPUT", "OUTPUT", "CONTEXT", "PROMPT", "COMPLETION",
    "GENERATED", "SUPPRESS", "FORCED", "LANGUAGE", "LANG", "TIMESTAMP", "VISION", "THINK", "THINKING", "TOOL", "ROLE",
    "SYSTEM", "ASSISTANT", "WORD", "VOCAB", "TOKENIZER", "TRIGGER", "PLACEHOLDER", "REASONING", "DRAFT", "BAD",
}
_PASSES_OVER_DATA = {
    "FIRST", "SECOND", "LAST", "NUM", "SINGLE", "ONE", "TWO", "MULTI", "FORWARD", "BACKWARD", "RENDER", "LOW", "HIGH",
    "BAND", "ALL", "MAX", "MIN", "BY", "BOARDING", "PER",
}
# Last words of names that describe a secret, such as its file or its length, but do not contain it.
_DESCRIBING = {
    "ARN", "NAME", "PATH", "FILE", "DIR", "FOLDER", "URL", "URI", "ENDPOINT", "HOST", "PORT", "REGION", "PROVIDER",
    "MANAGER", "SOURCE", "STORE", "BACKEND", "HEADER", "PREFIX", "SUFFIX", "FIELD", "PARAM", "PARAMETER", "COLUMN",
    "VAR", "ENV", "ALIAS", "TYPE", "KIND", "MODE", "CLASS", "ALGORITHM", "FORMAT", "VERSION", "LENGTH", "LEN", "SIZE",
    "COUNT", "LIMIT", "TTL", "AGE", "TIMEOUT", "EXPIRY", "EXPIRES", "EXPIRATION", "REQUIRED", "ENABLED", "DISABLED",
    "POLICY", "PROMPT", "MESSAGE", "HINT", "LABEL", "TEXT", "TITLE", "ERROR", "DESCRIPTION", "REGEX", "PATTERN",
    "INDEX", "POSITION", "ROTATION", "SCOPE", "ISSUER", "AUDIENCE", "DATE", "TIME", "USED", "MGR", "NODE", "FORM",
    "INPUT",
}
# fmt: on
# Values that are never secrets, whatever their name is.
_NEVER_SECRET = re.compile(
    r"|true|false|yes|no|on|off|none|null|\d{1,6}|arn:aws[a-z-]*:.*|alias/[\w/-]+|\{\{resolve:.*\}\}"
    r"|/(?:etc|home|mnt|opt|root|run|tmp|usr|var)/[\w./-]+",  # the file that contains it
    re.IGNORECASE,
)
# Placeholders of examples, templates and tests.
_PLACEHOLDER = re.compile(
    r"(?i)(?:.*[\W_])?(?:your|change|changeme|example|sample|replace|placeholder|dummy|fake|todo|redacted|hidden|secret"
    r"|password|passwd|token|insert|env|environ|arn|foo|bar)s?(?:[\W_].*)?"
)
_WORDS = re.compile(r"[A-Z]?[a-z]{1,20}(?:[-_./: ]{1,3}[A-Z]?[a-z]{1,20})*[-_./:]?")
_NUMBERED_WORDS = re.compile(r"[A-Z]?[a-z]{1,20}\d{0,4}(?:[-_./: ]{1,3}(?:[A-Z]?[a-z]{1,20}\d{0,4}|\d{1,4}))*[-_./:]?")
_CAMEL = re.compile(r"[A-Z]{0,4}[a-z]{2,20}(?:[A-Z]{1,3}[a-z]{1,20}){0,5}")
_UUID = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
)  # more often the identifier of a request or an object than a secret
_CONSTANT = re.compile(r"[A-Z]+(?:_[A-Z0-9]+)*_?")  # the name of a variable


def confidence(name: str) -> Confidence | None:
    """How confident one can be that `name` is the name of a secret; None if it is not."""
    words = [word for word in re.split(r"[^A-Z]+", _with_words_apart(name).upper()) if word]
    if not words or words[-1] in _DESCRIBING or words[-1].removesuffix("S") in _DESCRIBING:
        return None
    last = words[-1]
    if last in ("ID", "IDS"):
        return "certain" if words[-3:-1] == ["ACCESS", "KEY"] else None
    if _is_certain(words):
        return "certain"
    if last in ("TOKEN", "TOKENS"):
        return None if _TOKENIZER & set(words) else "possible"
    if last == "PASS":
        return None if _PASSES_OVER_DATA & set(words) else "possible"
    return None


def _is_certain(words: list[str]) -> bool:
    known, last = set(words), words[-1]
    if _CERTAIN & known or any(word.endswith(_ENDINGS) for word in words):
        return True
    if {"KEY", "KEYS"} & known:
        pairs = any(one in _KEYS and other in ("KEY", "KEYS") for one, other in pairwise(words))
        return (pairs or bool(_ISSUERS & known and last in ("KEY", "KEYS"))) and not {"PUBLIC", "PUBLISHABLE"} & known
    if last == "TOKEN":
        return bool(_ACCOUNTS & known) and not _TOKENIZER & known
    if last == "PASS":
        return bool({"DB", "DATABASE", "USER", "ADMIN", "ROOT", "SMTP", "FTP", "MYSQL", "POSTGRES", "REDIS"} & known)
    return last == "PWD" and len(words) > 1  # alone it is the working directory


def _with_words_apart(name: str) -> str:
    """`name` with an underscore between its words: `dbPassword` becomes `db_Password`, `APIKey` becomes `API_Key`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)


def is_secret_setting(name: str, value: str) -> bool:
    """Whether a setting, such as an environment variable or a tag, is a secret by its name and not plainly harmless by its value."""
    return confidence(name) is not None and not _NEVER_SECRET.fullmatch(value) and not is_template(value)


def is_secret_literal(name: str, value: str) -> bool:
    """Whether a literal that a program names `name` is a secret.

    Programs have many more such literals than there are settings, and most are words: names of fields, messages,
    placeholders. So the value must look like a secret, too.
    """
    what = confidence(name)
    if what is None or _NEVER_SECRET.fullmatch(value) or is_placeholder(value):
        return False
    if what == "certain":
        # `prod/model/v2` is the name of a secret in a secret store.
        return not ("/" in value and _NUMBERED_WORDS.fullmatch(value))
    return (
        len(value) >= 8
        and any(map(str.isdigit, value))
        and not (_NUMBERED_WORDS.fullmatch(value) or _UUID.fullmatch(value))
    )


def is_placeholder(value: str) -> bool:
    """Whether `value` is a word, a phrase, an identifier or a placeholder, and so no secret."""
    if not 6 <= len(value) <= 512 or any(character.isspace() for character in value) or not value.isascii():
        return True
    if re.search(r"\[[^\]]*\w-\w[^\]]*\]", value):  # a regular expression that finds secrets
        return True
    return bool(
        is_template(value) or any(pattern.fullmatch(value) for pattern in (_WORDS, _CAMEL, _CONSTANT, _PLACEHOLDER))
    )
