"""Pickles: the callables that one names, found by its opcodes. Nothing is loaded.

A pickle is a program for a machine with a stack. What it can do follows from the callables that it takes from modules, by
GLOBAL, INST and STACK_GLOBAL, and from the registry of copyreg, by EXT. So its opcodes are followed with a stack on which
only texts and names are known and everything else is one opaque value: a name that cannot be told is refused as well. The
opcodes are those of `pickletools`, whose own reader takes as much memory as a pickle asks for.
"""

from __future__ import annotations

import pickletools
import re
from typing import TYPE_CHECKING, Final, TypeAlias

from sagepack.scan.callables import HARMLESS, JOBLIB
from sagepack.scan.finding import Finding, Kind, RefusedError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.scan.ranges import Ranges

UNKNOWN: Final = "a callable whose name is not in the file"
# What torch before 1.6 wrote begins with the pickle of a magic number; five pickles, and then the tensors.
_LEGACY = re.compile(rb"\x80[\x02-\x05](?:\x95.{8})?\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)
_LEGACY_PICKLES = 5
_ARRAYS_OF_JOBLIB = "holds arrays in the middle of a pickle, as joblib.dump writes them and pickle.dump does not"
_OPCODES = 4_000_000  # of one file, about as many seconds as millions
_KEPT = 500_000  # entries of stack and memo
_LONGEST_NAME = 1_000  # bytes; longer texts are opaque
_LONGEST_LINE = 1 << 16
_NAMES = 1_000
_PROTOCOL = 5
_BLOCK = 1 << 16


class _Name(str):
    """A callable that lies on the stack."""

    __slots__ = ()


class _Opaque:
    """Everything that is neither a text nor a name."""


class _Mark:
    """MARK."""


_Value: TypeAlias = "str | _Opaque | _Mark"
OPAQUE, MARK = _Opaque(), _Mark()
# How many bytes the argument of an opcode takes; negative: the number of bytes that says how long it is; None: a line.
_ARGUMENTS: dict[str, int | None] = {
    **dict.fromkeys(("BININT", "LONG_BINPUT", "LONG_BINGET", "EXT4"), 4),
    **dict.fromkeys(("BININT1", "BINPUT", "BINGET", "EXT1", "PROTO"), 1),
    **dict.fromkeys(("BININT2", "EXT2"), 2),
    **dict.fromkeys(("BINFLOAT", "FRAME"), 8),
    **dict.fromkeys(("LONG1", "SHORT_BINSTRING", "SHORT_BINBYTES", "SHORT_BINUNICODE"), -1),
    **dict.fromkeys(("LONG4", "BINSTRING", "BINBYTES", "BINUNICODE"), -4),
    **dict.fromkeys(("BINBYTES8", "BYTEARRAY8", "BINUNICODE8"), -8),
    **dict.fromkeys(("INT", "LONG", "FLOAT", "STRING", "UNICODE", "PERSID", "GET", "PUT"), None),
    **dict.fromkeys(("GLOBAL", "INST"), None),
}
_SIGNED = {"LONG4", "BINSTRING"}
_TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING", "STRING", "UNICODE")
_BY_CODE = {opcode.code.encode("latin-1")[0]: opcode.name for opcode in pickletools.opcodes}


class _Cursor:
    """Reads a file from its beginning on; long arguments are left out, and not read."""

    def __init__(self, file: Ranges) -> None:
        self._file = file
        self._begin, self._block, self._at = 0, b"", 0

    @property
    def position(self) -> int:
        """Of the next byte."""
        return self._begin + self._at

    @property
    def at_end(self) -> bool:
        """Whether there is no further byte."""
        return self.position >= self._file.size

    def byte(self) -> int:
        """The next byte."""
        if self._at >= len(self._block):
            self._fill(1)
        value = self._block[self._at]
        self._at += 1
        return value

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if self._at + count > len(self._block):
            self._fill(count)
        data = self._block[self._at : self._at + count]
        self._at += count
        return data

    def skip(self, count: int) -> None:
        """Leave bytes out."""
        self._at += count
        if self.position > self._file.size:
            raise _unreadable("ends in the middle of a value", self._file.size)

    def line(self) -> bytes:
        """The bytes up to the next line break, which is left out."""
        end = self._block.find(b"\n", self._at)
        if end < 0:
            self._fill(min(_LONGEST_LINE, self._file.size - self.position))
            end = self._block.find(b"\n", self._at)
        if end < 0:
            raise _unreadable("has a line without an end", self.position)
        data, self._at = self._block[self._at : end], end + 1
        return data

    def _fill(self, count: int) -> None:
        """Have at least `count` further bytes in the block."""
        self._begin, self._at = self.position, 0
        left = self._file.size - self._begin
        if count > left:
            raise _unreadable("ends in the middle of a pickle", self._file.size)
        self._block = self._file.get(self._begin, min(left, max(count, _BLOCK)))


class Scan:
    """What the pickles of a file would call.

    Attributes:
        names: the callables that are not known to be harmless, each once, in the order of the file.
        acts: whether a pickle so far named a callable at all: one that does not can do nothing.
    """

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.acts = False

    def read(self, file: Ranges) -> None:
        """Follow all pickles of a file, to its end; of torch's own format before 1.6 those before the tensors.

        Raises:
            RefusedError: the file cannot be followed to its end. What was found before is in `names`.
        """
        cursor, count, left = _Cursor(file), 0, _OPCODES
        is_legacy = _LEGACY.match(file.head(32)) is not None
        while not (cursor.at_end or (is_legacy and count == _LEGACY_PICKLES)):
            left = _Machine(self, cursor).run(left)
            count += 1

    def take(self, module: object, attribute: object) -> _Name:
        """A pickle takes a callable from a module."""
        self.acts = True
        name, is_harmless = UNKNOWN, False
        if type(module) is str and type(attribute) is str:
            name = f"{module}.{attribute}"
            # A name with dots leads through a module to what that imports.
            is_harmless = name in HARMLESS and "." not in attribute
        if not is_harmless:
            self.add(name)
        return _Name(name)

    def add(self, name: str) -> None:
        """A callable that is not harmless."""
        self.names.setdefault(shown(name))
        if len(self.names) > _NAMES:
            raise RefusedError(Kind.UNREADABLE, f"names more than {_NAMES:,} callables")


class _Machine:
    """What loads one pickle, as far as it is known here: a stack and a memo of texts, names and opaque values."""

    def __init__(self, scan: Scan, cursor: _Cursor) -> None:
        self._scan, self._cursor = scan, cursor
        self._stack: list[_Value] = []
        self._memo: dict[int, _Value] = {}

    def run(self, left: int) -> int:
        """Follow the pickle to its end, by at most `left` opcodes; returns how many are left then."""
        while True:
            position, opcode = self._cursor.position, _BY_CODE.get(self._cursor.byte())
            left -= 1
            if left < 0 or len(self._stack) > _KEPT or len(self._memo) > _KEPT:
                raise RefusedError(Kind.UNREADABLE, "is a pickle that is too large to judge", f"byte {position:,}")
            if opcode is None:
                raise _unreadable("is not a pickle", position)
            if opcode == "STOP":
                return left
            argument = _argument(opcode, self._cursor)
            _EFFECTS.get(opcode, _Machine.opaque)(self, argument)

    def opaque(self, _argument: bytes | None) -> None:
        """A value of which nothing is known."""
        self._stack.append(OPAQUE)

    def nothing(self, _argument: bytes | None) -> None:
        """FRAME and READONLY_BUFFER."""

    def protocol(self, argument: bytes | None) -> None:
        """PROTO."""
        if argument is None or argument[0] > _PROTOCOL:
            raise _unreadable("is a pickle of a protocol that is not known", self._cursor.position)

    def mark(self, _argument: bytes | None) -> None:
        """MARK."""
        self._stack.append(MARK)

    def text(self, argument: bytes | None) -> None:
        """A text without escapes."""
        self._stack.append(OPAQUE if argument is None else _text(argument))

    def quoted(self, argument: bytes | None) -> None:
        """STRING: a text in quotes."""
        self.text((argument or b"").strip()[1:-1])

    def named(self, argument: bytes | None) -> None:
        """GLOBAL."""
        self._stack.append(self._scan.take(_text(argument or b""), _text(self._cursor.line())))

    def instance(self, argument: bytes | None) -> None:
        """INST: a callable, called with what lies above the mark."""
        self._scan.take(_text(argument or b""), _text(self._cursor.line()))
        self.collected(None)

    def named_by_stack(self, _argument: bytes | None) -> None:
        """STACK_GLOBAL."""
        attribute, module = self.pop(), self.pop()
        self._stack.append(self._scan.take(module, attribute))

    def registered(self, _argument: bytes | None) -> None:
        """EXT: a callable by its number in the registry of copyreg."""
        self._stack.append(self._scan.take(OPAQUE, OPAQUE))

    def memoize(self, _argument: bytes | None) -> None:
        """MEMOIZE."""
        self._memo[len(self._memo)] = self.top

    def put(self, argument: bytes | None) -> None:
        """BINPUT and LONG_BINPUT."""
        self._memo[int.from_bytes(argument or b"", "little")] = self.top

    def put_decimal(self, argument: bytes | None) -> None:
        """PUT."""
        self._memo[_number(argument, self._cursor)] = self.top

    def get(self, argument: bytes | None) -> None:
        """BINGET and LONG_BINGET."""
        self._stack.append(self._memo.get(int.from_bytes(argument or b"", "little"), OPAQUE))

    def get_decimal(self, argument: bytes | None) -> None:
        """GET."""
        self._stack.append(self._memo.get(_number(argument, self._cursor), OPAQUE))

    def duplicate(self, _argument: bytes | None) -> None:
        """DUP."""
        self._stack.append(self.top)

    def drop(self, _argument: bytes | None) -> None:
        """POP."""
        self.pop()

    def drop_to_mark(self, _argument: bytes | None = None) -> None:
        """POP_MARK: what lies above the mark is gone."""
        while self._stack and self._stack.pop() is not MARK:
            pass

    def collected(self, _argument: bytes | None) -> None:
        """What lies above the mark becomes one value."""
        self.drop_to_mark()
        self._stack.append(OPAQUE)

    def extended(self, _argument: bytes | None) -> None:
        """What lies above the mark goes into the value below it."""
        self.drop_to_mark()
        self.changed()

    def changed(self) -> None:
        """The topmost value is changed: a callable must not be, since it works in another way afterwards."""
        if isinstance(self.top, _Name):
            self._scan.add(f"{self.top} (changed)")

    @property
    def top(self) -> _Value:
        """The topmost value."""
        return self._stack[-1] if self._stack else OPAQUE

    def pop(self) -> _Value:
        """The topmost value, which is taken."""
        return self._stack.pop() if self._stack else OPAQUE


_Effect: TypeAlias = "Callable[[_Machine, bytes | None], None]"


def _merged(count: int) -> _Effect:
    """The topmost values become one."""

    def effect(machine: _Machine, argument: bytes | None) -> None:
        for _ in range(count):
            machine.pop()
        machine.opaque(argument)

    return effect


def _inserted(count: int) -> _Effect:
    """The topmost values go into the one below them."""

    def effect(machine: _Machine, _argument: bytes | None) -> None:
        for _ in range(count):
            machine.pop()
        machine.changed()

    return effect


# What each opcode does that does more than to add an opaque value.
_EFFECTS: dict[str, _Effect] = {
    **dict.fromkeys(("FRAME", "READONLY_BUFFER"), _Machine.nothing),
    "PROTO": _Machine.protocol,
    "MARK": _Machine.mark,
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING"), _Machine.text),
    **dict.fromkeys(("SHORT_BINSTRING", "UNICODE"), _Machine.text),
    "STRING": _Machine.quoted,
    "GLOBAL": _Machine.named,
    "INST": _Machine.instance,
    "STACK_GLOBAL": _Machine.named_by_stack,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), _Machine.registered),
    "MEMOIZE": _Machine.memoize,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.put),
    "PUT": _Machine.put_decimal,
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.get),
    "GET": _Machine.get_decimal,
    "DUP": _Machine.duplicate,
    "POP": _Machine.drop,
    "POP_MARK": _Machine.drop_to_mark,
    **dict.fromkeys(("TUPLE", "LIST", "DICT", "FROZENSET", "OBJ"), _Machine.collected),
    **dict.fromkeys(("APPENDS", "SETITEMS", "ADDITEMS"), _Machine.extended),
    **dict.fromkeys(("TUPLE1", "BINPERSID"), _merged(1)),
    **dict.fromkeys(("TUPLE2", "REDUCE", "NEWOBJ"), _merged(2)),
    **dict.fromkeys(("TUPLE3", "NEWOBJ_EX"), _merged(3)),
    **dict.fromkeys(("APPEND", "BUILD"), _inserted(1)),
    "SETITEM": _inserted(2),
}


def findings(path: str, file: Ranges, *, is_raw: bool = False, at: str = "") -> Iterator[Finding]:
    """What is wrong with the pickles of a file.

    Args:
        path: of the file, for the finding.
        file: its bytes.
        is_raw: whether the file may as well be no pickle, such as plain numbers.
        at: where the pickles are, for a member of an archive.
    """
    scan, refused = Scan(), None
    try:
        scan.read(file)
    except RefusedError as error:
        refused = error
    if scan.names:
        yield Finding(path, Kind.CALLS, "", at, tuple(scan.names))
    # Loading ends where it cannot go on: what names no callable up to there has done nothing.
    if refused and (scan.acts or not is_raw):
        place = " ".join(filter(None, (f"{at}," if at and refused.at else at, refused.at)))
        what = _ARRAYS_OF_JOBLIB if JOBLIB in scan.names else refused.what
        yield Finding(path, refused.kind, f"{what}, so nobody can say what loading it does", place)


def _argument(opcode: str, cursor: _Cursor) -> bytes | None:
    """The bytes of an argument; None if there is none, or if it is long, and left out."""
    if opcode not in _ARGUMENTS:
        return None
    width = _ARGUMENTS[opcode]
    if width is None:
        return cursor.line()
    if width > 0:
        return cursor.take(width)
    length = int.from_bytes(cursor.take(-width), "little", signed=opcode in _SIGNED)
    if length < 0:
        raise _unreadable("has a value of a negative length", cursor.position)
    if length > _LONGEST_NAME:
        cursor.skip(length)
        return None
    return cursor.take(length)


def _text(argument: bytes) -> str | _Opaque:
    """The text that an argument is; opaque if it has escapes, is long or is not UTF-8: then no callable has this name."""
    if b"\\" in argument or len(argument) > _LONGEST_NAME:
        return OPAQUE
    try:
        return argument.decode()
    except UnicodeDecodeError:
        return OPAQUE


def _number(argument: bytes | None, cursor: _Cursor) -> int:
    """A place in the memo, in decimal."""
    data = (argument or b"").strip()
    if not data.isdigit() or len(data) > 20:
        raise _unreadable("has an entry of the memo that is no number", cursor.position)
    return int(data)


def _unreadable(what: str, position: int) -> RefusedError:
    return RefusedError(Kind.UNREADABLE, what, f"byte {position:,}")
