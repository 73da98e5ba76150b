"""The model data of a container in S3, extracted into a folder as SageMaker does before it starts the container."""

from __future__ import annotations

import tarfile
from io import BytesIO
from typing import TYPE_CHECKING

from sagepack.sandbox.aws import moto_state

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.sandbox.aws.wsgi import JsonObject


def unpack(container: JsonObject, folder: Path) -> None:
    """Write the model data of `container`, an archive or the objects below a prefix, into the empty `folder`.

    Args:
        container: the container's definition in a CreateModel request.
        folder: the folder.

    Raises:
        OSError: the archive does not exist or cannot be read, or a key would be written outside of the folder.
        EOFError, ValueError, tarfile.TarError, zlib.error: the archive is damaged.
    """
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    uri = container.get("ModelDataUrl") or source["S3Uri"]
    if source.get("S3DataType") == "S3Prefix":
        for path, data in moto_state.read_below(uri):
            if {"", ".", ".."} & set(path.split("/")):
                raise OSError(f"the key {path!r} leaves the folder of the model")
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return
    packed = moto_state.read(uri)
    if packed is None:
        raise FileNotFoundError(uri)
    if source.get("ETag") not in (None, moto_state.etag(uri)):  # as `hosting_rules` has it
        raise OSError(f"the object at {uri} has another ETag than the model names")
    with tarfile.open(fileobj=BytesIO(packed), mode="r:gz") as archive:
        archive.extractall(folder, filter="data")
