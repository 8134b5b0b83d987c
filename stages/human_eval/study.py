"""A study's design: one YAML file, read and checked, with the texts that raters read in their language."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from stages.records.errors import InputError
from stages.records.fingerprint import digest_value
from stages.records.jsonl import read_text
from stages.records.schema import NonEmpty

SHIPPED = Path(__file__).parent / "texts"
DIMENSIONS = (  # the paper's seven, section 3.4.2
    *("coherence", "understanding", "empathy", "informativeness", "helpfulness", "engagement", "overall"),
)
SCALE = (1, 5)
MINIMUM_TURNS = {"pointwise": 8, "pairwise": 10}  # section 3.4.1

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$")]
Texts = dict[Language, NonEmpty]


class Part(BaseModel):
    """Base of a study's parts: unknown keys are errors, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OwnDimension(Part):
    """A question on the five-point scale in the study's own words, by language; anchors from 1 to 5."""

    name: Name
    title_by: Texts = Field(alias="title", default={})
    question_by: Texts = Field(alias="question", default={})
    anchors_by: dict[Language, Annotated[list[NonEmpty], Field(min_length=5, max_length=5)]] = Field(
        alias="anchors", default={}
    )


class OwnHelpLine(Part):
    """Somebody to call: a name by language (or one for all), and a number or address."""

    name: NonEmpty | Texts
    contact: NonEmpty


class OwnCrisis(Part):
    """The notice for emergencies; `words` in a message offer to end the session, beside the shipped ones."""

    text: Texts = {}
    lines: list[OwnHelpLine] = []
    words: list[NonEmpty] = []


class Overlap(Part):
    """Fixed answers that several raters rate each, so that their agreement can be measured.

    They come from the pipeline's test contexts and responses ({model} stands for a model's name), or from
    `file`: one JSON object a line with `id`, `messages` and `responses` (model to text).
    """

    contexts: int = Field(default=10, ge=1)  # so many, drawn with the study's seed
    per_rater: int = Field(default=6, ge=1)
    raters_per_item: int = Field(default=3, ge=2)
    file: NonEmpty | None = None
    contexts_file: NonEmpty = "data/contexts/test.jsonl"
    responses_file: NonEmpty = "data/{model}/responses.jsonl"


@dataclass(frozen=True)
class Dimension:
    """One question of the five-point scale, with its texts by language."""

    name: str
    titles: Mapping[str, str]
    questions: Mapping[str, str]
    anchors_by: Mapping[str, Sequence[str]]
    first: str

    def title(self, language: str) -> str:
        """Return its name in that language, or in the study's first one."""
        return _in(self.titles, language, self.first)

    def question(self, language: str) -> str:
        """Return the question in that language, or in the study's first one."""
        return _in(self.questions, language, self.first)

    def anchors(self, language: str) -> Sequence[str]:
        """Return what the five points mean, 1 first."""
        return _in(self.anchors_by, language, self.first)


@dataclass(frozen=True)
class HelpLine:
    """Somebody to call."""

    name: str
    contact: str


@dataclass(frozen=True)
class Crisis:
    """The notice for emergencies in one language."""

    text: str
    lines: tuple[HelpLine, ...]


class Study(Part):
    """A whole study. `read_study` makes one of a file."""

    name: Name
    mode: Literal["pointwise", "pairwise"]
    models: Annotated[tuple[Name, ...], Field(strict=False, min_length=1)]
    prompt: Name = "task"
    seed: int = Field(ge=0)
    languages: Annotated[tuple[Language, ...], Field(strict=False, min_length=1)] = ("en", "de")
    raters: int = Field(ge=1, le=9999)
    sessions_per_rater: int = Field(default=1, ge=0, le=99)
    minimum_turns: int = Field(ge=1, le=500)
    maximum_turns: int | None = Field(default=None, ge=1)
    message_limit: int = Field(default=4000, ge=1, le=100_000)  # characters
    idle_seconds: float = Field(default=120.0, gt=0, strict=False)  # a longer gap counts as this much
    after_tie: Literal["rater", "seed"] = "rater"
    overlap: Overlap | None = None
    attention_checks: int = Field(default=0, ge=0, le=20)
    own_dimensions: list[Name | OwnDimension] = Field(
        default=list(DIMENSIONS), alias="dimensions", min_length=1, max_length=20
    )
    own_consent: Texts = Field(default={}, alias="consent")
    own_crisis: OwnCrisis = Field(default=OwnCrisis(), alias="crisis")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for field, names in (("models", self.models), ("languages", self.languages)):
            if len(set(names)) < len(names):
                raise _Wrong(field, "one occurs twice")
        if self.mode == "pairwise" and len(self.models) < 2:
            raise _Wrong("models", "a pair-wise study compares at least two")
        if self.maximum_turns is not None and self.maximum_turns < self.minimum_turns:
            raise _Wrong("maximum_turns", f"is less than minimum_turns ({self.minimum_turns})")
        if not self.sessions_per_rater and self.overlap is None:
            raise _Wrong("sessions_per_rater", "is 0, and there is no overlap: nothing to do")
        for language in self.languages:
            if language not in self.own_consent and language not in _shipped():
                raise _Wrong("consent", f"has no text in {language}, and none is shipped")
        names = [one if isinstance(one, str) else one.name for one in self.own_dimensions]
        if len(set(names)) < len(names):
            raise _Wrong("dimensions", "one occurs twice")
        for one in self.own_dimensions:
            self._check_dimension(one)
        return self

    def _check_dimension(self, one: "str | OwnDimension") -> None:
        name = one if isinstance(one, str) else one.name
        if name in DIMENSIONS:
            return
        if isinstance(one, str):
            raise _Wrong("dimensions", f"{name} is not one of {', '.join(DIMENSIONS)}, and has no texts")
        for field, texts in (
            ("title", one.title_by),
            ("question", one.question_by),
            ("anchors", one.anchors_by),
        ):
            if self.languages[0] not in texts:
                raise _Wrong(f"dimensions.{name}.{field}", f"has no text in {self.languages[0]}")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that the file says and of the models: another digest is another study."""
        return digest_value(self.model_dump(mode="json", by_alias=True))

    @property
    def conditions(self) -> tuple[tuple[str, ...], ...]:
        """What sessions and items are assigned to: every model, or every two models, in the file's order."""
        return tuple(combinations(self.models, 2 if self.mode == "pairwise" else 1))

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides on which answers are shown."""
        return ("a", "b") if self.mode == "pairwise" else ("a",)

    @cached_property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The questions, in order."""
        return tuple(_dimension(one, self.languages[0]) for one in self.own_dimensions)

    @property
    def dimension_names(self) -> tuple[str, ...]:
        """The names of the questions, in order."""
        return tuple(one if isinstance(one, str) else one.name for one in self.own_dimensions)

    def language(self, wanted: str | None) -> str:
        """Return the offered language that comes closest: itself, its main language, else the first."""
        for one in (wanted, (wanted or "").split("-")[0]):
            if one in self.languages:
                return str(one)
        return self.languages[0]

    def consent(self, language: str) -> str:
        """Return what a rater agrees to."""
        shipped = {code: texts["consent"] for code, texts in _shipped().items()}
        return _in(shipped | self.own_consent, language, self.languages[0])

    def crisis(self, language: str) -> Crisis:
        """Return the notice for emergencies, with the study's help lines."""
        shipped = {code: texts["crisis"]["text"] for code, texts in _shipped().items()}
        first = self.languages[0]
        lines = (
            HelpLine(one.name if isinstance(one.name, str) else _in(one.name, language, first), one.contact)
            for one in self.own_crisis.lines
        )
        return Crisis(_in(shipped | self.own_crisis.text, language, first), tuple(lines))

    def attention(self, language: str) -> Mapping[str, str]:
        """Return texts of attention checks: `seeker`, `pointwise` with {value}, `pairwise` with {side}."""
        return _in({c: t["attention"] for c, t in _shipped().items()}, language, self.languages[0])

    def offers_to_end(self, text: str) -> bool:
        """Whether a message has one of the words at which the page offers to end the session."""
        plain = " ".join(unicodedata.normalize("NFKC", text).casefold().replace("’", "'").split())
        words = [word for texts in _shipped().values() for word in texts["crisis"]["words"]]
        return any(word.casefold() in plain for word in [*words, *self.own_crisis.words])


def read_study(path: Path | str, models: Sequence[str] | None = None) -> Study:
    """Return the study of a YAML file.

    Args:
        path: the file; `minimum_turns` may be left out (8 point-wise, 10 pair-wise).
        models: names in place of those of the file, if any.

    Raises:
        InputError: naming file and field.
    """
    try:
        value = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {error}", file=path) from None
    if not isinstance(value, dict):
        raise InputError("must be a mapping of a study's fields", file=path)
    if models:
        value["models"] = list(models)
    if (mode := value.get("mode")) in ("pointwise", "pairwise"):
        value.setdefault("minimum_turns", MINIMUM_TURNS[mode])
    try:
        return Study.model_validate(value)
    except _Wrong as wrong:
        raise InputError(wrong.reason, file=path, field=wrong.field) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        message = "missing field" if first["type"] == "missing" else first["msg"]
        raise InputError(message, file=path, field=".".join(map(str, first["loc"])) or None) from None


class _Wrong(Exception):  # noqa: N818 - turned into an InputError before anybody sees it
    """Two fields that do not fit; no ValueError, so that pydantic hands it through with its field."""

    def __init__(self, field: str, reason: str):
        self.field, self.reason = field, reason


@cache
def _shipped() -> dict[str, dict[str, Any]]:
    found = {}
    for file in sorted(SHIPPED.glob("*.yaml")):
        texts = yaml.safe_load(file.read_text(encoding="utf-8"))
        texts["consent"] = _unwrapped(texts["consent"])
        texts["crisis"]["text"] = _unwrapped(texts["crisis"]["text"])
        found[file.stem] = texts
    return found


def _unwrapped(text: str) -> str:
    """Return paragraphs of one line each."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


@cache
def _shipped_dimension(name: str, field: str) -> dict[str, Any]:
    return {c: t["dimensions"][name][field] for c, t in _shipped().items() if name in t["dimensions"]}


def _dimension(one: str | OwnDimension, first: str) -> Dimension:
    own = OwnDimension(name=one) if isinstance(one, str) else one
    return Dimension(
        own.name,
        _shipped_dimension(own.name, "title") | own.title_by,
        _shipped_dimension(own.name, "question") | own.question_by,
        _shipped_dimension(own.name, "anchors") | own.anchors_by,
        first,
    )


def _in(texts: Mapping[str, Any], language: str, first: str) -> Any:
    """Return the text in a language, else in the study's first, else in English, else any."""
    for one in (language, language.split("-")[0], first, "en"):
        if one in texts:
            return texts[one]
    return next(iter(texts.values()))
