"""What the stage compare refuses: files that do not belong together, and options that do not fit."""

import shutil
from pathlib import Path

import pytest

from selfevolve.runtime.errors import InputError
from stages import compare
from tests.conftest import run_here
from tests.support.corpora import MODELS, change_details, make_corpus, options, write_models


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of contexts, and of each model's files, as the pipeline leaves them."""
    return write_models(tmp_path_factory.mktemp("scored"), make_corpus(24, 3, seed=1))


def drop_last(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


BREAK = {
    "no record of this context": lambda folder: drop_last(folder / "m1/responses.jsonl"),
    "of no context that is asked": lambda folder: drop_last(folder / "contexts.jsonl"),
    r"m1/scores\.jsonl: record d023#5: has no": lambda folder: drop_last(folder / "m1/scores.jsonl"),
    r"m1/text\.json: field paper\.bleu_1: is .*, but": lambda folder: change_details(
        folder / "m1", lambda row: row | {"bleu_1": 1.0}
    ),
    r"m1/text\.json: field standard\.bleu_1: is .*, but": lambda folder: rewrite(
        folder / "m1/responses.jsonl", '"text":"', '"text":"I am here. '
    ),
    r"scores\.jsonl: record d000#1: field bertscore: is absent": lambda folder: change_details(
        folder / "m1", lambda row: row if row["id"] == "d000#1" else row | {"bertscore": 1.0}
    ),
    r"scores\.jsonl: record line 1 \(d000#1\): field rouge_l: .*finite": lambda folder: change_details(
        folder / "m1", lambda row: row | {"rouge_l": float("nan")}
    ),
    "field paper.bertscore: is only in the details": lambda folder: change_details(
        folder / "m1", lambda row: row | {"bertscore": 50.0}
    ),
    r"signatures\.standard_bleu: m1's scores are of .*9\.9": lambda folder: rewrite(
        folder / "m1/text.json", "smooth:exp|version:2", "smooth:exp|version:9.9"
    ),
    r"m1/facts\.jsonl: record d\d+#3: field known: is not what": lambda folder: rewrite(
        folder / "m1/facts.jsonl", '"known":["problem"', '"known":["trait"'
    ),
    r"m1/text\.json: not JSON": lambda folder: (folder / "m1/text.json").write_text("{"),
    r"m1/text\.json: field standard: missing": lambda folder: rewrite(
        folder / "m1/text.json", '"standard"', '"other"'
    ),
    r"facts\.jsonl: no such file": lambda folder: (folder / "m1/facts.jsonl").unlink(),
    r"contexts\.jsonl: has no contexts": lambda folder: (folder / "contexts.jsonl").write_text(""),
    r"params\.yaml: field compare\.resamples": lambda folder: rewrite(
        folder / "params.yaml", "resamples: 1000", "resamples: 999"
    ),
}


@pytest.mark.parametrize("message", BREAK)
def test_what_does_not_belong_together_is_named_and_nothing_is_written(
    scored: Path, tmp_path: Path, message: str
):
    shutil.copytree(scored, tmp_path / "w")
    BREAK[message](tmp_path / "w")
    with pytest.raises(InputError, match=message):
        compare.main([*options(tmp_path / "w", *MODELS), "--pair", "m0:m1"])
    assert not (tmp_path / "w/out.json").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ["--pair", "m0"],
        ["--pair", "m0:m0"],
        ["--pair", "m0:m2"],
        ["--responses", "m0=again.jsonl"],
        ["--responses", "m2=other.jsonl"],
        ["--facts", "m2=facts.jsonl"],
        ["--details", "scores.jsonl"],
    ],
)
def test_options_that_do_not_fit_are_an_error_of_usage(
    scored: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as stopped:
        compare.main([*options(scored, *MODELS), *wrong])
    assert stopped.value.code == 2
    assert wrong[0] in capsys.readouterr().err.splitlines()[-1]


def test_as_a_command_it_says_in_one_line_what_is_wrong(scored: Path, tmp_path: Path):
    shutil.copytree(scored, tmp_path / "w")
    drop_last(tmp_path / "w/m0/responses.jsonl")
    done = run_here("compare", *options(tmp_path / "w", "m0"), cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: ")
    assert not (tmp_path / "w/out.json").exists()
