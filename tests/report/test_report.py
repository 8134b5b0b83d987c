"""The report's numbers are those of the metrics files, and what is not there is never a number."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from selfevolve.report import __main__ as report
from selfevolve.report.paper import paper
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json
from tests.conftest import run_here, run_stage, stage_environment
from tests.support.reports import Page, make_report, text_scores, write_project

TASKS = ("gsm8k", "ifeval", "truthfulqa_mc2", "openbookqa", "mmlu_pro")
TABLE_1 = {
    "sessions": 7,
    "seeker_turns": 1,
    "supporter_turns": 1,
    "turns_per_session": 12.5,
    "words_per_utterance": 9.25,
    "words_per_seeker_utterance": 8.13,
    "words_per_supporter_utterance": None,
}


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, {})


def measured(values: dict[str, tuple[float, float | None]], **more: Any) -> dict[str, Any]:
    """The contents of a capability.json."""
    tasks = {
        name: {"headline": "acc", "metrics": {"acc": {"value": value, "stderr": error}}, "items": 4}
        for name, (value, error) in values.items()
    }
    score = {name: value for name, (value, _) in values.items()}
    return {"score": score, "tasks": tasks, "not_available": {}, "limit": None, **more}


def test_every_table_of_the_paper_is_there_with_all_of_its_numbers():
    html, markdown = make_report()
    page = Page(html)
    for number, table in paper().tables.items():
        caption = next(name for name in page.tables if name.startswith(f"Table {number}. "))
        rows = page.tables[caption]
        for row in table.rows:
            values = [
                f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values.values()
            ]
            found = [cells for cells in rows if cells[:2] == [row.row, "paper"]]
            assert values in [[cell.split()[0] for cell in cells[2:]] for cells in found], row
            for gain in row.gains.values():
                assert any(f"{gain:+.2f} %" in cell for cells in found for cell in cells)
        assert f"### Table {number}. " in markdown


def test_numbers_on_the_page_are_those_of_the_files(tmp_path: Path):
    vanilla, m2 = text_scores(20.123), text_scores(31.456)
    publish_json(tmp_path / "metrics/vanilla/text.json", vanilla)
    publish_json(tmp_path / "metrics/m2/text.json", m2)
    html, markdown = make_report()
    page = Page(html)
    for row, name, scores in (("Vanilla", "vanilla", vanilla), ("M2", "m2", m2)):
        shown = [f"{scores['paper'][metric]:.2f}" for metric in paper().tables[2].columns]
        assert page.row("Table 2", row, "workspace") == shown
        assert f"| {row} | workspace | {' | '.join(shown)} |" in markdown
        for protocol in ("paper", "standard"):
            cells = page.row(f"All models in the {protocol} protocol", name)
            assert sorted(cells) == sorted(f"{value:.2f}" for value in scores[protocol].values())
    assert page.row("Table 3", "LLaMA", "workspace: tiny")[0] == f"{vanilla['paper']['bleu_2']:.2f}"


def test_what_was_not_run_says_so_and_is_never_a_zero():
    html, _ = make_report()
    page = Page(html)
    for caption, row, of in (
        ("Table 2", "M2", "workspace"),
        ("Table 3", "with self-reflection", "workspace: tiny"),
        ("Table 4", "M1", "workspace: tiny"),
        ("Table 5", "{SR, P} M2", "workspace: tiny"),
        ("Table 6", "M1", "workspace"),
        ("Table 7", "M0", "workspace: tiny"),
        ("Table 1", "ESConv", "workspace: mini"),
    ):
        assert page.row(caption, row, of)[0] == "not run"
    blocks = page.tables["Table 2. Text metrics on the ESConv test set"]
    assert sum(row[:2] == ["all of them", "this project"] and row[2] == "not run" for row in blocks) == 3
    own = [row for rows in page.tables.values() for row in rows if "workspace" in row[1:2]]
    assert own
    assert not any(re.fullmatch(r"0(\.0+)?", cell) for row in own for cell in row)


@pytest.mark.parametrize(
    "sentence",
    [
        "Figures 3 and 4 are not run",
        "A judge's comparisons of two models are not run",
        "No comparison of two models has been run",
        "Training curves of m0, sft-esconv, sft-synesc, m1, m2",
        "Relevance of the pairs of m1, m2",
        "Phrases of vanilla, strategies",
        "All numbers over the iterations: not run",
        "A dialogue that shows a difference: not run",
        "The study with its controls: not run",
        "Seconds, hardware and packages of the stages: not recorded",
        "What reflections infer of the seeker, by vanilla, strategies",
        "No further test set is named",
    ],
)
def test_an_empty_project_has_a_sentence_where_a_figure_or_a_table_would_be(sentence: str):
    html, markdown = make_report()
    assert "<svg" not in html
    assert sentence in Page(html).text
    assert sentence in markdown


def test_what_is_not_available_says_why(tmp_path: Path):
    scores = text_scores(20)
    del scores["paper"]["meteor"], scores["paper"]["rouge_l"]
    scores["not_available"] = {"meteor": "WordNet cannot be had"}
    publish_json(tmp_path / "metrics/m2/text.json", scores)
    page = Page(make_report()[0])
    cells = page.row("Table 2", "M2", "workspace")
    assert cells[2:4] == ["not available", "not available"]
    assert "meteor of m2 is not available: WordNet cannot be had." in page.text
    assert "rouge_l of m2 is not available: not in metrics/m2/text.json." in page.text


def test_a_zero_that_was_measured_is_a_zero(tmp_path: Path):
    scores = text_scores(20)
    scores["paper"]["bleu_3"] = 0.0
    publish_json(tmp_path / "metrics/m2/text.json", scores)
    assert Page(make_report()[0]).row("Table 2", "M2", "workspace")[1] == "0.00"


def test_corpora_stand_beside_table_1_with_their_own_counts(tmp_path: Path):
    publish_json(tmp_path / "metrics/corpora.json", {"esconv": {"table_1": TABLE_1}, "splits": {"rule": "x"}})
    page = Page(make_report()[0])
    expected = ["7", "12.50", "9.25", "8.13", "not available"]
    assert page.row("Table 1", "ESConv", "workspace: mini") == expected
    assert page.row("Table 1", "ESConv", "paper")[0] == "1295"


def test_benchmarks_have_standard_errors_and_the_average_of_all_five(tmp_path: Path):
    values = {name: (40.0 + number, 3.0) for number, name in enumerate(TASKS)}
    publish_json(tmp_path / "metrics/m2/capability.json", measured(values))
    publish_json(tmp_path / "metrics/m1/capability.json", measured(dict(list(values.items())[:4])))
    publish_json(tmp_path / "metrics/m0/capability.json", {"measured": False, "score": {}})
    page = Page(make_report()[0])
    # five independent errors of 3: the mean's is 3 / sqrt(5)
    assert page.row("Table 4", "M2", "workspace: tiny") == [
        *(f"{value:.2f} ± 3.00" for value, _ in values.values()),
        "42.00 ± 1.34",
    ]
    assert page.row("Table 4", "M1", "workspace: tiny")[4:] == ["not run", "not available"]
    assert page.row("Table 4", "M0", "workspace: tiny")[0] == "not available"
    assert "metrics/m0/capability.json: not asked for" in page.text
    assert page.row("Every benchmark", "gsm8k", "acc") == ["40.00 ± 3.00", "40.00 ± 3.00"]


def test_a_benchmark_without_an_error_leaves_the_average_without_one(tmp_path: Path):
    values = {name: (50.0, None if name == "ifeval" else 2.0) for name in TASKS}
    publish_json(tmp_path / "metrics/m2/capability.json", measured(values, limit=8))
    page = Page(make_report()[0])
    cells = page.row("Table 4", "M2", "workspace: tiny")
    assert (cells[1], cells[5]) == ("50.00", "50.00")
    assert "metrics/m2/capability.json: only 8 items a benchmark" in page.text


def test_a_judge_s_scores_stand_in_table_7_with_the_correlation_with_people(tmp_path: Path):
    dimensions = list(paper().tables[7].columns)
    scores = {name: {"mean": 3.5, "low": 3.25, "high": 3.75, "count": 9, "failed": 1} for name in dimensions}
    scores["overall"] = {"count": 0, "failed": 10}
    people = {"contexts": 9, "empathy": {"n": 9, "pearson": 0.5}, "overall": {"n": 0, "not_available": "x"}}
    document = {
        "judge": {"kind": "openai", "model": "a judge", "rubrics": 16 * "abcd", "not_sent": ["top_k"]},
        "scores": scores,
        "verdicts": {"asked": 70, "decided": 63},
        "human": people,
    }
    publish_json(tmp_path / "metrics/m1/judge.json", document)
    page = Page(make_report()[0])
    cells = page.row("Table 7", "M1", "workspace: tiny")
    assert cells == ["3.50 [3.25, 3.75]"] * 6 + ["not available"]
    assert "the judge is a judge (openai), its rubrics abcdabcdabcd; of 70 questions 63 have" in page.text
    assert "Not sent to it: top_k." in page.text
    correlation = page.row("Table 7", "Pearson with people", "workspace: tiny, M1")
    assert (correlation[2], correlation[6]) == ("50.00", "not available")


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("metrics/m2/text.json", "{", "not JSON"),
        ("metrics/m2/text.json", "[]", "not a JSON object"),
        ("metrics/m2/text.json", '{"paper": {"bleu_2": NaN}}', "field paper.bleu_2: is not a number"),
        ("metrics/m2/text.json", '{"paper": {"bleu_2": "20"}}', "field paper.bleu_2: is not a number"),
        ("metrics/m2/text.json", '{"paper": [1]}', "field paper: is not an object"),
        ("metrics/m2/intervals.json", "nothing", "not JSON"),
        ("metrics/comparisons/m0-m2.json", '{"pairs": [1]}', "is not an object"),
        ("metrics/m1/relevance.csv", "relevance,chosen_percent\n0.1,x\n", "field chosen_percent"),
        ("metrics/sample.json", '{"id": "a", "messages": 1}', "field messages"),
        ("metrics/study/study.json", '{"seeds": 1}', "field seeds"),
        ("data/m0/responses.jsonl", '{"id": 1}\n', "line 1"),
        ("params.yaml", "a: [", "not YAML"),
        ("dvc.lock", "- 1\n", "not a mapping"),
    ],
)
def test_a_broken_file_is_named_in_one_line(path: str, content: str, words: str, tmp_path: Path):
    write_project(tmp_path, {"metrics/m2/text.json": text_scores(20)})
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(content)
    with pytest.raises(InputError) as raised:
        make_report()
    message = str(raised.value)
    assert message.startswith(path)
    assert words in message
    assert "\n" not in message


def test_a_broken_file_ends_the_stage_and_leaves_the_old_page(tmp_path: Path):
    write_project(tmp_path, {"metrics/m2/text.json": "{", "metrics/report/index.html": "old"})
    done = run_here("selfevolve.report", "--out", "metrics/report", cwd=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r"error: metrics/m2/text\.json: not JSON: .*\n", done.stderr)
    assert (tmp_path / "metrics/report/index.html").read_text() == "old"
    assert [file.name for file in (tmp_path / "metrics/report").iterdir()] == ["index.html"]


def test_no_parameters_are_an_error_and_not_an_empty_page(tmp_path: Path):
    (tmp_path / "params.yaml").unlink()
    with pytest.raises(InputError, match=r"params\.yaml: no such file"):
        report.main(["--out", "metrics/report"])


def test_the_report_needs_no_model_library(tmp_path: Path):
    publish_json(tmp_path / "metrics/m2/text.json", text_scores(20))
    (tmp_path / "metrics/m0").mkdir()
    (tmp_path / "metrics/m0/curves.csv").write_text("step,loss\n1,2\n2,1\n")
    code = "import sys; from selfevolve.report import __main__ as report; "
    code += "report.main(['--out', 'metrics/report']); print("
    code += (
        "sorted({'torch', 'transformers', 'scipy', 'dvc'} & sys.modules.keys()), 'matplotlib' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=stage_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[] True"


def test_the_same_files_give_the_same_bytes(tmp_path: Path):
    files = {
        f"metrics/{model}/text.json": text_scores(20 + at) for at, model in enumerate(("m0", "m1", "m2"))
    }
    curves = "step,loss,reward_margin\n" + "".join(f"{at},{1 / at},{at}\n" for at in range(1, 9))
    files |= {f"metrics/{model}/curves.csv": curves for model in ("m0", "m1", "m2")}
    write_project(tmp_path, files)
    made = []
    for start in (run_here, run_stage):  # the second in a process of its own, whose sets have another order
        assert start("selfevolve.report", "--out", "metrics/report", cwd=tmp_path).returncode == 0
        made.append(
            [(tmp_path / "metrics/report" / name).read_bytes() for name in ("index.html", "report.md")]
        )
    assert made[0] == made[1]
    assert b"<svg" in made[0][0]


def test_a_run_of_the_registry_s_own_models_is_shown_whole(tmp_path: Path):
    params = json.loads(json.dumps({"m0": {"policy": "models/m0", "prompt": "task"}}))
    params |= {f"m{n}": {"policy": f"models/m{n}", "prompt": "task"} for n in (1, 2, 3)}
    chain = {f"m{n}": {"prev": f"m{n - 1}", "part": 1} for n in (1, 2, 3)}
    files = {f"metrics/m{n}/text.json": text_scores(20 + n) for n in range(4)}
    write_project(tmp_path, files, {"models": params, "iterations": chain})
    page = Page(make_report()[0])
    cells = page.row("Table 6", "M3", "workspace")
    assert cells[0] == f"{files['metrics/m3/text.json']['paper']['bleu_2']:.2f} {100 / (22 + 2.02):+.2f} %"
    assert [
        row[0] for row in page.tables[next(t for t in page.tables if t.startswith("All models"))][1:]
    ] == [
        "m0",
        "m1",
        "m2",
        "m3",
    ]
