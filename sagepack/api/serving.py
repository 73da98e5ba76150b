"""What `Project` does to run a package on this machine: start it, send it the sample, and follow its log."""

from __future__ import annotations

import shlex
import shutil
import time
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sagepack.api import results
from sagepack.api.trial import Trial
from sagepack.deploy import cause, exchange
from sagepack.deploy.container_log import telling
from sagepack.deploy.failure import status_and_words
from sagepack.deploy.predict import MAX_INVOCATION_TIMEOUT
from sagepack.errors import RemoteError, UserError
from sagepack.sandbox.miniatures import models as miniatures
from sagepack.serving import image, model_server, overlay
from sagepack.serving.model_server import InferenceRequest, ModelServer
from sagepack.serving.server_log import ServerLog
from sagepack.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.api.served_package import ServedPackage
    from sagepack.engine.context import BuildContext
    from sagepack.errors import KeyPath

SECONDS = float(MAX_INVOCATION_TIMEOUT)  # the longest that an asynchronous invocation may take
_LOOK_SECONDS = 0.5
_SHOWN = 100  # bytes of an answer that is not as expected
_CORRECT = "correct the code: an endpoint with this package would be InService, and fail in the same way"
_CORRECT_EITHER = "correct the request, or the code of the package"
_Kind = TypeVar("_Kind", bound="Serving")


@contextmanager
def running(served: _Kind) -> Iterator[_Kind]:
    """A package that runs within the block.

    Raises:
        UserError: the serving stack cannot be used, or the package does not start.
    """
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

    _reloads = False  # whether its server can take other code

    def __init__(
        self,
        context: BuildContext,
        package: ServedPackage,
        trial: Trial | str,
        locate: Callable[[KeyPath], str],
        *,
        in_image: bool = False,
    ) -> None:
        """Nothing runs yet.

        Args:
            context: of the spec.
            package: what is served.
            trial: what it is sent, or why it is sent nothing.
            locate: where a key of the spec was written, as messages say it.
            in_image: run it in a container of the spec's image instead of the serving stack.
        """
        self.package = package
        self._context, self._trial, self._locate = context, trial, locate
        self._in_image = in_image
        self._log = ServerLog()
        self._server: ModelServer | None = None
        self._installed: tuple[str, ...] = ()
        self._output: str | Path | None = None
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
        """Write the code where the server looks for it."""
        self.package.put_code(server.package / "code")

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
            miniature=self._context.spec.sandbox and miniatures.includes(self._context.spec.model.id),
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
            SECONDS,
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
        found = cause.find(self._log.settled(since, telling), self.package.places)
        first, *more = [line for line in cause.readable(words.splitlines(), {}) if line.strip()] or [
            "nothing is known of the reason"
        ]
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
            self._log.wait(seen, _LOOK_SECONDS)
            fresh = self._log.since(seen)
            seen += len(fresh)
            yield from fresh
            if not fresh and not self._running.alive():
                raise self._failed("the server ended", "nothing is known of the reason", seen)


def _from_here(path: Path) -> str:
    """A path as it can be typed in the working folder."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
