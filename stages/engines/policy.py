"""A policy: a backbone and a chain of LoRA adapters on it.

Every folder in `models/` is a policy and says so in its `policy.json`: a backbone's names its weights
(`.` or a Hugging Face name), its chat template and its sizes; an adapter's names its parent folder and
the parent's digest. M2 is thus `m2 -> m1 -> m0 -> backbone`, and a change anywhere in the chain changes
the digest of everything above it.
"""

from __future__ import annotations

import json
import os.path
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from stages.records.errors import InputError
from stages.records.fingerprint import digest_folder, digest_value
from stages.records.jsonl import read_text
from stages.records.publish import publish_json
from stages.records.schema import NonEmpty, Record

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

POLICY_FILE = "policy.json"


class Backbone(Record):
    """The foot of a chain. `weights` is `.` for weights in the same folder, else a Hugging Face name."""

    weights: NonEmpty
    revision: str | None = None
    template: NonEmpty
    dtype: NonEmpty = "auto"
    window: int = Field(ge=64)


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


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy in memory, its adapters merged in order, ready to generate."""

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


def write_backbone(folder: Path, backbone: Backbone) -> None:
    """Write the policy file of a backbone into its folder."""
    publish_json(folder / POLICY_FILE, backbone.model_dump())


def write_adapter(folder: Path, parent: str, parent_digest: str) -> None:
    """Write the policy file of an adapter; `parent` is relative to the place where the folder will be."""
    publish_json(folder / POLICY_FILE, Adapter(parent=parent, parent_digest=parent_digest).model_dump())


def read_policy(folder: Path | str) -> Policy:
    """Read a policy folder and its chain down to the backbone.

    Raises:
        InputError: a folder of the chain has no valid policy.json, or a parent is not the one that
            the adapter was trained on.
    """
    folder = Path(folder)
    value = _read_policy_file(folder)
    if "weights" in value:
        backbone = _validated(Backbone, value, folder)
        local = digest_folder(folder) if backbone.weights == "." else None
        digest = digest_value({"backbone": value, "files": local})
        return Policy(folder, backbone, folder, (), digest)
    adapter = _validated(Adapter, value, folder)
    parent = read_policy(os.path.normpath(folder / adapter.parent))
    if parent.digest != adapter.parent_digest:
        message = f"was trained on another {parent.folder} than the one there now: train it again"
        raise InputError(message, file=folder / POLICY_FILE, field="parent_digest")
    digest = digest_value({"parent": parent.digest, "files": digest_folder(folder)})
    return Policy(folder, parent.backbone, parent.backbone_folder, (*parent.adapters, folder), digest)


def load_tokenizer(policy: Policy) -> PreTrainedTokenizerBase:
    """Load the backbone's tokenizer; prompts are padded on the left."""
    from transformers import AutoTokenizer

    return _from_hub(AutoTokenizer, policy, padding_side="left")


def load_policy(folder: Path | str, dtype: str = "auto") -> LoadedPolicy:
    """Load the backbone, merge the adapters in order, and put the model on the device in eval mode.

    Args:
        folder: a policy folder, for example `models/m1`.
        dtype: `float32`, `bfloat16` ...; `auto` takes the backbone's own.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of loading the weights: the stage has its own
    policy = read_policy(folder)
    dtype = policy.backbone.dtype if dtype == "auto" else dtype
    model: Any = _from_hub(AutoModelForCausalLM, policy, dtype=dtype)
    for adapter in policy.adapters:
        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
        del model.peft_config  # else PEFT warns that the next adapter might join one that is merged
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    return LoadedPolicy(model, load_tokenizer(policy), policy)


def _from_hub(kind: Any, policy: Policy, **arguments: Any) -> Any:
    local = policy.backbone.weights == "."
    try:
        return kind.from_pretrained(
            policy.weights, revision=policy.backbone.revision, local_files_only=local, **arguments
        )
    except OSError as error:
        raise InputError(f"the backbone {policy.weights} cannot be had: {error}") from None


def _read_policy_file(folder: Path) -> dict[str, Any]:
    path = folder / POLICY_FILE
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", file=path) from None
    if not isinstance(value, dict):
        raise InputError("not a JSON object", file=path)
    return value


def _validated(kind: type[Any], value: dict[str, Any], folder: Path) -> Any:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        raise InputError(first["msg"], file=folder / POLICY_FILE, field=field) from None
