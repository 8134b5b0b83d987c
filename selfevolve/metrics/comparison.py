"""Intervals of a model's scores over dialogues, and differences of two models on the same contexts.

Nothing is generated or scored here. The input is what stages.score wrote of each model: its scores, those of
each response, and the facts that each response mentions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from selfevolve.metrics.dialogues import (
    Score,
    compare,
    corpus_bleu,
    corpus_distinct,
    estimate,
    mean,
)
from selfevolve.metrics.facts import columns
from selfevolve.metrics.protocols import SAME_IN_BOTH
from selfevolve.metrics.statistics import Resampling, holm
from selfevolve.records.jsonl import dialogue_of, natural_key, read_records
from selfevolve.records.schema import Context, FactMentions, PersonalScores, Response, TextScores
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_json
from selfevolve.runtime.parameters import Params, validate

TEXT_METRICS = tuple(name for name in TextScores.model_fields if name != "id")
PERSONAL_METRICS = tuple(name for name in PersonalScores.model_fields if name != "id")
TESTS = ("p_bootstrap", "p_randomisation")
# A family of tests is what answers one question in one reading. A pair of models is a question of its own,
# put before the answers are seen; a reader takes one protocol, in which any of its scores may answer; and the
# two tests are two ways to the same answer. So one pair more or less changes no other pair's adjusted p.
METHODS = {
    "interval": "percentile bootstrap over dialogues; distinct of the corpus by jackknife pseudo-values",
    "p_bootstrap": "paired bootstrap over dialogues, two-sided",
    "p_randomisation": "approximate randomisation of whole dialogues, two-sided",
    "holm": "a family is one test on all scores of one group of one pair of models",
}
_ROUNDING = 1e-6  # percent; a score that differs by more from the one in the file is not of these responses


class CompareParams(Params):
    """Section `compare` of params.yaml."""

    seed: int = Field(ge=0)
    resamples: int = Field(ge=1000)
    level: float = Field(gt=0, lt=1)


class Files(NamedTuple):
    """One model's files: Response records, and what stages.score wrote of them; the last two if wanted."""

    responses: Path
    details: Path
    scores: Path
    facts: Path | None = None
    personalisation: Path | None = None


class Summary(BaseModel):
    """What is read of a file of scores: numbers by protocol, signatures, and reasons of what is absent."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    paper: dict[str, float]
    standard: dict[str, float]
    signatures: dict[str, str]
    not_available: dict[str, str]


@dataclass
class Measured:
    """One model's scores by group (`paper`, `standard`, `facts`, `personalisation`) and metric.

    Absences have their reasons.
    """

    groups: dict[str, dict[str, Score]]
    signatures: dict[str, str] = field(default_factory=dict)
    not_available: dict[str, str] = field(default_factory=dict)


def compare_models(
    models: Mapping[str, Files], contexts: Path, pairs: Sequence[tuple[str, str]], params: CompareParams
) -> dict[str, Any]:
    """Return the intervals of every model, and the differences and tests of every pair, as files hold them.

    All models answered the Context records of `contexts`. A pair is (first, last), by names of models; its
    difference is last minus first.
    """
    how = Resampling(**params.model_dump())
    references = _read_references(contexts)
    measured = {name: read_measured(files, references) for name, files in models.items()}
    if any(files.facts for files in models.values()):
        _add_facts(measured, {name: files.facts for name, files in models.items() if files.facts}, references)
    for name, files in models.items():
        if files.personalisation is not None:
            _add_personalisation(measured[name], files.personalisation, list(references))
    for first, last in pairs:
        _require_same_signatures((first, last), (measured[first], measured[last]), models[last].scores)
    return {
        "dialogues": len({dialogue_of(identity) for identity in references}),
        "responses": len(references),
        **params.model_dump(),
        "methods": METHODS,
        "models": {name: _estimates(one, how) for name, one in measured.items()},
        "pairs": [
            {"first": first, "last": last, **_differences(measured[first], measured[last], how)}
            for first, last in pairs
        ],
    }


def read_measured(files: Files, references: Mapping[str, str]) -> Measured:
    """Read and check one model's text scores; `references` are golden responses by context id."""
    responses = {response.id: response.text for response in read_records(files.responses, Response)}
    details = {detail.id: detail for detail in read_records(files.details, TextScores)}
    for path, found in ((files.responses, responses), (files.details, details)):
        _require_same_ids(found, references, path)
    summary = validate(Summary, read_json(files.scores), file=files.scores)
    ids = list(references)
    paper: dict[str, Score] = {}
    not_available: dict[str, str] = {}
    for metric in TEXT_METRICS:
        values = [getattr(details[identity], metric) for identity in ids]
        absent = [identity for identity, value in zip(ids, values, strict=True) if value is None]
        if not absent:
            paper[metric] = mean(ids, values)
        elif len(absent) == len(ids):
            not_available[metric] = summary.not_available.get(metric, f"not in {files.details}")
        else:
            message = "is absent here and not elsewhere"
            raise InputError(message, file=files.details, record=absent[0], field=metric)
    texts = [responses[identity] for identity in ids]
    corpus = corpus_bleu(ids, texts, list(references.values())) | corpus_distinct(ids, texts)
    standard = {
        metric: corpus.get(metric, score)
        for metric, score in paper.items()
        if metric in SAME_IN_BOTH or metric in corpus
    }
    lacks = {name: reason for name, reason in summary.not_available.items() if name.startswith("standard.")}
    for protocol, scores in (("paper", paper), ("standard", standard)):
        _require_equal(scores, getattr(summary, protocol), files.scores, protocol)
    return Measured({"paper": paper, "standard": standard}, summary.signatures, not_available | lacks)


def _estimates(measured: Measured, how: Resampling) -> dict[str, Any]:
    """Return one model's scores with their intervals, by group, and what has none with its reason."""
    groups, not_available = _resampled(measured.groups, measured.not_available)
    return {
        **{
            group: {metric: estimate(score, how)._asdict() for metric, score in scores.items()}
            for group, scores in groups.items()
        },
        "signatures": measured.signatures,
        "not_available": not_available,
    }


def _differences(first: Measured, last: Measured, how: Resampling) -> dict[str, Any]:
    """Return what differs between two models, by group, with p-values adjusted within the group."""
    groups, not_available = _resampled(last.groups, first.not_available | last.not_available)
    result: dict[str, Any] = {}
    for group, scores in groups.items():
        others = first.groups.get(group, {})
        found = {
            metric: compare(others[metric], score, how)._asdict()
            for metric, score in scores.items()
            if metric in others
        }
        for test in TESTS:
            adjusted = holm({metric: values[test] for metric, values in found.items()})
            for metric, p in adjusted.items():
                found[metric][f"{test}_holm"] = p
        result[group] = found
    return {**result, "not_available": not_available}


def _resampled(
    groups: Mapping[str, Mapping[str, Score]], not_available: Mapping[str, str]
) -> tuple[dict[str, dict[str, Score]], dict[str, str]]:
    """Return the scores that rest on two dialogues or more, and the absences with those that do not."""
    reasons = dict(not_available)
    kept: dict[str, dict[str, Score]] = {}
    for group, scores in groups.items():
        kept[group] = {metric: score for metric, score in scores.items() if len(score.dialogues) > 1}
        alone = [metric for metric in scores if metric not in kept[group]]
        reasons |= dict.fromkeys(alone, "rests on one dialogue")
    return kept, reasons


def _read_references(path: Path) -> dict[str, str]:
    """Return the golden responses of Context records (at least one) by id, in the order of the ids."""
    contexts = sorted(read_records(path, Context), key=lambda context: natural_key(context.id))
    if not contexts:
        raise InputError("has no contexts", file=path)
    return {context.id: context.golden for context in contexts}


def _add_facts(
    models: Mapping[str, Measured], files: Mapping[str, Path], references: Mapping[str, str]
) -> None:
    """Add the group `facts` to every model, or the reason why there is none."""
    first: dict[str, list[str]] | None = None
    for name, measured in models.items():
        records = {record.id: record for record in read_records(files[name], FactMentions)}
        if unasked := [identity for identity in records if identity not in references]:
            raise InputError("is of no context that is asked for", file=files[name], record=unasked[0])
        known = {identity: records[identity].known for identity in references if identity in records}
        first = known if first is None else first
        for identity in references:
            if first.get(identity) != known.get(identity):
                message = f"is not what it is in {next(iter(files.values()))}"
                raise InputError(message, file=files[name], record=identity, field="known")
        if known:
            scores = columns([records[identity] for identity in known])
            measured.groups["facts"] = {name: mean(list(known), values) for name, values in scores.items()}
        else:
            measured.not_available["facts"] = "no dialogue has a gold profile"


def _add_personalisation(measured: Measured, file: Path, ids: Sequence[str]) -> None:
    """Add the group `personalisation` to a model, or the reason why there is none."""
    found = {record.id: record for record in read_records(file, PersonalScores)}
    if not found:
        measured.not_available["personalisation"] = "no sentence encoder, or one dialogue alone"
        return
    _require_same_ids(found, dict.fromkeys(ids), file)
    values_of = {name: [getattr(found[identity], name) for identity in ids] for name in PERSONAL_METRICS}
    there = {name: values for name, values in values_of.items() if any(value is not None for value in values)}
    measured.groups["personalisation"] = {name: mean(ids, values) for name, values in there.items()}


def _require_same_ids(found: Mapping[str, object], wanted: Mapping[str, object], path: Path) -> None:
    for identity in wanted:
        if identity not in found:
            raise InputError("has no record of this context", file=path, record=identity)
    for identity in found:
        if identity not in wanted:
            raise InputError("is of no context that is asked for", file=path, record=identity)


def _require_same_signatures(models: Sequence[str], measured: Sequence[Measured], path: Path) -> None:
    """Raise InputError if two models' scores were not computed alike; `path` is the last one's summary."""
    first, last = (one.signatures for one in measured)
    for name in first.keys() & last.keys():
        if first[name] != last[name]:
            message = f"{models[1]}'s scores are of {last[name]}, {models[0]}'s of {first[name]}"
            raise InputError(message, file=path, field=f"signatures.{name}")


def _require_equal(scores: Mapping[str, Score], written: Mapping[str, float], path: Path, name: str) -> None:
    for metric in dict.fromkeys([*scores, *written]):
        if metric not in scores or metric not in written:
            where = "the details" if metric in scores else "the summary"
            raise InputError(f"is only in {where}", file=path, field=f"{name}.{metric}")
        if abs(scores[metric].value - written[metric]) > _ROUNDING:
            message = f"is {written[metric]}, but {scores[metric].value} by responses and details"
            raise InputError(message, file=path, field=f"{name}.{metric}")
