"""Where everything of one spec and environment lies on this disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.decoding import Value

if TYPE_CHECKING:
    from pathlib import Path

ARCHIVE = "model.tar.gz"


class Workspace(Value, frozen=True):
    """The folders of one build.

        <root>/config/locks/<name>-<env>.lock.yaml    the lock (committed)
        <root>/dist/<name>/<env>/                     model.tar.gz, model.tar.gz.sha256, manifest.json
        <root>/build/<name>-<env>.lock                held by the command that runs
        <root>/build/<name>-<env>/records/<step>.json what each step did last
        <root>/build/<name>-<env>/stage/code/         the assembled code
        <root>/build/<name>-<env>/manifest.json       the manifest of the package to be
        <root>/build/<name>-<env>/last-run.jsonl      the events of the last run that had something to do, or failed
        <root>/build/wheels/<sha256>                  wheels of requirements, of every spec
        <root>/build/sandbox/                         the sandbox: its state, log, models and Hugging Face cache

    Attributes:
        root: the project's folder, absolute.
        name: the spec's name.
        env: the environment's name.
        output: where `build/` and `dist/` go instead of `root`: a rebuild to compare with.
    """

    root: Path
    name: str
    env: str
    output: Path | None = None

    @property
    def lock_path(self) -> Path:
        """The lock file."""
        return self.root / "config" / "locks" / f"{self.name}-{self.env}.lock.yaml"

    @property
    def build_path(self) -> Path:
        """Intermediate state; deleting it costs time, never correctness."""
        return (self.output or self.root) / "build" / f"{self.name}-{self.env}"

    @property
    def mutex_path(self) -> Path:
        """The lock file of a running command; beside the folder, so that `clean` can hold it."""
        return self.build_path.with_name(f"{self.build_path.name}.lock")

    @property
    def last_run_path(self) -> Path:
        """The events of the last run that ran a step, of a command or of a job of a fleet."""
        return self.build_path / "last-run.jsonl"

    @property
    def wheels_path(self) -> Path:
        """Wheels by the SHA-256 of their content, of every spec."""
        return (self.output or self.root) / "build" / "wheels"

    @property
    def stage_path(self) -> Path:
        """The assembled files that are not model files, at their place in the package."""
        return self.build_path / "stage"

    @property
    def manifest_path(self) -> Path:
        """The manifest that `checksum` writes."""
        return self.build_path / "manifest.json"

    @property
    def dist_path(self) -> Path:
        """What `package` leaves for the user."""
        return (self.output or self.root) / "dist" / self.name / self.env

    @property
    def archive_path(self) -> Path:
        """The local archive."""
        return self.dist_path / ARCHIVE

    @property
    def archive_sha256_path(self) -> Path:
        """The archive's SHA-256, in the format of `sha256sum`."""
        return self.dist_path / f"{ARCHIVE}.sha256"

    @property
    def dist_manifest_path(self) -> Path:
        """The manifest beside the archive."""
        return self.dist_path / "manifest.json"

    @property
    def prices_path(self) -> Path:
        """The list prices that AWS said last, of every spec."""
        return self.root / "build" / "prices.json"

    @property
    def sandbox_hub_cache(self) -> Path:
        """Hugging Face cache of the sandbox; the user's own holds other bytes under the same commit."""
        return self.root / "build" / "sandbox" / "huggingface" / "hub"

    def display(self, path: Path) -> str:
        """`path` relative to the project, for messages."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)
