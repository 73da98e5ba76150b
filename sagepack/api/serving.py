"""What `Project` does to run a package on this machine: start it, send it the sample, and follow edits of its code."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import threading
import time
from collections import deque
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sagepack.api import results, served_package
from sagepack.deploy import cause, exchange, smoke
from sagepack.deploy.container_log import said, telling
from sagepack.deploy.failure import status_and_words
from sagepack.deploy.predict import MAX_INVOCATION_TIMEOUT
from sagepack.engine import contents
from sagepack.errors import RemoteError, SagepackError, UserError
from sagepack.sandbox.miniatures import models as miniatures
from sagepack.serving import image, kept_model, model_server, overlay
from sagepack.serving.model_server import InferenceRequest, ModelServer
from sagepack.spec import code_tree
from sagepack.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sagepack.api.served_package import ServedPackage
    from sagepack.deploy.expectation import Expectation
    from sagepack.engine.context import BuildContext
    from sagepack.errors import KeyPath

_KEPT_LINES = 20_000  # of the log
_QUIET_SECONDS, _LATE_SECONDS = 0.2, 2.0  # the server passes on what the code wrote after its answer
_POLL_SECONDS = 0.1
_SECONDS = float(MAX_INVOCATION_TIMEOUT)  # the longest that an asynchronous invocation may take
_SHOWN = 100  # bytes of an answer that is not as expected
_CORRECT = "correct the code: an endpoint with this package would be InService, and fail in the same way"
_CORRECT_EITHER = "correct the request, or the code of the package"


class Trial(NamedTuple):
    """What a package is sent.

    Attributes:
        request: the request.
        times: how often.
        expectation: what each answer must be; None if nothing is known of that.
    """

    request: exchange.Prepared
    times: int
    expectation: Expectation | None

    @classmethod
    def of(
        cls,
        context: BuildContext,
        source: exchange.Source,
        accept: str | None,
        output: Path | None,
        fields: Mapping[str, Any] | None,
    ) -> Trial | str:
        """A request of the user's, or the sample of the spec as the smoke test sends it; else why there is none.

        Arguments as those of `exchange.prepare`.

        Raises:
            UserError: it cannot be read, or is not what the endpoint takes.
        """
        spec, root = context.spec, context.work.root
        is_other = exchange.accepted(spec, root, accept, output) != exchange.accepted(spec, root)
        if source is not None or fields or is_other:
            own = exchange.prepare(spec, root, source, accept=accept, output=output, fields=fields)
            if own.note:
                context.progress.note(own.note)
            return cls(own, 1, None)
        sample = smoke.Sample.of(spec, root)
        if sample is None:
            return "the spec has no sample"
        if not spec.smoke:
            return "the spec says smoke: false"
        return cls(
            exchange.Prepared(sample.body, sample.content_type, sample.accept), smoke.REQUESTS, sample.expectation
        )


class _Log:
    """The lines that the server and the code wrote."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._changed = threading.Condition()
        self.count = 0

    def write(self, lines: Sequence[str]) -> None:
        """Take lines, from any thread."""
        with self._changed:
            self._lines.extend(lines)
            self.count += len(lines)
            self._changed.notify_all()

    def since(self, count: int) -> list[str]:
        """The lines after the first `count`, as far as they are kept."""
        with self._changed:
            fresh = self.count - count
            return list(self._lines)[-fresh:] if fresh else []

    def settled(self, count: int) -> list[str]:
        """As `since`, when nothing has come for a moment."""
        end, seen = time.monotonic() + _LATE_SECONDS, -1
        while time.monotonic() < end:
            if self.count == seen and telling(self.since(count)):
                break
            seen = self.count
            time.sleep(_QUIET_SECONDS)
        return self.since(count)

    def rest(self, count: int) -> list[str]:
        """As `since`, when nothing has come for a moment, which is shorter: nothing is missing if a line comes later."""
        end, seen = time.monotonic() + _QUIET_SECONDS, -1
        while self.count != seen and time.monotonic() < end:
            seen = self.count
            time.sleep(_QUIET_SECONDS / 4)
        return self.since(count)

    def wait(self, count: int, seconds: float) -> None:
        """Wait until there are more lines than `count`, or a time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.count > count, seconds)


@contextmanager
def serving(
    context: BuildContext, package: ServedPackage, trial: Trial | str, locate: Callable[[KeyPath], str], **how: bool
) -> Iterator[Serving]:
    """A package that runs within the block; arguments as those of `Serving`.

    Raises:
        UserError: the serving stack cannot be used, or the package does not start.
    """
    served = Serving(context, package, trial, locate, **how)
    try:
        served.start()
        yield served
    finally:
        served.stop()


class Serving:
    """A package that runs on this machine, from `start` to `stop`.

    Attributes:
        package: what is served.
    """

    def __init__(
        self,
        context: BuildContext,
        package: ServedPackage,
        trial: Trial | str,
        locate: Callable[[KeyPath], str],
        *,
        reloads: bool = False,
        in_image: bool = False,
    ) -> None:
        """Nothing runs yet.

        Args:
            context: of the spec.
            package: what is served.
            trial: what it is sent, or why it is sent nothing.
            locate: where a key of the spec was written, as messages say it.
            reloads: whether `edits` is to be used.
            in_image: run it in a container of the spec's image instead of the serving stack.
        """
        self.package = package
        self._context, self._trial, self._locate = context, trial, locate
        self._reloads, self._in_image = reloads, in_image
        self._log = _Log()
        self._server: ModelServer | None = None
        self._installed: tuple[str, ...] = ()
        self._seen = self._stamps()  # the files when the newest edit was taken
        self._output: str | Path | None = None
        self._told = 0  # lines of the log that are of no edit to come
        self._version = 0
        self._code = dict[str, bytes]()  # what the server has
        self._good = package, 0, self._code  # what served before the newest edit, its version and what the server had
        self._start_seconds = self._load_seconds = 0.0

    def stop(self) -> None:
        """Stop it, with all its processes."""
        if self._server:
            self._server.stop()

    @property
    def url(self) -> str:
        """Where it takes requests."""
        return self._running.url

    @property
    def _running(self) -> ModelServer:
        if self._server is None:
            raise RuntimeError("it was not started")
        return self._server

    @property
    def _root(self) -> Path:
        return self._context.work.root

    def start(self, port: int = 0) -> None:
        """Start it, on a free port if none is given.

        Raises:
            UserError: the serving stack cannot be used, or the package does not start.
        """
        progress, begun = self._context.progress, time.monotonic()
        server = self._server = self._image_server() if self._in_image else self._stack_server(port)
        self.package.put_model(server.package)
        self._put_code(server)
        packages = None
        if not self._in_image:
            with progress.activity("looking what the package's requirements need"):
                packages = self._requirements(server.package / "code")
        with progress.activity("starting the image's server"):
            problem = server.start(packages)
        if problem:
            raise self._failed("the package did not start", problem, 0)
        up = time.monotonic()
        with progress.activity("loading the model"):
            problem = server.wait_loaded()
        if problem:
            raise self._failed("the package did not load", problem, 0)
        self._start_seconds, self._load_seconds = up - begun, time.monotonic() - up

    def _stack_server(self, port: int) -> ModelServer:
        if problem := model_server.unavailable(self._root):
            raise UserError(
                problem, fix="`sagepack serve.install` takes 1.4 GB and two minutes or more; Java has to be there"
            )
        python = model_server.python(self._root)
        settings, write = self.package.environment, self._log.write
        return ModelServer(settings, write, interpreter=python, port=port, reloads=self._reloads)

    def _image_server(self) -> ModelServer:
        lock, region = self._context.required_lock(), self._context.spec.aws.region
        image.require(self._stack, lock.image_registry, region)
        return image.ImageServer(self._stack, self.package.environment, self._log.write, self.package.folders)

    @property
    def _stack(self) -> str:
        """What it runs under: an interpreter, or an image, which in the sandbox has no digest that is true elsewhere."""
        if not self._in_image:
            return str(model_server.python(self._root))
        lock = self._context.required_lock()
        return f"{lock.image_registry}/{lock.image}" if self._context.spec.sandbox else lock.image_uri

    def _put_code(self, server: ModelServer) -> None:
        """Write the code where the server looks for it; of a server that reloads, by a link that is set when all is there."""
        code = server.package / "code"
        if not self._reloads:
            self.package.put_code(code)
            return
        self._version += 1
        folder = server.package.parent / f"code-{self._version}"
        self.package.put_code(folder)
        self._code = _contents(folder)
        self._use(server, self._version)

    def _use(self, server: ModelServer, version: int) -> None:
        fresh = server.package.parent / "code.new"
        fresh.symlink_to(Path("..", f"code-{version}"))
        fresh.replace(server.package / "code")

    def _requirements(self, code: Path) -> Path | None:
        """Install what the code requires, as the container does; the folder, if that is anything.

        Raises:
            UserError: pip failed.
        """
        cache, python = overlay.folder(self._root), model_server.python(self._root)
        try:
            note, provided = self._context.progress.note, self.package.provided
            found = overlay.prepare(code / "requirements.txt", python, cache, note, provided)
        except UserError as error:
            place = self._place_of(error)
            raise UserError(error.message, where=place, fix=error.fix, details=error.details) from error
        self._installed = found.installed if found else ()
        if found:
            self._context.progress.note(f"beside the serving stack: {', '.join(found.installed)}")
        return found.folder if found else None

    def _place_of(self, error: UserError) -> str:
        """The requirement that pip's words name, else where the requirements are."""
        words = " ".join(error.details).replace("_", "-").lower()
        for number, line in enumerate(self._context.spec.code.requirements):
            name = line.partition("==")[0].partition("[")[0].strip().replace("_", "-").lower()
            if name and name in words:
                return f"{self._locate(('code', 'requirements', number))}: code.requirements: {line}"
        source = self.package.requirements
        if isinstance(source, Path):
            return self._context.display(source)
        return "code.requirements"

    def try_it(self, output: str | Path | None = None) -> results.Served:
        """Send what it is to be sent, and write the first answer.

        Args:
            output: the file for the answer, or the folder for its parts; a folder in `build/answers` if left out.

        Raises:
            UserError: the package does not answer, or not as expected; or a file cannot be written.
        """
        self._output = output
        saved, answers = None, list[results.ServedAnswer]()
        if isinstance(self._trial, Trial):
            for number in range(1, self._trial.times + 1):
                which = f"request {number} of {self._trial.times}" if self._trial.times > 1 else "the request"
                with self._context.progress.activity(f"{which}: waiting for the answer"):
                    seconds, body = self._answer(which, self._trial)
                answers.append(results.ServedAnswer(round(seconds, 3), len(body)))
                if saved is None:
                    saved = self._saved(body)
        self._told, model = self._log.count, self._context.spec.model.id
        return results.Served(
            package=self.package.shown,
            stack=self._stack,
            start_seconds=round(self._start_seconds, 3),
            load_seconds=round(self._load_seconds, 3),
            answers=tuple(answers),
            as_expected=isinstance(self._trial, Trial) and self._trial.expectation is not None,
            untried=self._trial if isinstance(self._trial, str) else None,
            files=tuple(self._context.display(path) for path in saved.files) if saved else (),
            text=saved.text if saved else None,
            miniature=self._context.spec.sandbox and model in {each.name for each in miniatures.MODELS},
        )

    def _answer(self, which: str, trial: Trial) -> tuple[float, bytes]:
        """Send one request; its seconds and its answer, which is as expected.

        Raises:
            UserError: it failed, or is not.
        """
        body, begun, before = trial.request.body, time.monotonic(), self._log.count
        request = InferenceRequest(
            body.read_bytes() if isinstance(body, Path) else body,
            trial.request.content_type,
            trial.request.accept,
            _SECONDS,
        )
        try:
            status, answer = self._running.post(request)
        except OSError as error:  # TimeoutError is one
            raise self._failed(f"{which} failed", f"{error or type(error).__name__}", before) from error
        seconds = time.monotonic() - begun
        if status != HTTPStatus.OK:
            words = status_and_words(answer.decode(errors="replace").strip())[1]
            raise self._failed(f"{which} failed ({status})", words, before, trial)
        if problems := trial.expectation.problems(answer) if trial.expectation else []:
            start = printable(answer[:_SHOWN].decode(errors="replace"))
            kept = self._kept(answer)
            raise UserError(
                f"{which} got an answer that is not as expected: {problems[0]}",
                where=self.package.shown,
                fix="correct the code, or what sample.expect asks for",
                details=[*problems[1:], f"the answer begins with {start}; as it came it is at {kept}"],
            )
        return seconds, answer

    @property
    def _answers(self) -> Path:
        return self._root / "build" / "answers" / f"{self._context.spec.name}-{self._context.spec.env}" / "served"

    def _saved(self, body: bytes) -> exchange.Saved:
        """Write an answer as `predict` does."""
        if self._output is None:
            shutil.rmtree(self._answers, ignore_errors=True)
        try:
            return exchange.save(body, Path(self._output) if self._output else self._answers)
        except RemoteError as error:
            details = [*error.details, f"as it came it is at {self._kept(body)}"]
            raise UserError(error.message, where=self.package.shown, fix=_CORRECT, details=details) from error

    def _kept(self, body: bytes) -> str:
        """Write an answer as it came; returns where."""
        output = Path(self._output) if self._output else None
        path = output if output and output.suffix else self._answers / "answer-as-it-came.bin"
        return self._context.display(exchange.save(body, path).files[0])

    def _failed(self, what: str, words: str, since: int, trial: Trial | None = None) -> UserError:
        """The error for something that the server or the code did, with its cause first.

        Args:
            what: what failed.
            words: what is known without the log.
            since: how many lines the log had before.
            trial: the request that it was about.
        """
        found = cause.find(self._log.settled(since), self.package.places)
        first, *more = [line for line in words.splitlines() if line.strip()] or ["nothing is known of the reason"]
        known = cause.known(found.exception or "\n".join([words, *found.lines]))
        why = found.exception or (f"{first.rstrip('.')}: {known.cause}" if known else first)
        within = f" in {found.function}" if found.function else ""
        details = [f"| {line}" for line in found.lines or more]
        if found.exception and first not in found.exception and not found.lines:
            details = [first, *details]
        is_ones_own = trial is not None and trial.expectation is None
        fix = known.fix if known else _CORRECT_EITHER if is_ones_own else _CORRECT
        if found.where is None and known is None and self._installed:
            fix = (
                f"correct the requirements, which the image's own packages do not go with: {', '.join(self._installed)}"
            )
        return UserError(
            f"{what}{within}: {why}",
            where=found.where or self.package.shown,
            fix=fix,
            details=details,
            failure=known.id if known else None,
        )

    def curl(self) -> str:
        """A command that sends the same request to it."""
        words = ["curl", "--silent", "--show-error"]
        if isinstance(self._trial, Trial):
            request = self._trial.request
            file = request.body if isinstance(request.body, Path) else self._answers.with_name("sample.json")
            if isinstance(request.body, bytes):
                exchange.save(request.body, file)
            words += ["-H", f"Content-Type: {request.content_type}", "-H", f"Accept: {request.accept}"]
            words += ["--data-binary", f"@{_from_here(file)}"]
        else:
            words += ["-H", "Content-Type: application/json", "--data-binary", "@request.json"]
        return shlex.join([*words, "--output", "answer", f"{self.url}/invocations"])

    def follow(self) -> Iterator[str]:
        """Each line that server and code write from now on; it ends when the caller stops asking.

        Raises:
            UserError: the server ended.
        """
        return self._follow(self._log.count)

    def _follow(self, seen: int) -> Iterator[str]:
        while True:
            self._log.wait(seen, _POLL_SECONDS * 5)
            fresh = self._log.since(seen)
            seen += len(fresh)
            yield from fresh
            if not fresh and not self._running.alive():
                raise self._failed("the server ended", "nothing is known of the reason", seen)

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
                self._seen = now
                changed = sorted(path for path in now.keys() | before.keys() if now.get(path) != before.get(path))
                yield self._edited(tuple(changed))
            elif not self._running.alive():
                raise self._failed("the server ended", "nothing is known of the reason", self._log.count)

    def _stamps(self) -> dict[str, tuple[int, int]]:
        """Size and time of each file that an edit may change: of the code, and the sample."""
        found, root, spec = dict[str, tuple[int, int]](), self._root, self._context.spec
        files = [path for folder in spec.code.folders for path in _code_files(root / folder)]
        files += [root / spec.sample.file] if spec.sample and spec.sample.file else []
        for path in files:
            try:
                status = path.stat()
            except OSError:
                continue
            found[self._context.display(path)] = status.st_size, status.st_mtime_ns
        return found

    def _edited(self, files: tuple[str, ...]) -> results.Edit:
        """Take an edit, or tell what is wrong with it."""
        begun, model, answer, error = time.monotonic(), "", None, None
        try:
            fresh = self._package_now()
            is_other = _read(fresh.requirements) != self._code.get("requirements.txt")
            model = self._start_again(fresh) if is_other else self._take(fresh)
            seconds = time.monotonic() - begun
            answer = self._answered(undo=not is_other)
        except SagepackError as found:
            error, seconds = found, time.monotonic() - begun
        lines = self._log.rest(self._told)
        self._told += len(lines)
        return results.Edit(
            files=files,
            model=model,
            seconds=round(seconds, 3),
            answer=answer,
            error=tuple(error.lines()) if error else (),
            log=() if error else tuple(cause.readable(said(lines), self.package.places)),
        )

    def _package_now(self) -> ServedPackage:
        """The code as it is now, with the model as it was.

        Raises:
            SpecError: the code cannot serve, as far as that is known without running it.
        """
        context = self._context.refreshed()
        return served_package.of_code(context, contents.cache_paths(context), context.code)

    def _take(self, fresh: ServedPackage) -> str:
        """Let the server take other code; says what became of the model.

        Raises:
            UserError: it does not; the code from before serves.
        """
        server, before = self._running, self._log.count
        self._good = self.package, self._version, self._code
        self.package = fresh
        self._put_code(server)
        program = self._context.spec.environment.get("SAGEMAKER_PROGRAM", "inference.py")
        why = kept_model.why_again(self._good[2], self._code, program)
        try:
            status, body = server.reload("call" if why else "keep", _SECONDS)
        except OSError as error:
            status, body = 0, str(error or type(error).__name__).encode()
        if status != HTTPStatus.OK:
            problem = self._failed(
                "the new code does not load", status_and_words(body.decode(errors="replace"))[1], before
            )
            self._put_back()
            raise problem
        if b"called" not in body:
            return "the model was kept"
        return f"model_fn was called again: {why or 'it had failed before'}"

    def _put_back(self) -> None:
        """Let messages and a worker that starts again have the code from before."""
        self.package, version, self._code = self._good
        self._use(self._running, version)

    def _start_again(self, fresh: ServedPackage) -> str:
        """Start another server in place of this one, for other requirements.

        Raises:
            UserError: pip failed, and nothing changed; or the new one does not start, and the code from before is served again.
        """
        good, port = self.package, self._running.port
        with tempfile.TemporaryDirectory() as folder:
            fresh.put_code(Path(folder, "code"))
            self._requirements(Path(folder, "code"))
        self.stop()
        self.package = fresh
        try:
            self.start(port)
        except UserError:
            self.stop()
            self.package = good
            self.start(port)
            raise
        return "the server was started again: the requirements changed"

    def _answered(self, *, undo: bool) -> results.ServedAnswer | None:
        """The answer of other code to the sample.

        Args:
            undo: whether the code from before can be put back.

        Raises:
            UserError: it does not answer, or not as expected.
        """
        if not isinstance(self._trial, Trial):
            return None
        try:
            seconds, body = self._answer("the sample", self._trial)
            self._saved(body)
        except UserError:
            if undo:
                self._put_back()
                self._running.reload("undo", _SECONDS)
            raise
        self._running.reload("settle", _SECONDS)
        return results.ServedAnswer(round(seconds, 3), len(body))


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


def _from_here(path: Path) -> str:
    """A path as it can be typed in the working folder."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
