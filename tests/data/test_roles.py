"""Who speaks: the words of many corpora are known, the user's own count first, and others are refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.data.corpus import load_corpus
from selfevolve.data.layouts import ROLES, RoleParams, known_as, speaker
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.parameters import read_params
from tests.support.layouts import ALL, write

PAIRS = [
    ("seeker", "supporter"),
    ("speaker", "listener"),  # EmpatheticDialogues
    ("usr", "sys"),  # AugESC
    ("client", "therapist"),
    ("Client", "Counselor"),
    ("patient", "doctor"),
    ("human", "bot"),
    ("user", "assistant"),
    ("HUMAN", "GPT"),
    ("user", "model"),
    ("help-seeker", "Helper"),
    ("Help_Seeker", "supporter"),
    ("\u200bSeeker ", "sup\u00adporter\ufeff"),
]


def renamed(key: str, seeker: str, supporter: str) -> dict:
    """The dialogue of a layout with these words for the speakers."""
    if key == "content":
        return {"content": [{seeker: "Hi"}, {f"{supporter} Strategy": "Question", supporter: "That hurts."}]}
    field = {"dialog": "speaker", "original_data": "speaker", "conversations": "from"}.get(key, "role")
    record = json.loads(json.dumps(ALL[key]))
    words = {"seeker": seeker, "supporter": supporter, "system": "system"}
    for turn in record[key]["dialog"] if key == "original_data" else record[key]:
        turn[field] = words[ROLES[turn[field]]]
    return record


@pytest.mark.parametrize("key", ALL)
@pytest.mark.parametrize(("seeker", "supporter"), PAIRS)
def test_the_words_of_corpora_are_known_in_every_layout(
    tmp_path: Path, key: str, seeker: str, supporter: str
):
    (dialogue,) = load_corpus(write(tmp_path / "a.json", [renamed(key, seeker, supporter)]), "esconv")
    assert [(turn.role, turn.text) for turn in dialogue.turns] == [
        ("seeker", "Hi"),
        ("supporter", "That hurts."),
    ]


@pytest.mark.parametrize("key", ALL)
def test_the_user_says_who_an_unknown_word_is(tmp_path: Path, key: str):
    file = write(tmp_path / "a.json", [renamed(key, "Customer", "Agent 1")])
    with pytest.raises(InputError, match=r'unknown role "Customer": say in prepare\.roles whether') as error:
        load_corpus(file, "esconv")
    assert str(error.value).startswith(f"{file}: record 0 (esconv-0000): field {key}.")
    (dialogue,) = load_corpus(file, "esconv", {"customer": "seeker", "agent 1": "supporter"})
    assert [turn.role for turn in dialogue.turns] == ["seeker", "supporter"]


def test_what_the_user_says_counts_before_what_is_known(tmp_path: Path):
    file = write(tmp_path / "a.json", [renamed("messages", "assistant", "user")])
    assert [turn.role for turn in load_corpus(file, "x")[0].turns] == ["supporter", "seeker"]
    named = {"assistant": "seeker", "user": "supporter"}
    assert [turn.role for turn in load_corpus(file, "x", named)[0].turns] == ["seeker", "supporter"]


def test_a_word_can_be_a_system_message(tmp_path: Path):
    record = {"messages": [{"role": "Narrator", "content": "A shop."}, *ALL["messages"]["messages"][1:]]}
    (dialogue,) = load_corpus(write(tmp_path / "a.json", [record]), "x", {"narrator": "system"})
    assert dialogue.meta == {"system": "A shop."}


def test_two_words_for_one_speaker_are_a_dialogue_of_one(tmp_path: Path):
    file = write(tmp_path / "a.json", [renamed("dialog", "human", "user")])
    with pytest.raises(InputError, match=r"one-sided dialogue: only seeker turns; prepare\.roles can say"):
        load_corpus(file, "x")
    both = write(tmp_path / "b.json", [{"content": [{"User": "a", "Human": "b"}, {"AI": "c"}]}])
    with pytest.raises(InputError, match="the same speaker twice: User, Human"):
        load_corpus(both, "x")


def test_names_of_fields_may_hold_invisible_characters(tmp_path: Path):
    record = {"\ufeffdialog": [], "emotion_type\u200b": "fear"}
    for role, text, strategy in (("seeker", "Hi", ""), ("supporter", "Yes.", "\u200bquestion\ufeff")):
        turn = {"speaker\u200b": role, "\u2060content": text, "annotation": {"strategy": strategy}}
        record["\ufeffdialog"].append(turn)
    (dialogue,) = load_corpus(write(tmp_path / "a.json", [record]), "x")
    assert [turn.strategies for turn in dialogue.turns] == [[], ["Question"]]
    assert dialogue.meta == {"emotion": "fear"}
    extes = {"content": [{"User\u200b": "Hi"}, {"\ufeffAI Strategy": "\u200b", "AI": "Yes."}]}
    (dialogue,) = load_corpus(write(tmp_path / "b.json", [extes]), "x")
    assert [turn.strategies for turn in dialogue.turns] == [[], []]


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ("{agent: seeker, agent : supporter}", "field prepare.roles: the same role twice: agent, AGENT"),
        ("{agent: helper}", "field prepare.roles.agent: .*'seeker', 'supporter' or 'system'"),
        ("[agent]", "field prepare.roles: "),
        ("{0: seeker}", "field prepare.roles.0.*string"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_named(tmp_path: Path, roles: str, message: str):
    text = roles.replace("agent :", "AGENT:")
    (tmp_path / "params.yaml").write_text(f"prepare: {{seed: 1, roles: {text}}}", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_params("prepare", RoleParams, tmp_path / "params.yaml")


def test_the_parameter_is_read_as_words_are(tmp_path: Path):
    (tmp_path / "params.yaml").write_text("prepare: {roles: {Support_Agent: supporter}}", encoding="utf-8")
    roles = read_params("prepare", RoleParams, tmp_path / "params.yaml").roles
    assert speaker("support agent\u200b", roles) == "supporter"
    (tmp_path / "params.yaml").write_text("prepare: {roles: null}", encoding="utf-8")
    assert read_params("prepare", RoleParams, tmp_path / "params.yaml").roles is None


@given(word=st.text(max_size=12) | st.sampled_from(sorted(ROLES)).map(str.upper))
def test_a_word_is_known_or_refused_and_then_the_parameter_makes_it_known(word: str):
    if known_as(word) in ROLES:
        assert speaker(word, None) == ROLES[known_as(word)]
        return
    with pytest.raises(ValueError, match=r"unknown role .* say in prepare\.roles") as error:
        speaker(word, None)
    assert json.dumps(word) in str(error.value)
    assert speaker(word, {known_as(word): "seeker"}) == "seeker"


@given(
    seeker=st.sampled_from(sorted(word for word, role in ROLES.items() if role == "seeker")),
    supporter=st.sampled_from(sorted(word for word, role in ROLES.items() if role == "supporter")),
    change=st.sampled_from(
        [str.upper, str.title, lambda word: f" {word}\u200d", lambda word: word.replace(" ", "-")]
    ),
)
def test_known_words_give_the_speakers_in_any_spelling(seeker: str, supporter: str, change):
    assert (speaker(change(seeker), None), speaker(change(supporter), None)) == ("seeker", "supporter")
