"""`stages.capability`: lm-evaluation-harness on a tiny policy, on the project's tasks and on local rows."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys

import pytest
import yaml

from selfevolve.benchmarks.measure import Settings, _first_items, measure
from selfevolve.benchmarks.tasks import load_tasks
from selfevolve.nltk_data import lookup
from selfevolve.nltk_data.punkt import PUNKT
from selfevolve.runtime.errors import InputError
from tests.conftest import ROOT, SHARED
from tests.support.benchmark_rows import PAPER, SMOKE

ROWS = SHARED / "data" / "lm_eval"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two policies of a few thousand random weights: `backbone`, and `tuned` with a LoRA adapter on it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from selfevolve.policies.policy import Backbone, read_policy, write_adapter, write_backbone

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
    from selfevolve.policies.policy import load_policy

    return load_policy(models / "backbone")


@pytest.fixture
def no_punkt(monkeypatch, tmp_path):
    """NLTK without any data folder."""
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.delenv("NLTK_DATA", raising=False)
    monkeypatch.setattr(lookup, "PROJECT_DATA", tmp_path / "nothing")
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
    smallest = dataclasses.replace(PUNKT, files=digests)
    monkeypatch.setattr("selfevolve.benchmarks.measure.PUNKT", smallest)
    monkeypatch.setattr(lookup, "PROJECT_DATA", no_punkt / "nltk_data")


def measured(policy, tasks: list[str], **settings) -> dict:
    return measure(policy.model, policy.tokenizer, Settings(tasks=tasks, batch_size=40, **settings))


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


def test_five_benchmarks_from_local_rows(backbone, data_dir, punkt):
    import langdetect

    report = measured(backbone, PAPER, data_dir=data_dir)
    # IFEval asks for the language of an answer; of words of several languages, langdetect draws one
    assert len({str(langdetect.detect_langs("hotel taxi radio la no me")) for _ in range(10)}) == 1
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
    from selfevolve.policies.policy import load_policy

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


def test_chat_template_that_is_not_there(backbone):
    with pytest.raises(InputError, match=r"apply_chat_template: the tokenizer has no chat template"):
        measured(backbone, SMOKE, apply_chat_template=True)


@pytest.mark.slow
@pytest.mark.skipif(not ROWS.is_dir(), reason="the real benchmark rows are not on this machine")
def test_real_rows(backbone, punkt):
    report = measured(backbone, PAPER, data_dir=ROWS, limit=3)
    totals = {name: task["items_total"] for name, task in report["tasks"].items()}
    assert totals == {
        "gsm8k": 1319,
        "ifeval": 541,
        "truthfulqa_mc2": 817,
        "openbookqa": 500,
        "mmlu_pro": 12032,
    }
