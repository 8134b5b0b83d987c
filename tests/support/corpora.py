"""Made-up responses of two models to the same contexts, for tests of what is computed over dialogues."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from selfevolve.records.jsonl import write_records
from selfevolve.records.schema import Context, FactMentions, Message, Response
from stages import score
from tests.conftest import read_lines

MODELS = ("m0", "m1")
FACTS = ("problem", "cause", "emotion")

WORDS = ("i", "you", "feel", "sad", "lost", "work", "sister", "help", "hear", "sorry", "that", "is", "hard")
WORDS += ("today", "maybe", "talk", "about", "it", "the", "a")


class Corpus(NamedTuple):
    """Ids `<dialogue>#<turn>`, golden responses, and the responses of two models, in the same order."""

    ids: list[str]
    golden: list[str]
    first: list[str]
    last: list[str]

    @property
    def dialogues(self) -> list[str]:
        """The dialogue of every response."""
        return [identity.split("#")[0] for identity in self.ids]


def make_corpus(dialogues: int, turns: int, seed: int = 0, last_changes: float = 0.6) -> Corpus:
    """Make dialogues of 1 to `turns` turns; the models change shares of the golden words, the first 0.4."""
    rng = random.Random(seed)
    ids = [f"d{d:03d}#{2 * t + 1}" for d in range(dialogues) for t in range(rng.randint(1, turns))]
    golden = [say(rng) for _ in ids]
    first, last = ([change(text, share, rng) for text in golden] for share in (0.4, last_changes))
    return Corpus(ids, golden, first, last)


def say(rng: random.Random) -> str:
    """A sentence of 3 to 12 words."""
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 12))) + "."


def change(text: str, share: float, rng: random.Random) -> str:
    """The text with a share of its words replaced."""
    return " ".join(rng.choice(WORDS) if rng.random() < share else word for word in text.split())


def write_models(folder: Path, corpus: Corpus) -> Path:
    """Write contexts, parameters, and a folder of files for each model, as the stages leave them."""
    said = [Message(role="user", content="I feel bad.")]
    contexts = zip(corpus.ids, corpus.golden, strict=True)
    write_records(folder / "contexts.jsonl", [Context(id=i, messages=said, golden=g) for i, g in contexts])
    (folder / "params.yaml").write_text(
        "score: {semantic: false}\ncompare: {seed: 3, resamples: 1000, level: 0.95}\n", encoding="utf-8"
    )
    for name, texts in zip(MODELS, (corpus.first, corpus.last), strict=True):
        (folder / name).mkdir()
        responses = [
            Response(id=identity, text=text, finish_reason="stop", attempt=1, model=name)
            for identity, text in zip(corpus.ids, texts, strict=True)
        ]
        write_records(folder / name / "responses.jsonl", responses)
        write_records(folder / name / "facts.jsonl", [fact_mentions(r.id, r.text, name) for r in responses])
        files = {"responses": "responses.jsonl", "out": "text.json", "details": "scores.jsonl"}
        own = [part for key, file in files.items() for part in (f"--{key}", str(folder / name / file))]
        score.main([*own, *shared(folder)])
    return folder


def fact_mentions(identity: str, text: str, name: str) -> FactMentions:
    """Made-up facts: nothing is known in the first turn of a dialogue, m1 names more than m0."""
    known = list(FACTS[: (int(identity.split("#")[1]) - 1) // 2 + 1]) if "#1" not in identity else []
    own = [fact for fact in known if (len(text) + len(fact)) % (2 if name == "m1" else 3) == 0]
    wrong = ["a stranger", "a quarrel"] if len(text) % 4 == 0 else []
    return FactMentions(
        id=identity, known=known, own=own, early=[], wrong=wrong, fragments=[], words=len(text.split())
    )


def shared(folder: Path) -> list[str]:
    """The options that score and compare have in common."""
    return ["--contexts", str(folder / "contexts.jsonl"), "--params", str(folder / "params.yaml")]


def options(folder: Path, *names: str, facts: bool = True) -> list[str]:
    """The options of compare, for models whose files lie in folders of their names."""
    files = {"responses": "responses.jsonl", "details": "scores.jsonl", "scores": "text.json"}
    files |= {"facts": "facts.jsonl"} if facts else {}
    own = [
        part
        for name in names
        for key, file in files.items()
        for part in (f"--{key}", f"{name}={folder / name / file}")
    ]
    return [*shared(folder), *own, "--out", str(folder / "out.json")]


def change_details(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change every record of a model's details."""
    rows = [change(row) for row in read_lines(folder / "scores.jsonl")]
    (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
