"""Text metrics in both protocols: golden values, cases worked out by hand, properties, and the stage."""

import json
import marshal
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.scoring import protocols, semantic, text, tokens, wordnet

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ESC_SHARED", REPOSITORY.parent / "shared"))

WORDS = st.lists(
    st.sampled_from(["I", "you", "sad", ",", ".", "don't", "ok", "12", "é", "你好", "the"]), max_size=12
)
TEXTS = st.one_of(WORDS.map(" ".join), st.text(max_size=30))
RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="session")
def wordnet_folder(tmp_path_factory):
    try:
        return wordnet.open_wordnet().folder
    except wordnet.WordNetUnavailable as absence:
        archive = SHARED / "data" / "wordnet" / "wordnet.zip"
        if not archive.is_file():
            pytest.skip(f"METEOR needs WordNet: {absence}")
        folder = tmp_path_factory.mktemp("nltk_data")
        (folder / "corpora").mkdir()
        shutil.copy(archive, folder / "corpora")
        return folder


@pytest.fixture(scope="session")
def reader(wordnet_folder):
    return wordnet.open_wordnet([wordnet_folder]).reader


def run_stage(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "stages.score", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
    )


def write_lines(path, *values):
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


# Golden values


def test_the_golden_pairs_are_reproduced_by_the_stage(tmp_path, wordnet_folder):
    golden = SHARED / "golden" / "text_metrics.json"
    if not golden.is_file():
        pytest.skip("the golden pairs are not on this machine")
    content = json.loads(golden.read_text(encoding="utf-8"))
    pairs = write_lines(tmp_path / "pairs.jsonl", *content["pairs"])
    done = run_stage(
        *("--pairs", pairs, "--out", tmp_path / "out.json", "--no-semantic"),
        *("--details", tmp_path / "details.jsonl"),
        cwd=tmp_path,
        NLTK_DATA=str(wordnet_folder),
    )
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


# By hand


@pytest.mark.parametrize(
    ("response", "reference", "expected"),
    [
        # The tokens are the letters and the space between them.
        ("a b", "a b", [100, 100, 100, 100 * 0.5**0.25]),  # no 4-gram: smoothed to 1/2
        ("a b", "a b c", [100 * math.exp(1 - 5 / 3) * share for share in (1, 1, 1, 0.5**0.25)]),
        # 1 of 3 unigrams (the space); then 1/(2*2), 1/(4*1), 1/(8*1)
        ("x y", "a b", [100 / 3, 100 / 12**0.5, 100 / 48 ** (1 / 3), 100 / 384**0.25]),
        ("x", "a b", [0, 0, 0, 0]),
        ("A", "a", [0, 0, 0, 0]),  # case counts
        ("", "a b", [0, 0, 0, 0]),
        (" \n", "a b", [0, 0, 0, 0]),
    ],
)
def test_paper_bleu(response, reference, expected):
    assert text.bleu(response, reference) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("a a a", [200 / 5, 200 / 4, 200 / 3]),
        ("A a", [100, 100, 100]),
        ("a", [100, 0, 0]),
        ("", [0, 0, 0]),
        ("  ", [0, 0, 0]),
    ],
)
def test_paper_distinct(response, expected):
    assert text.distinct(response) == pytest.approx(expected)


def test_standard_bleu():
    scores, signature = text.corpus_bleu(["The cat sat", "dogs"], ["the cat sat down", "a dog"])
    brevity = math.exp(1 - 6 / 4)
    assert scores == pytest.approx(
        [75 * brevity, 100 * 0.75**0.5 * brevity, 100 * 0.75 ** (1 / 3) * brevity, 0]
    )
    assert "case:lc" in signature
    assert text.corpus_bleu(["", ""], ["a b", "c"])[0] == [0, 0, 0, 0]


def test_standard_distinct_is_of_the_corpus_and_crosses_no_response():
    assert text.corpus_distinct(["a a", "A b", ""]) == pytest.approx([50, 100, 0])
    assert text.corpus_distinct(["don't do"]) == pytest.approx([200 / 3, 100, 100])  # do n't do
    assert text.corpus_distinct(["", " "]) == [0, 0, 0]


def test_rouge_l():
    assert text.rouge_l("the cat sat", "The cat is sitting!") == pytest.approx(100 * 4 / 7)  # 2 of 3, 2 of 4
    assert text.rouge_l("cats", "cat") == 0  # no stemming
    assert text.rouge_l("", "cat") == 0


def test_meteor(reader):
    # 2 matches in 2 chunks, precision 1, recall 2/3: half of 10 P R / (R + 9 P)
    assert text.meteor("the cat", "The dog cat", reader) == pytest.approx(50 * (20 / 3) / (2 / 3 + 9))
    # a synonym matches: 3 matches in one chunk
    assert text.meteor("the auto stopped", "the car stopped", reader) == pytest.approx(100 * (1 - 0.5 / 27))
    assert text.meteor("", "the cat", reader) == 0


def test_a_cache_file_that_somebody_left_for_jieba_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "jieba.cache").write_bytes(marshal.dumps(({"我": 0, "我喜": 9}, 9)))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tokens, "_jieba", tokens._jieba.__wrapped__)
    pieces = tokens.jieba_pieces.__wrapped__("我喜欢图书馆 OK")
    assert pieces == ("我", "喜欢", "图书馆", " ", "OK")
    assert os.listdir(tmp_path) == ["jieba.cache"]


def test_a_mean_is_rounded_once():
    assert text.mean([0.1] * 10) == 0.1


# Properties


@RELAXED
@given(response=TEXTS, reference=TEXTS.filter(str.strip))
def test_every_metric_stays_between_0_and_100(reader, response, reference):
    values = [*text.bleu(response, reference), *text.distinct(response), text.rouge_l(response, reference)]
    values += [text.meteor(response, reference, reader), *text.corpus_distinct([response])]
    values += text.corpus_bleu([response], [reference])[0]
    assert all(0 <= value <= 100 + 1e-9 for value in values)
    if not response.strip():
        assert not any(values)


@RELAXED
@given(words=st.lists(st.sampled_from(["sad", "tired", "lonely", "work", "hope"]), min_size=4, max_size=9))
def test_a_response_equal_to_its_reference_scores_the_most(reader, words):
    same = " ".join(words)
    assert [*text.bleu(same, same), text.rouge_l(same, same)] == pytest.approx([100] * 5)
    assert text.corpus_bleu([same], [same])[0] == pytest.approx([100] * 4)
    assert text.meteor(same, same, reader) == pytest.approx(100 * (1 - 0.5 / len(words) ** 3))


@RELAXED
@given(
    pairs=st.lists(st.tuples(TEXTS, TEXTS.filter(str.strip)), min_size=1, max_size=6), seed=st.integers(0, 99)
)
def test_corpus_scores_do_not_depend_on_the_order_of_the_pairs(pairs, seed):
    shuffled = random.Random(seed).sample(pairs, len(pairs))
    (one, other), (responses, references) = zip(*pairs, strict=True), zip(*shuffled, strict=True)
    assert text.corpus_bleu(one, other) == text.corpus_bleu(responses, references)
    assert text.corpus_distinct(one) == text.corpus_distinct(responses)
    for metric in range(4):
        assert text.mean([text.bleu(*pair)[metric] for pair in pairs]) == text.mean(
            [text.bleu(*pair)[metric] for pair in shuffled]
        )


# The stage


def test_what_is_not_on_the_machine_is_left_out_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(wordnet, "search_path", lambda: [tmp_path])
    monkeypatch.setattr(semantic, "MINILM_PACKAGE", "no-such-package")
    summary = protocols.score(["a"], ["a"], encoder="minilm").summary()
    assert summary["not_available"].keys() == {"meteor", "bertscore"}
    assert "WordNet was not found" in summary["not_available"]["meteor"]
    assert "no-such-package is not installed" in summary["not_available"]["bertscore"]
    for protocol in ("paper", "standard"):
        assert not {"meteor", "bertscore"} & summary[protocol].keys()
        assert summary[protocol]["bleu_1"] == pytest.approx(100)


def test_an_encoder_of_the_hub_without_a_network_is_not_available(tmp_path, wordnet_folder):
    pairs = write_lines(tmp_path / "pairs.jsonl", {"response": "a", "reference": "a"})
    (tmp_path / "params.yaml").write_text("score: {encoder: roberta-large}\n")
    done = run_stage(
        *("--pairs", pairs, "--out", tmp_path / "out.json"),
        cwd=tmp_path,
        **{"NLTK_DATA": str(wordnet_folder), "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
    )
    scores = json.loads((tmp_path / "out.json").read_text())
    assert done.returncode == 0
    assert "bertscore: not available (roberta-large" in done.stdout
    assert scores["not_available"].keys() == {"bertscore"}
    assert "meteor" in scores["paper"]


def test_records_are_matched_by_id_and_bertscore_is_in_both_protocols(tmp_path, wordnet_folder):
    message = {"role": "user", "content": "hi"}
    contexts = [{"id": f"d#{n}", "messages": [message], "golden": f"I see {n}"} for n in (1, 2, 10)]
    common = {"finish_reason": "stop", "attempt": 1, "model": "m"}
    responses = [{"id": f"d#{n}", "text": f"I see {n}", **common} for n in (10, 2, 1)]
    write_lines(tmp_path / "c.jsonl", *contexts)
    write_lines(tmp_path / "r.jsonl", *responses)
    (tmp_path / "params.yaml").write_text("score: {encoder: minilm, batch_size: 2}\n")
    arguments = ["--responses", "r.jsonl", "--contexts", "c.jsonl", "--out", "o.json", "--details", "d.jsonl"]
    done = run_stage(*arguments, cwd=tmp_path, NLTK_DATA=str(wordnet_folder))
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
        done = run_stage(*arguments, cwd=tmp_path)
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
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
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
        (b'{"response": "\\ud800", "reference": "b"}\n', "pairs.jsonl: record 1: field response: holds half"),
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
    done = run_stage("--pairs", "pairs.jsonl", "--out", "o.json", "--no-semantic", cwd=tmp_path)
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
    done = run_stage("--pairs", "pairs.jsonl", "--out", "o.json", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"field {message}" in done.stderr
    assert not (tmp_path / "o.json").exists()


def test_a_folder_is_never_overwritten_by_scores(tmp_path):
    (tmp_path / "pairs.jsonl").write_bytes(GOOD)
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "kept.json").touch()
    done = run_stage("--pairs", "pairs.jsonl", "--out", "metrics", "--no-semantic", cwd=tmp_path)
    assert done.returncode == 1
    assert (tmp_path / "metrics" / "kept.json").exists()
