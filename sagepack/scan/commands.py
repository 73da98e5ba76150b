"""What no file of a model may call, whatever its user allows: the rules of a spec and the findings of the scan agree on it."""

from __future__ import annotations

# Modules that run commands or code, or get at those that do.
_RUN_ANYTHING = frozenset(
    [
        "builtins",
        "__builtin__",
        "os",
        "posix",
        "nt",
        "subprocess",
        "sys",
        "importlib",
        "runpy",
        "pty",
        "shutil",
        "socket",
        "ctypes",
        "code",
        "codeop",
        "pickle",
        "_pickle",
        "marshal",
        "operator",
        "functools",
        "types",
        "commands",
        "popen2",
        "multiprocessing",
        "asyncio",
        "webbrowser",
        "bdb",
        "cProfile",
        "concurrent",
        "distutils",
        "doctest",
        "ensurepip",
        "idlelib",
        "inspect",
        "lib2to3",
        "pdb",
        "pip",
        "pkgutil",
        "profile",
        "pydoc",
        "setuptools",
        "threading",
        "timeit",
        "trace",
        "venv",
        # They make functions of code that the file holds.
        "cloudpickle",
        "dill",
    ]
)


# The same, where a name leads to them through a module that imports them: `package.module.os.system`. Packages have modules of
# their own called `types` or `code`, but none that is called as one of these.
_NEVER_INSIDE = frozenset(
    ["builtins", "__builtin__", "os", "posix", "nt", "subprocess", "sys", "importlib", "runpy", "pty", "ctypes"]
)


def runs_anything(name: str) -> bool:
    """Whether a callable, with arguments that whoever made the file chose, may run any command: nobody can allow it.

    So may one that is reached through what is private to Python, such as `module.function.__globals__.get`.
    """
    first, *others = name.split(".")
    return first in _RUN_ANYTHING or any(part in _NEVER_INSIDE or _is_special(part) for part in others)


def _is_special(part: str) -> bool:
    return part.startswith("__") and part.endswith("__")
