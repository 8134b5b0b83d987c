"""Which engine the parameters ask for."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from stages.engines.policy import load_policy, read_policy
from stages.engines.request import Engine
from stages.engines.template import ChatTemplate
from stages.records.errors import InputError
from stages.records.schema import NonEmpty, Record


class TransformersOptions(Record):
    """Section `engine` for `kind: transformers`."""

    kind: Literal["transformers"]
    batch_tokens: int = Field(ge=1)


class OpenAIOptions(Record):
    """Section `engine` for `kind: openai`; the key itself is never a parameter."""

    kind: Literal["openai"]
    base_url: NonEmpty
    model: NonEmpty
    concurrency: int = Field(ge=1)
    timeout_s: float = Field(gt=0)
    retries: int = Field(ge=0)
    key_variable: NonEmpty


OPTIONS: dict[str, type[TransformersOptions | OpenAIOptions]] = {
    "transformers": TransformersOptions,
    "openai": OpenAIOptions,
}


def load_engine(params: dict[str, Any], policy: Path) -> tuple[Engine, ChatTemplate]:
    """Return the engine of the `engine` parameters for a policy folder, and the policy's chat template.

    For `openai`, `{policy}` in the model's name becomes the folder's name; the template is only used to
    count tokens.

    Raises:
        InputError: an unknown kind, a wrong option, or the policy cannot be read.
    """
    kind = params.get("kind")
    if kind not in OPTIONS:
        raise InputError(f"must be {' or '.join(OPTIONS)}, got {kind!r}", field="engine.kind")
    try:
        options = OPTIONS[kind].model_validate(params)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InputError(first["msg"], field=".".join(map(str, ("engine", *first["loc"])))) from None
    if isinstance(options, TransformersOptions):
        from stages.engines.transformers_engine import TransformersEngine

        engine = TransformersEngine(load_policy(policy), options.batch_tokens)
        return engine, engine.template
    from stages.engines.openai_engine import OpenAIEngine

    chain = read_policy(policy)
    server = options.model_dump(exclude={"kind", "model"})
    model = options.model.replace("{policy}", policy.name)
    return OpenAIEngine(model=model, policy_digest=chain.digest, **server), ChatTemplate.of(chain)
