"""What stages.score measured of one model, read back as scores that can be resampled over dialogues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from stages.records.errors import InputError
from stages.records.jsonl import natural_key, read_records, read_text
from stages.records.schema import Context, Response, TextScores
from stages.scoring.dialogues import Score, corpus_bleu, corpus_distinct, mean

METRICS = tuple(name for name in TextScores.model_fields if name != "id")
_ROUNDING = 1e-6  # percent; a score that differs by more from the one in the file is not of these responses


class Files(NamedTuple):
    """One model's files: Response records, and what stages.score wrote of them, details and summary."""

    responses: Path
    details: Path
    scores: Path


class Summary(BaseModel):
    """What is read of the summary: numbers by protocol, signatures, and reasons of what is absent."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    paper: dict[str, float]
    standard: dict[str, float]
    signatures: dict[str, str]
    not_available: dict[str, str]


@dataclass
class Measured:
    """Scores by group (`paper`, `standard`, and what else is added) and metric; absences with reasons."""

    groups: dict[str, dict[str, Score]]
    signatures: dict[str, str] = field(default_factory=dict)
    not_available: dict[str, str] = field(default_factory=dict)


def read_references(path: Path) -> dict[str, str]:
    """Return the golden responses of Context records by id, in the order of the ids.

    Raises:
        InputError: the file cannot be read or holds none.
    """
    contexts = sorted(read_records(path, Context), key=lambda context: natural_key(context.id))
    if not contexts:
        raise InputError("has no contexts", file=path)
    return {context.id: context.golden for context in contexts}


def read_measured(files: Files, references: Mapping[str, str]) -> Measured:
    """Read one model's files; `references` are golden responses by id.

    Raises:
        InputError: a file cannot be read, is not of exactly these contexts, or the summary's numbers are
            not those of the responses and details.
    """
    responses = {response.id: response.text for response in read_records(files.responses, Response)}
    details = {detail.id: detail for detail in read_records(files.details, TextScores)}
    for path, found in ((files.responses, responses), (files.details, details)):
        require_same_ids(found, references, path)
    summary = _read_summary(files.scores)
    ids = list(references)
    paper: dict[str, Score] = {}
    not_available: dict[str, str] = {}
    for metric in METRICS:
        values = [getattr(details[identity], metric) for identity in ids]
        absent = [identity for identity, value in zip(ids, values, strict=True) if value is None]
        if not absent:
            paper[metric] = mean(ids, values)
        elif len(absent) == len(ids):
            not_available[metric] = summary.not_available.get(metric, f"not in {files.details}")
        else:
            raise InputError(
                "is absent here and not elsewhere", file=files.details, record=absent[0], field=metric
            )
    texts = [responses[identity] for identity in ids]
    corpus = corpus_bleu(ids, texts, list(references.values())) | corpus_distinct(ids, texts)
    standard = {metric: corpus.get(metric, score) for metric, score in paper.items()}
    for protocol, scores in (("paper", paper), ("standard", standard)):
        _require_equal(scores, getattr(summary, protocol), files.scores, protocol)
    return Measured({"paper": paper, "standard": standard}, summary.signatures, not_available)


def require_same_ids(found: Mapping[str, object], wanted: Mapping[str, object], path: Path) -> None:
    """Raise InputError unless the records found in a file are those of all wanted contexts."""
    for identity in wanted:
        if identity not in found:
            raise InputError("has no record of this context", file=path, record=identity)
    for identity in found:
        if identity not in wanted:
            raise InputError("is of no context that is asked for", file=path, record=identity)


def require_same_signatures(models: Sequence[str], measured: Sequence[Measured], path: Path) -> None:
    """Raise InputError where two models' scores were not computed alike; `path` is the last one's summary."""
    first, last = (one.signatures for one in measured)
    for name in first.keys() & last.keys():
        if first[name] != last[name]:
            message = f"{models[1]}'s scores are of {last[name]}, {models[0]}'s of {first[name]}"
            raise InputError(message, file=path, field=f"signatures.{name}")


def _read_summary(path: Path) -> Summary:
    try:
        return Summary.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InputError(first["msg"], file=path, field=".".join(map(str, first["loc"])) or None) from None


def _require_equal(scores: Mapping[str, Score], written: Mapping[str, float], path: Path, name: str) -> None:
    for metric in dict.fromkeys([*scores, *written]):
        if metric not in scores or metric not in written:
            where = "the details" if metric in scores else "the summary"
            raise InputError(f"is only in {where}", file=path, field=f"{name}.{metric}")
        if abs(scores[metric].value - written[metric]) > _ROUNDING:
            message = f"is {written[metric]}, but {scores[metric].value} by responses and details"
            raise InputError(message, file=path, field=f"{name}.{metric}")
