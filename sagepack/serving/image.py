"""A package in a container of the real image, by docker, on loopback: for machines that have both."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from sagepack.errors import UserError
from sagepack.serving.model_server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

_SECONDS = 60.0  # for questions to docker
# The container's own requirements are installed before it responds.
_START_SECONDS = 1800.0
_IN_CONTAINER = "/opt/ml/model"
_PORT = 8080


def require_docker() -> str:
    """The program docker.

    Raises:
        UserError: there is none.
    """
    docker = shutil.which("docker")
    if docker is None:
        fix = "install docker, or leave --image out: the serving stack needs none"
        raise UserError("there is no program docker on the PATH", where="--image", fix=fix)
    return docker


def require(image: str, registry: str, region: str) -> None:
    """Check that docker runs and has an image.

    Args:
        image: the image, by tag or digest.
        registry: the host that has it.
        region: the host's region.

    Raises:
        UserError: it does not, or has not, with the commands that fetch it.
    """
    command = [require_docker(), "image", "inspect", "--format", "{{.Id}}", image]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(
            f"docker does not run: {error}", where="--image", fix="see whether `docker info` works"
        ) from error
    if not asked.returncode:
        return
    said = asked.stderr.strip().rpartition("\n")[2]
    if "no such image" not in said.lower():
        fix = "see whether `docker info` works"
        raise UserError(f"docker does not answer: {said or asked.returncode}", where="--image", fix=fix)
    login = f"aws ecr get-login-password --region {region} | docker login --username AWS --password-stdin {registry}"
    raise UserError(
        "this machine has not the image",
        where=image,
        fix="fetch it, which takes some 10 GB, and run the same command again",
        details=[login, f"docker pull {image}"],
    )


class ImageServer(ModelServer):
    """A package in a container of the image, from `start` to `stop`.

    A program beside it removes the container when this process ends, even by SIGKILL.
    """

    start_seconds = _START_SECONDS

    def __init__(
        self,
        image: str,
        settings: Mapping[str, str],
        log: Callable[[Sequence[str]], None],
        folders: Iterable[Path] = (),
    ) -> None:
        """Make the folders; nothing runs yet.

        Args:
            image: the image, which docker has.
            settings: environment variables that the model defines for the container.
            log: takes the lines that it writes, from another thread, until `stop`.
            folders: those that links in the package lead into; the container sees them at the same place.
        """
        super().__init__(settings, log)
        self._image, self._folders = image, tuple(folders)
        self._name = f"sagepack-serve-{secrets.token_hex(4)}"
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self, packages: Path | None = None) -> str | None:
        """As `ModelServer.start`; the container installs what the package requires by itself."""
        # It ends with the pipe, which only this process holds open.
        script = f"cat >/dev/null; exec docker rm --force {self._name} >/dev/null 2>&1"
        self._guard = subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True)
        return super().start(packages)

    def _command(self) -> list[str]:
        gpus = ["--gpus", "all"] if shutil.which("nvidia-smi") else []
        settings = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1", **self._settings}
        mounts = [(str(self.package), _IN_CONTAINER), *((str(folder), str(folder)) for folder in self._folders)]
        return [
            *("docker", "run", "--rm", "--name", self._name, *gpus, "--publish", f"127.0.0.1:{self.port}:{_PORT}"),
            *(
                word
                for source, target in mounts
                for word in ("--mount", f"type=bind,source={source},target={target},readonly")
            ),
            *(word for name, value in settings.items() for word in ("--env", f"{name}={value}")),
            *(self._image, "serve"),
        ]

    def _environment(self) -> dict[str, str]:
        """That of docker, and not of the container."""
        return dict(os.environ)

    def stop(self) -> None:
        """Remove the container, also while it starts, and the folder."""
        if self._guard:
            if self._guard.stdin:
                self._guard.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._guard.wait(_SECONDS)
            self._guard = None
        super().stop()
