"""Personalisation without a judge: line-ups, scores with a scripted nearness, and with the real encoder."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.metrics import semantic
from selfevolve.metrics.line_ups import LineUp, PersonalisationParams, Said, line_up
from selfevolve.metrics.personalisation import Question, chance, summarize, tell_apart
from selfevolve.records.jsonl import read_records, write_records
from selfevolve.records.schema import Context, Dialogue, Message, PersonalScores, Response, Turn
from selfevolve.runtime.errors import InputError, Unavailable
from stages import compare, score
from stages.analyses import personalisation_controls

PARAMS = PersonalisationParams(seed=42, others=3)
SAID = {
    "bakery": "I lost my job at the bakery last week and the rent is due.",
    "sister": "My sister does not speak to me since the funeral of our aunt.",
    "exam": "I cannot sleep before my chemistry exam on Monday.",
    "dog": "My husband moved out and took the dog with him.",
    "roof": "The roof of our house leaks and the landlord laughs at me.",
    "band": "They threw me out of the band after ten years on the drums.",
}
OWN = {
    "bakery": "Losing the job at the bakery with the rent due must hurt.",
    "sister": "So your sister has not spoken to you since the funeral?",
    "exam": "An exam in chemistry that takes your sleep is hard.",
    "dog": "Your husband moved out, and now the dog is gone too.",
    "roof": "A leaking roof, and a landlord who laughs about it!",
    "band": "Ten years on the drums, and then the band throws you out.",
}
GENERIC = "That sounds very hard, I am here for you."


def dialogue(name: str, turns: int = 2, problem: str | None = None) -> Dialogue:
    said = [Turn(role="seeker", text=SAID.get(name, name)), Turn(role="supporter", text="Go on.")] * turns
    return Dialogue(id=name, source="s", turns=said, meta={"problem": problem} if problem else {})


def known(*dialogues: Dialogue) -> dict[str, Dialogue]:
    return {one.id: one for one in dialogues}


def given_to(responses: dict[str, str]) -> dict[str, str]:
    """Responses by context id, to the second turn of each of these seekers."""
    return {f"{name}#3": text for name, text in responses.items()}


# --- whom a response is compared with


def test_others_have_the_same_problem_first_and_then_said_as_much():
    same = [dialogue(f"same{n}", turns=3 if n < 2 else 1, problem="job") for n in range(4)]
    else_ = [dialogue(f"else{n}", turns=9, problem="sleep") for n in range(5)]
    dialogues = known(dialogue("own", turns=3, problem="job"), *same, *else_)
    (one,) = line_up({"own#5": "x"}, dialogues, PersonalisationParams(seed=1, others=3))
    assert one.own == Said("own", 3)
    assert {said.dialogue for said in one.others[:2]} == {"same0", "same1"}
    assert one.others[2].dialogue in {"same2", "same3"}
    assert [said.turns for said in one.others] == [3, 3, 1]
    assert one.same_problem == 3
    (all_,) = line_up({"own#5": "x"}, dialogues, PersonalisationParams(seed=1, others=8))
    assert ([said.turns for said in all_.others], all_.same_problem) == ([3, 3, 1, 1, 3, 3, 3, 3], 4)


def test_nobody_meets_himself_and_the_draw_is_the_seeds():
    dialogues = known(*(dialogue(f"d{n}") for n in range(12)))
    responses = {f"d{n}#{at}": f"{'word ' * n}" for n in range(12) for at in (1, 3)}
    for one in line_up(responses, dialogues, PARAMS):
        own = one.own.dialogue
        assert len(one.others) == len(one.matched) == len({said.dialogue for said in one.others}) == 3
        assert own not in {said.dialogue for said in one.others}
        assert own not in {identity.partition("#")[0] for identity in one.matched}
        words = len(responses[one.identity].split())
        assert all(abs(len(responses[other].split()) - words) <= 2 for other in one.matched)

    def drawn(seed: int) -> list[list[str]]:
        found = line_up(responses, dialogues, PersonalisationParams(seed=seed, others=3))
        return [[said.dialogue for said in one.others] for one in found]

    assert drawn(1) == drawn(1) != drawn(2)
    reordered = dict(sorted(responses.items(), reverse=True))
    assert line_up(reordered, dialogues, PARAMS) == line_up(responses, dialogues, PARAMS)


def test_of_one_seeker_nothing_can_be_told():
    with pytest.raises(Unavailable, match="but one seeker"):
        line_up({"d#1": "x"}, known(dialogue("d")), PARAMS)


# --- scores


def test_a_response_that_tells_its_seeker_has_everything_and_one_that_tells_another_nothing():
    dialogues, responses = known(*map(dialogue, SAID)), given_to(OWN)
    line_ups = line_up(responses, dialogues, PARAMS)
    owner = {text: name for name, text in OWN.items()}

    def scored(near: Callable[[Question], float]) -> set[tuple[float, ...]]:
        def nearness(questions: Sequence[Question]) -> list[float]:
            return list(map(near, questions))

        found = tell_apart(responses, line_ups, nearness)
        return {(one.auc, one.reciprocal_rank, one.matched_auc or 0.0) for one in found}

    assert scored(lambda asked: owner[asked.text] == asked.seeker.dialogue) == {(100, 100, 100)}
    assert scored(lambda asked: owner[asked.text] != asked.seeker.dialogue) == {(0, 25, 0)}
    assert scored(lambda asked: 7) == {(50, 40, 50)}


def test_chance_is_what_a_coin_gets():
    assert chance(1) == {"auc": 50, "reciprocal_rank": 75, "matched_auc": 50}
    assert chance(3)["reciprocal_rank"] == pytest.approx(100 * (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


@given(
    st.lists(st.lists(st.floats(-1, 1), min_size=7, max_size=7), min_size=1, max_size=5),
    st.integers(1, 9),
)
def test_scores_are_percentages_whatever_the_scale(near: list[list[float]], power: int):
    names = [f"d{n}" for n in range(len(near))]
    others = [Said(f"o{n}", 1) for n in range(3)]
    line_ups = [LineUp(f"{n}#1", Said(n, 1), others, [f"{n}#1"] * 3, 0) for n in names]
    texts = {f"{name}#1": "x" for name in names}
    flat = [value for row in near for value in row]
    found = tell_apart(texts, line_ups, lambda asked: flat)
    for one in found:
        assert 0 <= one.auc <= 100
        assert 25 <= one.reciprocal_rank <= 100
        assert 0 <= (one.matched_auc or 0) <= 100
    scaled = [value * 2**power for value in flat]  # a power of two loses no digit
    assert tell_apart(texts, line_ups, lambda asked: scaled) == found
    by_turns = summarize(found, line_ups)["by_seeker_turns"]
    assert sum(group["responses"] for group in by_turns.values()) == len(found)


def test_turns_are_grouped_by_doubling():
    turns = [1, 2, 3, 4, 7, 8, 20]
    line_ups = [LineUp(f"d{n}#1", Said(f"d{n}", n), [Said("o", 1)], [], 0) for n in turns]
    scores = [PersonalScores(id=one.identity, auc=50, reciprocal_rank=75) for one in line_ups]
    found = summarize(scores, line_ups)
    sizes = {name: group["responses"] for name, group in found["by_seeker_turns"].items()}
    assert sizes == {"1": 1, "2-3": 2, "4-7": 2, "8-15": 1, "16-31": 1}
    assert "matched_auc" not in found
    assert found["same_problem"] == 0


# --- the stage, with the encoder that comes with the installation


@pytest.fixture
def measure(tmp_path: Path, params_file: Callable[..., Path]) -> Callable[..., dict[str, Any]]:
    """Scores responses by seeker's name; returns the summary, and leaves the folder of a model behind."""
    params = params_file({"personalisation.others": 3, "compare.resamples": 1000})
    dialogues = [dialogue(name) for name in SAID]
    write_records(tmp_path / "dialogues.jsonl", dialogues)
    contexts = [
        Context(id=f"{name}#3", messages=[Message(role="user", content=text)], golden=OWN[name])
        for name, text in SAID.items()
    ]
    write_records(tmp_path / "contexts.jsonl", contexts)

    def run(name: str, responses: dict[str, str], *more: str) -> dict[str, Any]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        records = [
            Response(id=identity, text=text, finish_reason="stop", attempt=1, model="m")
            for identity, text in responses.items()
        ]
        write_records(folder / "responses.jsonl", records)
        arguments = {
            "responses": folder / "responses.jsonl",
            "contexts": tmp_path / "contexts.jsonl",
            "dialogues": tmp_path / "dialogues.jsonl",
            "out": folder / "text.json",
            "details": folder / "scores.jsonl",
            "personalisation": folder / "personal.json",
            "personalisation-details": folder / "personal.jsonl",
            "intervals": folder / "intervals.json",
            "params": params,
        }
        score.main([*(part for key, file in arguments.items() for part in (f"--{key}", str(file))), *more])
        return json.loads((folder / "personal.json").read_text())

    return run


def test_words_to_the_seeker_are_told_from_words_to_anybody_and_to_somebody_else(
    measure: Callable[..., dict[str, Any]], tmp_path: Path
):
    own = measure("own", given_to(OWN))
    assert own["auc"] == own["reciprocal_rank"] == own["matched_auc"] == 100
    assert (own["responses"], own["others"], own["truncated"]) == (6, 3, 0)
    generic = measure("generic", given_to(dict.fromkeys(OWN, GENERIC)))
    assert generic["matched_auc"] == 50
    assert 20 < generic["auc"] < 80
    names = list(OWN)
    turned = dict(zip(names, [OWN[name] for name in names[1:] + names[:1]], strict=True))
    assert measure("turned", given_to(turned))["auc"] < 60
    blank = measure("blank", given_to(dict.fromkeys(OWN, " ")))
    assert (blank["auc"], blank["matched_auc"]) == (50, 50)

    models = {name: tmp_path / name for name in ("own", "generic")}
    options = {"responses": "responses.jsonl", "details": "scores.jsonl", "scores": "text.json"}
    options["personalisation"] = "personal.jsonl"
    arguments = [f"--{o}={name}={f / file}" for name, f in models.items() for o, file in options.items()]
    arguments += [f"--contexts={tmp_path / 'contexts.jsonl'}", f"--params={tmp_path / 'params.yaml'}"]
    compare.main([*arguments, "--pair=generic:own", f"--out={tmp_path / 'out.json'}"])
    (pair,) = json.loads((tmp_path / "out.json").read_text())["pairs"]
    assert set(pair["personalisation"]) == {"auc", "reciprocal_rank", "matched_auc"}
    difference = pair["personalisation"]["matched_auc"]
    assert (difference["difference"], difference["p_randomisation"]) == (50, 2 / 64)
    intervals = json.loads((tmp_path / "own/intervals.json").read_text())["models"]["own"]
    assert intervals["personalisation"]["auc"]["value"] == 100


def test_without_an_encoder_it_says_so(
    measure: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(semantic, "MINILM_PACKAGE", "no-such-package")
    found = measure("own", given_to(OWN))
    reason = "the package no-such-package is not installed"
    absent = dict.fromkeys(("auc", "reciprocal_rank", "matched_auc"), reason)
    assert found == {"responses": 6, "not_available": absent}
    assert read_records(tmp_path / "own/personal.jsonl", PersonalScores) == []
    intervals = json.loads((tmp_path / "own/intervals.json").read_text())["models"]["own"]
    assert "sentence encoder" in intervals["not_available"]["personalisation"]


@pytest.mark.parametrize(("index", "reason"), [("2", "no supporter turn"), ("9", "no supporter turn")])
def test_a_response_to_no_context_is_named(
    measure: Callable[..., dict[str, Any]], tmp_path: Path, index: str, reason: str
):
    contexts = read_records(tmp_path / "contexts.jsonl", Context)
    renamed = [one.model_copy(update={"id": one.id.replace("band#3", f"band#{index}")}) for one in contexts]
    write_records(tmp_path / "contexts.jsonl", renamed)
    responses = {one.id: OWN[one.id.partition("#")[0]] for one in renamed}
    with pytest.raises(InputError, match=rf"responses\.jsonl.*band#{index}.*{reason}"):
        measure("own", responses)
    assert not (tmp_path / "own/personal.json").exists()


# --- controls


def test_human_responses_stand_out_from_controls(tmp_path: Path, params_file: Callable[..., Path]):
    params = params_file({"personalisation.others": 3})
    dialogues = []
    for name, text in SAID.items():
        said = [text, "Yes.", "It is so."]
        answers = ["Tell me.", OWN[name], "I see."]
        turns = [
            Turn(role=role, text=words)
            for pair in zip(said, answers, strict=True)
            for role, words in zip(("seeker", "supporter"), pair, strict=True)
        ]
        dialogues.append(Dialogue(id=name, source="s", turns=turns))
    write_records(tmp_path / "dialogues.jsonl", dialogues)
    files = ["--dialogues", str(tmp_path / "dialogues.jsonl"), "--out", str(tmp_path / "out.json")]
    personalisation_controls.main([*files, "--params", str(params)])
    found = json.loads((tmp_path / "out.json").read_text())
    assert [found[name]["responses"] for name in ("human", "shuffled", "generic", "longer")] == [12] * 4
    assert found["human"]["auc"] == 75  # half of them tell their seeker, and "I see." tells nobody
    assert max(found["shuffled"]["auc"], found["generic"]["auc"]) < 70
    assert list(found["differences"]) == ["shuffled", "generic", "longer"]
    assert found["differences"]["shuffled"]["mean"] == pytest.approx(
        found["shuffled"]["auc"] - found["human"]["auc"]
    )
    texts = {f"{name}#{at}": f"{name} {at}" for name in SAID for at in (3, 5)}
    made = personalisation_controls.controls(texts, {one.id: one for one in dialogues}, 1)
    assert sorted(made["shuffled"].values()) == sorted(texts.values())
    assert all(text.split()[0] != identity.partition("#")[0] for identity, text in made["shuffled"].items())
    assert set(made["generic"].values()) >= {"Tell me.", "I see."}
    assert all(made["longer"][one] == f"{text} {made['generic'][one]}" for one, text in texts.items())


def test_one_dialogue_has_no_controls(tmp_path: Path, params_file: Callable[..., Path]):
    write_records(tmp_path / "dialogues.jsonl", [dialogue("exam")])
    with pytest.raises(InputError, match=r"dialogues\.jsonl: has not two dialogues"):
        personalisation_controls.main(
            ["--dialogues", str(tmp_path / "dialogues.jsonl"), "--out", "x", "--params", str(params_file())]
        )
