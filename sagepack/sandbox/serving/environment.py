"""What of the user's environment the sandbox's process and the code that it serves may see: nothing that opens anything.

Both get a list of what is allowed, because what must not be seen has no list: `OPENAI_API_KEY`, `GITHUB_TOKEN`,
`SSH_AUTH_SOCK`, `DOCKER_HOST` and whatever comes next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = {
    *("PATH", "LD_LIBRARY_PATH", "JAVA_HOME"),  # where programs and their libraries are
    *("LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),  # how pip, which resolves a package's requirements, reaches its index
}
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}  # likewise


def allowed(environment: Mapping[str, str]) -> dict[str, str]:
    """What of `environment` is on the list; a proxy only if its address holds no password."""
    return {
        name: value
        for name, value in environment.items()
        if name in _NAMES or name.startswith("LC_") or (name.upper() in _PROXIES and "@" not in value)
    }
