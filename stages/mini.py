"""Write the mini world: a folder of small made-up corpora in the upstreams' own layouts.

    python -m stages.mini --out data/mini [--params params.yaml]

The folder holds esconv.json, extes.json, serveforemo.json and alpaca.json. Parameters, section `mini`:
`seed`, `esconv_sessions`, `synesc_sessions` (three quarters ExTES-like, one quarter ServeForEmo-like)
and `alpaca_items`. The same parameters give the same bytes.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from stages.command import load_params, run
from stages.records.errors import InputError
from stages.records.publish import publishing
from stages.world import upstreams

# Parameter -> (default, least value). Two SynESC sessions: one in each of its two files.
_PARAMS = {
    "seed": (7, 0),
    "esconv_sessions": (140, 1),
    "synesc_sessions": (420, 2),
    "alpaca_items": (600, 1),
}
_MOST = 100_000


def main() -> None:
    """Read the parameters, make the four corpora and publish their folder."""
    parser = argparse.ArgumentParser(description="Write the mini world in the upstreams' layouts.")
    parser.add_argument("--out", type=Path, required=True, help="folder to publish")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameters file")
    args = parser.parse_args()
    write_world(args.out, **read_params(load_params("mini", args.params), args.params))


def read_params(section: Any, file: Path | str) -> dict[str, int]:
    """Check the section `mini` and fill in defaults.

    Raises:
        InputError: it is not a mapping, names something unknown, or a value is not a whole number in
            its range (at least 1; `seed` at least 0; `synesc_sessions` at least 2; at most 100,000).
    """
    if not isinstance(section, dict):
        raise InputError("must be a mapping", file=file, field="mini")
    for key, value in section.items():
        if key not in _PARAMS:
            raise InputError(f"unknown; known are {', '.join(_PARAMS)}", file=file, field=f"mini.{key}")
        least = _PARAMS[key][1]
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < least or (key != "seed" and value > _MOST):
            bounds = f"at least {least}" if key == "seed" else f"from {least} to {_MOST}"
            raise InputError(
                f"must be a whole number {bounds}, not {value!r}", file=file, field=f"mini.{key}"
            )
    return {key: section.get(key, default) for key, (default, _) in _PARAMS.items()}


def write_world(
    out: Path | str, *, seed: int, esconv_sessions: int, synesc_sessions: int, alpaca_items: int
) -> None:
    """Publish the folder `out` with the four files."""
    serveforemo_sessions = max(1, synesc_sessions // 4)
    corpora = {
        "esconv.json": upstreams.esconv(esconv_sessions, seed),
        "extes.json": upstreams.extes(synesc_sessions - serveforemo_sessions, seed),
        "serveforemo.json": upstreams.serveforemo(serveforemo_sessions, seed),
        "alpaca.json": upstreams.alpaca(alpaca_items, seed),
    }
    with publishing(out) as folder:
        folder.mkdir()
        for name, records in corpora.items():
            text = json.dumps(records, ensure_ascii=False, indent=1) + "\n"
            (folder / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run(main)
