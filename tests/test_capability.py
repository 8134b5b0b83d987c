"""`stages.capability`: lm-evaluation-harness on a tiny policy, on the project's tasks and on local rows."""

import hashlib
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stages.benchmarks.catalogue import BENCHMARKS, SMOKE_FOLDER
from stages.benchmarks.measure import Settings, _first_items, go_offline, measure
from stages.benchmarks.report import clustered_error
from stages.benchmarks.smoke.rules import rows
from stages.benchmarks.tasks import check_names, leaves, load_tasks, needs_hub
from stages.command import read_params
from stages.records.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ESC_SHARED", ROOT.parent / "shared")) / "data" / "lm_eval"
SMOKE = ["smoke_arithmetic", "smoke_opposites", "smoke_instructions"]
PAPER = ["gsm8k", "ifeval", "truthfulqa_mc2", "openbookqa", "mmlu_pro"]
SUBJECTS = BENCHMARKS["mmlu_pro"].values["category"]

go_offline()  # before anything imports `datasets`


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two policies of a few thousand random weights: `backbone`, and `tuned` with a LoRA adapter on it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from stages.engines.policy import Backbone, read_policy, write_adapter, write_backbone

    folder = tmp_path_factory.mktemp("models")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    letter_by_letter = Tokenizer(BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    letter_by_letter.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letter_by_letter.decoder = decoders.ByteLevel()
    names = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "pad_token": "<|end_of_text|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=letter_by_letter, **names)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **sizes,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder / "backbone")
    tokenizer.save_pretrained(folder / "backbone")
    write_backbone(folder / "backbone", Backbone(weights=".", template="llama3", dtype="float32", window=256))
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=3.0)
    tuned.save_pretrained(folder / "tuned")
    write_adapter(folder / "tuned", "../backbone", read_policy(folder / "backbone").digest)
    return folder


@pytest.fixture(scope="module")
def backbone(models):
    from stages.engines.policy import load_policy

    return load_policy(models / "backbone")


def write_jsonl(path: Path, items: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")


@pytest.fixture
def data_dir(tmp_path):
    """A few rows of every benchmark in the Hub's field layout, the text our own."""
    folder = tmp_path / "rows"
    sums = [{"question": f"What is {i} and {i}?", "answer": f"Twice {i}.\n#### {2 * i}"} for i in range(8)]
    write_jsonl(folder / "gsm8k/train.jsonl", sums[:6])
    write_jsonl(folder / "gsm8k/test.jsonl", sums[6:])
    kinds = [["punctuation:no_comma"], ["change_case:capital_word_frequency", "punctuation:no_comma"]]
    arguments = {"capital_frequency": None, "capital_relation": None}
    capitals = {"capital_frequency": 2, "capital_relation": "less than"}
    asked = [[arguments], [capitals, arguments]]
    ifeval = [
        {"key": i, "prompt": "Write.", "instruction_id_list": kinds[i], "kwargs": asked[i]} for i in (0, 1)
    ]
    write_jsonl(folder / "ifeval/train.jsonl", ifeval)
    answers = {"choices": ["It rains.", "It snows.", "Nothing falls."], "labels": [1, 0, 0]}
    truth = {"question": "What falls in May?", "mc1_targets": answers, "mc2_targets": answers}
    write_jsonl(folder / "truthfulqa/validation.jsonl", [truth] * 3)
    choices = {"text": ["wood", "rain", "glass", "tin"], "label": ["A", "B", "C", "D"]}
    book = {"id": "1", "question_stem": "A plant needs", "choices": choices, "answerKey": "B"}
    for split in ("train", "validation", "test"):
        write_jsonl(folder / f"openbookqa/{split}.jsonl", [book] * 2)
    facts = [
        {
            "question": f"Which is {i}?",
            "options": [str(i), "none"],
            "answer": "A",
            "cot_content": "A: Let's think step by step. It is so. The answer is (A).",
            "category": subject,
        }
        for subject in SUBJECTS
        for i in range(5)
    ]
    write_jsonl(folder / "mmlu_pro/validation.jsonl", facts)
    numbered = [{"question_id": i, **fact, "src": "ours"} for i, fact in enumerate(facts) if i % 5 < 2]
    write_jsonl(folder / "mmlu_pro/test.jsonl", numbered)
    return folder


@pytest.fixture
def no_punkt(monkeypatch, tmp_path):
    """NLTK without any data folder."""
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setattr("stages.benchmarks.sentences.PROJECT_DATA", tmp_path / "nothing")
    return tmp_path


@pytest.fixture
def punkt(no_punkt, monkeypatch):
    """The smallest sentence model that NLTK reads, in the project's data folder."""
    english = no_punkt / "nltk_data/tokenizers/punkt_tab/english"
    english.mkdir(parents=True)
    contents = dict.fromkeys(("sent_starters.txt", "collocations.tab", "ortho_context.tab"), b"")
    contents["abbrev_types.txt"] = b"dr\n"
    for name, content in contents.items():
        (english / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr("stages.benchmarks.sentences.SHA256", digests)
    monkeypatch.setattr("stages.benchmarks.sentences.PROJECT_DATA", no_punkt / "nltk_data")


def measured(policy, tasks: list[str], **settings) -> dict:
    return measure(policy.model, policy.tokenizer, Settings(tasks=tasks, batch_size=40, **settings))


def test_smoke_rows_follow_the_stated_rules():
    for name, items in rows().items():
        lines = (SMOKE_FOLDER / name).read_text(encoding="utf-8").splitlines()
        assert [json.loads(line) for line in lines] == items
        assert len({json.dumps(item) for item in items}) == len(items)
    assert all(len(set(item["choices"])) == 4 for item in rows()["opposites.jsonl"])
    assert {item["label"] for item in rows()["opposites.jsonl"]} == {0, 1, 2, 3}


def test_command_needs_no_network_and_no_current_directory(models, backbone, tmp_path):
    """The command, run from elsewhere with sockets forbidden, reports what `measure` reports here."""
    attempts, out = tmp_path / "attempts", tmp_path / "metrics" / "capability.json"
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\n"
        "def refuse(*arguments, **_):\n"
        f"    open({str(attempts)!r}, 'a').write(repr(arguments) + '\\n')\n"
        "    raise OSError('no network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n",
        encoding="utf-8",
    )
    (tmp_path / "params.yaml").write_text(
        yaml.safe_dump({"capability": {"tasks": SMOKE, "batch_size": 40}}), encoding="utf-8"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment["OMP_NUM_THREADS"] = "1"  # as the model here: sums in the same order
    environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{ROOT}"
    command = [sys.executable, "-m", "stages.capability", "--policy", models / "backbone", "--out", out]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not attempts.exists()
    assert "requests" not in done.stderr  # lm-eval's progress bars are for terminals
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report.pop("policy") == backbone.digest
    assert report == measured(backbone, SMOKE)
    assert report["complete"] is True
    assert report["not_available"] == {}
    assert [report["tasks"][name]["items"] for name in SMOKE] == [40, 40, 40]
    assert report["tasks"]["smoke_arithmetic"]["num_fewshot"] == 2
    assert report["score"]["average"] == pytest.approx(
        sum(report["score"][name] for name in SMOKE) / 3, abs=1e-4
    )


def test_right_answers_to_the_smoke_tasks_score_100(tmp_path):
    import lm_eval
    from lm_eval.api.model import LM

    class Oracle(LM):
        def generate_until(self, requests, **_):
            return [f" {request.doc['answer']} " for request in requests]

        def loglikelihood(self, requests, **_):
            right = [request.doc["choices"][request.doc["label"]] for request in requests]
            return [
                (0.0 if request.args[1].strip() == word else -9.0, True)
                for request, word in zip(requests, right, strict=True)
            ]

        def loglikelihood_rolling(self, requests, **_):
            raise NotImplementedError

    manager, built = load_tasks(SMOKE, None, tmp_path)
    results = lm_eval.simple_evaluate(
        Oracle(), tasks=list(built.values()), task_manager=manager, bootstrap_iters=0
    )
    for name in SMOKE:
        assert results["results"][name][BENCHMARKS[name].headline] == 1.0


def test_five_benchmarks_from_local_rows(backbone, data_dir, punkt):
    report = measured(backbone, PAPER, data_dir=data_dir)
    items = {name: (task["items"], task["num_fewshot"]) for name, task in report["tasks"].items()}
    assert items == {
        "gsm8k": (2, 5),
        "ifeval": (2, 0),
        "truthfulqa_mc2": (3, 0),
        "openbookqa": (2, 0),
        "mmlu_pro": (28, 5),
    }
    assert report["complete"] is True
    assert report["not_available"] == {}
    assert set(report["score"]) == {*PAPER, "average"}
    assert 0 < report["score"]["truthfulqa_mc2"] < 100
    assert set(report["tasks"]["ifeval"]["metrics"]) == {
        f"{level}_level_{kind}_acc" for level in ("prompt", "inst") for kind in ("strict", "loose")
    }
    for task in report["tasks"].values():
        assert task["headline"] in task["metrics"]
        assert all(metric["stderr"] is not None for metric in task["metrics"].values())
    # a window of 256 letters holds no five examples, and at most half of it is given to an answer
    assert report["tasks"]["gsm8k"]["prompts_cut"] == 2
    assert report["tasks"]["gsm8k"]["answer_tokens"] == {"asked": 256, "given": 128}
    assert report["tasks"]["mmlu_pro"]["prompts_cut"] == 28
    assert report["tasks"]["mmlu_pro"]["answer_tokens"] == {"asked": 2048, "given": 128}
    assert report["tasks"]["openbookqa"]["prompts_cut"] == 0
    assert "answer_tokens" not in report["tasks"]["openbookqa"]


def test_only_the_data_set_of_a_definition_is_replaced(data_dir, tmp_path):
    import lm_eval.tasks
    from lm_eval.tasks._yaml_loader import load_yaml

    _, built = load_tasks(PAPER, data_dir, tmp_path / "work")
    folder = Path(lm_eval.tasks.__file__).parent
    originals = {name: folder / BENCHMARKS[name].definition for name in PAPER if not BENCHMARKS[name].members}
    originals |= {path.stem: path for path in (folder / "mmlu_pro").glob("mmlu_pro_*.yaml")}
    tasks = {task.task_name: task for group in built.values() for task in leaves(group)}
    assert set(tasks) == set(originals)
    for name, task in tasks.items():
        ours, theirs = task.dump_config(), load_yaml(originals[name], resolve_func=False)
        for key in (
            "doc_to_text",
            "doc_to_target",
            "num_fewshot",
            "generation_kwargs",
            "test_split",
            "description",
        ):
            if isinstance(theirs.get(key), str | int | dict) and "utils." not in str(theirs[key]):
                assert ours[key] == theirs[key], (name, key)
        assert str(task.VERSION) == str(theirs["metadata"]["version"])
        assert len(task.eval_docs) > 0


def test_limit_is_of_a_benchmark_and_marks_the_report(backbone, data_dir, tmp_path):
    report = measured(backbone, ["openbookqa", "truthfulqa_mc2"], data_dir=data_dir, limit=2)
    assert [task["items"] for task in report["tasks"].values()] == [2, 2]
    assert report["tasks"]["truthfulqa_mc2"]["items_total"] == 3
    assert report["complete"] is False
    assert report["limit"] == 2

    _, built = load_tasks(["mmlu_pro", "gsm8k"], data_dir, tmp_path / "work")
    for limit, of_group, of_task in ((20, 20, 2), (3, 14, 2), (1000, 28, 2), (1, 14, 1)):
        chosen = _first_items(built, limit)
        assert len(chosen) == 15
        assert len(chosen.pop("gsm8k")) == of_task
        assert sum(map(len, chosen.values())) == of_group
        assert all(indices == list(range(len(indices))) for indices in chosen.values())


def test_adapters_are_measured(models, backbone, data_dir):
    from stages.engines.policy import load_policy

    tuned = measured(load_policy(models / "tuned"), ["truthfulqa_mc2"], data_dir=data_dir)
    plain = measured(backbone, ["truthfulqa_mc2"], data_dir=data_dir)
    assert tuned["score"] != plain["score"]


def test_ifeval_without_sentence_model_is_left_out_and_said(backbone, data_dir, no_punkt, monkeypatch):
    import nltk

    asked = []
    monkeypatch.setattr(nltk, "download", lambda name, **_: asked.append(name))
    report = measured(backbone, ["ifeval", "openbookqa"], data_dir=data_dir)
    assert "punkt_tab" in report["not_available"]["ifeval"]
    assert report["complete"] is False
    assert report["score"] == {"openbookqa": report["score"]["openbookqa"]} | {
        "average": report["score"]["openbookqa"]
    }
    assert asked == []  # measuring downloads nothing
    alone = measured(backbone, ["ifeval"], data_dir=data_dir)
    assert alone["score"] == {"average": None}
    assert alone["complete"] is False


def test_ifeval_counts_instructions(punkt):
    """What the report calls instruction level: two of these three instructions are followed."""
    from lm_eval.tasks.ifeval.utils import agg_inst_level_acc, process_results

    capitals = {"capital_frequency": 2, "capital_relation": "less than"}
    items = [
        {"key": 1, "prompt": "", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
        {
            "key": 2,
            "prompt": "",
            "instruction_id_list": ["change_case:capital_word_frequency", "punctuation:no_comma"],
            "kwargs": [capitals, {}],
        },
    ]
    got = [process_results(item, ["Dr. No went. HE SAW it."])["inst_level_strict_acc"] for item in items]
    assert got == [[True], [False, True]]
    assert agg_inst_level_acc(got) == pytest.approx(2 / 3)


def test_language_of_an_answer_is_detected_alike_every_time():
    """IFEval asks for it; of words of several languages, langdetect draws its answer."""
    import langdetect

    from stages.benchmarks.measure import _seed_language_detection

    _seed_language_detection(1234)
    assert len({str(langdetect.detect_langs("hotel taxi radio la no me")) for _ in range(10)}) == 1


@given(st.lists(st.booleans(), min_size=2))
def test_error_of_single_answers_is_that_of_a_mean(values):
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    expected = math.sqrt(variance / len(values))
    assert clustered_error([[value] for value in values]) == pytest.approx(expected, abs=1e-12)


def test_error_of_clusters_is_that_of_resampling():
    draw = random.Random(1)
    clusters = [[draw.random() < level] * draw.choice([1, 2, 3]) for level in [0.3, 0.6] * 100]
    shares = []
    for _ in range(4000):
        sample = draw.choices(clusters, k=len(clusters))
        shares.append(sum(map(sum, sample)) / sum(map(len, sample)))
    mean = sum(shares) / len(shares)
    resampled = math.sqrt(sum((share - mean) ** 2 for share in shares) / len(shares))
    assert clustered_error(clusters) == pytest.approx(resampled, rel=0.05)
    assert clustered_error(clusters[:1]) is None


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
    command = [
        sys.executable,
        "-m",
        "stages.capability",
        "--policy",
        "none",
        "--out",
        out,
        "--params",
        params,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert not out.exists()


def test_chat_template_that_is_not_there(backbone):
    with pytest.raises(InputError, match=r"apply_chat_template: the tokenizer has no chat template"):
        measured(backbone, SMOKE, apply_chat_template=True)


def test_rows_of_the_hub_that_cannot_be_had(tmp_path, monkeypatch):
    import datasets
    import huggingface_hub

    # as `go_offline` has them at the start; whoever imported the libraries first may have been online
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(InputError, match=r"rows of gsm8k cannot be had.*capability.data_dir"):
        load_tasks(["gsm8k"], None, tmp_path / "work")


def test_hub_is_needed_only_for_tasks_of_others_without_local_rows(tmp_path):
    assert not needs_hub(SMOKE, None)
    assert not needs_hub([*SMOKE, "gsm8k"], tmp_path)
    assert needs_hub([*SMOKE, "gsm8k"], None)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real benchmark rows are not on this machine")
def test_real_rows(backbone, punkt):
    report = measured(backbone, PAPER, data_dir=SHARED, limit=3)
    totals = {name: task["items_total"] for name, task in report["tasks"].items()}
    assert totals == {
        "gsm8k": 1319,
        "ifeval": 541,
        "truthfulqa_mc2": 817,
        "openbookqa": 500,
        "mmlu_pro": 12032,
    }
