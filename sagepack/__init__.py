"""sagepack: a declarative build system that packages Hugging Face models for Amazon SageMaker.

The map. Each room is a folder with its own map in its `__init__`; imports point down, never up, and never in a circle:

    cli                        what a person types and reads: tasks, options, messages, exit codes
    engine      | sandbox      which steps run and why        | a Hub and an AWS on this machine, reached by URL
    deploy      | publish      | hub     endpoints            | packages into S3 | model files into the cache
    package                    what a package is: lock, manifest, archive
    spec                       what the user declared: YAML, schema, rules
    aws                        the AWS calls
    files, retry               files written whole or not at all, lock files, stamps; when to try again
    workers, text, progress, digest, decoding
    errors                     the class of an error decides the exit code

Where to begin reading: `engine.steps` has the seven steps of a build, one short file each, and `engine.plan` says why one
runs. `cli.build` has the tasks that start them. `package.lock` and `package.manifest` are the two documents that
everything else follows from. `docs/architecture.md` follows a weight file, a key of the spec and an option through all rooms.

`__main__` is `python -m sagepack TASK`, the same as `invoke TASK`.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
