"""How talks are planned and held: who gets which, that one does not change another, and how they end."""

from collections import Counter
from collections.abc import Sequence

import pytest

from selfevolve.records.jsonl import write_records
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.parameters import validate
from selfevolve.sessions.cards import Card
from selfevolve.sessions.session import Session
from selfevolve.sessions.supporters import Same, Shuffled
from selfevolve.sessions.talk import ConverseParams, Said, Talk, as_sessions, hold, plan_talks
from tests.support.talks import params, session

CARDS = [Card(id=name, name=name, problem="x") for name in "abcde"]


class Counting:
    """A seeker who counts its turns, leaves when its card says so, and whose player may fail."""

    name = "counting"

    def __init__(self, **fate: tuple[str, int]):
        self.counts: Counter[str] = Counter()
        self.fate = fate
        self.asked: list[list[str]] = []

    def speak(self, talks: Sequence[Talk]) -> list[Said]:
        self.asked.append([talk.id for talk in talks])
        return [self._say(talk) for talk in talks]

    def _say(self, talk: Talk) -> Said:
        how, turn = self.fate.get(talk.card.id, ("", -1))
        if len(talk.answers) == turn:
            return Said(None) if how == "fails" else Said("Bye.", leaves="gave_up")
        return Said(f"Turn {len(talk.answers)}.")


def held(seeker: Counting, **changes: object) -> dict[str, Session]:
    talks = plan_talks(CARDS, params(sessions=5, turns=[3, 3], **changes))
    hold(talks, seeker, Same("Yes."))
    return {one.id: one for one in as_sessions(talks, seeker.name, "same")}


def test_the_seeker_speaks_first_and_last_and_sessions_may_end_early():
    seeker = Counting(b=("leaves", 1), c=("fails", 2), d=("fails", 0))
    sessions = held(seeker)
    assert {i: (one.ended, len(one.turns)) for i, one in sessions.items()} == {
        "a#0": ("length", 7),
        "b#0": ("gave_up", 3),
        "c#0": ("lost", 4),
        "e#0": ("length", 7),
    }
    assert [turn.role for turn in sessions["a#0"].turns] == ["seeker", "supporter"] * 3 + ["seeker"]
    assert list(map(len, seeker.asked)) == [5, 4, 3, 2]  # together, as long as they go on


def test_a_session_more_leaves_the_others_as_they_are():
    def planned(count: int) -> list[tuple[str, int, bool]]:
        talks = plan_talks(CARDS, params(sessions=count, resistant=0.5))
        return [(talk.id, talk.length, talk.resistant) for talk in talks]

    assert planned(12)[:7] == planned(7)
    names = [identity for identity, *_ in planned(12)]
    assert sorted(names[:10]) == [f"{card}#{number}" for card in "abcde" for number in (0, 1)]
    assert {name[1:] for name in names[10:]} == {"#2"}
    assert {length for _, length, _ in planned(60)} == {8, 9, 10, 11, 12}
    assert 15 < sum(resistant for *_, resistant in planned(60)) < 45


def test_a_silent_supporter_is_shown_as_silence():
    talk = Talk("a#0", CARDS[0], 1, 3, False)
    talk.hear_seeker(Said("Hi."))
    talk.hear_supporter("")
    assert [message.content for message in talk.messages()] == ["Hi.", "..."]


@pytest.mark.parametrize("turns", [[0, 5], [9, 8], [8, 51], [8], [8, 9, 10]])
def test_a_number_of_turns_out_of_range_is_named(turns: list[int]):
    given = params().model_dump() | {"turns": turns}
    with pytest.raises(InputError, match=r"params\.yaml: field converse\.turns: "):
        validate(ConverseParams, given, file="params.yaml", section="converse")


def test_the_shuffled_control_answers_another_card(tmp_path):
    path = tmp_path / "sessions.jsonl"
    turn = ("Hi.", None, [])
    write_records(
        path,
        [
            session("a#0", turn, "to a, first", turn, "to a, second"),
            session("a#1", turn, "to a again"),
            session("b#0", turn, "to b, first", turn, "to b, second"),
        ],
    )
    supporter = Shuffled(path)
    talks = [Talk(identity, CARDS[0], 1, 3, False) for identity in ("a#0", "a#1", "b#0")]
    assert supporter.reply(talks) == ["to b, first", "to b, first", "to a, first"]
    for talk in talks:
        talk.hear_seeker(Said("Hi."))
        talk.hear_supporter("x")
    assert supporter.reply(talks) == ["to b, second", "to b, second", "to a, second"]
    with pytest.raises(InputError, match=r"sessions\.jsonl: record c#0: has no such session: hold them"):
        supporter.reply([Talk("c#0", CARDS[2], 1, 3, False)])


def test_nothing_can_be_shuffled_among_one_card(tmp_path):
    path = tmp_path / "sessions.jsonl"
    write_records(path, [session(f"a#{n}", ("Hi.", None, []), "Hello.") for n in range(3)])
    with pytest.raises(InputError, match="fewer than two cards"):
        Shuffled(path)
