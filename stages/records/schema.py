"""The records that pass between stages. Field order here is key order in the files."""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

# JSON schemas leave these limits out. Servers that keep a model to a schema (by xgrammar) take a pattern,
# which may be found anywhere by JSON schema, for the whole text, and beside a least length allow no quote.
NonEmpty = Annotated[
    str,
    StringConstraints(strip_whitespace=False, min_length=1, pattern=r"\S"),
    WithJsonSchema({"type": "string"}),
]

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Record(BaseModel):
    """Base of all records: unknown fields are errors, values are not coerced, instances are frozen.

    Which of its fields were given is not remembered (`model_fields_set` has all of them): pydantic's set of
    its own for every instance takes 728 bytes of a response, which without it and its text takes some 350.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def model_post_init(self, context: Any) -> None:
        """Share one set of names among all instances of a kind."""
        object.__setattr__(self, "__pydantic_fields_set__", _names(type(self)))


@cache
def _names(kind: type[BaseModel]) -> set[str]:
    return set(kind.model_fields)


class Turn(Record):
    """One turn of a dialogue; `strategies` are ESConv's names for a supporter turn, else empty."""

    role: Literal["seeker", "supporter"]
    text: NonEmpty
    strategies: list[str] = []


class Dialogue(Record):
    """A cleaned dialogue: seeker and supporter alternate from a seeker turn on (paper, appendix A)."""

    id: NonEmpty
    source: NonEmpty
    turns: list[Turn] = Field(min_length=2)
    meta: dict[str, Any] = {}


class Message(Record):
    """One chat message, in the roles that chat models know: seeker = user, supporter = assistant."""

    role: Literal["system", "user", "assistant"]
    content: str


class Context(Record):
    """What a supporter turn answers to (C_n in equation 1), and the human answer.

    `id` is `<dialogue>#<index of the supporter turn>`; `messages` end with the last seeker turn;
    `golden` is the supporter's own next turn and `strategies` those annotated for it.
    """

    id: NonEmpty
    messages: list[Message] = Field(min_length=1)
    golden: NonEmpty
    strategies: list[str] = []


class Usage(Record):
    """The tokens of a request and of its answer, as the server that answered counted them."""

    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


class Response(Record):
    """A generated text. `attempt` counts from 1; `model` is the digest of the policy that wrote it.

    `usage` is absent where a server does not say it, and where no server was asked.
    """

    id: NonEmpty
    text: str
    finish_reason: Literal["stop", "length", "content_filter"]
    attempt: int = Field(ge=1)
    model: str
    usage: Usage | None = None


class Understanding(Record):
    """What the model believes of the seeker (u_n and s_n in equation 4; keys of appendix E)."""

    user_profile: str
    user_emotion: str
    user_personality: str
    user_intention: str


class Refinement(Record):
    """Self-reflection and refined response (equations 4 and 5) for one context.

    `status` is `parsed`, or `failed` when no attempt gave the JSON asked for; then the fields of the
    JSON are absent and `raw` holds every attempt's text; no attempt was made where the prompt with the
    last seeker turn alone exceeds the window.
    """

    id: NonEmpty
    understanding: Understanding | None = None
    evaluation_score: float | None = None
    feedback: str | None = None
    refined_response: NonEmpty | None = None
    attempts: int = Field(ge=0)
    status: Literal["parsed", "failed"]
    raw: list[str] = []


class Takeup(Record):
    """What a response names of the seeker's hidden profile (mini world; see stages.world.takeup).

    `known`, `own` and `early` are names of facts: disclosed so far (without `name`), of these named in the
    response, named though not disclosed yet. `wrong` are phrases it names that are somebody else's.
    """

    id: NonEmpty
    known: list[str]
    own: list[str]
    early: list[str]
    wrong: list[str]
    words: int = Field(ge=0)


class TextScores(Record):
    """One response's scores in the paper protocol, in percent; metrics that are not available are absent."""

    id: NonEmpty
    bleu_1: Finite
    bleu_2: Finite
    bleu_3: Finite
    bleu_4: Finite
    distinct_1: Finite
    distinct_2: Finite
    distinct_3: Finite
    rouge_l: Finite
    meteor: Finite | None = None
    bertscore: Finite | None = None


class ShareGptMessage(Record):
    """One message in the layout LLaMA-Factory calls sharegpt."""

    from_: Literal["human", "gpt"] = Field(alias="from")
    value: str

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


class Conversation(Record):
    """One sample of supervised fine-tuning in LLaMA-Factory's sharegpt layout."""

    id: NonEmpty
    system: str
    conversations: list[ShareGptMessage] = Field(min_length=2)


class Preference(Record):
    """One preference pair in LLaMA-Factory's ranking layout; `chosen_source` says who wrote `chosen`."""

    id: NonEmpty
    system: str
    conversations: list[ShareGptMessage] = Field(min_length=1)
    chosen: ShareGptMessage
    rejected: ShareGptMessage
    chosen_source: Literal["refined", "golden_length", "golden_parse", "golden"]
