"""The keys of a spec, read off the dataclasses that hold its values.

A key of the spec is one field of a dataclass of `model` (and one entry of `schemas/spec.schema.json`). Everything else
follows from that field: whether the key is required, how its value is read, and what AWS says about it.
"""

import types
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, NamedTuple, TypeVar, get_args

_Section = TypeVar("_Section")

# `metadata` of a field that is no key of the spec.
NOT_A_KEY: dict[str, Any] = {"key": None}


class KeyFacts(NamedTuple):
    """What a key has beyond a name, a type and a default; `metadata` of its field, made by `facts`.

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


def facts(**values: Any) -> dict[str, KeyFacts]:
    """`metadata` of a field that has `KeyFacts`."""
    return {"key": KeyFacts(**values)}


class Key(NamedTuple):
    """A key of the spec.

    Attributes:
        path: from the top of the spec, such as ("endpoint", "async", "s3_output_path").
        field: name of the field that holds its value.
        value_type: type of the value, such as `str` or `dict[str, str]`. None, for an absent value, is left out.
        section: the dataclass of a key that holds further keys; None for all others.
        is_optional: whether the field may hold None.
        is_required: whether the key must be given wherever its section is.
        is_in_optional_section: whether a section around it may be absent.
        facts: more about it.
    """

    path: tuple[str, ...]
    field: str
    value_type: Any
    section: type[Any] | None
    is_optional: bool
    is_required: bool
    is_in_optional_section: bool
    facts: KeyFacts


def keys_of(section: type[Any]) -> Iterator[Key]:
    """The keys of a dataclass that hold a value, those of the dataclasses in it included, in the order of the fields."""
    for key in _fields(section):
        if key.section is None:
            yield key
            continue
        for inner in keys_of(key.section):
            is_in_optional = key.is_optional or inner.is_in_optional_section
            yield inner._replace(path=key.path + inner.path, is_in_optional_section=is_in_optional)


def build(section: type[_Section], data: dict[str, Any], **more: Any) -> _Section:
    """The dataclass whose keys have the values of `data`.

    Lists become tuples. A section that is absent is built from its defaults, or is None where it is optional.

    Args:
        section: a dataclass.
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
            # A value of any type, such as a request, stays the JSON data that it is.
            value = tuple(data[name]) if isinstance(data[name], list) and key.value_type is not Any else data[name]
            values[key.field] = key.facts.normalize(value) if key.facts.normalize else value
    return section(**values)


def _fields(section: type[Any]) -> tuple[Key, ...]:
    """The keys of `section` alone. Its module must evaluate annotations, not postpone them."""
    found = []
    for one in fields(section):
        about: KeyFacts | None = one.metadata.get("key", KeyFacts())
        if about is None:
            continue
        options = get_args(one.type) if isinstance(one.type, types.UnionType) else (one.type,)
        (value_type,) = (option for option in options if option is not types.NoneType)
        found.append(
            Key(
                path=(about.name or one.name,),
                field=one.name,
                value_type=value_type,
                section=value_type if isinstance(value_type, type) and is_dataclass(value_type) else None,
                is_optional=len(options) > 1,
                is_required=one.default is MISSING and one.default_factory is MISSING and not about.default,
                is_in_optional_section=False,
                facts=about,
            )
        )
    return tuple(found)
