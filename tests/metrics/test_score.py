"""The stage score: the golden pairs, records by their ids, what is not on the machine, and bad input."""

import json
import subprocess
import sys

import pytest

from selfevolve.metrics import protocols, semantic
from selfevolve.nltk_data import lookup
from tests.conftest import SHARED, run_here, stage_environment


def write_lines(path, *values):
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


@pytest.mark.usefixtures("with_wordnet")
def test_the_golden_pairs_are_reproduced_by_the_stage(tmp_path):
    golden = SHARED / "golden" / "text_metrics.json"
    if not golden.is_file():
        pytest.skip("the golden pairs are not on this machine")
    content = json.loads(golden.read_text(encoding="utf-8"))
    pairs = write_lines(tmp_path / "pairs.jsonl", *content["pairs"])
    arguments = ("--pairs", pairs, "--out", "out.json", "--no-semantic", "--details", "details.jsonl")
    done = run_here("score", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    scores = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    signature = content["expected"]["standard"].pop("sacrebleu_signature")
    assert scores["signatures"]["standard_bleu"] == signature
    for protocol, expected in content["expected"].items():
        assert scores[protocol] == pytest.approx(expected, abs=1e-6)
    assert (scores["count"], scores["empty"]) == (200, 1)
    details = [json.loads(line) for line in (tmp_path / "details.jsonl").open(encoding="utf-8")]
    assert [detail["id"] for detail in details] == [f"pair#{number}" for number in range(1, 201)]
    for metric, value in scores["paper"].items():
        assert sum(detail[metric] for detail in details) / 200 == pytest.approx(value)


def test_what_is_not_on_the_machine_is_left_out_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(lookup, "search_path", lambda: [tmp_path])
    monkeypatch.setattr(semantic, "MINILM_PACKAGE", "no-such-package")
    pair = protocols.Pair(response="a b c d", reference="a b c d")
    summary = protocols.score([pair], protocols.ScoreParams()).summary()
    assert summary["not_available"].keys() == {"meteor", "bertscore"}
    assert "WordNet was not found" in summary["not_available"]["meteor"]
    assert "no-such-package is not installed" in summary["not_available"]["bertscore"]
    for protocol in ("paper", "standard"):
        assert not {"meteor", "bertscore"} & summary[protocol].keys()
        assert summary[protocol]["bleu_1"] == pytest.approx(100)


@pytest.mark.usefixtures("with_wordnet")
def test_an_encoder_of_the_hub_without_a_network_is_not_available(tmp_path):
    pairs = write_lines(tmp_path / "pairs.jsonl", {"response": "a b c d", "reference": "a b c d"})
    (tmp_path / "params.yaml").write_text("score: {encoder: nobody/no-such-encoder}\n")
    done = run_here("score", "--pairs", pairs, "--out", "out.json", cwd=tmp_path)
    scores = json.loads((tmp_path / "out.json").read_text())
    assert done.returncode == 0
    assert "bertscore: not available (nobody/no-such-encoder" in done.stdout
    assert scores["not_available"].keys() == {"bertscore"}
    assert "meteor" in scores["paper"]


@pytest.mark.usefixtures("with_wordnet")
def test_records_are_matched_by_id_and_bertscore_is_in_both_protocols(tmp_path):
    message = {"role": "user", "content": "hi"}
    contexts = [{"id": f"d#{n}", "messages": [message], "golden": f"I see {n}"} for n in (1, 2, 10)]
    common = {"finish_reason": "stop", "attempt": 1, "model": "m"}
    responses = [{"id": f"d#{n}", "text": f"I see {n}", **common} for n in (10, 2, 1)]
    write_lines(tmp_path / "c.jsonl", *contexts)
    write_lines(tmp_path / "r.jsonl", *responses)
    (tmp_path / "params.yaml").write_text("score: {encoder: minilm, batch_size: 2}\n")
    arguments = ["--responses", "r.jsonl", "--contexts", "c.jsonl", "--out", "o.json", "--details", "d.jsonl"]
    done = run_here("score", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    scores = json.loads((tmp_path / "o.json").read_text())
    assert scores["paper"]["bleu_1"] == pytest.approx(100)
    assert scores["paper"]["bertscore"] == scores["standard"]["bertscore"] == pytest.approx(100, abs=1e-3)
    assert "encoder:minilm|layers:6" in scores["signatures"]["bertscore"]
    assert (scores["count"], scores["empty"], scores["mean_words"]) == (3, 0, 3)
    assert [json.loads(line)["id"] for line in (tmp_path / "d.jsonl").open()] == ["d#1", "d#2", "d#10"]
    for file, lines, missing in (("r.jsonl", responses[:2], "d#1"), ("c.jsonl", contexts[1:], "d#1")):
        kept = (tmp_path / file).read_bytes()
        write_lines(tmp_path / file, *lines)
        (tmp_path / "o.json").unlink(missing_ok=True)
        done = run_here("score", *arguments, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"{file}: record {missing}: " in done.stderr
        assert not (tmp_path / "o.json").exists()
        (tmp_path / file).write_bytes(kept)


def test_without_bertscore_no_model_library_is_imported(tmp_path):
    write_lines(tmp_path / "pairs.jsonl", {"response": "a b", "reference": "a"})
    program = (
        "import sys; from stages.score import main; light = set(sys.modules); main();"
        "assert not {'nltk', 'jieba', 'numpy'} & light, 'import of the stage';"
        "assert not {'torch', 'transformers', 'bert_score'} & set(sys.modules), 'run of the stage'"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--pairs", "pairs.jsonl", "--out", "o.json", "--no-semantic"],
        cwd=tmp_path,
        env=stage_environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "o.json").read_text())["not_available"]["bertscore"] == "switched off"


GOOD = b'{"response": "a", "reference": "b"}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + b"{oops\n", "pairs.jsonl: record line 2: not JSON"),
        (GOOD + b'{"response": "a"}\n', "line 2: field reference"),
        (GOOD + b'{"response": 3, "reference": "b"}\n', "line 2: field response"),
        (b'{"response": "a", "reference": " "}\n', "line 1: field reference"),
        (b'{"response": "\\ud800", "reference": "b"}\n', "record line 1: field response: half a character"),
        (b'["a", "b"]\n', "pairs.jsonl: record line 1"),
        (GOOD + b'{"response": "\xff", "reference": "b"}\n', "not valid UTF-8"),
        (b"\n", "pairs.jsonl: holds nothing to score"),
        (b"", "pairs.jsonl: holds nothing to score"),
        (None, "pairs.jsonl: no such file"),
    ],
)
def test_bad_pairs_give_one_line_and_no_output(tmp_path, content, message):
    if content is not None:
        (tmp_path / "pairs.jsonl").write_bytes(content)
    done = run_here("score", "--pairs", "pairs.jsonl", "--out", "o.json", "--no-semantic", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (1, 1, "")
    assert message in done.stderr
    assert not (tmp_path / "o.json").exists()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("score: {batch_size: 0}", "score.batch_size"),
        ("score: {encoders: x}", "score.encoders"),
        ("a: 1", "score"),
    ],
)
def test_bad_parameters_give_one_line_and_no_output(tmp_path, params, message):
    (tmp_path / "pairs.jsonl").write_bytes(GOOD)
    (tmp_path / "params.yaml").write_text(params)
    done = run_here("score", "--pairs", "pairs.jsonl", "--out", "o.json", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"field {message}" in done.stderr
    assert not (tmp_path / "o.json").exists()


def test_a_folder_is_never_overwritten_by_scores(tmp_path):
    (tmp_path / "pairs.jsonl").write_bytes(GOOD)
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "kept.json").touch()
    done = run_here("score", "--pairs", "pairs.jsonl", "--out", "metrics", "--no-semantic", cwd=tmp_path)
    assert done.returncode == 1
    assert (tmp_path / "metrics" / "kept.json").exists()
