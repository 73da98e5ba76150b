r"""sagepack: a declarative build system that packages Hugging Face models for Amazon SageMaker.

The map, from top to bottom. Imports point down, never up, and never in a circle. A room is a folder with a map of its own in
its `__init__`; the rest are leaves, which are single modules.

    cli        what a person types and reads: tasks, options, messages, exit codes
    api        what the program does, for programs: `Project`, and the values that its methods return
    engine     which steps run, in which order, and why
    sandbox    a Hub and an AWS on this machine; only `cli` and `api` import it, to start it, and the others reach it by URL
    scaffold   a project, or a model in it, to start from; its texts are in `templates/`
    deploy     endpoints       \
    publish    packages in S3   \ these four do not
    hub        model files      / import each other
    serving    packages here   /
    package    what a package is, on paper and in bytes: lock, manifest, archive
    spec       what the user declared: YAML, schema, rules
    aws        the AWS calls
    scan       what is wrong with a model file, by its content; pure, over ranges of bytes
    files      files written whole or not at all, lock files, stamps; `retry`: when a failed request is sent again
    workers, text, progress, digest, json_schema, decoding, version
    errors     the class of an error decides the exit code

Where to begin reading: `engine.steps` has the seven steps of a build, one short file each, and `engine.plan` says why one
runs. `api.project` starts them, and `cli` has the tasks. `package.lock` and `package.manifest` are the two documents that
everything else follows from. `docs/architecture.md` follows a weight file, a key of the spec and an option through all rooms.

`__main__` is `python -m sagepack TASK`, the same as `invoke TASK`. For programs, this package offers what `__all__` names
(`docs/how-to/python.md`); each is imported when it is first used, so that `import sagepack` stays quick.
"""

from importlib import import_module

from sagepack.version import __version__

TYPE_CHECKING = False  # as in `typing`, whose import takes 5 ms: until `cli.interrupts` is there, Ctrl-C is a traceback

if TYPE_CHECKING:
    from sagepack.api.fleet.running import Fleet, JobOptions
    from sagepack.api.project import Project
    from sagepack.errors import Diagnostic, IntegrityError, RemoteError, SagepackError, SpecError, UserError
    from sagepack.progress import Progress

__all__ = [
    "Diagnostic",
    "Fleet",
    "IntegrityError",
    "JobOptions",
    "Progress",
    "Project",
    "RemoteError",
    "SagepackError",
    "SpecError",
    "UserError",
    "__version__",
]

_MODULES = {
    "Fleet": "api.fleet.running",
    "JobOptions": "api.fleet.running",
    "Project": "api.project",
    "Progress": "progress",
}

if not TYPE_CHECKING:  # a type checker is to know every name

    def __getattr__(name: str) -> object:
        """A name of `__all__`, imported now."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"sagepack.{_MODULES.get(name, 'errors')}"), name)
