"""A study's design: one YAML file, read and checked, with the texts that raters read in their language."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from selfevolve.records.schema import NonEmpty
from selfevolve.runtime.digests import digest_value
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_yaml
from selfevolve.runtime.parameters import Params, validate

TEXTS = Path(__file__).parent / "texts"
DIMENSIONS = (  # the paper's seven, section 3.4.2
    *("coherence", "understanding", "empathy", "informativeness", "helpfulness", "engagement", "overall"),
)
MINIMUM_TURNS = {"pointwise": 8, "pairwise": 10}  # section 3.4.1


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("one occurs twice")
    return names


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$")]
Texts = dict[Language, NonEmpty]
Anchors = Annotated[list[NonEmpty], Field(min_length=5, max_length=5)]
_LIST = Field(strict=False, min_length=1)  # YAML has lists, the study has tuples


class Dimension(Params):
    """A question on the five-point scale in the study's own words, by language; anchors from 1 to 5."""

    name: Name
    title: Texts = Field(default={})
    question: Texts = Field(default={})
    anchors: dict[Language, Anchors] = Field(default={})


class HelpLine(Params):
    """Somebody to call: a name by language (or one for all), and a number or address."""

    name: NonEmpty | Texts
    contact: NonEmpty


class CrisisTexts(Params):
    """The study's own crisis notice; a message with one of the `words` makes the page offer help."""

    text: Texts = Field(default={})
    lines: list[HelpLine] = Field(default=[])
    words: list[NonEmpty] = Field(default=[])


class Overlap(Params):
    """Fixed answers that several raters rate each, so that their agreement can be measured.

    They are the pipeline's responses ({model} stands for a model's name), or come from `file`, see `Item`.
    """

    contexts: int = Field(default=10, ge=1)  # how many are drawn with the study's seed
    per_rater: int = Field(default=6, ge=1)
    raters_per_item: int = Field(default=3, ge=2)
    file: NonEmpty | None = None
    contexts_file: NonEmpty = "data/contexts/test.jsonl"
    responses_file: NonEmpty = "data/{model}/responses.jsonl"


@dataclass(frozen=True)
class Question:
    """A question on the five-point scale in one language; `anchors` say what 1 to 5 mean."""

    name: str
    title: str
    question: str
    anchors: Sequence[str]


@dataclass(frozen=True)
class CrisisNotice:
    """The notice for emergencies in one language; `lines` are name and contact."""

    text: str
    lines: tuple[tuple[str, str], ...]


class Study(Params):
    """A whole study. `read_study` makes one of a file."""

    name: Name
    mode: Literal["pointwise", "pairwise"]
    models: Annotated[tuple[Name, ...], _LIST, AfterValidator(_unique)]
    prompt: Name = "task"
    seed: int = Field(ge=0)
    languages: Annotated[tuple[Language, ...], _LIST, AfterValidator(_unique)] = ("en", "de")
    raters: int = Field(ge=1, le=9999)
    overlap: Overlap | None = None
    sessions_per_rater: int = Field(default=1, ge=0, le=99)
    minimum_turns: int = Field(ge=1, le=500)
    maximum_turns: int | None = Field(default=None, ge=1)
    message_limit: int = Field(default=4000, ge=1, le=100_000)  # characters
    idle_seconds: float = Field(default=120.0, gt=0, strict=False)  # a longer gap counts as this much
    after_tie: Literal["rater", "seed"] = "rater"
    attention_checks: int = Field(default=0, ge=0, le=20)
    dimensions: list[Name | Dimension] = Field(default=list(DIMENSIONS), min_length=1, max_length=20)
    consent: Texts = Field(default={})
    crisis: CrisisTexts = CrisisTexts()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that the file says and of the models: another digest is another study."""
        return digest_value(self.model_dump(mode="json"))

    @property
    def conditions(self) -> tuple[tuple[str, ...], ...]:
        """What sessions and items are assigned to: every model, or every two models, in the file's order."""
        return tuple(combinations(self.models, 2 if self.mode == "pairwise" else 1))

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides on which answers are shown."""
        return ("a", "b") if self.mode == "pairwise" else ("a",)

    @cached_property
    def own_dimensions(self) -> list[Dimension]:
        """The questions with the study's own texts, in order."""
        return [Dimension(name=one) if isinstance(one, str) else one for one in self.dimensions]

    @cached_property
    def dimension_names(self) -> tuple[str, ...]:
        """The names of the questions, in order."""
        return tuple(one.name for one in self.own_dimensions)

    def language(self, wanted: str | None) -> str:
        """Return the offered language that comes closest: itself, its main language, else the first."""
        for one in (wanted, (wanted or "").split("-")[0]):
            if one in self.languages:
                return str(one)
        return self.languages[0]

    def questions(self, language: str) -> list[Question]:
        """Return the questions in that language, in order."""
        fields = ("title", "question", "anchors")
        return [
            Question(
                one.name, *(self._text(getattr(one, x), language, "dimensions", one.name, x) for x in fields)
            )
            for one in self.own_dimensions
        ]

    def consent_text(self, language: str) -> str:
        """Return what a rater consents to."""
        return str(self._text(self.consent, language, "consent"))

    def crisis_notice(self, language: str) -> CrisisNotice:
        """Return the notice for emergencies, with the study's help lines."""
        lines = (
            (one.name if isinstance(one.name, str) else self._text(one.name, language), one.contact)
            for one in self.crisis.lines
        )
        return CrisisNotice(self._text(self.crisis.text, language, "crisis", "text"), tuple(lines))

    def attention(self, language: str) -> Mapping[str, str]:
        """Return texts of attention checks: `seeker`, `pointwise` with {value}, `pairwise` with {side}."""
        texts: Mapping[str, str] = self._text({}, language, "attention")
        return texts

    def offers_to_end(self, text: str) -> bool:
        """Whether a message has one of the words at which the page offers to end the session."""
        plain = " ".join(unicodedata.normalize("NFKC", text).casefold().replace("’", "'").split())
        words = [word for texts in _default_texts().values() for word in texts["crisis"]["words"]]
        return any(word.casefold() in plain for word in [*words, *self.crisis.words])

    def _text(self, own: Mapping[str, Any], language: str, *path: str) -> Any:
        """Return a text in a language, else in the study's first one, else in English, else in any.

        The study's own texts go before the shipped ones, which lie at `path` in their files.
        """
        texts: dict[str, Any] = {}
        for code, found in _default_texts().items() if path else ():
            for key in path:
                found = found.get(key, {})
            texts |= {code: found} if found else {}
        texts |= own
        for one in (language, language.split("-")[0], self.languages[0], "en"):
            if one in texts:
                return texts[one]
        return next(iter(texts.values()))


def read_study(path: Path | str, models: Sequence[str] | None = None) -> Study:
    """Return the study of a YAML file, with `models` in place of those of the file, if any are given.

    `minimum_turns` may be left out (8 point-wise, 10 pair-wise). An InputError names file and field.
    """
    value = read_yaml(path)
    if not isinstance(value, dict):
        raise InputError("must be a mapping of a study's fields", file=path)
    if models:
        value["models"] = list(models)
    if (mode := value.get("mode")) in ("pointwise", "pairwise"):
        value.setdefault("minimum_turns", MINIMUM_TURNS[mode])
    study = validate(Study, value, file=path)
    for field, message in _problems(study):
        raise InputError(message, file=path, field=field)
    return study


def _problems(study: Study) -> Iterator[tuple[str, str]]:
    """Yield the fields that do not fit others, each with what is wrong."""
    if study.mode == "pairwise" and len(study.models) < 2:
        yield "models", "a pair-wise study compares at least two"
    if not study.sessions_per_rater and study.overlap is None:
        yield "sessions_per_rater", "is 0, and there is no overlap: nothing to do"
    if study.maximum_turns is not None and study.maximum_turns < study.minimum_turns:
        yield "maximum_turns", f"is less than minimum_turns ({study.minimum_turns})"
    if len(set(study.dimension_names)) < len(study.dimensions):
        yield "dimensions", "one occurs twice"
    for one in study.own_dimensions:
        for field in ("title", "question", "anchors") if one.name not in DIMENSIONS else ():
            if study.languages[0] not in getattr(one, field):
                message = f"{one.name} has no {field} in {study.languages[0]}"
                yield "dimensions", f"{message}, and is not one of {', '.join(DIMENSIONS)}"
    for language in study.languages:
        if language not in study.consent and language not in _default_texts():
            yield "consent", f"has no text in {language}, and none is shipped"


@cache
def _default_texts() -> dict[str, dict[str, Any]]:
    """Return the shipped texts by language."""
    return {file.stem: read_yaml(file) for file in sorted(TEXTS.glob("*.yaml"))}
