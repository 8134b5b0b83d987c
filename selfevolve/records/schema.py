"""The records that pass between stages. Field order here is key order in the files."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from selfevolve.records.texts import Text, is_blank, whole_characters
from selfevolve.runtime.files import read_yaml

STRATEGIES: dict[str, str] = read_yaml(Path(__file__).with_name("strategies.yaml"))
"""ESConv's eight support strategies in the order of the paper's prompts, and what each means."""


def _shown(text: str) -> str:
    if is_blank(text):
        raise ValueError(f"shows nothing, got {json.dumps(text)}")
    return text


# JSON schemas leave this limit out. Servers that keep a model to a schema (by xgrammar) take a pattern, which
# may be found anywhere by JSON schema, for the whole text, and beside a least length allow no quote.
NonEmpty = Annotated[Text, AfterValidator(_shown), WithJsonSchema({"type": "string"})]

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Record(BaseModel):
    """Base of all records: unknown fields are errors, values are not coerced, instances are frozen.

    `model_fields_set` has all fields, whichever were passed. pydantic would keep a set for every instance,
    728 bytes for a response that otherwise takes some 350 without its text.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_halves(cls, values: Any) -> Any:
        """Let no record hold half a character: no file of ours could be written with one."""
        try:
            return whole_characters(values)
        except RecursionError:
            raise ValueError("too deeply nested") from None

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

    In the journals `text` is what the model wrote; in the files that stages hand on it has no thinking.
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

    `status` is `parsed`, or `failed` when no attempt gave a refined response; then `raw` holds the text of
    every attempt that failed, and the fields of the reflection are there only if it was an answer by itself
    and parsed. No attempt was made where the prompt with the last seeker turn alone exceeds the window.
    `attempts` are those until an answer parsed, of two answers the more: what was asked after that, for a
    shorter response, is counted by the stage alone.
    """

    id: NonEmpty
    understanding: Understanding | None = None
    evaluation_score: float | None = None
    feedback: str | None = None
    refined_response: NonEmpty | None = None
    attempts: int = Field(ge=0)
    status: Literal["parsed", "failed"]
    raw: list[str] = []


class FactMentions(Record):
    """What a text mentions of its seeker's gold profile, and of other profiles (selfevolve.metrics.facts).

    `known`, `own` and `early` are names of facts: disclosed so far (without `name`); of these, mentioned;
    mentioned though not disclosed yet. `wrong` are phrases of other profiles. `fragments` are words of facts
    alone, outside of any phrase. `words` is the text's length.
    """

    id: NonEmpty
    known: list[str]
    own: list[str]
    early: list[str]
    wrong: list[str]
    fragments: list[str]
    words: int = Field(ge=0)

    @property
    def share(self) -> float | None:
        """Percent of the known facts that the text mentions; None if none is known."""
        return 100 * len(self.own) / len(self.known) if self.known else None

    @property
    def personal(self) -> bool:
        """Whether the text mentions at least one own fact and no wrong one."""
        return bool(self.own) and not self.wrong

    @property
    def mentions_none(self) -> bool:
        """Whether the text mentions no fact at all, except the name that the seeker gave."""
        return not (self.own or self.early or self.wrong)

    @property
    def generic(self) -> bool:
        """Whether the text mentions no fact and no fragment of one."""
        return self.mentions_none and not self.fragments

    @property
    def garbled(self) -> bool:
        """Whether the text has fragments of facts and mentions none."""
        return self.mentions_none and bool(self.fragments)


class PersonalScores(Record):
    """How well one response can be told to be its own seeker's, in percent.

    selfevolve.metrics.personalisation says how. `matched_auc` is absent where no other seeker was given a
    response.
    """

    id: NonEmpty
    auc: Finite
    reciprocal_rank: Finite
    matched_auc: Finite | None = None


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


_SPEAKERS = {"user": "human", "assistant": "gpt"}


class ShareGptMessage(Record):
    """One message in the layout LLaMA-Factory calls sharegpt."""

    from_: Literal["human", "gpt"] = Field(alias="from")
    value: str

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


def sharegpt(messages: Sequence[Message]) -> list[ShareGptMessage]:
    """Return user and assistant messages in the layout LLaMA-Factory calls sharegpt."""
    return [ShareGptMessage(from_=_SPEAKERS[message.role], value=message.content) for message in messages]


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
    chosen_source: Literal["refined", "direct", "golden_length", "golden_support", "golden_parse", "golden"]


class Candidate(Record):
    """A response that a reward was given: a direct or a refined one."""

    source: Literal["direct", "refined"]
    text: NonEmpty
    reward: Finite


class Ranking(Record):
    """The candidates of one context, the one with the highest reward first."""

    id: NonEmpty
    candidates: list[Candidate] = Field(min_length=1)
