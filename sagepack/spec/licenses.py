"""The names that licences have at the Hub, and in SPDX. Pure.

The Hub's list: its documentation, "Licenses". SPDX's: spdx.org/licenses.
"""

from __future__ import annotations

import difflib

# The Hub's words for licences that SPDX has, in SPDX's spelling; SPDX has some under another name. What is not here has a name and
# no identifier: `other`, and the licences of single publishers, which nobody should take for one that is known.
SPDX = {
    name.lower(): name
    for name in [
        "AFL-3.0",
        "AGPL-3.0",
        "Apache-2.0",
        "Artistic-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSD-3-Clause-Clear",
        "BSL-1.0",
        "C-UDA-1.0",
        "CC-BY-2.0",
        "CC-BY-2.5",
        "CC-BY-3.0",
        "CC-BY-4.0",
        "CC-BY-NC-2.0",
        "CC-BY-NC-3.0",
        "CC-BY-NC-4.0",
        "CC-BY-NC-ND-3.0",
        "CC-BY-NC-ND-4.0",
        "CC-BY-NC-SA-2.0",
        "CC-BY-NC-SA-3.0",
        "CC-BY-NC-SA-4.0",
        "CC-BY-ND-4.0",
        "CC-BY-SA-3.0",
        "CC-BY-SA-4.0",
        "CC0-1.0",
        "CDLA-Permissive-1.0",
        "CDLA-Permissive-2.0",
        "CDLA-Sharing-1.0",
        "ECL-2.0",
        "EPL-1.0",
        "EPL-2.0",
        "etalab-2.0",
        "EUPL-1.1",
        "EUPL-1.2",
        "GPL-2.0",
        "GPL-3.0",
        "ISC",
        "LGPL-2.1",
        "LGPL-3.0",
        "LPPL-1.3c",
        "MIT",
        "MPL-2.0",
        "MS-PL",
        "NCSA",
        "OFL-1.1",
        "OSL-3.0",
        "PostgreSQL",
        "Unlicense",
        "WTFPL",
        "Zlib",
    ]
} | {"c-uda": "C-UDA-1.0", "odbl": "ODbL-1.0", "odc-by": "ODC-By-1.0", "pddl": "PDDL-1.0"}

OF_PUBLISHERS = frozenset(
    [
        "apple-amlr",
        "apple-ascl",
        "bigcode-openrail-m",
        "bigscience-bloom-rail-1.0",
        "bigscience-openrail-m",
        "bsd",
        "cc",
        "creativeml-openrail-m",
        "deepfloyd-if-license",
        "fair-noncommercial-research-license",
        "gemma",
        "gfdl",
        "gpl",
        "grok2-community",
        "h-research",
        "intel-research",
        "lgpl",
        "lgpl-lr",
        "llama2",
        "llama3",
        "llama3.1",
        "llama3.2",
        "llama3.3",
        "llama4",
        "open-mdw",
        "openmdw-1.0",
        "openrail",
        "openrail++",
        "other",
        "unknown",
    ]
)
"""Further words of the Hub: families of licences, and those of single publishers."""
_ALIKE = 0.85  # of 1: how much a word must be like another one to be a spelling mistake


def meant(name: str) -> str | None:
    """The licence that a name probably stands for, if it is none that the Hub or SPDX lists; None if it is, or is like none of them.

    A model's card may name any other licence, so what is like none of them need not be wrong.
    """
    known, word = {**SPDX, **{each: each for each in OF_PUBLISHERS}}, name.casefold()
    if word in known or word in {each.casefold() for each in known.values()}:
        return None
    plain = {_letters(each): each for each in known}
    close = difflib.get_close_matches(word, known, n=1, cutoff=_ALIKE)
    return plain.get(_letters(word)) or next(iter(close), None)


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name))
