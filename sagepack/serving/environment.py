"""Which of the user's environment variables are passed on to the code that is served, and to the process of the sandbox.

This is a list of what is allowed, because what must be hidden cannot be listed: `OPENAI_API_KEY`, `GITHUB_TOKEN`,
`SSH_AUTH_SOCK`, `DOCKER_HOST` and others that do not exist yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALLOWED = {
    *("PATH", "LD_LIBRARY_PATH", "JAVA_HOME"),  # where programs and their libraries are
    *("LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
}
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
_OF_PIP = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "NETRC", "REQUESTS_CA_BUNDLE")  # its settings and its cache


def allowed(environment: Mapping[str, str]) -> dict[str, str]:
    """The allowed variables of `environment`; a proxy is dropped if its URL contains a user name or password."""
    return {
        name: value
        for name, value in environment.items()
        if name in _ALLOWED or name.startswith("LC_") or (name.upper() in _PROXIES and "@" not in value)
    }


def for_pip(environment: Mapping[str, str]) -> dict[str, str]:
    """What pip gets: its own settings beside the allowed variables, for it must find the index that the user uses."""
    own = {name: value for name, value in environment.items() if name in _OF_PIP or name.startswith("PIP_")}
    return {**allowed(environment), **own}
