"""The callables that rebuild tensors and nothing else: all that a pickle may name. Everything else is refused.

The list is that of `torch.load(weights_only=True)` (torch 2.6, `_weights_only_unpickler._get_allowed_globals`), with what
rebuilds arrays of numpy. Left out on purpose: `torch.storage._load_from_bytes`, which loads a pickle by itself.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from sagepack.scan.commands import runs_anything

if TYPE_CHECKING:
    from collections.abc import Iterable


def _in(module: str, names: str) -> set[str]:
    return {f"{module}.{name}" for name in names.split()}


_PYTHON = {
    *_in("collections", "OrderedDict Counter defaultdict"),
    *_in("builtins", "set frozenset bytearray complex int float str list dict tuple bytes bool"),
    *_in("__builtin__", "set frozenset bytearray complex int float str list dict tuple bytes bool"),
    "_codecs.encode",
}
_NUMPY = {
    *_in("numpy", "ndarray dtype float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool_ str_"),
    *_in("numpy.core.multiarray", "_reconstruct scalar"),
    *_in("numpy._core.multiarray", "_reconstruct scalar"),
    *_in("numpy.core.numeric", "_frombuffer"),
    *_in("numpy._core.numeric", "_frombuffer"),
}
_REBUILD = """
    _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter _rebuild_parameter_with_state _rebuild_qtensor
    _rebuild_sparse_tensor _rebuild_meta_tensor_no_storage _rebuild_device_tensor_from_numpy
    _rebuild_device_tensor_from_cpu_tensor _rebuild_nested_tensor _rebuild_wrapper_subclass
"""
_STORAGES = "Float Double Half BFloat16 Long Int Short Char Byte Bool ComplexFloat ComplexDouble QInt8 QUInt8 QInt32"
_TYPES = """
    float16 float32 float64 bfloat16 half float double int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool complex32
    complex64 complex128 cfloat cdouble short int long quint8 qint8 qint32 float8_e4m3fn float8_e4m3fnuz float8_e5m2
    float8_e5m2fnuz per_tensor_affine per_channel_affine per_tensor_symmetric per_channel_symmetric strided sparse_coo
"""
_TORCH = {
    *_in("torch._utils", _REBUILD),
    *(f"torch.{kind}Storage" for kind in _STORAGES.split()),
    *_in("torch", _TYPES),
    *_in("torch", "Size Tensor device UntypedStorage"),
    *_in("torch.storage", "UntypedStorage TypedStorage"),
    *_in("torch.nn.parameter", "Parameter"),
    *_in("torch._tensor", "_rebuild_from_type_v2"),
    *_in("torch.serialization", "_get_layout"),
}
HARMLESS = frozenset(_PYTHON | _NUMPY | _TORCH)
"""As `module.name`."""
HAS_TORCHSCRIPT = "holds a program of TorchScript"
TORCHSCRIPT = "torch.jit"
"""The name by which `trust.allow` permits the programs of TorchScript, and what rebuilds their values."""
# Modules of Python that hold values.
_DATA = {
    "argparse",
    "array",
    "collections",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "numbers",
    "pathlib",
    "uuid",
    "zoneinfo",
}
KERAS_LAMBDA = "keras.layers.Lambda"
"""The name by which it permits a layer of Keras that is a function of Python."""
PROGRAMS = frozenset([TORCHSCRIPT, KERAS_LAMBDA])
"""The words that permit programs, and not classes."""
JOBLIB = "joblib.numpy_pickle.NumpyArrayWrapper"
"""What stands in a pickle of joblib before the bytes of an array, whose number follows from what is not known here."""
_OF_TORCHSCRIPT = ("__torch__.", "torch.jit._pickle.")
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def is_allowed(name: str, allow: Iterable[str]) -> bool:
    """Whether the user allows a callable: by its name, or by that of its module with `.*`, which is for that one module.

    `a.*` is not for `a.os.system`: a module is full of others that it imports. Nor is it for a callable that the file changes.
    """
    module, _, last = name.rpartition(".")
    if name in allow or (TORCHSCRIPT in allow and name.startswith(_OF_TORCHSCRIPT) and can_be_allowed(name)):
        return True
    return f"{module}.*" in allow and last.isidentifier()


def word(name: str) -> str:
    """What permits a callable in `trust.allow`: its name, but one word for all of TorchScript."""
    return TORCHSCRIPT if name.startswith(_OF_TORCHSCRIPT) else name


def can_be_allowed(name: str) -> bool:
    """Whether `trust.allow` takes a name, it stands for nothing but one callable, and allowing it is of use."""
    return name != JOBLIB and _NAME.fullmatch(name) is not None and not runs_anything(name)


def is_class(name: str) -> bool:
    """Whether a callable that can be allowed is probably a class of a framework, as a saved model names them.

    A function may do whatever it likes with what the file hands it, and so may most of Python's own library.
    """
    module, _, last = name.rpartition(".")
    top = module.partition(".")[0]
    is_data = top in _DATA or top not in sys.stdlib_module_names
    return can_be_allowed(name) and is_data and (top in _DATA or last.lstrip("_")[:1].isupper())
