"""A policy: a backbone and a chain of LoRA adapters on it.

Every folder in `models/` is a policy and says so in its `policy.json`: a backbone's names its weights
(`.` or a Hugging Face name), its chat template and its sizes; an adapter's names its parent folder and
the parent's digest. M2 is thus `m2 -> m1 -> m0 -> backbone`, and a change anywhere in the chain changes
the digest of everything above it.
"""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from selfevolve.records.schema import NonEmpty, Record
from selfevolve.runtime.digests import digest_folder, digest_value
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publish_json, read_json
from selfevolve.runtime.imports import hidden
from selfevolve.runtime.parameters import validate

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

POLICY_FILE = "policy.json"
CHAIN = "unmerged_adapters"  # an argument of our own: who starts LLaMA-Factory takes it out


class Source(Record):
    """The file that weights were dequantised from, and llama.cpp's name of its quantisation."""

    file: NonEmpty
    sha256: NonEmpty
    quantisation: NonEmpty


class Backbone(Record):
    """The foot of a chain. `weights` is `.` for weights in the same folder, else a Hugging Face name."""

    weights: NonEmpty
    revision: str | None = None
    template: NonEmpty
    dtype: NonEmpty = "auto"
    window: int = Field(ge=64)
    source: Source | None = Field(default=None, exclude_if=lambda source: source is None)


class Adapter(Record):
    """A LoRA adapter. `parent` is the folder it was trained on, relative to its own folder."""

    parent: NonEmpty
    parent_digest: NonEmpty


@dataclass(frozen=True)
class Policy:
    """A chain that was read and checked: the backbone, its folder and the adapters from the foot up."""

    folder: Path
    backbone: Backbone
    backbone_folder: Path
    adapters: tuple[Path, ...]
    digest: str

    @property
    def weights(self) -> str:
        """What `from_pretrained` and LLaMA-Factory's `model_name_or_path` take."""
        return str(self.backbone_folder) if self.backbone.weights == "." else self.backbone.weights

    @property
    def merges(self) -> bool:
        """Whether adapters are merged into the weights; in another precision than float32 they stay apart."""
        return self.backbone.dtype == "float32"

    @property
    def parent(self) -> Path:
        """The folder of the policy below the last adapter; of a backbone, its own."""
        return self.adapters[-2] if len(self.adapters) > 1 else self.backbone_folder

    def arguments(self) -> dict[str, Any]:
        """Return LLaMA-Factory's arguments that name this chain, from the backbone up.

        Adapters that it must not merge are named by CHAIN (see `selfevolve.policies.unmerged`).
        """
        named: dict[str, Any] = {"model_name_or_path": self.weights, "template": self.backbone.template}
        if self.backbone.revision:
            named["model_revision"] = self.backbone.revision
        adapters = [str(adapter) for adapter in self.adapters]
        if adapters and self.merges:
            named["adapter_name_or_path"] = ",".join(adapters)
        elif adapters:
            named[CHAIN] = adapters
        return named


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy in memory, ready to generate."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    policy: Policy

    @property
    def digest(self) -> str:
        """The digest of the whole chain."""
        return self.policy.digest

    @property
    def template(self) -> str:
        """LLaMA-Factory's name of the chat template."""
        return self.policy.backbone.template

    @property
    def end_ids(self) -> list[int]:
        """The end tokens that the model's generation_config.json names, or without one its config.json."""
        settings = self.model.generation_config
        named = settings.eos_token_id if settings is not None else None
        return sorted([named] if isinstance(named, int) else named or [])


def write_backbone(folder: Path, backbone: Backbone) -> None:
    """Write the policy file of a backbone into its folder."""
    publish_json(folder / POLICY_FILE, backbone.model_dump())


def write_adapter(folder: Path, parent: str, parent_digest: str) -> None:
    """Write the policy file of an adapter; `parent` is relative to the place where the folder will be."""
    publish_json(folder / POLICY_FILE, Adapter(parent=parent, parent_digest=parent_digest).model_dump())


def read_policy(folder: Path | str) -> Policy:
    """Read a policy folder and its chain; raises InputError also if a parent is not the one trained on."""
    folder = Path(folder)
    file = folder / POLICY_FILE
    value = read_json(file)
    if isinstance(value, dict) and "weights" in value:
        backbone = validate(Backbone, value, file=file)
        local = digest_folder(folder) if backbone.weights == "." else None
        digest = digest_value({"backbone": value, "files": local})
        return Policy(folder, backbone, folder, (), digest)
    adapter = validate(Adapter, value, file=file)
    parent = read_policy(os.path.normpath(folder / adapter.parent))
    if parent.digest != adapter.parent_digest:
        message = f"was trained on another {parent.folder} than the one there now: train it again"
        raise InputError(message, file=file, field="parent_digest")
    digest = digest_value({"parent": parent.digest, "files": digest_folder(folder)})
    return Policy(folder, parent.backbone, parent.backbone_folder, (*parent.adapters, folder), digest)


def load_tokenizer(policy: Policy) -> PreTrainedTokenizerBase:
    """Load the backbone's tokenizer; prompts are padded on the left."""
    from transformers import AutoTokenizer

    return _from_hub(AutoTokenizer, policy, padding_side="left")


def load_policy(folder: Path | str, dtype: str = "auto") -> LoadedPolicy:
    """Load the backbone and its adapters in order, and put the model on the device in eval mode.

    In float32 the adapters are merged; else they stay unmerged (selfevolve.policies.unmerged says why).
    `dtype` is `float32`, `bfloat16` ...; `auto` takes the backbone's own.
    """
    with hidden("sklearn"):  # transformers wants it for assisted generation alone
        from transformers import AutoModelForCausalLM
        from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of loading the weights: the stage has its own
    policy = read_policy(folder)
    dtype = policy.backbone.dtype if dtype == "auto" else dtype
    model: Any = _from_hub(AutoModelForCausalLM, policy, dtype=dtype)
    return LoadedPolicy(_ready(model, policy.adapters), load_tokenizer(policy), policy)


def add_adapter(loaded: LoadedPolicy, folder: Path | str) -> LoadedPolicy:
    """Make a policy of its parent in memory, as `load_policy` would; the parent's own model is gone then.

    Raises:
        InputError: `loaded` is not the policy that the adapter was trained on, or as `read_policy`.
    """
    policy = read_policy(folder)
    if loaded.digest != read_json(policy.folder / POLICY_FILE).get("parent_digest"):
        message = f"was trained on another policy than {loaded.policy.folder}"
        raise InputError(message, file=policy.folder / POLICY_FILE, field="parent_digest")
    model = _ready(loaded.model.to("cpu"), policy.adapters[-1:])
    return LoadedPolicy(model, loaded.tokenizer, policy)


def _ready(model: Any, adapters: Sequence[Path]) -> PreTrainedModel:
    """Add adapters to a model on the CPU, in order, and put it on the device in eval mode."""
    with hidden("sklearn"):
        import torch
        from peft import PeftModel

        from selfevolve.policies.unmerged import keep_unmerged

    if model.dtype == torch.float32:
        for adapter in adapters:
            model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
            del model.peft_config  # else PEFT warns that the next adapter might join one that is merged
    else:
        keep_unmerged(model, [str(adapter) for adapter in adapters])
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _from_hub(kind: Any, policy: Policy, **arguments: Any) -> Any:
    local = policy.backbone.weights == "."
    try:
        return kind.from_pretrained(
            policy.weights, revision=policy.backbone.revision, local_files_only=local, **arguments
        )
    except (OSError, ValueError) as error:
        raise InputError(f"the backbone cannot be had: {error}", file=policy.weights) from None
