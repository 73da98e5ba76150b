"""Files and folders that contain secrets by convention, recognised by their names.

Without regular expressions: every run checks every file name, and compiling expressions would take longer than that.
"""

from __future__ import annotations

_VARIABLES = "files of environment variables usually contain secrets"
_LOGIN = "it contains logins"
_REGISTRY = "it contains the login to a package registry"
_CREDENTIALS = "it contains credentials"
_SSH = "SSH keys have this name"
_BY_NAME = "its name says that it contains secrets"

_FOLDERS = {
    ".aws": "the AWS CLI stores keys there",
    ".azure": "the Azure CLI stores tokens there",
    ".docker": "Docker stores logins there",
    ".gcloud": "the Google Cloud CLI stores tokens there",
    ".gnupg": "GnuPG stores keys there",
    ".kube": "kubectl stores logins there",
    ".ssh": "SSH stores keys there",
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
    **dict.fromkeys((".secret", ".secrets", "secret.txt", "secrets.txt", "secret.env", "secrets.env"), _BY_NAME),
}
_DATA = (".json", ".csv", ".ini", ".yaml", ".yml", ".toml")
# Prefix and suffixes of names.
_AFFIXES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (".env.", ("",), _VARIABLES),
    (".env-", ("",), _VARIABLES),
    (".env_", ("",), _VARIABLES),
    ("credentials", _DATA, _CREDENTIALS),
    ("client_secret", (".json",), _CREDENTIALS),
    ("service-account", (".json",), _CREDENTIALS),
    ("service_account", (".json",), _CREDENTIALS),
    ("secret.", _DATA, _BY_NAME),
    ("secrets.", _DATA, _BY_NAME),
    ("", ("accesskeys.csv",), "AWS access keys are downloaded with this name"),
    ("", (".ppk",), _SSH),
    ("", (".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".p8"), "it is a key store"),
    ("", (".tfstate", ".tfstate.backup"), "Terraform stores passwords there"),
)


def reason_for_folder(name: str) -> str | None:
    """Why a folder of this name must not be published; None if it may be."""
    return _FOLDERS.get(name.lower())


def reason_for_file(name: str) -> str | None:
    """Why a file of this name must not be published; None if its name is no reason."""
    name = name.lower()
    if name in _NAMES:
        return _NAMES[name]
    return next((why for begin, ends, why in _AFFIXES if name.startswith(begin) and name.endswith(ends)), None)


def may_be_key_file(name: str) -> bool:
    """Whether a file of this name is a key or a certificate; its content decides whether it is a private key."""
    return name.lower().endswith((".pem", ".key"))
