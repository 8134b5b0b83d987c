"""Read what one arm of one seed measured."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.records.errors import InputError
from stages.records.jsonl import read_records, read_text
from stages.records.schema import Takeup

# what is taken over of a model's facts, as its files name it
FACTS = ("own_share", "own_count", "personal", "generic", "wrong", "words")
REFLECTIONS = ("valid_first", "valid", "fields_right", "refined_own_share", "direct_own_share")
TRAINING = ("reward_chosen_first", "reward_rejected_first", "reward_chosen_last", "reward_margin_last")


class NotMeasured(LookupError):  # noqa: N818 - an absence to report, not an error of the program
    """A run lacks a number, as where no reflection could be read; the message names it."""


@dataclass(frozen=True)
class Run:
    """One arm of one seed.

    `models`: model -> metric -> number (shares in percent). `iterations`: model made -> what it was made
    from (numbers; `by_seeker_turns` maps a number of turns to numbers). `shares`: model -> context id ->
    share of the seeker's disclosed facts that the response takes up, in percent. What was not measured is
    absent.
    """

    arm: str
    seed: int
    models: dict[str, dict[str, float]]
    iterations: dict[str, dict[str, Any]]
    shares: dict[str, dict[str, float]]


def number(numbers: Mapping[str, Any], name: str) -> Any:
    """Return one of a model's or an iteration's numbers.

    Raises:
        NotMeasured: it is not among them.
    """
    if name not in numbers:
        raise NotMeasured(name)
    return numbers[name]


def read_run(folder: Path, arm: str, seed: int) -> Run:
    """Read the files that an evolution left in its folder.

    Raises:
        InputError: a file is missing or broken.
    """
    models, iterations, shares = {}, {}, {}
    found = {file.parent for name in ("facts", "preferences") for file in folder.glob(f"*/{name}.json")}
    if not found:
        raise InputError("holds no model that was measured", file=folder)
    for model in sorted(found):
        models[model.name] = _model(model)
        shares[model.name] = _shares(model / "facts.jsonl")
        if (model / "preferences.json").exists():
            iterations[model.name] = _iteration(model)
    for reflections in sorted(folder.glob("m1-*/reflections.json")):  # of M0: in the folder that arms share
        iterations[reflections.parent.name] = _reflections(reflections)
    return Run(arm, seed, models, iterations, shares)


def _model(folder: Path) -> dict[str, float]:
    facts, text = _json(folder / "facts.json"), _json(folder / "text.json")
    numbers = _chosen(facts, FACTS)
    for protocol in ("paper", "standard"):
        numbers |= {f"{name}_{protocol}": value for name, value in text[protocol].items()}
    if (folder / "capability.json").exists():  # not measured of every model
        numbers |= _chosen({"capability": _json(folder / "capability.json")["score"]["average"]})
    return numbers


def _shares(details: Path) -> dict[str, float]:
    records = read_records(details, Takeup)
    return {record.id: 100 * len(record.own) / len(record.known) for record in records if record.known}


def _iteration(folder: Path) -> dict[str, Any]:
    counts, training = _json(folder / "preferences.json"), _json(folder / "training.json")
    found = {name: counts[name] for name in ("pairs", "chosen_source", "words_chosen", "words_rejected")}
    found |= _chosen(training, TRAINING)
    if (folder / "reflections.json").exists():
        found |= _reflections(folder / "reflections.json")
    return found


def _reflections(path: Path) -> dict[str, Any]:
    return _chosen(_json(path), (*REFLECTIONS, "by_seeker_turns"))


def _chosen(numbers: Mapping[str, Any], names: Collection[str] | None = None) -> dict[str, Any]:
    """Return those of the names (all) that there is a number of."""
    return {name: numbers[name] for name in names or numbers if numbers.get(name) is not None}


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", file=path) from None
