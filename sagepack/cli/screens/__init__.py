"""What people read of a result: its lines, one function for each kind.

A function returns `layout.Block`s: plain text is a line as it stands; spans of text have a look; a function gets the screen
and returns lines that fit it.
"""

# Each of these registers the results that it is about.
from sagepack.cli.screens import answers, building, endpoint, exporting, history, removal, surroundings
from sagepack.cli.screens.answers import edit, kept
from sagepack.cli.screens.endpoint import log_line
from sagepack.cli.screens.parts import lines

__all__ = [
    "answers",
    "building",
    "edit",
    "endpoint",
    "exporting",
    "history",
    "kept",
    "lines",
    "log_line",
    "removal",
    "surroundings",
]
