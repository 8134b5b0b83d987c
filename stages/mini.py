"""Write the mini world: a folder of small made-up corpora in the upstreams' own layouts.

    python -m stages.mini --out data/mini [--params params.yaml]

The folder holds esconv.json, extes.json, serveforemo.json and alpaca.json. Parameters, section `mini`:
`seed`, `esconv_sessions` (none of a held-out profile), `esconv_test_sessions` (all of held-out ones, in
the same file), `synesc_sessions` (three quarters ExTES-like, one quarter ServeForEmo-like) and
`alpaca_items` (none is an item of the smoke benchmarks). The same parameters give the same bytes.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from stages.benchmarks.catalogue import smoke_questions
from stages.command import Params, read_params, run
from stages.records.publish import publishing
from stages.world import upstreams

Count = Annotated[int, Field(ge=1, le=100_000)]


class MiniParams(Params):
    """Section `mini` of params.yaml: numbers of sessions and of instruction items."""

    seed: int = Field(7, ge=0)
    esconv_sessions: Count = 160
    esconv_test_sessions: int = Field(110, ge=0, le=100_000)
    synesc_sessions: int = Field(420, ge=2, le=100_000)  # one at least in each of SynESC's two files
    alpaca_items: Count = 600


def main(argv: Sequence[str] | None = None) -> None:
    """Read the parameters, make the four corpora and publish their folder."""
    parser = argparse.ArgumentParser(description="Write the mini world in the upstreams' layouts.")
    parser.add_argument("--out", type=Path, required=True, help="folder to publish")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameters file")
    args = parser.parse_args(argv)
    write_world(args.out, **read_params("mini", MiniParams, args.params).model_dump())


def write_world(
    out: Path | str,
    *,
    seed: int,
    esconv_sessions: int,
    esconv_test_sessions: int,
    synesc_sessions: int,
    alpaca_items: int,
) -> None:
    """Publish the folder `out` with the four files."""
    serveforemo_sessions = max(1, synesc_sessions // 4)
    corpora = {
        "esconv.json": upstreams.esconv(esconv_sessions, esconv_test_sessions, seed),
        "extes.json": upstreams.extes(synesc_sessions - serveforemo_sessions, seed),
        "serveforemo.json": upstreams.serveforemo(serveforemo_sessions, seed),
        "alpaca.json": upstreams.alpaca(alpaca_items, seed, smoke_questions()),
    }
    with publishing(out) as folder:
        folder.mkdir()
        for name, records in corpora.items():
            text = json.dumps(records, ensure_ascii=False, indent=1) + "\n"
            (folder / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run(main)
