"""Models that think before they answer: raters see, and rate, the answer alone."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from selfevolve.records.schema import Message
from tests.support.rating_site import exported, make_study, running

OPENED = ["<thi", "nk>She is ", "sad. SECRET", "</thi", "nk>\n\nI hear ", "you."]
UNOPENED = ["She is sad. ", "SECRET ", "and so ", "\n</THINK>", "\nI hear ", "you."]
BETWEEN = ["Well, ", "now ", "<think>", "SECRET", "</think>", "I hear ", "you."]

SAID = {"I": "I hear you.", "W": "Well, now"}  # by their first letter: what may be shown


class Thinker:
    """Gives the pieces of its answers one after the other, slowly enough to be followed."""

    def __init__(self, *answers: list[str]):
        self.answers = list(answers)
        self.seeds: list[int] = []

    def __call__(self, messages: Sequence[Message], seed: int) -> Iterator[str]:
        self.seeds.append(seed)
        for piece in self.answers[min(len(self.seeds), len(self.answers)) - 1]:
            time.sleep(0.25)
            yield piece


def shown(events: str) -> list[str]:
    """The texts that a page showed one after the other: a piece adds to the last, a reset begins anew."""
    texts = [""]
    for event in events.strip().split("\n\n"):
        name, data = event.split("\n")
        if name == "event: reset":
            texts.append("")
        elif name == "event: piece":
            texts[-1] += json.loads(data.removeprefix("data: "))["text"]
    return [text for text in texts if text]


@pytest.mark.parametrize("thought", [OPENED, UNOPENED, BETWEEN], ids=["opened", "unopened", "between"])
def test_thinking_is_never_shown_and_not_kept(tmp_path: Path, thought: list[str]):
    model, study = Thinker(thought), make_study(tmp_path, "pointwise")
    with running(study, {"m0": model, "m2": model}, tmp_path / "r.sqlite") as site:
        rater = site.visitor().begin()
        for _ in range(2):  # the second answer is followed while it is written, where that is safe
            rater.say("I lost my job.", wait=False)
            events = rater.http.get(f"{rater.path}/answers").text
            assert "SECRET" not in events
            assert "think" not in events.lower()
            assert all(SAID[text[0]].startswith(text) for text in shown(events))
            assert shown(events)[-1] == "I hear you."
            rater.get(rater.path)
            assert "SECRET" not in rater.page
        turns = exported(site, tmp_path)["turns"]
        assert [answer["text"] for turn in turns for answer in turn["answers"]] == ["I hear you."] * 2


def test_an_answer_that_is_nothing_but_thinking_has_failed_and_can_be_asked_for_again(tmp_path: Path):
    model, study = Thinker(*[OPENED[:3]] * 4, OPENED), make_study(tmp_path, "pointwise")
    with running(study, {"m0": model, "m2": model}, tmp_path / "r.sqlite") as site:
        rater = site.visitor().begin()
        rater.say("I lost my job.")
        assert "Your message is kept" in rater.page
        assert "SECRET" not in rater.page
        rater.send("/retry")
        rater.wait()
        assert "I hear you." in rater.page
    assert len(set(model.seeds[:3])) == 3
    assert model.seeds == [*model.seeds[:3], *model.seeds[:2]]
