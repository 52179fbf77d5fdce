"""Who gets it: pure."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inbox.routing.choosing import Abilities, Candidate, Choice, Limits, Load, Talk, choose, next_turn
from inbox.routing.models import RoutingPolicy

TALK = Talk("chn_a", "whatsapp")
TURNS, FEWEST = RoutingPolicy(mode="round_robin"), RoutingPolicy(mode="balanced")


def one(name: str, held: int = 0, most: int | None = 10, turn: int = 0, **more: Any) -> Candidate:
    load = Load((("chn_a", "whatsapp", held),) if held else ())
    by_channel = tuple(more.pop("by_channel", {}).items())
    words = {key: frozenset(value) for key, value in more.items()}
    return Candidate(name, name, load, Limits(most, by_channel), turn=turn, **words)


def said(choice: Choice) -> tuple[str | None, str]:
    return choice.candidate.id if choice.candidate else None, choice.why


def chosen(candidates: list[Candidate], policy: RoutingPolicy = TURNS, talk: Talk = TALK) -> tuple[str | None, str]:
    team = Abilities(
        frozenset(word for each in candidates for word in each.skills),
        frozenset(word for each in candidates for word in each.languages),
    )
    return said(choose(candidates, talk, policy, team))


def test_turns_and_shares() -> None:
    a, b = one("a", 1, 2, turn=3), one("b", 3, 10, turn=4)
    assert chosen([b, a]) == ("a", "turn")
    assert chosen([a, b], FEWEST) == ("b", "fewest")  # 3 of 10 is less than 1 of 2
    assert chosen([one("b", turn=1), one("a", turn=1)]) == ("a", "turn")


def test_nobody_and_why() -> None:
    assert chosen([]) == (None, "nobody_here")
    assert chosen([one("a", 2, 2), one("b", 0, 0)]) == (None, "all_full")
    assert chosen([one("a", 1, 10, by_channel={"whatsapp": 1})]) == (None, "all_full")
    assert chosen([one("a", 1, 10, by_channel={"email": 1, "chn_b": 0})]) == ("a", "turn")


def test_the_last_one_comes_first_where_there_is_room() -> None:
    policy, talk = RoutingPolicy(mode="balanced", last_agent_first=True), Talk("chn_a", "whatsapp", last_agent="b")
    assert chosen([one("a"), one("b", 5)], policy, talk) == ("b", "last_agent")
    assert chosen([one("a"), one("b", 10)], policy, talk) == ("a", "fewest")
    assert chosen([one("a"), one("b", 5)], FEWEST, talk) == ("a", "fewest")


def test_skills_and_languages_decide_until_it_has_waited_too_long() -> None:
    policy = RoutingPolicy(mode="round_robin", skills=True, max_wait_s=600)
    a, b = one("a", skills=["returns"], languages=["de"]), one("b", turn=-1, languages=["en"])
    talk = Talk("chn_a", "whatsapp", frozenset({"returns", "vip"}), "de")
    assert chosen([a, b], policy, talk) == ("a", "turn")
    full = one("a", 10, skills=["returns"], languages=["de"])
    assert chosen([full, b], policy, talk) == (None, "all_full")
    assert chosen([full, b], policy, Talk("chn_a", "whatsapp", talk.labels, "de", waited_s=600)) == ("b", "turn")
    assert chosen([b], policy, Talk("chn_a", "whatsapp", frozenset(), "fr")) == ("b", "turn")  # nobody speaks it
    away = Abilities(frozenset({"returns"}), frozenset({"de", "en"}))
    assert said(choose([b], talk, policy, away)) == (None, "nobody_able")
    assert chosen([a, one("c", turn=-2)], policy, Talk("chn_a", "whatsapp", language="de")) == ("c", "turn")


candidates = st.lists(
    st.builds(one, st.sampled_from("abcdefg"), st.integers(0, 4), st.one_of(st.none(), st.integers(0, 4)),
              st.integers(0, 9)), max_size=7, unique_by=lambda each: each.id,
)  # fmt: skip


@given(candidates, st.sampled_from([TURNS, FEWEST]), st.randoms())
def test_who_is_chosen_has_room_whatever_the_order(found: list[Candidate], policy: RoutingPolicy, chance: Any) -> None:
    mixed = list(found)
    chance.shuffle(mixed)
    choice = choose(found, TALK, policy, Abilities())
    assert said(choice) == said(choose(mixed, TALK, policy, Abilities()))
    room = [each for each in found if each.limits.total is None or each.load.total < each.limits.total]
    assert (choice.candidate is not None) == bool(room)
    assert choice.candidate is None or choice.candidate in room


def test_a_number_of_turns_is_even() -> None:
    turns = dict.fromkeys("abc", 0)
    got = dict.fromkeys("abc", 0)
    for _ in range(300):
        who = choose([one(each, turn=turn) for each, turn in turns.items()], TALK, TURNS, Abilities()).candidate
        assert who is not None
        turns[who.id], got[who.id] = next_turn(turns.values()), got[who.id] + 1
    assert set(got.values()) == {100}
