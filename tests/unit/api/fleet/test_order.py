"""Which jobs may begin: a content is brought to a place once, whatever fails, and nothing stands still."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sagepack.api.fleet.order import Needs, Order, sort


def begun(order: Order) -> list[str]:
    """All jobs that may begin now."""
    return list(iter(order.ready, None))


def needs(name: str, place: str = "s3://dev", *contents: str, takes_from: tuple[str, ...] = ()) -> Needs:
    return Needs(name, place, takes_from, frozenset(contents))


def test_jobs_that_share_nothing_begin_at_once() -> None:
    assert begun(Order([needs("a", "s3://dev", "x"), needs("b", "s3://dev", "y"), needs("c", "s3://prod", "x")])) == [
        "a",
        "b",
        "c",
    ]


def test_a_job_waits_for_the_first_that_brings_what_it_can_copy() -> None:
    order = Order([needs("a", "s3://dev", "x"), needs("b", "s3://dev", "x", "y"), needs("c", "s3://dev", "y")])
    assert order.is_awaited("a")
    assert begun(order) == ["a"]
    order.end("a", well=True)
    assert begun(order) == ["b"]
    order.brought("b")  # and goes on with something else
    assert begun(order) == ["c"]
    assert not order.is_awaited("b")
    order.end("b", well=True)
    assert len(order) == 1


def test_after_a_failure_the_next_one_brings_it_and_the_others_still_wait() -> None:
    order = Order([needs(name, "s3://dev", "x") for name in "abc"])
    assert begun(order) == ["a"]
    order.end("a", well=False)
    assert begun(order) == ["b"]
    order.end("b", well=True)
    assert begun(order) == ["c"]


def test_places_that_others_copy_from_come_first_and_a_circle_of_them_stops_nobody() -> None:
    prod, dev = (
        needs("prod", "s3://prod", "x", takes_from=("s3://dev",)),
        needs("dev", "s3://dev", "x"),
    )
    assert sort([prod, dev]) == [dev, prod]
    assert begun(Order(sort([prod, dev]))) == ["dev"]
    circle = [prod, needs("dev", "s3://dev", "x", takes_from=("s3://prod",))]
    order = Order(sort(circle))
    assert begun(order) == ["prod"]
    order.end("prod", well=True)
    assert begun(order) == ["dev"]


_PLACES = ("s3://a", "s3://b", "s3://c")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(_PLACES),
            st.lists(st.sampled_from(_PLACES), max_size=2),
            st.frozensets(st.sampled_from("vwxyz"), max_size=3),
            st.booleans(),
        ),
        max_size=12,
    ),
    st.data(),
)
def test_no_content_is_on_its_way_to_a_place_twice_and_all_jobs_end(
    drawn: list[tuple[str, list[str], frozenset[str], bool]], data: st.DataObject
) -> None:
    jobs = {
        str(number): Needs(str(number), place, tuple(others), contents)
        for number, (place, others, contents, _) in enumerate(drawn)
    }
    order, running, brought = Order(sort(jobs.values())), set[str](), set[tuple[str, str]]()
    while len(order):
        running |= set(begun(order))
        assert running
        coming = [
            (jobs[name].brings_to, content)
            for name in running
            for content in jobs[name].contents
            if not any((place, content) in brought for place in (jobs[name].brings_to, *jobs[name].takes_from))
        ]
        assert len(coming) == len(set(coming))
        ended = data.draw(st.sampled_from(sorted(running)))
        running.remove(ended)
        well = drawn[int(ended)][3]
        order.end(ended, well=well)
        if well:
            brought |= {(jobs[ended].brings_to, content) for content in jobs[ended].contents}
