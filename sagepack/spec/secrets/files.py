"""Files that hold secrets by convention, whatever stands in them.

No expressions here: this is asked of every file in every run, and compiling them would take longer than all the rest.
"""

from __future__ import annotations

_VARIABLES = "files of environment variables hold secrets more often than not"
_LOGIN = "it holds logins"
_REGISTRY = "it holds the login to a package registry"
_CREDENTIALS = "it holds credentials"
_SSH = "SSH keys have that name"
_SAYS = "it says that it holds secrets"

_FOLDERS = {
    ".aws": "the AWS CLI keeps its keys there",
    ".azure": "the Azure CLI keeps its tokens there",
    ".docker": "Docker keeps its logins there",
    ".gcloud": "the Google Cloud CLI keeps its tokens there",
    ".gnupg": "GnuPG keeps its keys there",
    ".kube": "kubectl keeps its logins there",
    ".ssh": "SSH keeps its keys there",
}
_NAMES = {
    **dict.fromkeys((".env", ".envrc"), _VARIABLES),
    **dict.fromkeys(
        (".netrc", "_netrc", ".git-credentials", ".pgpass", ".my.cnf", ".htpasswd", ".vault-token"), _LOGIN
    ),
    **dict.fromkeys((".s3cfg", ".boto", ".dockercfg", ".dockerconfigjson", "kubeconfig", ".mylogin.cnf"), _LOGIN),
    **dict.fromkeys((".npmrc", ".yarnrc.yml", ".pypirc", ".condarc"), _REGISTRY),
    **dict.fromkeys(
        ("credentials", ".credentials", "rootkey.csv", "application_default_credentials.json"), _CREDENTIALS
    ),
    **dict.fromkeys(("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk"), _SSH),
    **dict.fromkeys((".secret", ".secrets", "secret.txt", "secrets.txt", "secret.env", "secrets.env"), _SAYS),
}
_DATA = (".json", ".csv", ".ini", ".yaml", ".yml", ".toml")
# What a name begins with and what it ends with.
_FORMS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (".env.", ("",), _VARIABLES),
    (".env-", ("",), _VARIABLES),
    (".env_", ("",), _VARIABLES),
    ("credentials", _DATA, _CREDENTIALS),
    ("client_secret", (".json",), _CREDENTIALS),
    ("service-account", (".json",), _CREDENTIALS),
    ("service_account", (".json",), _CREDENTIALS),
    ("secret.", _DATA, _SAYS),
    ("secrets.", _DATA, _SAYS),
    ("", ("accesskeys.csv",), "AWS access keys are downloaded under that name"),
    ("", (".ppk",), _SSH),
    ("", (".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".p8"), "it is a store of keys"),
    ("", (".tfstate", ".tfstate.backup"), "Terraform keeps passwords there"),
)


def reason_of_folder(name: str) -> str | None:
    """Why a folder of this name must not be published; None if it may be."""
    return _FOLDERS.get(name.lower())


def reason(name: str) -> str | None:
    """Why a file of this name must not be published; None if it may be, as far as its name goes."""
    name = name.lower()
    if name in _NAMES:
        return _NAMES[name]
    return next((why for begin, ends, why in _FORMS if name.startswith(begin) and name.endswith(ends)), None)


def may_be_a_key(name: str) -> bool:
    """Whether a file of this name holds a key or a certificate: only its content says whether it is a private one."""
    return name.lower().endswith((".pem", ".key"))
