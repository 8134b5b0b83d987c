"""What shows nothing is blank, and nothing that shows something is."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from selfevolve.data.cleaning import clean_corpus
from selfevolve.data.corpus import load_corpus
from selfevolve.records.schema import NonEmpty
from selfevolve.records.texts import is_blank, visible
from tests.support.layouts import ESCONV, write

INVISIBLE = {
    "zero width": "\u200b\u200c\u200d\ufeff\u2060",
    "soft hyphen": "\u00ad",
    "variation selectors": "\ufe0f\ufe0e\U000e0101",
    "tags": "\U000e0001\U000e0067\U000e007f",
    "bidi marks": "\u200e\u200f\u202a\u202e\u2066\u2069\u061c",
    "fillers": "\u3164\uffa0\u115f\u1160",
    "joiner and separators": "\u034f\u180e\u2062\u2063",
    "control characters": "\x00\x08\x1b\x7f\x9f",
    "white space": " \t\n\u3000\u2028\x85\xa0\u202f",
    "empty Braille": "\u2800",
    "nothing": "",
}
VISIBLE = [
    "a",
    "\u0301a",
    "我",
    "ש",
    "😢",
    ".",
    "\u0600",
    "٠",
    "\U0001f3f4\U000e0067\U000e007f",
    "\ue000",
    "\u200ba",
]


@pytest.mark.parametrize("name", INVISIBLE)
def test_what_shows_nothing_is_blank(name: str):
    assert is_blank(INVISIBLE[name])
    with pytest.raises(ValidationError, match="shows nothing"):
        TypeAdapter(NonEmpty).validate_python(INVISIBLE[name])


@pytest.mark.parametrize("text", VISIBLE)
def test_what_shows_something_is_not_blank_and_is_kept(text: str):
    assert not is_blank(text)
    assert TypeAdapter(NonEmpty).validate_python(text) == text


@given(text=st.text(max_size=8))
def test_letters_numbers_and_punctuation_are_never_blank(text: str):
    shown = [
        char
        for char in text
        if unicodedata.category(char)[0] in "LNP" and char not in "\u115f\u1160\u3164\uffa0"
    ]
    assert not (shown and is_blank(text))
    assert is_blank(text) == (visible(text) == "")
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize("name", INVISIBLE)
def test_an_utterance_that_shows_nothing_is_dropped_and_counted(name: str, tmp_path):
    said = [*ESCONV["dialog"], {"speaker": "supporter", "content": INVISIBLE[name]}, ESCONV["dialog"][0]]
    file = write(tmp_path / "a.json", [{**ESCONV, "dialog": [*said, ESCONV["dialog"][1]]}])
    (dialogue,), counts = clean_corpus(load_corpus(file, "esconv"), 2)
    assert [turn.text for turn in dialogue.turns] == ["Hi", "That hurts.", "Hi", "That hurts."]
    assert (counts.utterances, counts.blank_dropped, counts.joined) == (5, 1, 0)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\ud83d\u200b"])
def test_half_a_character_is_no_text_of_a_record(text: str):
    with pytest.raises(ValidationError, match="half a character"):
        TypeAdapter(NonEmpty).validate_python(text)
