"""Which engine the parameters ask for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from stages.engines.generate import SCRATCH
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


class ServerOptions(Record):
    """Section `engine` for `kind: server`; in command and environment {names} are filled in."""

    kind: Literal["server"]
    command: NonEmpty
    environment: dict[str, str]
    model: NonEmpty
    start_s: float = Field(gt=0)
    restarts: int = Field(ge=0)
    concurrency: int = Field(ge=1)
    timeout_s: float = Field(gt=0)
    retries: int = Field(ge=0)
    extensions: bool
    guided: bool


class LocalJudgeOptions(TransformersOptions):
    """Section `judge.engine` for `kind: transformers`: a policy folder judges in this process."""

    policy: NonEmpty


class ServerJudgeOptions(OpenAIOptions):
    """Section `judge.engine` for `kind: openai`; the server holds a model that is no policy of ours."""

    extensions: bool
    tolerance: int = Field(ge=0)


Options = TransformersOptions | OpenAIOptions | ServerOptions
OPTIONS: dict[str, type[Options]] = {
    "transformers": TransformersOptions,
    "openai": OpenAIOptions,
    "server": ServerOptions,
}
JUDGES: dict[str, type[Options]] = {"transformers": LocalJudgeOptions, "openai": ServerJudgeOptions}


class Judge(NamedTuple):
    """An engine that judges; template and window (tokens) where it runs here and prompts can be measured."""

    engine: Engine
    template: ChatTemplate | None
    window: int | None


@contextmanager
def open_engine(params: dict[str, Any], policy: Path) -> Iterator[tuple[Engine, ChatTemplate]]:
    """Give the engine of the `engine` parameters for a policy folder, and the policy's chat template.

    What an engine has started ends with the block. For `openai` and `server`, `{policy}` in the model's
    name becomes the folder's name, and the template is only used to count tokens.

    Raises:
        InputError: an unknown kind, a wrong option, or the policy cannot be read.
    """
    options = _checked(params, OPTIONS, "engine")
    if isinstance(options, TransformersOptions):
        engine = _local(policy, options)
        yield engine, engine.template
        return
    chain = read_policy(policy)
    model = options.model.replace("{policy}", policy.name)
    if isinstance(options, OpenAIOptions):
        yield _server(options, model, policy_digest=chain.digest), ChatTemplate.of(chain)
        return
    from stages.engines.server_engine import serving

    with serving(chain, SCRATCH, model=model, **options.model_dump(exclude={"kind", "model"})) as engine:
        yield engine, ChatTemplate.of(chain)


def load_judge(params: dict[str, Any]) -> Judge:
    """Return the judge of the `judge.engine` parameters.

    Raises:
        InputError: an unknown kind, a wrong option, or a local judge's policy cannot be read.
    """
    options = _checked(params, JUDGES, "judge.engine")
    if isinstance(options, LocalJudgeOptions):
        policy = Path(options.policy)
        engine = _local(policy, options)
        return Judge(engine, engine.template, read_policy(policy).backbone.window)
    return Judge(_server(options, options.model), None, None)


def _checked(params: dict[str, Any], kinds: Mapping[str, type[Options]], section: str) -> Any:
    kind = params.get("kind")
    if kind not in kinds:
        raise InputError(f"must be {' or '.join(kinds)}, got {kind!r}", field=f"{section}.kind")
    try:
        return kinds[kind].model_validate(params)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InputError(first["msg"], field=".".join(map(str, (section, *first["loc"])))) from None


def _local(policy: Path, options: TransformersOptions) -> Any:
    from stages.engines.transformers_engine import TransformersEngine

    return TransformersEngine(load_policy(policy), options.batch_tokens)


def _server(options: OpenAIOptions, model: str, **more: str) -> Engine:
    from stages.engines.openai_engine import OpenAIEngine

    return OpenAIEngine(model=model, **options.model_dump(exclude={"kind", "model"}), **more)
