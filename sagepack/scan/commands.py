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
    ]
)


def runs_anything(name: str) -> bool:
    """Whether a callable, with arguments that whoever made the file chose, may run any command: nobody can allow it."""
    return name.partition(".")[0] in _RUN_ANYTHING
