"""The stage `backbone`: a folder of this repository is copied and converted, a name is only noted."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from selfevolve.policies.policy import load_policy, read_policy
from selfevolve.runtime.errors import InputError
from stages import backbone as stage
from tests.conftest import ROOT, run_here

SECTION = {
    "name": "small",
    "weights": "testbed/small",
    "revision": None,
    "template": "llama3",
    "dtype": "float32",
    "window": 512,
}
FILES = {
    "chat_template.jinja",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture
def repository(backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository's folder with testbed/small in bfloat16, entered."""
    from selfevolve.policies.convert import TOKENIZER_FILES, convert

    small = tmp_path / "testbed" / "small"
    small.mkdir(parents=True)
    for name in TOKENIZER_FILES:
        shutil.copyfile(backbone / name, small / name)
    convert(backbone, small, "bfloat16")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def publish(**changes: Any) -> Path:
    """Run the stage with this section; return what it published."""
    Path("params.yaml").write_text(yaml.safe_dump({"backbone": SECTION | changes}), encoding="utf-8")
    stage.main(["--out", "models/backbone"])
    return Path("models/backbone")


def tensors(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_folder_of_this_repository_is_copied_in_the_precision_asked_for(repository: Path, dtype: str):
    import torch

    out = publish(dtype=dtype)
    assert {path.name for path in out.iterdir()} == FILES | {"policy.json"}
    shipped = tensors(repository / "testbed" / "small")
    assert {tensor.dtype for tensor in shipped.values()} == {torch.bfloat16}
    published = tensors(out)
    assert published.keys() == shipped.keys()
    for name, tensor in published.items():
        assert tensor.dtype == getattr(torch, dtype)
        assert torch.equal(tensor.float(), shipped[name].float()), name
    assert json.loads((out / "config.json").read_text())["dtype"] == dtype
    policy = read_policy(out)
    assert (policy.backbone.weights, policy.backbone.window) == (".", 512)
    loaded = load_policy(out)
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {getattr(torch, dtype)}
    text = loaded.tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert text.startswith("<|begin_of_text|><|start_header_id|>user")


def test_the_end_tokens_that_a_model_names_are_published_with_it(repository: Path):
    settings = repository / "testbed/small/generation_config.json"
    settings.write_text(json.dumps({"eos_token_id": [1, 5]}), encoding="utf-8")
    out = publish()
    assert {path.name for path in out.iterdir()} == FILES | {"policy.json", "generation_config.json"}
    assert load_policy(out).end_ids == [1, 5]


def test_the_same_folder_gives_the_same_bytes(repository: Path):
    first = {path.name: path.read_bytes() for path in publish().iterdir()}
    assert {path.name: path.read_bytes() for path in publish().iterdir()} == first


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named_and_what_was_published_stays(repository: Path, name: str):
    before = {path.name: path.read_bytes() for path in publish().iterdir()}
    (repository / "testbed" / "small" / name).unlink()
    with pytest.raises(InputError, match=rf"^testbed/small/{name}: no such file"):
        publish()
    assert {path.name: path.read_bytes() for path in Path("models/backbone").iterdir()} == before
    assert [path.name for path in Path("models").iterdir()] == ["backbone"]


@pytest.mark.parametrize("weights", ["testbed/smal", "."])
def test_a_folder_that_is_not_there_or_holds_no_model_is_no_hugging_face_name(repository: Path, weights: str):
    with pytest.raises(InputError, match=r"tokenizer\.json: no such file"):
        publish(weights=weights)


def test_any_folder_by_its_relative_path_is_copied(repository: Path):
    shutil.move("testbed/small", "mine")
    assert {path.name for path in publish(weights="mine").iterdir()} == FILES | {"policy.json"}


def in_hub_cache(folder: Path, cache: Path, name: str, *without: str) -> None:
    """Put a model where huggingface_hub keeps what it has downloaded."""
    here = cache / f"models--{name.replace('/', '--')}"
    (here / "refs").mkdir(parents=True)
    (here / "refs/main").write_text("0" * 40)
    left_out = shutil.ignore_patterns("policy.json", *without)
    shutil.copytree(folder, here / "snapshots" / ("0" * 40), ignore=left_out)


@pytest.fixture
def hub_cache(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the Hub with nothing in it; there is no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(repository / "cache"))
    return repository / "cache"


def run_stage(**changes: Any) -> subprocess.CompletedProcess[str]:
    """Run the stage here, with this section."""
    Path("params.yaml").write_text(yaml.safe_dump({"backbone": SECTION | changes}), encoding="utf-8")
    return run_here("backbone", "--out", "models/backbone", cwd=Path.cwd())


def test_a_name_is_noted_and_nothing_is_copied(hub_cache: Path, backbone: Path):
    in_hub_cache(backbone, hub_cache, "some/model")
    done = run_stage(weights="some/model", dtype="auto")
    assert done.returncode == 0, done.stderr
    out = Path("models/backbone")
    assert [path.name for path in out.iterdir()] == ["policy.json"]
    assert json.loads((out / "policy.json").read_text()) == {
        "weights": "some/model",
        "revision": None,
        "template": "llama3",
        "dtype": "auto",
        "window": 512,
    }


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ("config.json", "error: some/model: the backbone cannot be had: "),
        ("model.safetensors", "error: some/model: has no weights in safetensors"),
        ("tokenizer*", "error: some/model: the backbone cannot be had: "),
    ],
)
def test_a_name_that_cannot_be_had_is_told_in_one_line(
    hub_cache: Path, backbone: Path, without: str, message: str
):
    in_hub_cache(backbone, hub_cache, "some/model", without)
    done = run_stage(weights="some/model")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(message), done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path("models/backbone").exists()


def test_an_absolute_folder_is_used_where_it_stands(repository: Path):
    folder = repository / "testbed" / "small"
    out = publish(weights=str(folder))
    assert [path.name for path in out.iterdir()] == ["policy.json"]
    assert load_policy(out).policy.weights == str(folder)


def damage(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


@pytest.mark.parametrize(
    ("breaks", "changes", "message"),
    [
        (
            damage("model.safetensors", b"version https://git-lfs"),
            {},
            "testbed/small: the weights cannot be read",
        ),
        (damage("config.json", b"{"), {}, "testbed/small/config.json: not JSON: "),
        (lambda _: None, {"window": 513}, "testbed/small: field backbone.window: the model takes 512"),
        (lambda _: None, {"dtype": "auto"}, "params.yaml: field backbone.dtype: must be one of float32"),
        (lambda _: None, {"vocabulary": 2048}, "params.yaml: field backbone.vocabulary: "),
    ],
)
def test_bad_input_is_one_line_and_publishes_nothing(
    repository: Path, breaks: Callable[[Path], None], changes: dict[str, Any], message: str
):
    breaks(repository / "testbed" / "small")
    with pytest.raises(InputError) as caught:
        publish(**changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("models/backbone").exists()


def test_the_tiny_backbone_in_the_repository_is_of_its_recipe_and_fits_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import torch

    recipe = yaml.safe_load((ROOT / "testbed" / "params.yaml").read_text())["pretrain"]
    shipped = ROOT / "testbed" / "tiny"
    assert {tensor.dtype for tensor in tensors(shipped).values()} == {torch.bfloat16}
    assert (shipped / "model.safetensors").stat().st_size < 10_000_000
    config = json.loads((shipped / "config.json").read_text())
    assert {name: config[name] for name in recipe["sizes"]} == recipe["sizes"]
    assert config["max_position_embeddings"] == recipe["window"]
    assert config["vocab_size"] <= recipe["vocabulary"]
    monkeypatch.chdir(ROOT)
    stage.main(["--out", str(tmp_path / "backbone")])
    loaded = load_policy(tmp_path / "backbone")
    assert len(loaded.tokenizer) == config["vocab_size"]
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
