"""Which specs and environments a fleet is about, and what is known of each before anything runs."""

from __future__ import annotations

import glob
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.api.fleet.order import Needs
from sagepack.api.session import Selection, load
from sagepack.decoding import Value
from sagepack.engine.steps import steps_to
from sagepack.engine.workspace import Workspace
from sagepack.errors import UserError
from sagepack.hub.cache import default_cache
from sagepack.package.lock import Lock
from sagepack.publish.delta.parts import Limits
from sagepack.spec import loader
from sagepack.text import did_you_mean, one_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.package.lock import LockedFile
    from sagepack.spec.model import ModelSource, Spec

SHARED_BYTES = Limits().minimum  # contents from this size on have a pointer in S3, by which others find them
_SUFFIXES = (".yaml", ".yml")
_NO_SPECS = ("config/env/", "config/locks/", "config/.schemas/")


class Member(Value, frozen=True):
    """One spec in one environment.

    Attributes:
        config: the spec's file, from the project's folder if it is in it.
        env: the environment.
        name: name of the model's packages; None if the spec is wrong, which its job tells.
        protected: whether a person has to agree before the environment is changed.
        target: where packages go.
        reuse_from: where contents may be copied from as well.
        cache: folder of the Hugging Face cache.
        model: what the model is, before a lock says which files it has.
        files: the locked model files; empty without a lock.
        streams: whether what it publishes never touches this disk, as by the workers of a cluster.
    """

    config: str
    env: str
    name: str | None = None
    protected: bool = False
    target: str = ""
    reuse_from: tuple[str, ...] = ()
    cache: str = ""
    model: str = ""
    files: tuple[LockedFile, ...] = ()
    streams: bool = False

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.config} {self.env}"

    @property
    def stem(self) -> str:
        """The beginning of the names of its files."""
        return f"{self.name or Path(self.config).with_suffix('').as_posix().strip('/').replace('/', '-')}-{self.env}"

    def needs(self, goal: str) -> Needs:
        """What its job brings and where to, on the way to a step or `package`."""
        names = {step.name for step in steps_to(goal)}
        if self.name is None or "download" not in names:
            return Needs(self.key, "")
        if "upload" not in names:  # every file, since any is fetched only once
            return Needs(self.key, self.cache, (), frozenset({self.model, *(str(file.digest) for file in self.files)}))
        large = {str(file.digest) for file in self.files if file.size >= SHARED_BYTES}
        return Needs(self.key, self.target, self.reuse_from, frozenset({self.model, *large}))


def members(root: Path, select: Sequence[str], envs: Sequence[str]) -> list[tuple[str, str]]:
    """The specs that any of the patterns matches, each in each environment: (spec, environment).

    Raises:
        UserError: a pattern matches no spec, or no spec has the environment.
    """
    configs = list(dict.fromkeys(config for pattern in select for config in _matching(root, pattern)))
    for env in envs:
        _require(root, configs, env)
    return [(config, env) for config in configs for env in dict.fromkeys(envs)]


def look(root: Path, config: str, env: str, sets: tuple[str, ...] = (), *, branch_allowed: bool = False) -> Member:
    """What spec and lock say of one of them; only its names if they are wrong.

    Args:
        root: the project's folder.
        config: the spec's file.
        env: the environment.
        sets: what is laid over both.
        branch_allowed: accept a branch as revision, as `lock` does.
    """
    try:
        spec = load(Selection(root, config, env, sets), branch_allowed=branch_allowed).spec
    except (UserError, OSError):
        return Member(config, env)
    work = Workspace(root, spec.name, env)
    return Member(
        config,
        env,
        spec.name,
        spec.protected,
        spec.artifact.target,
        spec.artifact.reuse_from,
        str(work.sandbox_hub_cache if spec.sandbox else default_cache(os.environ)),
        _model(spec.model, spec.hub_endpoint),
        _locked_files(work, spec),
        streams=spec.cluster is not None,
    )


def _matching(root: Path, pattern: str) -> list[str]:
    found = [
        path
        for path in sorted(glob.glob(pattern, root_dir=root, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if path.endswith(_SUFFIXES) and not path.startswith(_NO_SPECS) and (root / path).is_file()
    ]
    if not found:
        specs = sorted(path.relative_to(root).as_posix() for path in (root / "config").glob("*.yaml"))
        there = f"specs there are: {one_of(specs)}" if specs else "`sagepack new NAME` writes a spec"
        raise UserError(
            f"no spec matches {pattern!r}, from {root}", where="--select", fix=did_you_mean(pattern, specs) or there
        )
    return found


def _require(root: Path, configs: Sequence[str], env: str) -> None:
    """Check that at least one of the specs has the environment."""
    errors = []
    for config in configs:
        try:
            loader.files_of(root / config, env, root)
        except UserError as error:  # noqa: PERF203 - the others may have it
            errors.append(error)
        else:
            return
    raise UserError(errors[0].message, where="--envs", fix=errors[0].fix)


def _model(model: ModelSource, hub: str | None) -> str:
    return f"folder {model.path}" if model.path else f"{hub or 'hub'} {model.id} {model.revision}"


def _locked_files(work: Workspace, spec: Spec) -> tuple[LockedFile, ...]:
    with suppress(UserError, OSError):  # the job tells what is wrong with it
        lock = Lock.parse(work.lock_path.read_bytes(), work.display(work.lock_path))
        if lock.is_current(spec):
            return tuple(lock.files)
    return ()
