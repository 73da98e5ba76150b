"""From the requirements of a spec to the packages of a lock, for one image.

The image's packages are kept where the requirements allow it, as pip keeps what is installed. A package that the image is
built around, torch above all, must be kept: requirements that would replace it are refused. What a Dockerfile pins and a
requirement finds there needs no entry in the lock, nor does what only such a package needs. Everything else that the
requirements take has one, also where the image probably has that very version: pip leaves such a package alone, and an
isolated container that lacks it needs its wheel.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from sagepack.decoding import Value
from sagepack.digest import Digest
from sagepack.errors import Diagnostic, RemoteError, UserError
from sagepack.package.lock import LockedPackage
from sagepack.package.requirements import explain, wheels
from sagepack.package.requirements.uv import Target, UnsolvableError, Uv
from sagepack.spec import image_modules, images
from sagepack.text import one_of
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sagepack.errors import KeyPath
    from sagepack.package.requirements.index import PackageIndex
    from sagepack.package.requirements.uv import Found
    from sagepack.spec.image_modules import Installed

KEY = ("code", "requirements")
_LOCK_AGAIN = "`invoke lock --update` locks what the index has now"
# Packages of an image that check each other's versions when they are imported, or rely on each other's inner parts.
_TOGETHER = ("accelerate", "diffusers", "peft", "transformers")
_SAME_TIME = 8  # wheels that are looked into
_EXACT = re.compile(r"===?[^,*]+")
_VERSION = re.compile(r"[^+]*")


class Resolved(Value, frozen=True):
    """The packages for a lock, sorted by name, and what a user should know of them."""

    packages: tuple[LockedPackage, ...]
    warnings: tuple[Diagnostic, ...]


def resolve(
    lines: tuple[str, ...],
    tag: str,
    index: PackageIndex,
    *,
    is_known: bool,
    keep: Mapping[str, str],
    where: Callable[[KeyPath], str],
) -> Resolved:
    """Find the packages that requirements take beyond the image.

    Of an image that is not known nobody knows what it has, so that no dependency is followed there.

    Args:
        lines: requirements of the spec.
        tag: tag of the image.
        index: where packages come from.
        is_known: whether the image is of the repository whose tags are known.
        keep: versions of the last lock, by name, which stay where they are allowed.
        where: the place of a key of the spec.

    Raises:
        UserError: no versions meet the requirements, or those that do replace what the image is built around; the tag does
            not say which Python the image has.
        RemoteError: the index does not answer.
    """
    python = images.python_version(tag)
    if python is None:
        raise UserError(
            f"the tag {tag!r} does not say which Python the image has, so that no packages can be chosen for it",
            where=where(KEY),
            fix="install the requirements in the image itself, or give it a tag with -py312- in it",
        )
    target = Target(python, images.glibc(tag), tag)
    return _Resolution(lines, Uv(index, target), image_modules.packages(tag) if is_known else None, keep, where).run()


def locate(packages: Sequence[LockedPackage], tag: str, index: PackageIndex) -> dict[str, str]:
    """Where the index has the wheels of a lock: addresses by the name of the file.

    The lock has no addresses: which index a machine may use, and by what name, is a matter of that machine.

    Raises:
        RemoteError: the index does not answer, or it has one of them no more.
        IntegrityError: the index says that a file has another content than the lock says.
    """
    target = Target(images.python_version(tag) or (0, 0), images.glibc(tag), tag)
    try:
        found, _told = Uv(index, target).compile([package.pin for package in packages], dependencies=False)
    except UnsolvableError as error:
        message = f"the package index has not all that is locked: {error}"
        raise RemoteError(message, where=index.name, fix=_LOCK_AGAIN) from error
    there = {wheel.name: wheel for each in found for wheel in each.wheels}
    for package in packages:
        if package.file not in there:
            message = f"the package index has no such file of {package.name} {package.version} any more"
            raise RemoteError(message, where=package.file, fix=_LOCK_AGAIN)
        if there[package.file].sha256 not in (None, package.digest.value):
            raise wheels.other_bytes(package, str(there[package.file].sha256))
    return {package.file: there[package.file].url for package in packages}


class _Resolution:
    """One call of `resolve`."""

    def __init__(
        self,
        lines: tuple[str, ...],
        uv: Uv,
        image: Mapping[str, Installed] | None,
        keep: Mapping[str, str],
        where: Callable[[KeyPath], str],
    ) -> None:
        installed = {name: package.version for name, package in (image or {}).items() if package.version}
        self.lines, self.image, self.where = lines, image, where
        self.asked: dict[str, int] = {
            canonicalize_name(Requirement(line).name): number for number, line in enumerate(lines)
        }
        fixed = {name: version for name, version in installed.items() if image_modules.is_fixed(name)}
        self.uv = Uv(uv.index, uv.target, {**installed, **keep}, fixed)
        # The index has no builds of AWS's, but the versions that they are built from.
        self.free = Uv(uv.index, uv.target, {**self.uv.preferred, **{name: _public(fixed[name]) for name in fixed}})

    def run(self) -> Resolved:
        """The packages, or why there are none."""
        try:
            found, told = self.uv.compile(self.lines, dependencies=self.image is not None)
        except UnsolvableError as error:
            raise self._refusal(str(error)) from error
        lines, broken = self.lines, None
        if any(map(self._replaces, found)):
            # What is replaced has to go with the packages that the image is made for: transformers, for example, refuses to be
            # imported with a Hub client that is too new.
            together = (*self.lines, *self._staying)
            try:
                found, told = self.uv.compile(together)
                lines = together
            except UnsolvableError as error:
                broken = self._broken(str(error))
        packages = self._locked(self._needed(found, lines))
        warnings = list(map(self._taken_back, told))
        if self.image is None:
            message = f"which packages the image {self.uv.target.tag} has is not known: what a requirement itself needs is not locked"
            fix = "list the packages that it needs and the image lacks as requirements, too"
            warnings.append(Diagnostic(KEY, message, fix, severity="warning"))
        warnings += self._warnings(found)
        warnings += self._held_back(found)
        warnings += [broken] if broken else []
        located = [Diagnostic(w.path, w.message, w.fix, "warning", self.where(w.path)) for w in warnings]
        return Resolved(packages, tuple(located))

    @property
    def _staying(self) -> tuple[str, ...]:
        """The packages that the image is made for, as it has them, without those that the spec asks for."""
        names = [name for name in _TOGETHER if name not in self.asked]
        return tuple(f"{name}=={self.image[name].version}" for name in names if self.image and name in self.image)

    def _broken(self, told: str) -> Diagnostic | None:
        """That requirements do not go with the packages that the image is made for, in the words of uv."""
        try:
            self.uv.compile(self._staying)
        except UnsolvableError:
            return None  # the index lacks one of them, and so says nothing about the others
        fix = "choose versions that go with the image, or add newer versions of what does not go with them"
        return Diagnostic(KEY, f"what is replaced breaks another package of the image: {told}", fix)

    def _needed(self, found: Sequence[Found], lines: Sequence[str]) -> list[Found]:
        """The packages that the container may have to install.

        A package that a Dockerfile pins is surely there, and then so is all that it needs itself.
        """
        image = self.image or {}
        sure = {each.name for each in found if self._in_image(each) and image[each.name].is_certain}
        if not sure:
            return list(found)
        demanded_by = {each.name: set(each.via) for each in self.uv.explain(lines)}
        needed = {each.name for each in found if each.name in self.asked or each.name not in demanded_by} - sure
        grown = True
        while grown:
            more = {name for name, via in demanded_by.items() if via & needed} - sure - needed
            needed, grown = needed | more, bool(more)
        return [each for each in found if each.name in needed]

    def _taken_back(self, line: str) -> Diagnostic:
        """That the authors of a version have withdrawn it, in the words of uv, which have its name in backquotes."""
        name = line.partition("`")[2].partition("==")[0]
        return Diagnostic(self._key(name), line.removeprefix("warning: "), "choose another version", severity="warning")

    def _replaces(self, found: Found) -> bool:
        installed = (self.image or {}).get(found.name)
        return installed is not None and installed.version not in ("", found.version)

    def _in_image(self, found: Found) -> bool:
        installed = (self.image or {}).get(found.name)
        return installed is not None and installed.version == found.version

    def _key(self, name: str) -> KeyPath:
        """The entry of the spec that names a package; the list, if none does."""
        return (*KEY, self.asked[name]) if name in self.asked else KEY

    def _locked(self, found: Sequence[Found]) -> tuple[LockedPackage, ...]:
        """The entries of the lock: the wheel of each package, and what is in it."""
        with worker_pool(_SAME_TIME, "wheels") as pool:
            return tuple(pool.map(self._one, sorted(found, key=lambda each: each.name)))

    def _one(self, found: Found) -> LockedPackage:
        wheel = wheels.best(found.wheels, self.uv.target)
        if wheel is None or wheel.sha256 is None:
            message = f"the index gives no SHA-256 of {found.name} {found.version}"
            raise RemoteError(message, where=self.where(self._key(found.name)), fix="take another index, such as PyPI")
        installed = (self.image or {}).get(found.name)
        if installed and wheel.size is not None and not self._replaces(found):
            inspected = wheels.Inspected(wheel.size, None)  # the modules of the image are known
        else:
            inspected = wheels.inspect(wheel, self.uv.index)
        return LockedPackage(
            name=found.name,
            version=found.version,
            file=wheel.name,
            size=inspected.size,
            digest=Digest("sha256", wheel.sha256),
            image=installed.version if installed else None,
            modules=inspected.modules,
            license=inspected.license,
        )

    def _warnings(self, found: Sequence[Found]) -> Iterator[Diagnostic]:
        """What the packages do to the image."""
        for each in found:
            installed = (self.image or {}).get(each.name)
            if installed and installed.version and self._in_image(each) and self._has_extras(each.name):
                has = "has" if installed.is_certain else "has, as far as is known,"
                message = f"the image {has} {each.name} {each.version}, which meets this"  # of others the rules tell it
                yield Diagnostic(self._key(each.name), message, "remove it: each requirement makes the start longer")
        yield from self._replacements([each for each in found if self._replaces(each)])
        yield from self._second_owners([each for each in found if each.name not in self.asked])

    def _replacements(self, found: Sequence[Found]) -> Iterator[Diagnostic]:
        """Packages that replace those of the image: each requirement at its line, and what they need together."""
        told = {each.name: f"{each.name} {each.version} replaces {self._version_there(each)}" for each in found}
        fix = "try the handler: the image was tested with its own versions"
        for name in sorted(told.keys() & self.asked.keys()):
            yield Diagnostic(self._key(name), f"{told[name]} of the image", fix)
        if others := [text for name, text in told.items() if name not in self.asked]:
            yield Diagnostic(KEY, f"{', '.join(others)} of the image", fix)

    def _version_there(self, found: Found) -> str:
        return self.image[found.name].version if self.image else ""

    def _second_owners(self, found: Sequence[Found]) -> Iterator[Diagnostic]:
        """Packages with a module that another package of the image installs, too; of requirements the rules tell it."""
        image = self.image or {}
        owners = {module: name for name in image for module in image_modules.of_distribution(name)}
        for each in found if image else ():
            for module in image_modules.of_distribution(each.name) if each.name not in image else ():
                if (owner := owners.get(module)) is not None:
                    message = f"{each.name} and {owner} of the image both install the module {module}: one overwrites the other"
                    yield Diagnostic(KEY, message, f"use {owner}, which is there")

    def _has_extras(self, name: str) -> bool:
        return name in self.asked and bool(Requirement(self.lines[self.asked[name]]).extras)

    def _held_back(self, found: Sequence[Found]) -> Iterator[Diagnostic]:
        """Requirements that would get a newer version if the image's packages could be replaced."""
        chosen = {each.name: each.version for each in found}
        open_ = [name for name, number in self.asked.items() if _is_open(self.lines[number]) and name in chosen]
        if not open_ or not self.uv.fixed:
            return
        try:
            free = {each.name: each for each in self.free.explain(self.lines)}
        except UnsolvableError:
            return
        # What the image has for sure, stays as it is, and would not without it.
        there = {name: package.version for name, package in (self.image or {}).items() if package.is_certain}
        stay = [name for name in there if chosen.get(name) in (None, there[name]) and name not in self.asked]
        moved = [name for name in stay if name in free and free[name].version != _public(there[name])]
        why = one_of(f"{name} {there[name]}" for name in sorted(moved)) or "other packages"
        for name in open_:
            if name in free and Version(free[name].version) > Version(chosen[name]):
                message = f"{name} {chosen[name]} is taken and not {free[name].version}, which does not go with the image's {why}"
                yield Diagnostic(self._key(name), message, "nothing, or choose a newer image")

    def _refusal(self, told: str) -> UserError:
        """Why no versions meet the requirements."""
        try:
            free = self.free.explain(self.lines) if self.uv.fixed else []
        except UnsolvableError:
            free = []
        by_name = {each.name: each for each in free}
        for name, version in self.uv.fixed.items():
            if name in by_name and by_name[name].version != _public(version):
                return self._replacing(by_name[name], version, by_name)
        found = explain.missing(self.lines, self.uv)
        if found:
            number, message, fix = found
            return UserError(message, where=self.where((*KEY, number)), fix=fix)
        return UserError(told, where=self.where(KEY), fix="choose versions that go together")

    def _replacing(self, wanted: Found, version: str, free: Mapping[str, Found]) -> UserError:
        """The refusal of requirements that would replace a fixed package."""
        chain = self._chain(wanted, free)
        if not chain:
            message = f"{wanted.name} {wanted.version} would replace what the image is built around: it has {version}"
            return UserError(
                message, where=self.where(self._key(wanted.name)), fix="remove it, or choose another image"
            )
        culprit, first = chain[0], chain[-1]
        through = f" (which {first.name} needs)" if first is not culprit else ""
        needs = self._demand(culprit, wanted)
        message = f"{culprit.name} {culprit.version}{through} needs {needs}; the image has {version}"
        fix = f"choose an image with {needs}"
        if newest := self._newest(first.name):
            fix = f"take {first.name}=={newest}, the newest that goes with the image, or {fix}"
        return UserError(message, where=self.where(self._key(first.name)), fix=fix)

    def _demand(self, culprit: Found, wanted: Found) -> str:
        """What a package demands of another one, such as `torch 2.7.0` or `torch>=2.7`, by its own metadata."""
        try:
            found, _told = self.free.compile([f"{culprit.name}=={culprit.version}"], dependencies=False)
            wheel = wheels.best(found[0].wheels, self.uv.target)
            demanded = wheels.demand(wheel, self.uv.index, wanted.name) if wheel else None
        except (UnsolvableError, RemoteError):
            demanded = None
        if not demanded or _EXACT.fullmatch(demanded):
            return f"{wanted.name} {wanted.version}"
        return f"{wanted.name}{demanded}"

    def _chain(self, wanted: Found, free: Mapping[str, Found]) -> list[Found]:
        """What demands a package, up to a requirement of the spec; of several, one that the image does not have as it is."""
        chain: list[Found] = []
        current = wanted
        while current.name not in self.asked and len(chain) < len(free):
            demands = [free[name] for name in current.via if name in free and free[name] not in chain]
            new = [each for each in demands if not self._in_image(each)] or demands
            if not new:
                return []
            current = next((each for each in new if each.name in self.asked), new[0])
            chain.append(current)
        return chain

    def _newest(self, name: str) -> str | None:
        """The newest version of a requirement that goes with the image; None if none does."""
        asked = Requirement(self.lines[self.asked[name]])
        extras = f"[{','.join(sorted(asked.extras))}]" if asked.extras else ""
        others = [line for line in self.lines if canonicalize_name(Requirement(line).name) != name]
        try:
            found, _told = self.uv.compile([*others, f"{asked.name}{extras}"])
        except UnsolvableError:
            return None
        return next((each.version for each in found if each.name == name), None)


def _is_open(line: str) -> bool:
    """Whether a requirement leaves the version open."""
    return not any(
        each.operator in ("==", "===") and not each.version.endswith("*") for each in Requirement(line).specifier
    )


def _public(version: str) -> str:
    """A version without its local part, which the index does not have."""
    return str(_VERSION.match(version)[0])  # type: ignore[index] # it matches everything
