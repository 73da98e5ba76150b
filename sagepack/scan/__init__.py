"""Judges a model's files by their content, from a few ranges of each: nothing is loaded, and no weight is read.

    ranges       the bytes of a file, of which only what is looked at is read, within a limit
    finding      what is wrong with a file, where, and what to do about it
    safetensors  the header, whose tensors must tile the rest of the file exactly
    pickles      the callables that a pickle names, by its opcodes; what is not in `callables` is refused
    archives     zip archives: of torch, numpy and Keras
    keras        the classes that the configuration of a Keras archive, or of a preset of Keras Hub, names
    formats      what a file is by its first bytes: GGUF, arrays of numpy, HDF5, TorchScript, programs, other archives
    code         Python of the repository that its configurations make a loader run
    judge        the one function that does all that

The room is pure: files come as a function `read(offset, length)`, so that it knows neither the Hub nor a disk. Input is hostile:
whatever a file holds, judging it ends, in bounded memory, and what cannot be understood is a finding.
"""

from __future__ import annotations

# Increase it with every change of what is found, so that files are judged again.
VERSION = 3
