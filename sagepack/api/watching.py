"""A package that runs on this machine while its code is edited: each edit is taken as it is saved, or told what is wrong with it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sagepack.api import results, served_package
from sagepack.api.serving import SECONDS, Serving
from sagepack.api.trial import Trial
from sagepack.deploy import cause
from sagepack.deploy.container_log import said
from sagepack.deploy.failure import status_and_words
from sagepack.digest import Digest, hash_file
from sagepack.engine import contents
from sagepack.errors import SagepackError, UserError
from sagepack.files import disk_error
from sagepack.serving import kept_model
from sagepack.spec import code_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sagepack.api.served_package import ServedPackage
    from sagepack.engine.context import BuildContext
    from sagepack.errors import Diagnostic, KeyPath
    from sagepack.serving.model_server import ModelServer, Order

_POLL_SECONDS = 0.1


class _Version(NamedTuple):
    """Code that the server has.

    Attributes:
        number: of the folder that holds it.
        package: the package that it is of.
        code: its files, by their path in the folder, as they were when they were written there.
    """

    number: int
    package: ServedPackage
    code: dict[str, bytes]


class Watched(Serving):
    """A package of the working tree, whose code may be edited while it runs.

    The server finds the code by a link to the folder of a version, so a version is there whole or not at all.
    """

    _reloads = True

    def __init__(
        self,
        context: BuildContext,
        package: ServedPackage,
        trial: Trial | str,
        locate: Callable[[KeyPath], str],
        check: Callable[[], object],
        specs: Sequence[Path],
    ) -> None:
        """As `Serving`.

        Args:
            context: as there.
            package: as there.
            trial: as there.
            locate: as there.
            check: looks at the spec and the files that it names, as `validate` does, and raises what is wrong.
            specs: the files of the spec.
        """
        super().__init__(context, package, trial, locate)
        self._check, self._specs = check, {context.display(path): path for path in specs}
        self._seen, self._held = self._stamps(), self._digests()  # the files when the newest edit was taken
        self._at_start = self._held
        self._is_wrong = False  # whether that edit failed
        self._told = 0  # lines of the log that were told, or are of no edit
        self._version = _Version(0, self.package, {})

    def try_it(self, output: str | Path | None = None) -> results.Served:
        """As `Serving.try_it`."""
        try:
            return super().try_it(output)
        finally:
            self._told = self._log.count

    def edits(self) -> Iterator[results.Edit]:
        """What comes of each edit of the code, as it is saved; it ends when the caller stops asking.

        An edit that is wrong, by what can be said without running it, by its import or by the answer to the sample, is told,
        and the code from before goes on to serve.

        Raises:
            UserError: the server ended.
        """
        while True:
            time.sleep(_POLL_SECONDS)
            before, now = self._seen, self._stamps()
            if now != before:
                time.sleep(_POLL_SECONDS)
                if now != self._stamps():  # it is still being written
                    continue
                held, self._seen, self._held = self._held, now, self._digests()
                # Saved without a change is no edit, but another try of one that failed.
                changed = _differences(before, now) if self._is_wrong else _differences(held, self._held)
                if changed:
                    edit = self._edited(changed)
                    self._is_wrong = bool(edit.error)
                    yield edit
            elif not self._running.alive():
                raise self._failed("the server ended", "nothing is known of the reason", self._log.count)

    def _stamps(self) -> dict[str, tuple[int, int]]:
        """Size and time of each file that an edit may change."""
        found = dict[str, tuple[int, int]]()
        for path in self._files():
            with suppress(OSError):
                status = path.stat()
                found[self._context.display(path)] = status.st_size, status.st_mtime_ns
        return found

    def _digests(self) -> dict[str, Digest]:
        """What each of these files holds."""
        found = dict[str, Digest]()
        for path in self._files():
            with suppress(OSError):
                found[self._context.display(path)] = hash_file(path)
        return found

    def _files(self) -> Iterator[Path]:
        """The files that an edit may change: those of the code, the sample, and the spec."""
        spec = self._context.spec
        for folder in spec.code.folders:
            yield from _code_files(self._root / folder)
        if spec.sample and spec.sample.file:
            yield self._root / spec.sample.file
        yield from self._specs.values()

    def _put_code(self, server: ModelServer) -> None:
        number = self._version.number + 1
        folder = _folder(server, number)
        shutil.rmtree(folder, ignore_errors=True)  # of an edit that could not be read
        self.package.put_code(folder)
        self._version = _Version(number, self.package, _contents(folder))
        _use(server, number)

    def _edited(self, files: tuple[str, ...]) -> results.Edit:
        """Take an edit, or tell what is wrong with it."""
        begun, model, answer, error = time.monotonic(), "", None, None
        warnings: tuple[Diagnostic, ...] = ()
        try:
            self._check()
            self._refuse_spec(files)
            fresh = self._package_now()
            warnings = fresh.warnings
            is_other = _read(fresh.requirements) != self._version.code.get("requirements.txt")
            model, seconds, answer = (self._start_again if is_other else self._take)(fresh)
        except SagepackError as found:
            error, seconds = found, time.monotonic() - begun
        except OSError as found:  # an editor removes a file for a moment
            error, seconds = disk_error(found), time.monotonic() - begun
            self.package = self._version.package
        lines = self._log.rest(self._told)
        self._told += len(lines)
        return results.Edit(
            files=files,
            model=model,
            seconds=round(seconds, 3),
            answer=answer,
            error=tuple(error.lines()) if error else (),
            log=() if error else tuple(cause.readable(said(lines), self.package.places)),
            warnings=tuple(tuple(warning.lines()) for warning in warnings),
        )

    def _refuse_spec(self, files: tuple[str, ...]) -> None:
        """Tell that an edit of the spec is not served.

        Raises:
            UserError: the spec is among the files that changed, and is not as it was at the start again.
        """
        others = {path for path in self._specs if self._held.get(path) != self._at_start.get(path)}
        if changed := [path for path in files if path in others]:
            fix = "end it with Ctrl-C, and start it again"
            raise UserError("the spec changed, and what runs is still that of the start", where=changed[0], fix=fix)

    def _package_now(self) -> ServedPackage:
        """The code as it is now, with the model as it was.

        Raises:
            SpecError: the code cannot serve, as far as that is known without running it.
        """
        context = self._context.refreshed()
        return served_package.of_code(context, contents.cache_paths(context), context.code)

    def _take(self, fresh: ServedPackage) -> tuple[str, float, results.ServedAnswer | None]:
        """Let the server take other code; says what became of the model, after how many seconds it served, and its answer.

        Raises:
            UserError: it does not load, or does not answer as expected: the code from before serves.
        """
        begun, before, good = time.monotonic(), self._log.count, self._version
        self.package = fresh
        self._put_code(self._running)
        program = self._context.spec.environment.get("SAGEMAKER_PROGRAM", "inference.py")
        why = kept_model.why_again(good.code, self._version.code, program)
        status, words = self._order("call" if why else "keep")
        if status != HTTPStatus.OK:
            problem = self._failed("the new code does not load", words, before)
            self._put_back(good)
            raise problem
        seconds = time.monotonic() - begun
        try:
            answer = self._answered()
        except UserError:
            self._put_back(good)
            if (
                self._order("undo")[0] != HTTPStatus.OK
            ):  # of a worker that has just started, which may have found either code
                self._order("call")
            raise
        self._order("settle")
        shutil.rmtree(_folder(self._running, good.number), ignore_errors=True)
        if "called" not in words:
            return "the model was kept", seconds, answer
        return f"model_fn was called again: {why or 'it had failed before'}", seconds, answer

    def _order(self, order: Order) -> tuple[int, str]:
        """Have the worker do something with the code; its status, 0 for none, and its words."""
        try:
            status, body = self._running.reload(order, SECONDS)
        except OSError as error:
            return 0, str(error or type(error).__name__)
        text = body.decode(errors="replace")
        return status, text if status == HTTPStatus.OK else status_and_words(text)[1]

    def _put_back(self, good: _Version) -> None:
        """Let messages, and a worker that starts again, have the code from before."""
        bad, self._version, self.package = self._version, good, good.package
        _use(self._running, good.number)
        shutil.rmtree(_folder(self._running, bad.number), ignore_errors=True)

    def _start_again(self, fresh: ServedPackage) -> tuple[str, float, results.ServedAnswer | None]:
        """Start another server in place of this one, for other requirements; as `_take`.

        Raises:
            UserError: pip failed, and nothing changed; or the new one does not start, or does not answer as expected: the code from
                before is served again.
        """
        begun, port, good = time.monotonic(), self._running.port, _frozen(self._running, self._version)
        with tempfile.TemporaryDirectory() as folder:
            fresh.put_code(Path(folder, "code"))
            self._requirements(Path(folder, "code"))
        self.stop()
        self.package = fresh
        try:
            self.start(port)
            seconds = time.monotonic() - begun
            answer = self._answered()
        except UserError:
            self.stop()
            self.package = good
            self.start(port)
            raise
        return "the server was started again: the requirements changed", seconds, answer

    def _answered(self) -> results.ServedAnswer | None:
        """The answer of other code to the sample.

        Raises:
            UserError: it does not answer, or not as expected.
        """
        if not isinstance(self._trial, Trial):
            return None
        seconds, body = self._answer("the sample", self._trial)
        self._saved(body)
        return results.ServedAnswer(round(seconds, 3), len(body))


def _differences(before: Mapping[str, object], now: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(path for path in sorted(now.keys() | before.keys()) if now.get(path) != before.get(path))


def _folder(server: ModelServer, number: int) -> Path:
    return server.package.parent / f"code-{number}"


def _use(server: ModelServer, number: int) -> None:
    """Let the server find a version."""
    fresh = server.package.parent / "code.new"
    fresh.symlink_to(Path("..", _folder(server, number).name))
    fresh.replace(server.package / "code")


def _frozen(server: ModelServer, version: _Version) -> ServedPackage:
    """The package of a version with the code as it was then, and not as it is in the folder of the user."""
    folder, package = _folder(server, version.number), version.package
    copied = {path: data for path, data in version.code.items() if not (folder / path).is_symlink()}
    files = {**package.files, **{f"{code_tree.CODE}{path}": data for path, data in copied.items()}}
    return replace(package, files=files)


def _code_files(folder: Path) -> Iterator[Path]:
    """The files of a folder of code that go into a package."""
    for current, folders, names in os.walk(folder):
        here = Path(current)
        folders[:] = [name for name in folders if not code_tree.unpackaged_folder(here / name)]
        yield from (here / name for name in names if not code_tree.is_left_by_tools(name))


def _read(source: Path | bytes | None) -> bytes | None:
    return source.read_bytes() if isinstance(source, Path) else source


def _contents(folder: Path) -> dict[str, bytes]:
    """What each file of a folder holds, by its path in it; of a large one, which is a link, where that is and since when."""
    found = dict[str, bytes]()
    for path in folder.rglob("*"):
        if path.is_file():
            link = f"{path.resolve()} {path.stat().st_mtime_ns}".encode() if path.is_symlink() else None
            found[path.relative_to(folder).as_posix()] = link or path.read_bytes()
    return found
