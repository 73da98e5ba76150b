"""The file that the container's pip reads: what the image lacks, or with the wheels, all of it with its digests."""

from __future__ import annotations

from sagepack.digest import Digest
from sagepack.package.lock import Lock, LockedPackage
from sagepack.package.requirements import listing


def package(name: str, version: str, image: str | None = None, modules: tuple[str, ...] | None = None) -> LockedPackage:
    return LockedPackage(name, version, f"{name}-{version}.whl", 1, Digest.sha256(name.encode()), image, modules)


def lock(*requirements: str, packages: tuple[LockedPackage, ...]) -> Lock:
    some = Digest.sha256(b"")
    return Lock(some, None, (), (0, 0), "i:t", some, "r", requirements=requirements, packages=packages)


LOCK = lock(
    "Imageio[FFmpeg] >=2.37",
    "opencv_python==4.11",
    packages=(
        package("certifi", "1", ""),
        package("click", "8.5", "8.3"),
        package("imageio", "2.38"),
        package("imageio-ffmpeg", "0.6"),
        package("numpy", "1.26", "1.26"),
        package("opencv-python", "4.11", "4.11"),
    ),
)


def test_what_the_image_lacks_or_has_in_another_version_is_listed_and_what_was_asked_for() -> None:
    assert listing.text(LOCK, vendored=False).splitlines() == [
        "click==8.5",
        "imageio[FFmpeg]==2.38",
        "imageio-ffmpeg==0.6",
        "opencv-python==4.11",
    ]


def test_with_the_wheels_every_package_is_listed_with_its_digest_and_no_index_is_asked() -> None:
    lines = listing.text(LOCK, vendored=True).splitlines()
    assert lines[:3] == ["--no-index", "--find-links ./wheels", f"certifi==1 --hash={Digest.sha256(b'certifi')}"]
    assert [line.partition(" --hash=sha256:")[0] for line in lines[4:]] == [
        "imageio[FFmpeg]==2.38",
        "imageio-ffmpeg==0.6",
        "numpy==1.26",
        "opencv-python==4.11",
    ]
    assert next(iter(listing.wheels(LOCK))) == "code/wheels/certifi-1.whl"


def test_where_the_image_has_all_there_is_no_list() -> None:
    nothing = lock("peft==0.14.0", packages=())
    assert listing.text(nothing, vendored=False) == listing.text(nothing, vendored=True) == ""


def test_the_modules_of_what_is_installed_are_known_or_not() -> None:
    new, unknown = package("a", "1", None, ("b", "a")), package("c", "1", "0.9")
    assert listing.modules([new, package("d", "1", "1")]) == ("a", "b")
    assert listing.modules([new, unknown]) is None
    assert listing.modules([]) == ()
