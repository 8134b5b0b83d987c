"""Which engine the parameters ask for."""

from pathlib import Path
from typing import Any

from stages.engines.policy import load_policy, read_policy
from stages.engines.request import Engine
from stages.engines.template import ChatTemplate
from stages.records.errors import InputError


def load_engine(params: dict[str, Any], policy: Path) -> tuple[Engine, ChatTemplate]:
    """Return the engine of the `engine` parameters for a policy folder, and the policy's chat template.

    For `openai`, `{policy}` in the model's name becomes the folder's name, so that one server with
    several adapters can serve `m0`, `m1` ...; the template is only used to count tokens.

    Raises:
        InputError: an unknown kind, or the policy cannot be read.
    """
    kind = params["kind"]
    if kind == "transformers":
        from stages.engines.transformers_engine import TransformersEngine

        engine = TransformersEngine(load_policy(policy), params["batch_tokens"])
        return engine, engine.template
    if kind == "openai":
        from stages.engines.openai_engine import OpenAIEngine

        name = params["model"].replace("{policy}", policy.name)
        options = {key: params[key] for key in ("concurrency", "timeout_s", "retries", "key_variable")}
        return OpenAIEngine(params["base_url"], name, **options), ChatTemplate.of(read_policy(policy))
    raise InputError(f"must be transformers or openai, got {kind!r}", field="engine.kind")
