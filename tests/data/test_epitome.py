"""EPITOME's files: which replies make pairs, and what is wrong with a file in one line."""

import csv
from pathlib import Path

import pytest

from selfevolve.data.epitome import COLUMNS, FILES, empathy_pairs, read_replies
from selfevolve.runtime.errors import InputError
from stages.rewards.human_pairs import is_none

ROWS = [
    ("p1", "r1", "I am sad.", "Why?"),
    ("p1", "r2", "I am sad.", "I feel for you."),
    ("p2", "r3", "Hm.", "Ok."),
]
LEVELS = [(0, 2, 0), (1, 0, 0), (1, 2, 2)]  # a file each


def write(folder: Path, levels: list[tuple[object, ...]] = LEVELS) -> Path:
    folder.mkdir()
    for name, rated in zip(FILES, levels, strict=True):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*COLUMNS, "rationales"])
            for row, level in zip(ROWS, rated, strict=True):
                writer.writerow([*row, level, ""])
    return folder


def test_of_two_replies_to_a_post_the_more_empathic_is_chosen(tmp_path: Path):
    pairs, counts = empathy_pairs(read_replies(write(tmp_path / "e"))[0], "S")
    (pair,) = pairs
    assert (pair.id, pair.system, pair.conversations[0].value) == ("epitome-p1#1", "S", "I am sad.")
    assert (pair.chosen.value, pair.rejected.value) == ("I feel for you.", "Why?")
    assert counts == {"replies": 3, "posts": 2, "equal_level": 0, "pairs": 1}


def test_equal_levels_prefer_nothing(tmp_path: Path):
    replies, _ = read_replies(write(tmp_path / "e", [(0, 1, 0), (1, 0, 0), (0, 0, 0)]))
    pairs, counts = empathy_pairs(replies, "S")
    assert (pairs, counts["equal_level"]) == ([], 1)


def test_a_level_that_is_none_is_named(tmp_path: Path):
    folder = write(tmp_path / "e", [(0, 2, 0), (1, 7, 0), (1, 2, 2)])
    with pytest.raises(InputError, match="row 3") as raised:
        read_replies(folder)
    assert "explorations-reddit.csv" in str(raised.value)
    assert "level" in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path):
    folder = write(tmp_path / "e")
    (folder / FILES[2]).unlink()
    with pytest.raises(InputError, match=r"interpretations-reddit\.csv"):
        read_replies(folder)


def test_a_reply_that_is_not_rated_thrice_and_a_repeated_row_are_counted(tmp_path: Path):
    folder = write(tmp_path / "e")
    lines = (folder / FILES[0]).read_text().splitlines(keepends=True)
    (folder / FILES[0]).write_text(
        "".join([*lines[:3], lines[1]])
    )  # without the third reply, the first twice
    replies, left_out = read_replies(folder)
    assert [reply.text for reply in replies] == ["Why?", "I feel for you."]
    assert left_out == {"not_rated_thrice": 1, "repeated": 1}


@pytest.mark.parametrize("content", [None, "sp_id,rp_id\n"])
def test_what_is_neither_epitome_s_folder_nor_an_empty_file_is_named(tmp_path: Path, content: str | None):
    """One file of the three, or a mistyped folder, must not pass for no EPITOME at all."""
    if content is not None:
        (tmp_path / "x").write_text(content)
    with pytest.raises(InputError, match="must be the folder"):
        is_none(tmp_path / "x")
    (tmp_path / "empty").write_text("\n")
    assert is_none(tmp_path / "empty")
    assert not is_none(tmp_path)
