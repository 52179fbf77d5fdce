"""Where the steps of a journey stand: nothing overlaps, everything is reached, branches stand over their arms."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk.pages.flow import END_W, NODE_H, NODE_W, START, Exit, draw, outline, rounded


def _chain(*ids):
    return {a: [Exit(b)] for a, b in zip(ids, [*ids[1:], None], strict=True)}


def _spots(drawing):
    return {spot.id: spot for spot in drawing.spots}


def _middle(spot):
    return spot.x + spot.width / 2


def _overlap(a, b):
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def test_a_chain_stands_in_one_line_and_ends_in_a_mark():
    drawing = draw(_chain("a", "b", "c"), "a")
    spots = _spots(drawing)
    assert [each.id for each in drawing.spots] == [START, "a", "b", "c", "c~0"]
    assert len({_middle(each) for each in drawing.spots}) == 1
    assert [each.y for each in drawing.spots] == sorted(each.y for each in drawing.spots)
    assert (spots["a"].width, spots["c~0"].width, spots["c~0"].end) == (NODE_W, END_W, True)


def test_a_branch_stands_over_its_arms_and_their_join_below():
    steps = {"a": [Exit("b", "yes"), Exit("c", "no")], "b": [Exit("d")], "c": [Exit("d")], "d": []}
    spots = _spots(draw(steps, "a"))
    assert spots["b"].y == spots["c"].y > spots["a"].y
    assert _middle(spots["a"]) == _middle(spots["d"]) == (_middle(spots["b"]) + _middle(spots["c"])) / 2
    assert spots["d"].y > spots["b"].y + NODE_H


def test_an_arm_that_leads_straight_to_the_join_keeps_a_lane_of_its_own():
    drawing = draw({"a": [Exit("b", "yes"), Exit("d", "no")], "b": [Exit("d")], "d": []}, "a")
    no = next(edge for edge in drawing.edges if edge.label == "no")
    b = _spots(drawing)["b"]
    assert no.label_x > b.x + b.width


def test_a_way_back_is_drawn_beside():
    drawing = draw({"a": [Exit("b")], "b": [Exit("a", "again"), Exit(None)]}, "a")
    assert [edge.back for edge in drawing.edges] == [False, False, True, False]


def test_ways_to_nowhere_end_and_lost_steps_are_left_out():
    drawing = draw({"a": [Exit("gone")], "lost": [Exit("a")]}, "a")
    assert set(_spots(drawing)) == {START, "a", "a~0"}


def test_an_empty_journey_is_a_start_and_an_end():
    assert [each.id for each in draw({}, None).spots] == [START, f"{START}~0"]


@pytest.mark.parametrize(
    ("points", "path"),
    [
        ([(0, 0), (0, 10), (0, 20)], "M0 0L0 10Q0 10 0 10L0 20"),
        ([(0, 0), (0, 0), (0, 20)], "M0 0L0 20"),
        ([(0, 0), (0, 40), (40, 40)], "M0 0L0 30Q0 40 10 40L40 40"),
    ],
)
def test_corners_are_round(points, path):
    shorter = rounded(points)
    assert shorter == path or points[0][0] == points[-1][0]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_the_journey_nothing_overlaps_and_all_is_on_the_page(data):
    names = [f"s{i}" for i in range(data.draw(st.integers(1, 14)))]
    targets = st.one_of(st.none(), st.sampled_from(names))
    steps = {
        name: [Exit(to, f"w{i}") for i, to in enumerate(data.draw(st.lists(targets, max_size=4)))] for name in names
    }  # fmt: skip
    drawing = draw(steps, names[0])
    assert [(a.id, b.id) for a, b in combinations(drawing.spots, 2) if _overlap(a, b)] == []
    for spot in drawing.spots:
        assert spot.x >= 0 and spot.x + spot.width <= drawing.width
        assert spot.y >= 0 and spot.y + spot.height <= drawing.height
    reached, edge = {START}, [names[0]]
    while edge:
        name = edge.pop()
        if name not in reached:
            reached.add(name)
            edge += [way.to for way in steps[name] if way.to]
    assert {spot.id for spot in drawing.spots if not spot.end} == reached
    assert all(way.path.startswith("M") for way in drawing.edges)


def _outlined(lines):
    return [
        (line.id, line.slot, [(way.label, slot, _outlined(inner)) for way, slot, inner in line.ways]) for line in lines
    ]


def test_the_outline_says_every_step_once_with_its_ways():
    steps = {
        "a": [Exit("b", way="next")],
        "b": [Exit("c", "yes", way="cases[0].next"), Exit("d", "no", way="else")],
        "c": [Exit("d", way="next")],
        "d": [Exit(None, way="next")],
    }
    assert _outlined(outline(steps, "a")) == [
        ("a", "a:next", []),
        ("b", "", [("yes", "b:cases[0].next", [("c", "c:next", [])]), ("no", "b:else", [])]),
        ("d", "d:next", []),
    ]
    assert outline({}, None) == ()


def test_every_way_has_a_place_for_a_new_step_and_none_lies_on_a_step():
    steps = {
        "a": [Exit("b", "yes", way="cases[0].next"), Exit("c", "no", way="else")],
        "b": [Exit("c", way="next")],
        "c": [Exit(None, way="next")],
    }
    drawing = draw(steps, "a")
    assert {edge.slot for edge in drawing.edges} == {"start", "a:cases[0].next", "a:else", "b:next", "c:next"}
    for edge in drawing.edges:
        for spot in drawing.spots:
            beside = not spot.x - 12 < edge.plus_x < spot.x + spot.width + 12
            assert beside or not spot.y - 12 < edge.plus_y < spot.y + spot.height + 12, (edge.slot, spot.id)
