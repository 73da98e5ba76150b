"""Model files, harmless and not, made byte by byte: nothing that is malicious is ever loaded, here or in a test.

Pickles are written by their opcodes, archives by zipfile and then by hand.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMAND = b"X\x04\x00\x00\x00true"  # BINUNICODE
_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


class Sample(NamedTuple):
    """A file, and whether it must be refused."""

    name: str
    path: str
    data: bytes


def text(value: str) -> bytes:
    """SHORT_BINUNICODE."""
    data = value.encode()
    return b"\x8c" + bytes([len(data)]) + data


def calling(module: str, name: str) -> bytes:
    """A pickle of protocol 2 that calls a callable with one text."""
    return b"\x80\x02" + named(module, name) + _COMMAND + b"\x85R."


def named(module: str, name: str) -> bytes:
    """GLOBAL."""
    return b"c" + f"{module}\n{name}\n".encode()


def stacked(module: str, name: str) -> bytes:
    """A pickle of protocol 4 that calls a callable with one text."""
    return b"\x80\x04" + text(module) + text(name) + b"\x93" + _COMMAND + b"\x85R."


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return buffer.getvalue()


def torch_archive(
    pickle: bytes,
    more: Mapping[str, bytes] | None = None,
    *,
    method: int = zipfile.ZIP_STORED,
    storage: bytes = bytes(16),
) -> bytes:
    """An archive as torch writes it: the pickle, the numbers of a tensor, the version."""
    members = {"archive/data.pkl": pickle, "archive/byteorder": b"little", "archive/data/0": storage}
    return zipped({**members, "archive/version": b"3\n", **(more or {})}, method)


def state_dict(tensors: int = 1, *, view: bytes = b"") -> bytes:
    """The pickle of a state dict as `torch.save` writes it, protocol 2; its tensors share the one storage `0`.

    `view` is a part of the storage's id that torch wrote before 1.6.
    """
    parts = [b"\x80\x02", named("collections", "OrderedDict"), b"q\x00)Rq\x01("]
    for number in range(tensors):
        parts += [
            b"X" + struct.pack("<I", len(f"layer{number}")) + f"layer{number}".encode(),
            named("torch._utils", "_rebuild_tensor_v2"),
            b"((X\x07\x00\x00\x00storage"
            + named("torch", "FloatStorage")
            + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04"
            + view
            + b"tQ",
            b"K\x00K\x02K\x02\x86K\x02K\x01\x86\x89" + named("collections", "OrderedDict") + b")RtR",
        ]
    return b"".join([*parts, b"u."])


def legacy(pickle: bytes, numbers: bytes = b"\x04\x00\x00\x00\x00\x00\x00\x00" + bytes(16)) -> bytes:
    """A file of torch before 1.6: magic number, protocol, system, the object, the keys of its storages, the storages."""
    system = b"\x80\x02}q\x00(X\x10\x00\x00\x00protocol_versionM\xe9\x03X\r\x00\x00\x00little_endian\x88u."
    return _MAGIC + b"\x80\x02M\xe9\x03." + system + pickle + b"\x80\x02]q\x00X\x01\x00\x00\x000a." + numbers


def array(description: str, data: bytes = bytes(8)) -> bytes:
    """A file of numpy."""
    header = f"{{'descr': {description}, 'fortran_order': False, 'shape': (1,), }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def gguf(tensors: int, keys: int, size: int = 256) -> bytes:
    """A file of GGUF with these counts."""
    return (b"GGUF" + struct.pack("<IQQ", 3, tensors, keys)).ljust(size, b"\0")


def safetensors(header: Any, data: bytes = b"") -> bytes:
    """A file of safetensors; `header` is JSON, or bytes as they are."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def tensor(start: int, end: int, dtype: str = "U8", shape: list[int] | None = None) -> dict[str, Any]:
    """The entry of a tensor; without a shape one of bytes that fits."""
    return {"dtype": dtype, "shape": [end - start] if shape is None else shape, "data_offsets": [start, end]}


def keras(layer: str, **more: str) -> bytes:
    """A Keras archive with one layer."""
    config = json.dumps({"config": {"layers": [{"class_name": layer, **more}]}}).replace("Lamb", "L\\u0061mb")
    return zipped({"metadata.json": b"{}", "config.json": config.encode(), "model.weights.h5": b""})


def old_tar(name: str, data: bytes) -> bytes:
    """A tar of the oldest form, which has no magic, with one member."""
    header = (
        name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % len(data) + b"0" * 11 + b"\0"
    )
    header = header.ljust(148, b"\0") + b" " * 8 + bytes(356)
    header = header[:148] + b"%06o\0 " % sum(header) + header[156:]
    return header + data.ljust(-(-len(data) // 512) * 512, b"\0") + bytes(1024)


def hidden_behind_gguf(pickle: bytes, size: int = 24 << 20) -> bytes:
    """A pickle whose first opcodes read as the header of GGUF, with counts that a file of this size may hold.

    BINFLOAT takes what follows the `G`; then comes LONG1, with the rest of the header as its 14 bytes.
    """
    head = b"GGUF" + struct.pack("<I", 3) + b"\0\x8a\x0e" + bytes(13)
    return (head + b"0" + pickle).ljust(size, b"\0")


def _with_flag(archive: bytes, flag: int) -> bytes:
    """The archive with a flag set in the headers of its first member."""
    data = bytearray(archive)
    data[6] |= flag
    data[data.index(b"PK\x01\x02") + 8] |= flag
    return bytes(data)


def _with_wrong_checksum(archive: bytes) -> bytes:
    data = bytearray(archive)
    data[14] ^= 1
    data[data.index(b"PK\x01\x02") + 16] ^= 1
    return bytes(data)


def _with_other_local_name(archive: bytes) -> bytes:
    return archive.replace(b"archive/data.pkl", b"archive/data.txt", 1)


def _elf() -> bytes:
    return b"\x7fELF\x02\x01\x01".ljust(64, b"\0")


def _pe() -> bytes:
    return (b"MZ".ljust(60, b"\0") + struct.pack("<I", 64) + b"PE\0\0").ljust(128, b"\0")


EVIL = calling("os", "system")
_HARMLESS = b"\x80\x02}."


def bad() -> list[Sample]:
    """Files that must be refused."""
    made = {
        # What a pickle may do, and the ways to say it.
        "global.bin": b"cos\nsystem\n(Vtrue\ntR.",
        "posix.bin": calling("posix", "system"),
        "nt.bin": calling("nt", "system"),
        "stack-global.pt": stacked("os", "system"),
        "memo.pt": b"\x80\x04" + text("os") + b"\x94" + text("system") + b"\x940h\x00h\x01\x93" + _COMMAND + b"\x85R.",
        "binstring.pkl": b"\x80\x02U\x02osU\x06system\x93" + _COMMAND + b"\x85R.",
        "dup.pkl": b"\x80\x04" + text("pty") + text("spawn") + b"2\x30\x93" + _COMMAND + b"\x85R.",
        "inst.pkl": b"(Vtrue\nios\nsystem\n.",
        "obj.pkl": b"(cos\nsystem\nVtrue\no.",
        "newobj.pkl": b"\x80\x02" + named("subprocess", "Popen") + _COMMAND + b"\x85\x81.",
        "newobj-ex.pkl": b"\x80\x04" + text("subprocess") + text("Popen") + b"\x93" + _COMMAND + b"\x85}\x92.",
        "extension.pkl": b"\x80\x02\x82\x01" + _COMMAND + b"\x85R.",
        "eval.ckpt": calling("builtins", "eval"),
        "exec.ckpt": calling("__builtin__", "exec"),
        "getattr.ckpt": calling("builtins", "getattr"),
        "import.ckpt": calling("importlib", "import_module"),
        "partial.ckpt": calling("functools", "partial"),
        "runpy.pth": calling("runpy", "_run_code"),
        "hub.pth": calling("torch.hub", "load"),
        "nested.pth": calling("torch.storage", "_load_from_bytes"),
        "dotted.pth": stacked("torch._utils", "torch.serialization.os.system"),
        "runstring.pth": calling("numpy.testing._private.utils", "runstring"),
        "changed.pth": b"\x80\x02" + named("torch._utils", "_rebuild_tensor_v2") + b"}X\x04\x00\x00\x00codeK\x01sb.",
        "webbrowser.joblib": calling("webbrowser", "open"),
        "rmtree.dill": calling("shutil", "rmtree"),
        "second.pkl": _HARMLESS + EVIL,
        "broken.pkl": EVIL[:-1] + b"\xff\xff",
        "broken.bin": EVIL[:-1] + b"\xff\xff",
        "cut.pkl": state_dict()[:-40],
        "unnamed.dat": stacked("os", "system"),
        "legacy.bin": legacy(EVIL),
        # Archives.
        "archive.bin": torch_archive(EVIL),
        "deflated.pt": torch_archive(EVIL, method=zipfile.ZIP_DEFLATED),
        "checksum.pt": _with_wrong_checksum(torch_archive(state_dict())),
        "encrypted.pt": _with_flag(torch_archive(state_dict()), 1),
        "double.pt": zipped({"archive/data.pkl": state_dict(), "archive/DATA.PKL": EVIL, "archive/version": b"3\n"}),
        "leaving.pt": torch_archive(state_dict(), {"archive/../../x": b"x"}),
        "bomb.pt": torch_archive(state_dict(), method=zipfile.ZIP_DEFLATED, storage=bytes(8 << 20)),
        "renamed.pt": _with_other_local_name(torch_archive(state_dict())),
        "commented.pt": torch_archive(state_dict()) + b"more",
        "cut.pt": torch_archive(state_dict())[:-30],
        "script.pt": torch_archive(state_dict(), {"archive/code/__torch__.py": b"def forward(self): pass"}),
        "inside.pt": torch_archive(state_dict(), {"archive/extra.tar": b"x"}),
        "library.pt": torch_archive(state_dict(), {"archive/extra/lib.so": _elf()}),
        "objects.npy": array("'|O'", EVIL),
        "record.npy": array("[('a', '<f4'), ('b', '|O')]", EVIL),
        "objects.npz": zipped({"a.npy": array("'|O'", EVIL)}),
        "pickle.npy": EVIL,
        "lambda.keras": keras("Lambda"),
        "module.keras": keras("function", module="os", config="system"),
        "fetching.keras": keras("function", module="keras.src.utils.file_utils", config="get_file"),
        "fetching-class.keras": keras("get_file", module="keras.utils"),
        "unnamed.npz": zipped({"a": array("'|O'", EVIL)}),
        "pytorch_model.bin.index.json": json.dumps({"weight_map": {"a": "notes.txt"}}).encode(),
        "config.json": b'{"x": NaN, "auto_map": {"AutoModel": "other/name--x.X"}}',
        "config.4.0.0.json": b'{"auto_map": {"AutoModel": "other/name--x.X"}}',
        "tokenizer_config.json": b'{"a": "' + bytes(5 << 20) + b'"}',
        "lambda.h5": b"\x89HDF\r\n\x1a\n" + bytes(500) + b'{"class_name": "Lambda"}' + bytes(500),
        "packed.pkl.gz": b"\x1f\x8b\x08\x00" + bytes(60),
        "packed.joblib": zlib.compress(EVIL),
        "data.7z": b"7z\xbc\xaf\x27\x1c" + bytes(60),
        "data.rar": b"Rar!\x1a\x07\x00" + bytes(60),
        "data.tar": bytes(257) + b"ustar\0" + bytes(300),
        "oldest.bin": old_tar("pickle", EVIL),
        "libcustom.so": _elf(),
        "weights.bin": _elf(),
        "setup.exe": _pe(),
        "counts.gguf": gguf(1 << 40, 1 << 40),
        "other.gguf": b"GGML" + bytes(60),
        "pointer.bin": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "number.bin": hidden_behind_gguf(EVIL),
        "user-block.h5": bytes(512) + b"\x89HDF\r\n\x1a\n" + b'{"class_name": "Lambda"}',
        "escaped.h5": b"\x89HDF\r\n\x1a\n" + b'{"cl\\u0061ss_name": "L\\u0061mbda"}',
        "middle.h5": b"\x89HDF\r\n\x1a\n" + bytes(3 << 20) + b'{"class_name": "Lambda"}' + bytes(3 << 20),
        "edge.h5": b"\x89HDF\r\n\x1a\n".ljust((1 << 20) - 4, b"\0") + b'"Lambda"' + bytes(9),
        "sub/model.safetensors.index.json": json.dumps({"weight_map": {"a": "../../x.safetensors"}}).encode(),
        "root.safetensors.index.json": json.dumps({"weight_map": {"a": "/tmp/x.safetensors"}}).encode(),
        "x.safetensors.index.fp16.json": json.dumps({"weight_map": {"a": "notes.txt"}}).encode(),
        "y.bin.index.json": json.dumps({"weight_map": {"a": "weights.dat"}}).encode(),
        "z.bin.index.json": json.dumps({"weight_map": {"a": "weights.msgpack"}}).encode(),
        "nested.zip": zipped({"policy.pth": torch_archive(EVIL)}),
        "package.whl": zipped({"package/__init__.py": b"import os"}),
    }
    return [Sample(path, path, data) for path, data in made.items()]


def good() -> list[Sample]:
    """Files that must pass."""
    made = {
        "pytorch_model.bin": torch_archive(state_dict(3)),
        "deflated.pt": torch_archive(state_dict(), method=zipfile.ZIP_DEFLATED),
        "legacy.pth": legacy(state_dict(view=b"N")),
        "plain.pkl": b"\x80\x04\x95\x07\x00\x00\x00\x00\x00\x00\x00}\x94K\x01K\x02s.",
        "array.pkl": b"\x80\x02"
        + named("numpy.core.multiarray", "_reconstruct")
        + named("numpy", "ndarray")
        + b"K\x00\x85C\x01b\x87R(K\x01K\x02\x85"
        + named("numpy", "dtype")
        + b"X\x02\x00\x00\x00f4K\x00K\x01\x87R\x89C\x08"
        + bytes(8)
        + b"tb.",
        "ordered.ckpt": b"\x80\x02" + named("collections", "OrderedDict") + b")R.",
        "numbers.bin": struct.pack("<64f", *range(64)),
        "empty.pt": b"",
        "array.npy": array("'<f4'"),
        "record.npy": array("[('a', '<f4'), ('b', '<i4')]"),
        "arrays.npz": zipped({"a.npy": array("'<f4'"), "b.npy": array("'<i8'")}),
        "dense.keras": keras("Dense", module="keras.layers", registered_name=""),
        "relu.keras": keras("function", module="keras.src.activations.activations", config="relu"),
        "own.keras": keras("function", module="builtins", config="softmax"),
        "functional.keras": keras("Functional", module="keras.src.models.functional"),
        "model.safetensors.index.json": json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}).encode(),
        "model.gguf": gguf(2, 3),
        "model.safetensors": safetensors(
            {"a": tensor(0, 4), "b": tensor(4, 4), "__metadata__": {"format": "pt"}}, b"1234"
        ),
        "model.bin.index.json": json.dumps({"weight_map": {"a": "sub/../a.bin", "b": "b.safetensors"}}).encode(),
        "tf_model.h5.index.json": json.dumps({"weight_map": {"a": "tf_model-00001-of-00002.h5"}}).encode(),
        "flax_model.msgpack.index.json": json.dumps({"weight_map": {"a": "x.msgpack"}}).encode(),
        "ggml-model.bin": gguf(2, 3),
        "policies.zip": zipped({"policy.pth": state_dict(), "data": b"{}"}),
        "model.onnx": b"\x08\x07" + bytes(60),
        "tokenizer.model": b"\x0a\x0e" + bytes(60),
        "weights.h5": b"\x89HDF\r\n\x1a\n" + bytes(500),
    }
    return [Sample(path, path, data) for path, data in made.items()]


def is_of_torch(sample: Sample) -> bool:
    """Whether a sample is a file that `torch.save` could have written."""
    return (sample.data[:2] == b"PK" and sample.path.endswith((".bin", ".pt"))) or sample.data.startswith(_MAGIC)


def refused_everywhere() -> list[Sample]:
    """Harmless files that are refused all the same, here as by `torch.load(weights_only=True)`: they name classes of programs."""
    arguments = b"\x80\x02" + named("transformers.training_args", "TrainingArguments") + b")\x81}b."
    lightning = torch_archive(
        b"\x80\x02}X\x02\x00\x00\x00hp" + named("lightning.fabric.utilities.data", "AttributeDict") + b")\x81s."
    )
    sklearn = b"\x80\x04" + text("sklearn.linear_model._logistic") + text("LogisticRegression") + b"\x93)\x81}b."
    return [
        Sample("training_args", "training_args.bin", torch_archive(arguments)),
        Sample("lightning", "last.ckpt", lightning),
        Sample("sklearn", "model.joblib", sklearn),
    ]


def headers() -> list[Sample]:
    """Files of safetensors that the reference refuses, but for the last, which it accepts."""
    one = {"a": tensor(0, 4)}
    made: dict[str, bytes] = {
        "empty": b"",
        "short": b"\x10\x00\x00",
        "no-header": struct.pack("<Q", 0),
        "longer": struct.pack("<Q", 1 << 20) + b"{}",
        "huge": struct.pack("<Q", (1 << 64) - 1) + b"{}",
        "no-json": safetensors(b"{not json}"),
        "list": safetensors(b"[]"),
        "nested": safetensors(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "not-a-number": safetensors(b'{"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,0]}}'),
        "float": safetensors(b'{"a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}}', b"1234"),
        "negative": safetensors(b'{"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,-4]}}'),
        "type": safetensors({"a": tensor(0, 4, "U9")}, b"1234"),
        "no-shape": safetensors({"a": {"dtype": "U8", "data_offsets": [0, 4]}}, b"1234"),
        "size": safetensors({"a": tensor(0, 4, "F32", [2])}, b"1234"),
        "overflow": safetensors({"a": tensor(0, 0, "F32", [1 << 62, 1 << 62, 0])}),
        "bits": safetensors({"a": tensor(0, 1, "F4", [3])}, b"1"),
        "overlap": safetensors({"a": tensor(0, 4), "b": tensor(2, 6)}, b"123456"),
        "hole": safetensors({"a": tensor(0, 4), "b": tensor(6, 8)}, b"12345678"),
        "after": safetensors(one, b"12345678"),
        "before": safetensors(one, b"12"),
        "metadata": safetensors({**one, "__metadata__": {"epoch": 1}}, b"1234"),
        "field-twice": safetensors(b'{"a":{"dtype":"U8","dtype":"I8","shape":[4],"data_offsets":[0,4]}}', b"1234"),
        "name-twice": safetensors(
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}',
            b"1234",
        ),
    }
    return [Sample(name, "model.safetensors", data) for name, data in made.items()]
