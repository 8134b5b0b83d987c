"""Study files: what they may say, and how a wrong one is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from rating.app.assignment import draw_items
from rating.app.study import DIMENSIONS, TEXTS, read_study
from selfevolve.runtime.errors import InputError
from tests.conftest import ROOT
from tests.support.rating_store import make_study, write_items


def _file(folder: Path, changes: dict[str, Any]) -> Path:
    value = yaml.safe_load((ROOT / "rating/studies/pointwise.yaml").read_text(encoding="utf-8")) | changes
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in value.items() if v != "absent"}), encoding="utf-8")
    return path


@pytest.mark.parametrize(("mode", "turns"), [("pointwise", 8), ("pairwise", 10)])
def test_the_paper_s_turns_are_the_default(tmp_path: Path, mode: str, turns: int):
    assert read_study(ROOT / f"rating/studies/{mode}.yaml").minimum_turns == turns
    assert read_study(_file(tmp_path, {"mode": mode, "minimum_turns": "absent"})).minimum_turns == turns


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"mode": "three-wise"}, "mode", "pointwise"),
        ({"models": []}, "models", "at least 1"),
        ({"models": ["m0", "m0"]}, "models", "twice"),
        ({"models": ["../m0"]}, "models.0", "match"),
        ({"models": ["m0"], "mode": "pairwise"}, "models", "at least two"),
        ({"seed": "absent"}, "seed", "missing"),
        ({"seed": "1"}, "seed", "integer"),
        ({"raters": 0}, "raters", "greater"),
        ({"rater": 3}, "rater", "not permitted"),
        ({"maximum_turns": 3}, "maximum_turns", "less than"),
        ({"dimensions": ["empathy", "humour"]}, "dimensions", "humour"),
        ({"dimensions": ["empathy", "empathy"]}, "dimensions", "twice"),
        ({"languages": ["en", "fr"]}, "consent", "fr"),
        ({"overlap": {"raters_per_item": 1}}, "overlap.raters_per_item", "greater"),
        ({"overlap": "absent", "sessions_per_rater": 0}, "sessions_per_rater", "nothing to do"),
        ({"crisis": {"lines": [{"name": "Help"}]}}, "crisis.lines.0.contact", "missing"),
    ],
)
def test_a_wrong_study_names_file_and_field(tmp_path: Path, changes: dict[str, Any], field: str, words: str):
    path = _file(tmp_path, changes)
    with pytest.raises(InputError) as caught:
        read_study(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: field {field}: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["a: [", "just words", "", "- 1"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=str(path)):
        read_study(path)


def test_models_of_the_command_line_replace_those_of_the_file():
    assert read_study(ROOT / "rating/studies/pointwise.yaml", ["x1", "x2"]).models == ("x1", "x2")


def test_every_shipped_language_has_all_texts():
    for file in TEXTS.glob("*.yaml"):
        texts = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert set(texts["dimensions"]) == set(DIMENSIONS)
        assert all(len(set(one["anchors"])) == 5 for one in texts["dimensions"].values())
        assert "{value}" in texts["attention"]["pointwise"]
        assert "{side}" in texts["attention"]["pairwise"]


def test_texts_fall_back_to_the_first_language(tmp_path: Path):
    own = {"name": "trust", "title": {"de": "Vertrauen"}, "question": {"de": "Vertrauen Sie ihm?"}}
    own["anchors"] = {"de": ["gar nicht", "wenig", "teils", "meist", "ganz"]}
    changes = {
        "languages": ["de", "en", "fr"],
        "consent": {"fr": "D'accord ?"},
        "dimensions": [own, "empathy"],
    }
    study = read_study(_file(tmp_path, changes))
    (trust, english), (_, german), (_, french) = (study.questions(code) for code in ("en", "de", "fr"))
    assert trust.title == "Vertrauen"
    assert french.title == german.title != english.title
    assert study.consent_text("fr") == "D'accord ?"
    assert study.crisis_notice("fr").text == study.crisis_notice("de").text
    assert [study.language(wanted) for wanted in ("en-GB", "es", None)] == ["en", "de", "de"]


def test_words_that_offer_to_end_are_found_in_any_case_and_language(tmp_path: Path):
    study = read_study(_file(tmp_path, {"crisis": {"words": ["lemon tree"]}}))
    for text in ("I WANT  to\ndie", "ich will mich umbringen", "Under the Lemon Tree"):
        assert study.offers_to_end(text)
    assert not study.offers_to_end("I dyed my hair")


def test_the_digest_tells_studies_apart_and_not_their_layout(tmp_path: Path):
    study = make_study(tmp_path, "pointwise")
    assert make_study(tmp_path, "pointwise").digest == study.digest
    assert make_study(tmp_path, "pointwise", seed=43).digest != study.digest


def test_items_are_drawn_by_the_seed(tmp_path: Path):
    study = make_study(tmp_path, "pointwise", overlap=12)
    few = study.model_copy(update={"overlap": study.overlap.model_copy(update={"contexts": 4})})
    drawn = [item.id for item in draw_items(few)]
    assert drawn == [item.id for item in draw_items(study)][:4]
    assert drawn != [item.id for item in draw_items(few.model_copy(update={"seed": 7}))]


def test_items_that_are_too_few_or_lack_a_response_are_refused(tmp_path: Path):
    study = make_study(tmp_path, "pointwise", overlap=3)
    write_items(tmp_path / "items.jsonl", 2, ["m0", "m1", "m2"])
    with pytest.raises(InputError, match=r"items\.jsonl: has 2 contexts"):
        draw_items(study)
    write_items(tmp_path / "items.jsonl", 3, ["m0", "m2"])
    with pytest.raises(InputError, match=r"esconv-0000#3: field responses: has no response of m1"):
        draw_items(study)
