"""A backbone in a GGUF file is dequantised once, and a file that cannot be used is told in one line."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from selfevolve.policies.gguf import read_header
from selfevolve.policies.policy import load_policy, read_policy
from selfevolve.runtime.errors import InputError
from stages import backbone as stage
from tests.support.gguf_files import write_gguf

SECTION = {"name": "own", "revision": None, "template": "llama3", "dtype": "float32", "window": 512}


@pytest.fixture(scope="module")
def written(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A GGUF file and the model that it was made from."""
    torch.manual_seed(3)
    file = tmp_path_factory.mktemp("gguf") / "own.Q8_0.gguf"
    return file, write_gguf(file, backbone)


def publish(folder: Path, weights: Path, **changes: Any) -> Path:
    """Run the stage with this file; return what it published."""
    section = SECTION | {"weights": str(weights)} | changes
    (folder / "params.yaml").write_text(yaml.safe_dump({"backbone": section}), encoding="utf-8")
    stage.main(["--out", str(folder / "backbone"), "--params", str(folder / "params.yaml")])
    return folder / "backbone"


def test_the_model_in_the_file_is_the_backbone(written: tuple[Path, Any], tmp_path: Path):
    file, model = written
    out = publish(tmp_path, file)
    source = json.loads((out / "policy.json").read_text())["source"]
    assert (source["file"], source["quantisation"]) == ("own.Q8_0.gguf", "MOSTLY_Q8_0")
    loaded = load_policy(out)
    assert (loaded.policy.weights, loaded.model.dtype) == (str(out), torch.float32)
    assert loaded.tokenizer.eos_token == "<|eot_id|>"
    assert loaded.end_ids == [loaded.tokenizer.eos_token_id]
    text = loaded.tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert text.startswith("<|begin_of_text|><|start_header_id|>user")
    ids = torch.tensor([loaded.tokenizer.encode("I lost my job at the bakery.")])
    with torch.no_grad():
        expected, found = model.eval()(ids).logits, loaded.model(ids).logits
    assert torch.allclose(expected, found, atol=0.02 * expected.abs().max().item())


def test_the_same_file_gives_the_same_bytes(written: tuple[Path, Any], tmp_path: Path):
    first = {path.name: path.read_bytes() for path in publish(tmp_path, written[0]).iterdir()}
    digest = read_policy(tmp_path / "backbone").digest
    assert {path.name: path.read_bytes() for path in publish(tmp_path, written[0]).iterdir()} == first
    assert read_policy(tmp_path / "backbone").digest == digest


def test_a_file_cut_off_anywhere_is_told(written: tuple[Path, Any], tmp_path: Path):
    content = written[0].read_bytes()
    cut = tmp_path / "cut.gguf"
    for share in range(0, 100, 4):
        cut.write_bytes(content[: len(content) * share // 100])
        with pytest.raises(InputError, match=r"cut\.gguf: is no whole GGUF file: ."):
            read_header(cut)
    for end in range(0, 2000, 61):
        cut.write_bytes(content[:end])
        with pytest.raises(InputError, match=r"cut\.gguf: is no whole GGUF file: ."):
            read_header(cut)


@pytest.mark.parametrize(
    ("changes", "section", "message"),
    [
        ({"architecture": "newest"}, {}, "general.architecture: transformers reads no GGUF file of the arch"),
        (
            {"without": ("chat_template",)},
            {},
            "tokenizer.chat_template: is not in the file: take the file of",
        ),
        ({"without": ("eos",)}, {}, "tokenizer.ggml.eos_token_id: is not in the file: the end of an answer"),
        ({"eos": 4000}, {}, "field tokenizer.ggml.eos_token_id: 4000 is none of the file's tokens"),
        ({"eos": 7}, {}, "field backbone.template: the model ends its answers with "),
        ({}, {"template": "gemma"}, "backbone.template: the chat template 'gemma' needs <end_of_turn>"),
        ({}, {"window": 513}, "the model takes 512 tokens, backbone.window is 513"),
        ({}, {"source": {"file": "a", "sha256": "b", "quantisation": "c"}}, "field backbone.source: "),
        ({}, {"dtype": "auto"}, "params.yaml: field backbone.dtype: must be one of float32"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_publishes_nothing(
    backbone: Path, tmp_path: Path, changes: dict[str, Any], section: dict[str, Any], message: str
):
    write_gguf(tmp_path / "own.gguf", backbone, **changes)
    with pytest.raises(InputError) as caught:
        publish(tmp_path, tmp_path / "own.gguf", **section)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "backbone").exists()


def test_a_file_that_is_absent_or_something_else_is_told(tmp_path: Path):
    with pytest.raises(InputError, match=r"own\.gguf: no such file"):
        publish(tmp_path, tmp_path / "own.gguf")
    (tmp_path / "own.gguf").write_bytes(b'{"weights": 1}' * 100)
    with pytest.raises(InputError, match=r"own\.gguf: is no whole GGUF file: GGUF magic invalid"):
        publish(tmp_path, tmp_path / "own.gguf")
