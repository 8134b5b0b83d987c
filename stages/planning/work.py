"""What the costly stages have to do: requests or samples, and their tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stages.planning.counts import Counts, Text

Kind = Literal["respond", "refine", "sft", "dpo"]


@dataclass(frozen=True)
class Work:
    """One stage. `prompt` and `new` are tokens of all requests together; training has its tokens in `prompt`.

    `new` is the most that one attempt may write. `longest` is the most tokens of one request or sample.
    """

    stage: str
    kind: Kind
    requests: int
    prompt: float
    new: float
    longest: int

    @property
    def tokens(self) -> float:
        """All tokens that pass through the model."""
        return self.prompt + self.new


def works(
    params: Mapping[str, Any], models: Sequence[str], counts: Counts, system: Mapping[str, int]
) -> list[Work]:
    """Return the generation and training stages on the way to the last of `models`, in order.

    Args:
        params: composed.
        models: what is made and measured.
        counts: of the data.
        system: words of the prompts by their names: task, plain, refine ...
    """
    found: list[Work] = []
    for model in models:
        if model in params["sft"]:
            found.append(_sft(params, model, counts, system["task"]))
        if model in params["iterations"]:
            found += _iteration(params, model, counts, system)
    for model in models:
        entry, section = params["models"][model], params["respond"]
        prompt = system.get(entry["prompt"], system["task"])
        number, new = counts.contexts["test"], section["sampling"]["max_new_tokens"]
        found.append(_generation(f"respond@{model}", "respond", number, counts, "test", prompt, new, params))
    return found


def _iteration(
    params: Mapping[str, Any], model: str, counts: Counts, system: Mapping[str, int]
) -> list[Work]:
    line = params["iterations"][model]
    source = line["dialogues"]
    number = counts.contexts[f"{source}-{line['part']}"]
    new = params["respond"]["sampling"]["max_new_tokens"]
    found = [_generation(f"reject@{model}", "respond", number, counts, source, system["task"], new, params)]
    if line["chosen"] == "refined":
        longest = params["refine"]["sampling"]["max_new_tokens"]
        words = system["task"] + system["refine"]
        found.append(_generation(f"refine@{model}", "refine", number, counts, source, words, longest, params))
    train, cutoff = params["train"]["dpo"], params["train"]["dpo"]["cutoff_len"]
    text = counts.dialogues[source]
    answer = text.supporter_words * counts.tokens_a_word + counts.message_tokens
    pairs = round(number * (1 - params["pair"]["valid_share"]))
    each = 2 * (_prompt(text, counts, system["task"], cutoff) + answer)
    tokens = pairs * each * train.get("num_train_epochs", 2.0)
    return [*found, Work(f"train@{model}", "dpo", pairs, tokens, 0, cutoff)]


def _generation(
    stage: str,
    kind: Kind,
    number: int,
    counts: Counts,
    source: str,
    words: int,
    new: int,
    params: Mapping[str, Any],
) -> Work:
    most = params["contexts"]["cutoff_len"]
    prompt = _prompt(counts.dialogues[source], counts, words, most)
    return Work(
        stage, kind, number, number * prompt, number * new, min(params["backbone"]["window"], most + new)
    )


def _prompt(text: Text, counts: Counts, system: int, most: int) -> float:
    """Tokens of an average context: the system prompt and half of a dialogue, in the template's messages."""
    words = system + text.turns / 2 * text.words
    return min(most, words * counts.tokens_a_word + (text.turns / 2 + 1) * counts.message_tokens)


def _sft(params: Mapping[str, Any], model: str, counts: Counts, system: int) -> Work:
    line, section, train = params["sft"][model], params["sft_data"], params["train"]["sft"]
    text = counts.dialogues[line["dialogues"]]
    sessions = min(text.sessions, section["dialogue_limit"] or text.sessions)
    kept = sessions * (1 - section["valid_share"])
    words = system + text.turns * text.words
    each = words * counts.tokens_a_word + (text.turns + 1) * counts.message_tokens
    items = section["alpaca_items"] if line["replay"] == "alpaca" else 0
    item = counts.alpaca_words * counts.tokens_a_word + 3 * counts.message_tokens
    tokens = (kept * each + items * item) * train.get("num_train_epochs", 2.0)
    return Work(f"sft@{model}", "sft", round(kept + items), tokens, 0, train["cutoff_len"])
