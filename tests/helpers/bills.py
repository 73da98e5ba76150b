"""Packages of every kind, as spec, lock and manifest, for what is told of them: provenance and bill of materials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from sagepack.digest import Digest
from sagepack.package.license import License
from sagepack.package.lock import Lock, LockedFile, LockedPackage
from sagepack.package.manifest import Manifest, Member
from sagepack.package.requirements import listing
from sagepack.package.revision import Revision
from sagepack.spec import model

COMMIT = "0123456789abcdef" * 2 + "01234567"


@dataclass(frozen=True)
class Packaged:
    """A package as its makers see it."""

    spec: model.Spec
    lock: Lock
    manifest: Manifest


def file_of(path: str, data: bytes = b"x") -> LockedFile:
    """A locked file."""
    return LockedFile(path, len(data), Digest.sha256(data), Digest.sha256(data).value)


def packaged(
    *,
    files: tuple[str, ...] = ("config.json", "unet/model.safetensors"),
    vendor: bool = False,
    choice: dict[str, Any] | None = None,
    **lock: Any,
) -> Packaged:
    """A package of a model from the Hub with code and a requirement.

    Args:
        files: of the model.
        vendor: whether the wheels are packed.
        choice: which files the spec asks for.
        lock: other fields of its lock.
    """
    wheel = LockedPackage("einops", "0.8.0+cpu.1", "einops-0.8.0-py3-none-any.whl", 5, Digest.sha256(b"wheel"))
    locked = replace(
        Lock(
            spec_digest=Digest.sha256(b""),
            revision=Revision("org/model", COMMIT),
            files=tuple(file_of(path, path.encode()) for path in sorted(files)),
            excluded=(0, 0),
            image="team/inference:2.6.0-gpu-py312",
            image_digest=Digest.sha256(b"image"),
            image_registry="763104351884.dkr.ecr.us-east-1.amazonaws.com",
            requirements=("einops",),
            packages=(wheel,),
            license=License("other", "my-own-1.0", "LICENSE.md"),
            gated="auto",
        ),
        **lock,
    )
    place = {"id": "org/model", "revision": "main"} if locked.revision else {"path": locked.folder}
    source = model.ModelSource(**place, **(choice or {}))
    spec = model.Spec(
        name="svd",
        env="test",
        model=source,
        code=model.Code("inference_code/svd", tuple(locked.requirements), vendor=vendor),
        image=model.Image("team/inference", "2.6.0-gpu-py312"),
        hub=model.HubSource(locked.endpoint) if locked.endpoint else model.HubSource(),
        environment={"HF_TASK": "image-to-video", "SECRETLIKE": "hidden value"},
        artifact=model.Artifact(target="s3://mine/models"),
        aws=model.Aws("123456789012", "eu-west-1", "role"),
        endpoint=model.Endpoint("e", model.AsyncInference("s3://b/o/", "s3://b/f/"), "ml.g5.xlarge"),
        sample=None,
    )
    members = [Member(file.path, file.size, file.digest) for file in locked.files]
    members += [
        Member("code/inference.py", 4, Digest.sha256(b"pass")),
        Member("code/run.sh", 1, Digest.sha256(b"#"), True),
    ]
    if vendor:
        members += [Member(path, wheel.size, wheel.digest) for path, wheel in listing.wheels(locked).items()]
    return Packaged(spec, locked, Manifest.of(members))


_PATHS = st.lists(st.from_regex(r"\A[a-zé %#?]{1,8}(/[a-z &+]{1,8}){0,2}\.bin\Z"), max_size=4, unique_by=str.casefold)
_WORDS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=20)
_LICENSES = st.none() | st.builds(
    License,
    st.sampled_from(["apache-2.0", "other", "mit, gemma", "MIT", "llama3.1", "mit, mit"]) | _WORDS,
    st.none() | _WORDS,
    st.none() | st.sampled_from(["LICENSE.md", "https://example.com/a b", "http://x/%zz"]) | _WORDS,
)
_VERSIONS = st.from_regex(r"\A[0-9][0-9a-z.!+]{0,8}\Z")
_LIBRARIES = st.lists(
    st.tuples(st.from_regex(r"\A[a-z0-9]{1,5}(-[a-z0-9]{1,5})?\Z"), _VERSIONS), max_size=4, unique_by=lambda one: one[0]
)


_CHOICES: list[dict[str, Any]] = [
    {},
    {"include": ("*.bin",), "exclude": ("b*", "a*"), "variant": "fp16"},
    {"exclude": ("x",)},
]


@st.composite
def packages(draw: st.DrawFn) -> Packaged:
    """Any package that a lock can describe."""
    libraries = tuple(
        LockedPackage(
            name, version, f"{name}-{number}-py3-none-any.whl", 3, Digest.sha256(name.encode()), license=license_
        )
        for number, (name, version) in enumerate(sorted(draw(_LIBRARIES)))
        for license_ in [draw(st.sampled_from([None, "MIT", "Apache-2.0 OR (MIT AND BSD-3-Clause)", "BSD"]))]
    )
    place: dict[str, Any] = draw(
        st.sampled_from(
            [
                {},
                {"endpoint": "https://hub.company:8443/models"},
                {"revision": None, "folder": "/home/alice/models/mine"},
            ]
        )
    )
    return packaged(
        files=tuple(f"m/{path}" for path in draw(_PATHS)),
        vendor=draw(st.booleans()),
        choice=draw(st.sampled_from(_CHOICES)),
        requirements=tuple(package.name for package in libraries),
        packages=libraries,
        license=draw(_LICENSES),
        gated=draw(st.sampled_from([None, "auto", "manual"])),
        task=draw(st.sampled_from([None, "text-to-image"])),
        **place,
    )
