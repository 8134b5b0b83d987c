"""What `stages.capability` says of bad parameters, bad rows, and rows that it cannot have."""

from pathlib import Path

import pytest
import yaml

from selfevolve.benchmarks.measure import Settings
from selfevolve.benchmarks.tasks import check_names, load_tasks, needs_hub
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.parameters import read_params
from tests.conftest import run_here
from tests.support.benchmark_rows import SMOKE


def spoil(path: Path, text: str | None) -> None:
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8")


GOOD_ROW = '{"question": "q", "answer": "a"}\n'


@pytest.mark.parametrize(
    ("task", "file", "text", "message"),
    [
        ("gsm8k", "gsm8k/test.jsonl", None, "gsm8k/test.jsonl: no such file"),
        ("gsm8k", "gsm8k/train.jsonl", "\n\n", "gsm8k/train.jsonl: no rows"),
        ("gsm8k", "gsm8k/test.jsonl", GOOD_ROW + '{"question": ', "test.jsonl: record line 2: not JSON"),
        ("gsm8k", "gsm8k/test.jsonl", GOOD_ROW + "[1]", "line 2: field question: missing or not a str"),
        ("gsm8k", "gsm8k/test.jsonl", '{"question": "q"}', "line 1: field answer: missing or not a str"),
        (
            "openbookqa",
            "openbookqa/test.jsonl",
            '{"question_stem": "q", "answerKey": "A", "choices": {"text": "x"}}',
            "field choices.text: missing or not a list",
        ),
        ("ifeval", "ifeval/train.jsonl", '{"key": "1"}', "field key: missing or not a int"),
    ],
)
def test_bad_rows(data_dir, task, file, text, message):
    spoil(data_dir / file, text)
    with pytest.raises(InputError, match=message):
        check_names([task], data_dir)


def test_group_member_without_rows(data_dir):
    path = data_dir / "mmlu_pro/test.jsonl"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if '"law"' not in line]
    spoil(path, "\n".join(lines))
    with pytest.raises(InputError, match=r"mmlu_pro/test.jsonl: field category: no row of law"):
        check_names(["mmlu_pro"], data_dir)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"tasks": ["gsm9k"]}, "capability.tasks: unknown task gsm9k; known are gsm8k, ifeval"),
        ({"tasks": []}, "capability.tasks: at least one task"),
        ({"tasks": ["smoke_opposites"] * 2}, "capability.tasks: at least one task, and none twice"),
        ({"tasks": SMOKE, "limit": 0}, "capability.limit: Input should be greater"),
        ({"tasks": SMOKE, "shots": 5}, "capability.shots: Extra inputs"),
        ({"tasks": ["gsm8k"], "data_dir": "nowhere"}, "nowhere/gsm8k/train.jsonl: no such file"),
    ],
)
def test_bad_parameters(tmp_path, section, message):
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"capability": section}), encoding="utf-8")

    def read_and_check():
        settings = read_params("capability", Settings, params)
        check_names(settings.tasks, settings.data_dir)

    with pytest.raises(InputError, match=message):
        read_and_check()


def test_bad_input_ends_the_command_in_one_line(tmp_path):
    params, out = tmp_path / "params.yaml", tmp_path / "out.json"
    params.write_text(yaml.safe_dump({"capability": {"tasks": ["gsm9k"]}}), encoding="utf-8")
    done = run_here("capability", "--policy", "none", "--out", out, "--params", params, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert not out.exists()


def test_rows_of_the_hub_that_cannot_be_had(tmp_path, monkeypatch):
    import datasets
    import huggingface_hub

    # as `go_offline` has them at the start; whoever imported the libraries first may have been online
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(InputError, match=r"cannot load the rows of gsm8k.*capability.data_dir"):
        load_tasks(["gsm8k"], None, tmp_path / "work")


def test_hub_is_needed_only_for_tasks_of_others_without_local_rows(tmp_path):
    assert not needs_hub(SMOKE, None)
    assert not needs_hub([*SMOKE, "gsm8k"], tmp_path)
    assert needs_hub([*SMOKE, "gsm8k"], None)
