"""What is asked of a backbone before time is spent on it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfevolve.policies.policy import Backbone, Policy, load_tokenizer
from selfevolve.policies.window import ChatTemplate
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.imports import hidden

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def check_backbone(folder: Path, backbone: Backbone, weights: str) -> None:
    """Check that a backbone can be had and that it suits its section of params.yaml.

    Of a model at Hugging Face only the small files are read; its weights are downloaded when they are needed.

    Args:
        folder: The folder with the model, where `backbone.weights` is `.`.
        backbone: What `policy.json` will say.
        weights: What the user calls the model, for messages.

    Raises:
        InputError: the model cannot be had, has no safetensors, takes fewer tokens than `backbone.window`,
            or ends its answers otherwise than the chat template does.
    """
    with hidden("sklearn"):  # transformers wants it for assisted generation alone
        from transformers import AutoConfig, GenerationConfig
        from transformers.utils.hub import has_file

    policy = Policy(folder, backbone, folder, (), "")
    where: dict[str, Any] = {"revision": backbone.revision, "local_files_only": backbone.weights == "."}
    try:
        config = AutoConfig.from_pretrained(policy.weights, **where)
        if not any(has_file(policy.weights, name, **where) for name in WEIGHTS):
            message = "has no weights in safetensors, or they cannot be reached: no other kind is read"
            raise InputError(message, file=weights)
    except (OSError, ValueError) as error:
        raise InputError(f"the backbone cannot be had: {error}", file=weights) from None
    try:
        ends = GenerationConfig.from_pretrained(policy.weights, **where).eos_token_id
    except OSError:  # not every model has this file
        ends = None
    check_window(getattr(config, "max_position_embeddings", None) or backbone.window, backbone, weights)
    named = [*_numbers(ends), *_numbers(config.eos_token_id)]
    check_end_token(load_tokenizer(policy), backbone.template, named, weights)


def check_window(longest: int, backbone: Backbone, weights: str) -> None:
    """Raise InputError if the model, which takes `longest` tokens, takes fewer than `backbone.window`."""
    if longest < backbone.window:
        message = f"the model takes {longest} tokens, backbone.window is {backbone.window}"
        raise InputError(message, file=weights, field="backbone.window")


def check_end_token(
    tokenizer: PreTrainedTokenizerBase, template: str, named: Iterable[int], weights: str
) -> None:
    """Check that a model can end its answers as the chat template that it is trained with does.

    Args:
        tokenizer: The model's; LLaMA-Factory's changes for the template are made to it.
        template: LLaMA-Factory's name of the template.
        named: Ids of the end tokens that the model's configuration names.
        weights: The model, for messages.

    Raises:
        InputError: the tokenizer lacks a token of the template, or none of the tokens that end the model's
            answers is one that ends the template's.
    """
    tokens, own = len(tokenizer), tokenizer.eos_token_id
    stops = set(ChatTemplate(tokenizer, template).stop_ids)
    if len(tokenizer) > tokens:
        added = tokenizer.convert_ids_to_tokens(list(range(tokens, len(tokenizer))))
        message = f"the chat template {template!r} needs {' '.join(added)}, which the tokenizer does not know"
        raise InputError(message, file=weights, field="backbone.template")
    ends = {*named, *_numbers(own)}
    if not ends & stops:
        said, wanted = (" ".join(tokenizer.convert_ids_to_tokens(sorted(ids))) for ids in (ends, stops))
        message = f"the model ends its answers with {said}, the chat template {template!r} with {wanted}"
        raise InputError(
            f"{message}: name the template of an instruct model", file=weights, field="backbone.template"
        )


def _numbers(value: Any) -> list[int]:
    """Return token ids that stand as one number, as a list, or not at all."""
    return [value] if isinstance(value, int) else list(value or [])
