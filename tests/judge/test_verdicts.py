"""Which answers parse as a verdict and which do not; the rubrics and what they ask for."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.judge import answers
from selfevolve.judge.answers import parse_verdict
from selfevolve.judge.pairs import Choice
from selfevolve.judge.questions import RUBRICS
from selfevolve.judge.verdicts import DIMENSIONS, Score, Verdict
from selfevolve.prompts import json_objects
from selfevolve.prompts.templates import load_texts
from selfevolve.records.schema import Record, Response
from selfevolve.records.texts import is_blank
from selfevolve.runtime.errors import ParseError
from tests.support.judges import JUDGE

VERDICT = {"explanation": "It follows.", "score": 4}
REASONS = re.findall(r"^    (\w+)  ", answers.__doc__ + json_objects.__doc__, re.MULTILINE)


def read(text: str, reason: Any = "stop", kind: type[Record] = Score, decisive: str = "score") -> Any:
    """The verdict, or the reason of the failure."""
    response = Response(id="a", text=text, finish_reason=reason, attempt=1, model="m")
    try:
        return parse_verdict(response, kind, decisive)
    except ParseError as failure:
        return failure.reason


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(VERDICT),
        f"Let me see. {json.dumps(VERDICT)} I hope this helps {{or not}}.",
        f"```json\n{json.dumps(VERDICT, indent=1)}\n```",
        f"```\n{json.dumps(VERDICT)}",
        json.dumps({"Explanation": "It follows.", "SCORE ": 4}),
        json.dumps({**VERDICT, "confidence": {"score": 2}}),
        json.dumps({"score": "4/5", "explanation": "It follows."}),
        json.dumps({**VERDICT, "score": 4.0}),
        json.dumps({**VERDICT, "score": " 4 "}),
        f"{json.dumps(VERDICT)}\n{json.dumps(VERDICT)}",
        '{"explanation": "It follows.", "score": 4, "score": 4}',
        f"<think>{json.dumps({**VERDICT, 'score': 1})}</think>{json.dumps(VERDICT)}",
        f"{{broken {json.dumps(VERDICT)}",
    ],
)
def test_tolerated_forms_give_the_same_verdict(text: str):
    assert read(text) == Score(explanation="It follows.", score=4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no_json"),
        ("Score: 4", "no_json"),
        ("{}", "missing_score"),
        (json.dumps(VERDICT)[:-1], "cut_off"),  # a 4 may have become 4.5
        (f"{json.dumps(VERDICT)} No, rather {json.dumps(VERDICT)[:-1]}", "cut_off"),
        (str(VERDICT), "no_json"),  # a judge's JSON is not repaired
        (f"<think>{json.dumps(VERDICT)}", "thinking"),
        (f"<think>{json.dumps(VERDICT)}</think> I cannot say.", "no_json"),
        ('{"score": 4}', "missing_explanation"),
        ('{"explanation": "It follows."}', "missing_score"),
        ('{"explanation": " ", "score": 4}', "invalid_explanation"),
        ('{"explanation": ["a"], "score": 4}', "invalid_explanation"),
        ('{"explanation": "a", "score": 0}', "out_of_range"),
        ('{"explanation": "a", "score": 6}', "out_of_range"),
        ('{"explanation": "a", "score": "7/5"}', "out_of_range"),
        ('{"explanation": "a", "score": 3.5}', "invalid_score"),
        ('{"explanation": "a", "score": "3 or 4"}', "invalid_score"),
        ('{"explanation": "a", "score": "4/10"}', "invalid_score"),
        ('{"explanation": "a", "score": true}', "invalid_score"),
        ('{"explanation": "a", "score": null}', "invalid_score"),
        ('{"explanation": "a", "score": NaN}', "invalid_score"),
        (f'{{"explanation": "a", "score": {"9" * 5000}}}', "no_json"),
        (f'{{"explanation": "a", "score": "{"9" * 5000}"}}', "invalid_score"),
        ('{"explanation": "a", "score": 3, "score": 4}', "ambiguous"),
        ('{"explanation": "a", "score": 3, "Score": 4}', "ambiguous"),
        ('{"explanation": "a", "score": 3} or {"explanation": "b", "score": 4}', "ambiguous"),
        ('{"explanation": "a", "score": 3} or {"explanation": "b", "score": 40}', "ambiguous"),
        ("{" * 5000, "no_json"),
        ('{"a":' * 5000, "cut_off"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "no_json"),
        ('{"score": ' + "[" * 900 + "]" * 900 + "}", "no_json"),
    ],
)
def test_what_leaves_room_for_doubt_is_no_verdict(text: str, reason: str):
    assert read(text) == reason


def test_an_answer_that_was_cut_off_or_withheld_is_named_so():
    assert read("Let me think about", "length") == "cut_off"
    assert read(json.dumps(VERDICT)[:-3], "length") == "cut_off"
    assert isinstance(read(json.dumps(VERDICT) + " And further,", "length"), Score)
    assert read(json.dumps(VERDICT), "content_filter") == "content_filter"


def known(reason: str) -> bool:
    return re.sub("(?<=_)(score|explanation)$", "FIELD", reason) in REASONS


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
PROSE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{}"))


@given(st.integers(1, 5), TEXT.filter(lambda text: not is_blank(text)), PROSE, PROSE, st.booleans())
def test_a_verdict_is_found_in_any_prose(score: int, why: str, before: str, after: str, fenced: bool):
    text = json.dumps({"explanation": why, "score": score}, ensure_ascii=False)
    text = f"```json\n{text}\n```" if fenced else text
    assert read(f"{before}{text}{after}") == Score(explanation=why, score=score)


@given(st.integers() | st.floats() | TEXT)
def test_a_score_is_on_the_scale_or_there_is_none(score: Any):
    verdict = read(json.dumps({"explanation": "a", "score": score}))
    if isinstance(verdict, Score):
        assert 1 <= verdict.score <= 5
        assert str(score).strip().split("/")[0].strip().split(".")[0].lstrip("0") != ""
    else:
        assert known(verdict)


@given(TEXT, st.lists(JSON, max_size=3))
def test_nothing_breaks_the_reader(text: str, values: list[Any]):
    answer = text + " ".join(json.dumps(value) for value in values)
    verdict = read(answer)
    assert isinstance(verdict, Score) or known(verdict)


@given(st.integers(1, 5), st.integers(1, 5))
def test_two_verdicts_count_only_where_they_agree(one: int, other: int):
    text = " ".join(json.dumps({"explanation": "a", "score": score}) for score in (one, other))
    verdict = read(text)
    assert verdict == ("ambiguous" if one != other else Score(explanation="a", score=one))


@given(st.dictionaries(st.sampled_from(["explanation", "score"]), JSON))
def test_a_verdict_without_its_fields_is_none(fields: dict[str, Any]):
    if fields.keys() != {"explanation", "score"}:
        assert isinstance(read(json.dumps(fields)), str)


# ---- the rubrics ----

FOLDER = Path(JUDGE["rubrics"])


def test_the_files_ask_for_exactly_the_dimensions_that_a_verdict_can_have():
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.txt" for name in RUBRICS}
    assert set(DIMENSIONS) == set(Verdict.model_json_schema()["properties"]["dimension"]["enum"])
    texts = load_texts(RUBRICS, FOLDER).texts
    asked = {name: re.findall(r"^Rate the (\w+)", text) for name, text in texts.items()}
    assert {name: found for name, found in asked.items() if found} == {name: [name] for name in DIMENSIONS}


@pytest.mark.parametrize("name", [*DIMENSIONS, "pair", "session_pair"])
def test_a_rubric_shows_the_json_that_is_read_and_no_verdict_that_could_be_copied(name: str):
    kind, decisive = (Choice, "winner") if name.endswith("pair") else (Score, "score")
    text = load_texts(RUBRICS, FOLDER).text(name)
    shown = text.splitlines()[-1]
    assert re.findall(r'"(\w+)":', shown) == list(kind.model_fields)
    assert isinstance(read(text, "stop", kind, decisive), str)


@pytest.mark.parametrize("name", DIMENSIONS)
def test_a_rubric_has_the_five_levels_of_the_scale_and_caps_within_it(name: str):
    text = load_texts(RUBRICS, FOLDER).text(name)
    assert re.findall(r"^(\d): ", text, re.MULTILINE) == ["5", "4", "3", "2", "1"]
    caps = re.findall(r"^- .*: at most (\d)$", text, re.MULTILINE)
    assert len(caps) >= 3
    assert set(caps) <= {"1", "2", "3"}
