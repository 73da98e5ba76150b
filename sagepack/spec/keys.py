"""The keys of a spec, read off the classes that hold its values.

A key of the spec is one field of a class of `model` (and one entry of `schemas/spec.schema.json`). Everything else
follows from that field: whether the key is required, how its value is read, and what AWS says about it.
"""

import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

from msgspec import Struct, structs

_Section = TypeVar("_Section")

# Annotates a field that is no key of the spec.
NOT_A_KEY = "not a key"


class Facts(NamedTuple):
    """What a key has beyond a name, a type and a default; annotates its field.

    Attributes:
        name: the key, where it is not the name of the field.
        member: where AWS's description of its services says what the value may be: the service, a structure, and the
            members from there on. See `aws.service_model.shape`.
        entries: the same for the names and for the values of a map.
        default: a default that depends on other keys; see `document.derived_defaults`.
        normalize: applied to the value that was written.
    """

    name: str = ""
    member: tuple[str, ...] = ()
    entries: tuple[tuple[str, ...], ...] = ()
    default: str = ""
    normalize: Callable[[Any], Any] | None = None


class Key(NamedTuple):
    """A key of the spec.

    Attributes:
        path: from the top of the spec, such as ("endpoint", "async", "s3_output_path").
        field: name of the field that holds its value.
        value_type: type of the value, such as `str` or `dict[str, str]`. None, for an absent value, is left out.
        section: the class of a key that holds further keys; None for all others.
        entry: the class of each entry of a key that holds a list of sections; None for all others.
        is_optional: whether the field may hold None.
        is_required: whether the key must be given wherever its section is.
        is_in_optional_section: whether a section around it may be absent.
        facts: more about it.
    """

    path: tuple[str, ...]
    field: str
    value_type: Any
    section: type[Any] | None
    entry: type[Any] | None
    is_optional: bool
    is_required: bool
    is_in_optional_section: bool
    facts: Facts


def keys_of(section: type[Any]) -> Iterator[Key]:
    """The keys of a class that hold a value, those of the classes in it included, in the order of the fields."""
    for key in _fields(section):
        if key.section is None:
            yield key
            continue
        for inner in keys_of(key.section):
            is_in_optional = key.is_optional or inner.is_in_optional_section
            yield inner._replace(path=key.path + inner.path, is_in_optional_section=is_in_optional)


def keys_of_entry(key: Key) -> tuple[Key, ...]:
    """The keys of each entry of a list of sections; none for other keys."""
    return _fields(key.entry) if key.entry else ()


def build(section: type[_Section], data: dict[str, Any], **more: Any) -> _Section:
    """The value of the class whose keys have the values of `data`.

    Lists become tuples. A section that is absent is built from its defaults, or is None where it is optional.

    Args:
        section: a class of `model`.
        data: the values by key.
        more: the values of fields that are no keys.

    Raises:
        TypeError: a key is unknown or missing.
        AttributeError: a section is no map.
    """
    keys = {key.path[0]: key for key in _fields(section)}
    if unknown := data.keys() - keys.keys():
        raise TypeError(f"unknown key {min(unknown)}")
    values = more
    for name, key in keys.items():
        if key.section is not None:
            if name in data or not key.is_optional:
                values[key.field] = build(key.section, data.get(name, {}))
        elif name in data:
            value = _value(key, data[name])
            values[key.field] = key.facts.normalize(value) if key.facts.normalize else value
    return section(**values)


def _value(key: Key, data: Any) -> Any:
    """The value of a key that is no section: a list as a tuple; one of any type, such as a request, as the JSON data that it is."""
    if not isinstance(data, list) or key.value_type is Any:
        return data
    return tuple(build(key.entry, each) for each in data) if key.entry else tuple(data)


def request_members(section: Struct, *structure: str) -> dict[str, Any]:
    """The part of an AWS request that a section of the spec stands for.

    Args:
        section: a value of `model`.
        structure: the service, and a structure of its description, as `Facts.member` begins with them.

    Returns:
        The members of the structure that the section's keys are about, without those that are None.
    """
    request: dict[str, Any] = {}
    for key in _fields(type(section)):
        value = getattr(section, key.field)
        if key.facts.member[: len(structure)] != structure or value in (None, ()):
            continue
        *outer, name = key.facts.member[len(structure) :]
        place = request
        for member in outer:
            place = place.setdefault(member, {})
        place[name] = _entries(value) if isinstance(value, tuple) else value
    return request


def by_key(section: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    """The values of a section as a spec has them, from the same ones by the names of its fields.

    Args:
        section: a class of `model`.
        values: as `msgspec.to_builtins` gives them; what is no field of the class stays as it is.
    """
    named = dict(values)
    for key in _fields(section):
        if key.field in named:
            value = named.pop(key.field)
            named[key.path[0]] = by_key(key.section, value) if key.section and isinstance(value, dict) else value
    return named


def _entries(values: tuple[Any, ...]) -> list[Any]:
    """A list of a request; an entry that is a section has the members that its keys are about."""
    return [request_members(each, *_structure(each)) if isinstance(each, Struct) else each for each in values]


def _structure(section: Struct) -> tuple[str, ...]:
    """The service and the structure that the keys of a section are about."""
    return _fields(type(section))[0].facts.member[:2]


_KEYS: dict[type[Any], tuple[Key, ...]] = {}  # reading annotations takes time


def _fields(section: type[Any]) -> tuple[Key, ...]:
    """The keys of the class `section` alone."""
    if section not in _KEYS:
        _KEYS[section] = tuple(_read_fields(section))
    return _KEYS[section]


def _read_fields(section: type[Any]) -> Iterator[Key]:
    for one in structs.fields(section):
        annotated = get_args(one.type) if get_origin(one.type) is Annotated else (one.type, Facts())
        kind, about = annotated
        if about is NOT_A_KEY:
            continue
        options = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        (value_type,) = (option for option in options if option is not types.NoneType)
        yield Key(
            path=(about.name or one.name,),
            field=one.name,
            value_type=value_type,
            section=_struct(value_type),
            entry=_struct(get_args(value_type)[0]) if get_origin(value_type) is tuple else None,
            is_optional=len(options) > 1,
            is_required=one.required and not about.default,
            is_in_optional_section=False,
            facts=about,
        )


def _struct(kind: Any) -> type[Any] | None:
    """The type, if it is a class of `model`."""
    return kind if isinstance(kind, type) and issubclass(kind, Struct) else None
