"""The names that are found are at least those that a real unpickler asks for, whatever the opcodes.

The unpickler here is one whose `find_class` writes the name down and gives a stand-in: nothing that a pickle names is imported.
"""

from __future__ import annotations

import io
import pickle
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import Self

from sagepack.scan.callables import HARMLESS
from sagepack.scan.finding import RefusedError
from sagepack.scan.judge import scan
from sagepack.scan.pickles import UNKNOWN, Scan
from sagepack.scan.ranges import Ranges
from tests.helpers import model_samples as samples


class StandIn:
    """Takes everything, and does nothing."""

    def __new__(cls, *_arguments: Any, **_named: Any) -> Self:
        return object.__new__(cls)

    def __setstate__(self, _state: Any) -> None:
        pass

    def append(self, _item: Any) -> None:
        pass

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass


class Recorder(pickle.Unpickler):
    """Writes down what a pickle names."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.names: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.names.add(f"{module}.{name}")
        return StandIn

    def persistent_load(self, _id: Any) -> Any:
        return StandIn()


def asked(data: bytes) -> set[str]:
    recorder = Recorder(data)
    with suppress(Exception):
        recorder.load()
    return recorder.names


def found(data: bytes) -> set[str]:
    scan = Scan()
    with suppress(RefusedError):
        scan.read(Ranges(lambda offset, length: data[offset : offset + length], len(data)))
    return set(scan.names)


TEXTS = [
    "os",
    "system",
    "eval",
    "builtins",
    "collections",
    "OrderedDict",
    "torch._utils",
    "_rebuild_tensor_v2",
    "a.b",
    "",
]
TEXT = st.sampled_from(TEXTS).map(str.encode)
INDEX = st.integers(0, 3)
OPCODE = st.one_of(
    st.sampled_from([bytes([code]) for code in b"N()]}012tlduoRbaes\x81\x85\x86\x87\x88\x93\x94\x92\x8f\x90\x91Q"]),
    TEXT.map(lambda text: b"\x8c" + bytes([len(text)]) + text),
    TEXT.map(lambda text: b"U" + bytes([len(text)]) + text),
    TEXT.map(lambda text: b"V" + text + b"\n"),
    TEXT.map(lambda text: b"S'" + text + b"'\n"),
    INDEX.map(lambda number: b"q" + bytes([number])),
    INDEX.map(lambda number: b"h" + bytes([number])),
    INDEX.map(lambda number: b"p%d\n" % number),
    INDEX.map(lambda number: b"g%d\n" % number),
    INDEX.map(lambda number: b"r" + bytes([number, 0, 0, 0])),
    INDEX.map(lambda number: b"j" + bytes([number, 0, 0, 0])),
    st.tuples(TEXT, TEXT).map(lambda pair: b"c%b\n%b\n" % pair),
    st.tuples(TEXT, TEXT).map(lambda pair: b"i%b\n%b\n" % pair),
    st.sampled_from([b"K\x01", b"I01\n", b"L5L\n", b"F1.5\n", b"\x8a\x01\x05", b"J\x01\x00\x00\x00", b"G" + bytes(8)]),
    st.sampled_from([b"\x80\x04", b"\x95" + bytes(8), b"C\x01a", b"\x96" + b"\x01" + bytes(7) + b"a", b"P1\n"]),
)


@given(st.lists(OPCODE, max_size=40))
@settings(max_examples=400)
def test_no_name_that_a_real_unpickler_asks_for_is_missed(opcodes: list[bytes]) -> None:
    data = b"".join(opcodes) + b"."
    names = found(data)
    assert UNKNOWN in names or asked(data) - HARMLESS <= names


@given(st.recursive(st.none() | st.integers() | st.text() | st.binary() | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)), st.integers(0, 5))  # fmt: skip
@settings(max_examples=30)
def test_plain_data_of_any_protocol_passes(value: Any, protocol: int) -> None:
    assert found(pickle.dumps(value, protocol)) <= {"_codecs.encode"} - HARMLESS


def test_a_value_of_a_thousand_names_is_found_in_any_protocol() -> None:
    class Here:
        def __reduce__(self) -> Any:
            return (print, ("x",))

    for protocol in range(6):
        assert found(pickle.dumps([Here()] * 3, protocol)) in ({"builtins.print"}, {"__builtin__.print"})


def test_arrays_that_joblib_puts_into_a_pickle_are_told_as_such() -> None:
    data = (
        b"\x80\x04" + samples.text("joblib.numpy_pickle") + samples.text("NumpyArrayWrapper") + b"\x93)\x81}b\xff\xff."
    )
    [names, rest] = scan("model.joblib", len(data), lambda offset, length: data[offset : offset + length])
    assert names.names == ("joblib.numpy_pickle.NumpyArrayWrapper",)
    assert "trust.allow" not in names.fix  # it would not be enough
    assert "as joblib.dump writes them and pickle.dump does not" in rest.message
