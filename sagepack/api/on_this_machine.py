"""The methods of `Project` that run a package on this machine."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack.api import results, session
from sagepack.api.opened import OpenedSpec
from sagepack.engine import executor, lazy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from sagepack.api import served_package, serving, trial, watching
    from sagepack.deploy import exchange
    from sagepack.serving import image as containers
    from sagepack.serving import model_server
else:
    containers = lazy.module("serving.image")
    model_server = lazy.module("serving.model_server")
    served_package = lazy.module("api.served_package")
    serving = lazy.module("api.serving")
    trial = lazy.module("api.trial")
    watching = lazy.module("api.watching")


class OnThisMachine(OpenedSpec):
    """What can be done with a package on this machine, under the image's own serving stack."""

    def serving(
        self,
        package: str = "",
        source: exchange.Source = None,
        output: str | Path | None = None,
        *,
        accept: str | None = None,
        fields: Mapping[str, Any] | None = None,
        image: bool = False,
    ) -> AbstractContextManager[serving.Serving]:
        """A package that runs on this machine, under the image's own serving stack, within a `with` block.

        The value of the block has `try_it`, which sends the sample, and `url`. Nothing of it needs an account.

        Args:
            package: the path of a `model.tar.gz`, an address in S3 of one or of a prefix with its files, or a release as in `diff`;
                the working tree if left out.
            source: a request to send in place of the spec's sample, as in `predict`.
            output: where its answer is to go; see `predict`.
            accept: the media type that its answer should have.
            fields: are laid over those of the request, as in `predict`.
            image: run it in a container of the spec's image, which docker has on this machine, instead of the serving stack.

        Raises:
            UserError: the serving stack is not installed; there is no such package, it cannot serve, or does not start; or the
                request cannot be read.
            RemoteError, IntegrityError: as `build("download")` does.
        """
        if image:
            containers.require_docker()
        else:
            model_server.require(self.root)
        context = self._open("lock" if package else "download")
        if package and image:
            executor.run(context)  # the lock names the image
        sent = trial.Trial.of(context, source, accept, Path(output) if output else None, fields)
        folder = self.root / "build" / "serving" / f"{context.spec.name}-{context.spec.env}"
        found = served_package.of_name(context, package, folder) if package else served_package.of_tree(context)
        for warning in found.warnings:
            self._heard.warn(warning)
        locate = partial(session.where, self.selection)
        return serving.running(serving.Serving(context.refreshed(), found, sent, locate, in_image=image))

    def watching(
        self,
        source: exchange.Source = None,
        output: str | Path | None = None,
        *,
        accept: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> AbstractContextManager[watching.Watched]:
        """The package of the working tree as `serving` runs it, while its code is edited: the value of the block has `edits`, too.

        Args:
            source: as in `serving`.
            output: as in `serving`.
            accept: as in `serving`.
            fields: as in `serving`.

        Raises:
            UserError: as `serving`.
            RemoteError, IntegrityError: as `serving`.
        """
        model_server.require(self.root)
        context = self._open("download")
        sent = trial.Trial.of(context, source, accept, Path(output) if output else None, fields)
        found, locate = served_package.of_tree(context), partial(session.where, self.selection)
        for warning in found.warnings:
            self._heard.warn(warning)
        check, specs = partial(session.load, self.selection, contents=True), session.files_of(self.selection)
        return serving.running(watching.Watched(context.refreshed(), found, sent, locate, check, specs))

    def serve(
        self,
        package: str = "",
        source: exchange.Source = None,
        output: str | Path | None = None,
        *,
        accept: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> results.Served:
        """Run a package on this machine, send it the sample as the smoke test of a deployment does, and stop it.

        Args:
            package: as in `serving`.
            source: as in `serving`.
            output: the file for the answer, or the folder for its parts; a folder in `build/answers` if left out.
            accept: as in `serving`.
            fields: as in `serving`.

        Raises:
            UserError: as `serving`; or the package does not answer as expected.
            RemoteError, IntegrityError: as `serving`.
        """
        with self.serving(package, source, output, accept=accept, fields=fields) as served:
            return served.try_it(output)
