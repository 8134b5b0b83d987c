"""Contexts, samples and tokens of the stages that generate or train, as a run counted them or by averages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, Literal

from selfevolve.prompts.templates import load_prompts
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_json, read_yaml
from selfevolve.training.losses import read_loss

AVERAGES = Path(__file__).with_name("corpora.yaml")
COLUMNS = ("sessions", "turns_per_session", "words_per_utterance", "words_per_supporter_utterance")
CORPORA, SYNESC = ("esconv", "extes", "serveforemo"), ("extes", "serveforemo")
PROMPTS = ("task", "plain", "refine", "reflect", "rewrite", "self_reflection")
Kind = Literal["respond", "refine", "sft", "dpo"]


@dataclass(frozen=True)
class Dialogues:
    """One kind of dialogues: how many, and averages of turns a dialogue and of words a turn."""

    sessions: float
    turns: float
    words: float
    supporter_words: float


@dataclass(frozen=True)
class Work:
    """What one stage generates or trains on; all tokens of a training are in `prompt`.

    `new` is the most tokens that one attempt at all requests may write, `longest` the most tokens of one
    request or sample. `reference`: they pass through a reference model as well.
    """

    stage: str
    kind: Kind
    requests: int
    prompt: float
    new: float
    longest: int
    reference: bool = False

    @property
    def tokens(self) -> float:
        """All tokens that pass through the model."""
        return self.prompt + self.new


class Workload:
    """Counts the work of a run with these parameters.

    `source` says where sessions and `contexts` (by file of data/contexts) are counted. `tokens_a_word` is of
    the backbone's tokenizer; `tokens_note` says whether that was measured.
    """

    def __init__(self, params: Mapping[str, Any], metrics: Path | None):
        """Take all parameters, and the folder of metrics of a run with the same data, if there is one."""
        known, self._params = read_yaml(AVERAGES), params
        corpora, test, self.source = _averages(known, params["data"]["name"], metrics)
        test = test or round(corpora["esconv"].sessions * params["prepare"]["test_share"])
        self._dialogues = {
            "synesc": _together([corpora[name] for name in SYNESC]),
            "esconv_train": replace(corpora["esconv"], sessions=corpora["esconv"].sessions - test),
            "test": replace(corpora["esconv"], sessions=test),
        }
        if metrics and (metrics / "contexts.json").is_file():
            counted = read_json(metrics / "contexts.json")
            self.contexts = {name: part["written"] for name, part in counted.items()}
            self.source += "; contexts as counted by the run"
        else:
            self.contexts = self._average_contexts()
            self.source += "; contexts computed from these averages"
        words = known["tokens_a_word"].get(params["backbone"]["name"], known["tokens_a_word"]["default"])
        self.tokens_a_word = words["value"]
        self.tokens_note = f"{words['value']} a word, {words['measured'] or 'assumed'}"
        self._message, self._alpaca_words = known["message_tokens"], known["alpaca_words"]
        prompts = load_prompts(params["prompts"]["dir"])
        self._words = {name: len(prompts.text(name).split()) for name in PROMPTS}

    def works(self, models: Sequence[str]) -> list[Work]:
        """Return what the stages generate and train that lead to `models` and measure them, in order."""
        params, found = self._params, list[Work]()
        for model in models:
            if model in params["sft"]:
                found.append(self._sft(model))
            if model in params["iterations"]:
                found += self._iteration(model)
        for model in models:
            words = self._words.get(params["models"][model]["prompt"], self._words["task"])
            found.append(self._generation(f"respond@{model}", "respond", "test", "test", words))
        return found

    def _average_contexts(self) -> dict[str, int]:
        """Count one context a supporter turn; training skips the first exchanges and the last turns."""

        def limited(number: float, limit: int | None) -> int:
            return min(round(number), limit) if limit else round(number)

        section, test = self._params["contexts"], self._dialogues["test"]
        counts = {"test": limited(test.sessions * test.turns / 2, section["test_limit"])}
        skipped = section["skip_first_exchanges"] + section["skip_last_turns"] / 2
        for name in ("synesc", "esconv_train"):
            text = self._dialogues[name]
            number = text.sessions / section["parts"] * max(0.0, text.turns / 2 - skipped)
            for part in range(1, section["parts"] + 1):
                counts[f"{name}-{part}"] = limited(number, section["part_limit"])
        return counts

    def _sft(self, model: str) -> Work:
        entry, section = self._params["sft"][model], self._params["sft_data"]
        text, train = self._dialogues[entry["dialogues"]], self._params["train"]["sft"]
        kept = min(text.sessions, section["dialogue_limit"] or text.sessions) * (1 - section["valid_share"])
        system = self._tokens(self._words["task"], 1)
        each = self._tokens(text.turns * text.words, text.turns)
        # a dialogue that is too long for a sample goes on in the next one, under the same system message
        pieces = kept * max(1, ceil(each / (train["cutoff_len"] - system)))
        items = section["alpaca_items"] if entry["replay"] == "alpaca" else 0
        tokens = kept * each + pieces * system + items * self._tokens(self._alpaca_words, 3)
        tokens *= train.get("num_train_epochs", 2.0)
        return Work(f"sft@{model}", "sft", round(pieces + items), tokens, 0, train["cutoff_len"])

    def _iteration(self, model: str) -> list[Work]:
        entry, train = self._params["iterations"][model], self._params["train"]["dpo"]
        source, task = entry["dialogues"], self._words["task"]
        part = f"{source}-{entry['part']}"
        found = [self._generation(f"reject@{model}", "respond", part, source, task)]
        numbers = self._params["reward"]["candidates"]
        if entry["chosen"] == "refined" or (entry["chosen"] == "reward" and numbers["refined"]):
            found.append(self._refinement(f"refine@{model}", part, source))
        if entry["chosen"] == "reward":
            found += self._candidates(f"rank@{model}", part, source, numbers)
        pairs = round(self.contexts[part] * (1 - self._params["pair"]["valid_share"]))
        answer = self._tokens(self._dialogues[source].supporter_words, 1)
        each = 2 * (self._prompt(source, task, train["cutoff_len"]) + answer)
        tokens = pairs * each * train.get("num_train_epochs", 2.0)
        reference = read_loss(train, "train.dpo in params.yaml").has_reference
        return [*found, Work(f"train@{model}", "dpo", pairs, tokens, 0, train["cutoff_len"], reference)]

    def _candidates(self, stage: str, part: str, source: str, numbers: Mapping[str, int]) -> list[Work]:
        """Return the work of the candidates that stages `reject` and `refine` have not made."""
        direct = self._generation(stage, "respond", part, source, self._words["task"])
        refined = self._refinement(stage, part, source)
        more = ((direct, numbers["direct"] - 1), (refined, numbers["refined"] - 1))
        return [
            replace(one, requests=times * one.requests, prompt=times * one.prompt, new=times * one.new)
            for one, times in more
            if times > 0
        ]

    def _refinement(self, stage: str, part: str, source: str) -> Work:
        """Return the work of reflecting and refining: one answer a context, or two."""
        words, two = self._words, self._params["refine"]["answers"] == "two"
        first = words["task"] + words["reflect" if two else "refine"]  # beside a dialogue, a response
        work = self._generation(stage, "refine", part, source, first)
        if not two:
            return work
        second = self._generation(stage, "refine", part, source, words["task"] + words["rewrite"])
        return replace(work, prompt=work.prompt + second.prompt, new=work.new + second.new)

    def _generation(self, stage: str, kind: Kind, contexts: str, source: str, words: int) -> Work:
        """Return the work of answering a file of contexts, cut from dialogues of the kind `source`."""
        number, most = self.contexts[contexts], self._params["contexts"]["cutoff_len"]
        new = self._params[kind]["sampling"]["max_new_tokens"]
        longest = min(self._params["backbone"]["window"], most + new)
        return Work(stage, kind, number, number * self._prompt(source, words, most), number * new, longest)

    def _prompt(self, source: str, words: int, most: int) -> float:
        """Return the tokens of an average context: a system prompt of so many words, half of a dialogue."""
        text = self._dialogues[source]
        return min(most, self._tokens(words + text.turns / 2 * text.words, text.turns / 2 + 1))

    def _tokens(self, words: float, messages: float) -> float:
        return words * self.tokens_a_word + messages * self._message


def _averages(
    known: Mapping[str, Any], name: str, metrics: Path | None
) -> tuple[dict[str, Dialogues], int | None, str]:
    """Return the averages of every corpus, the sessions of the test set if they are known, and the source."""
    if metrics and (metrics / "corpora.json").is_file():
        found, source = read_json(metrics / "corpora.json"), str(metrics / "corpora.json")
        rows, test = {corpus: found[corpus]["table_1"] for corpus in CORPORA}, found["splits"]["esconv_test"]
    elif name in known:
        rows, test, source = known[name], known[name].get("esconv_test"), known[name]["source"]
    else:
        message = f"the data {name} have no counts yet: run `dvc repro prepare` first"
        raise InputError(message, file="metrics/corpora.json")
    return {name: Dialogues(*(rows[name][key] or 0 for key in COLUMNS)) for name in CORPORA}, test, source


def _together(kinds: Sequence[Dialogues]) -> Dialogues:
    sessions = sum(kind.sessions for kind in kinds)
    turns = sum(kind.sessions * kind.turns for kind in kinds)
    words = sum(kind.sessions * kind.turns * kind.words for kind in kinds)
    supporter = sum(kind.sessions * kind.turns * kind.supporter_words for kind in kinds)
    return Dialogues(sessions, turns / max(1, sessions), words / max(1, turns), supporter / max(1, turns))
