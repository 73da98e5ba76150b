"""Where a package came from, as the in-toto statement of SLSA provenance that other tools read. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack import __version__
from sagepack.digest import Digest

if TYPE_CHECKING:
    from sagepack.lock import Lock
    from sagepack.manifest import Manifest
    from sagepack.spec import Spec

BUILD_TYPE = "urn:x-sagepack:package:v1"


def statement(spec: Spec, lock: Lock, manifest: Manifest) -> dict[str, Any]:
    """The document that `schemas/provenance.schema.json` describes; the same for the same package.

    It holds no time, account or environment variable: the release record has the time, and the rest is nobody's business
    who may read the package.
    """
    model = {
        "uri": f"hf://models/{lock.model}@{lock.commit}",
        "digest": {"gitCommit": lock.commit},
        "annotations": {"files": len(lock.files), "bytes": lock.size},
    }
    image = {"uri": f"docker://{lock.image_registry}/{lock.image}", "digest": {"sha256": lock.image_digest.value}}
    requirements = [{"uri": f"pkg:pypi/{r.requirement.replace('==', '@')}"} for r in lock.requirements]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            # The manifest, as it lies beside this: it names every content, and does not depend on the layout.
            {"name": "manifest.json", "digest": {"sha256": Digest.sha256(manifest.text().encode()).value}}
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "name": spec.name,
                    "model": {"id": spec.model.id, "revision": spec.model.revision},
                    "requirements": list(spec.code.requirements),
                },
                "internalParameters": {"archiveFormat": lock.archive_format, "manifest": str(manifest.digest)},
                "resolvedDependencies": [model, image, *requirements],
            },
            "runDetails": {"builder": {"id": "sagepack", "version": {"sagepack": __version__}}},
        },
    }
