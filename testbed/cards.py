"""Write role cards of the mini world: `python -m testbed.cards --out data/cards`.

The folder holds `cards.jsonl`, the cards, and `facts.json`, all facts of the world: what a supporter may name
wrongly. The profiles are held out: no training set has their combination of facts.
"""

import argparse
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from selfevolve.metrics.facts import GoldFacts
from selfevolve.records.jsonl import write_records
from selfevolve.runtime.command import run
from selfevolve.runtime.files import publish_json, publishing
from selfevolve.runtime.parameters import Params, read_params
from selfevolve.sessions.cards import Card
from testbed.world.data import world
from testbed.world.profile import all_facts, draw_profile


class CardsParams(Params):
    """Section `cards` of testbed/params.yaml."""

    seed: int = Field(ge=0)
    count: int = Field(ge=2, le=10_000)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the parameters, draw the cards and publish their folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to publish")
    parser.add_argument("--params", type=Path, default=Path("testbed/params.yaml"))
    args = parser.parse_args(argv)
    write_cards(args.out, read_params("cards", CardsParams, args.params))


def write_cards(out: Path, params: CardsParams) -> None:
    """Publish the folder `out` with the cards and the world's facts."""
    with publishing(out) as folder:
        folder.mkdir()
        write_records(folder / "cards.jsonl", make_cards(params))
        publish_json(folder / "facts.json", GoldFacts(phrases=all_facts(), words=[]).model_dump())


def make_cards(params: CardsParams) -> list[Card]:
    """Return the cards; each has a generator of its own, so one more leaves the others as they are."""
    cards = []
    for number in range(params.count):
        rng = random.Random(f"{params.seed}/card/{number}")
        profile = draw_profile(rng, held_out=True)
        profile = profile if profile.name else replace(profile, name=rng.choice(world().vocabulary.names))
        cards.append(Card(id=f"mini-{number:04d}", name=profile.name, facts=profile.facts))
    return cards


if __name__ == "__main__":
    run(main)
