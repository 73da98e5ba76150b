"""The merge law: maps merge deeply, everything else replaces, null removes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sagepack.spec.merge import merge
from sagepack.spec.yaml_nodes import Node, Place


def node(value: Any, source: int = 0) -> Node:
    place = Place(source, 1, 1, str(source))
    if isinstance(value, dict):
        return Node({key: node(item, source) for key, item in value.items()}, place, place)
    if isinstance(value, list):
        return Node([node(item, source) for item in value], place, place)
    return Node(value, place, place, str(value))


def merged(*layers: Any) -> Any:
    result = node(layers[0])
    for layer in layers[1:]:
        result = merge(result, node(layer))
    return result.plain()


def rfc7386(target: Any, patch: Any) -> Any:
    """JSON Merge Patch, word for word from section 2 of the RFC."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = rfc7386(result.get(name), value)
    return result


_leaf = (
    st.none() | st.booleans() | st.integers(0, 3) | st.text("xyz", max_size=2) | st.lists(st.integers(0, 3), max_size=2)
)
_maps = st.recursive(
    st.dictionaries(st.sampled_from("abc"), _leaf, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), _leaf | inner, max_size=3),
    max_leaves=8,
)
# The shape of a spec: what is a map is a map in every layer, and so with values.
_typed = st.fixed_dictionaries({}, optional={"v": st.integers(0, 3), "w": st.lists(st.integers(0, 3), max_size=2)})
_shaped = st.fixed_dictionaries({}, optional={"v": st.integers(0, 3), "m": _typed, "n": _typed})


@given(_maps, _maps)
def test_merging_is_json_merge_patch(base: Any, over: Any) -> None:
    assert merged(base, over) == rfc7386(rfc7386({}, base), over)


@given(_maps)
def test_the_empty_layer_changes_nothing(layer: Any) -> None:
    assert merged(layer, {}) == merged({}, layer) == node(layer).plain()


@given(_maps)
def test_a_layer_twice_is_the_layer_once(layer: Any) -> None:
    assert merged(layer, layer) == merged(layer)


@given(_shaped, _shaped, _shaped)
def test_layers_of_one_shape_merge_in_any_grouping(one: Any, two: Any, three: Any) -> None:
    left = merge(merge(node(one), node(two)), node(three))
    right = merge(node(one), merge(node(two), node(three)))
    assert left.plain() == right.plain()


@given(_maps, st.sampled_from("abc"), st.integers(0, 9))
def test_the_last_layer_wins(base: Any, key: str, value: int) -> None:
    assert merged(base, {key: value})[key] == value


@given(_maps, st.sampled_from("abc"))
def test_null_removes(base: Any, key: str) -> None:
    assert key not in merged(base, {key: None})


def test_a_removed_key_can_be_set_again() -> None:
    assert merged({"a": {"x": 1}}, {"a": None}, {"a": {"y": 2}}) == {"a": {"y": 2}}


@given(_maps, _maps)
def test_every_value_keeps_the_place_it_was_written_at(base: Any, over: Any) -> None:
    def check_places(result: Node, one: Any, two: Any) -> None:
        if isinstance(one, dict) and isinstance(two, dict):
            assert isinstance(result.value, dict)
            for key, child in result.value.items():
                check_places(child, one.get(key, ...), two.get(key, ...))
        else:
            assert result.place.source == (0 if two is ... else 1)

    check_places(merge(node(base, 0), node(over, 1)), base, over)


@given(_maps, _maps)
def test_merging_changes_neither_side(base: Any, over: Any) -> None:
    one, two = node(base), node(over)
    before = repr((one, two))
    merge(one, two)
    assert repr((one, two)) == before
