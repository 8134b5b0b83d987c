"""How many contexts and samples there are, and how long they are: from a run's counts, or from averages."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stages.records.errors import InputError

FILE = Path(__file__).with_name("corpora.yaml")
SYNESC = ("extes", "serveforemo")


@dataclass(frozen=True)
class Text:
    """Dialogues of a kind: how many, and averages of turns a dialogue and of words a turn."""

    sessions: float
    turns: float
    words: float
    supporter_words: float


@dataclass(frozen=True)
class Counts:
    """What a run is made of. `contexts` are by file of data/contexts; `source` says where all is from."""

    source: str
    dialogues: dict[str, Text]
    contexts: dict[str, int]
    tokens_a_word: float
    tokens_note: str
    message_tokens: float
    alpaca_words: float


def count(params: Mapping[str, Any], metrics: Path | None) -> Counts:
    """Return the counts for these parameters.

    Args:
        params: composed.
        metrics: the folder of metrics of a run with the same data, or None.

    Raises:
        InputError: nothing is known of the data or the backbone.
    """
    known = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    name, backbone = params["data"]["name"], params["backbone"]["name"]
    if backbone not in known["tokens_a_word"]:
        raise InputError(f"nothing is known of the words of {backbone}", file="stages/planning/corpora.yaml")
    corpora, test, source = _corpora(name, known, metrics, params["prepare"]["test_share"])
    synesc = _together([corpora[key] for key in SYNESC])
    whole = corpora["esconv"]
    train = Text(whole.sessions - test, whole.turns, whole.words, whole.supporter_words)
    dialogues = {"synesc": synesc, "esconv_train": train}
    dialogues["test"] = Text(test, whole.turns, whole.words, whole.supporter_words)
    contexts, exact = _contexts(dialogues, params["contexts"], metrics)
    words = known["tokens_a_word"][backbone]
    return Counts(
        source=f"{source}; contexts {'as counted by the run' if exact else 'computed from these averages'}",
        dialogues=dialogues,
        contexts=contexts,
        tokens_a_word=words["value"],
        tokens_note=f"{words['value']} a word, {words['measured'] or 'assumed'}",
        message_tokens=known["message_tokens"],
        alpaca_words=known["alpaca_words"],
    )


def _corpora(
    name: str, known: Mapping[str, Any], metrics: Path | None, share: float
) -> tuple[dict[str, Text], int, str]:
    file = metrics / "corpora.json" if metrics else None
    if file and file.is_file():
        found = json.loads(file.read_text(encoding="utf-8"))
        rows = {key: found[key]["table_1"] for key in ("esconv", *SYNESC)}
        names = ("sessions", "turns_per_session", "words_per_utterance", "words_per_supporter_utterance")
        texts = {key: Text(*(row[name] or 0 for name in names)) for key, row in rows.items()}
        return texts, found["splits"]["esconv_test"], f"{file}"
    if name not in known:
        message = f"nothing is known of data {name} before `dvc repro prepare` has counted it"
        raise InputError(message, file="metrics/corpora.json")
    rows = {key: dict(known[name][key]) for key in ("esconv", *SYNESC)}
    test = rows["esconv"].pop("test", None)
    texts = {key: Text(**row) for key, row in rows.items()}
    return texts, test or round(texts["esconv"].sessions * share), known[name]["source"]


def _together(texts: list[Text]) -> Text:
    sessions = sum(text.sessions for text in texts)
    turns = sum(text.sessions * text.turns for text in texts)
    words = sum(text.sessions * text.turns * text.words for text in texts)
    supporter = sum(text.sessions * text.turns * text.supporter_words for text in texts)
    return Text(sessions, turns / max(1, sessions), words / max(1, turns), supporter / max(1, turns))


def _contexts(
    dialogues: Mapping[str, Text], section: Mapping[str, Any], metrics: Path | None
) -> tuple[dict[str, int], bool]:
    """Contexts by file: a supporter turn each, but for the first exchanges and the last turns of training."""
    file = metrics / "contexts.json" if metrics else None
    if file and file.is_file():
        found = json.loads(file.read_text(encoding="utf-8"))
        return {name: part["written"] for name, part in found.items()}, True
    test = dialogues["test"]
    counts = {"test": _limited(test.sessions * test.turns / 2, section["test_limit"])}
    for name in ("synesc", "esconv_train"):
        text = dialogues[name]
        each = max(0.0, text.turns / 2 - section["skip_first_exchanges"] - section["skip_last_turns"] / 2)
        for part in range(1, section["parts"] + 1):
            number = text.sessions / section["parts"] * each
            counts[f"{name}-{part}"] = _limited(number, section["part_limit"])
    return counts, False


def _limited(number: float, limit: int | None) -> int:
    return min(round(number), limit) if limit else round(number)
