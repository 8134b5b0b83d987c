"""More iterations than two over seeds, as tables: of metrics/evolution/evolution.json, where it was run."""

from collections.abc import Sequence

from selfevolve.report.described import table
from selfevolve.report.document import Block, Text
from selfevolve.report.reading import Part, Run
from selfevolve.report.table import Table

FILE = ("evolution", "evolution.json")
MODEL = ("arm", "model", "seeds")
# Tables of report.yaml: where their rows are, and what these begin with.
TABLES = {
    "longer models": ("models", MODEL),
    "longer drift": ("models", MODEL),
    "longer iterations": ("iterations", MODEL),
    "longer steps": ("steps", ("number", "step")),
    "longer arms": ("arms", ("arm", "number", "seeds")),
    "longer rules": ("rules", ("rule",)),
    "longer stops": ("stops", ("rule", "seed")),
}


def longer_blocks(run: Run) -> Sequence[Block]:
    """Return the tables, or that it was not run."""
    found = run.json(*FILE)
    if not found.there:
        return [Text.of(run.says("more iterations over seeds: not run (make evolution)."))]
    return longer_tables(found, run)


def longer_tables(found: Part, run: Run) -> list[Table]:
    """Return the tables of an evolution.json, each of TABLES that has rows."""
    seeds = "; ".join(
        f"{arm} {', '.join(map(str, found.at('seeds').items(arm)))}" for arm in found.at("seeds").value
    )
    notes = [f"Of commit {', '.join(map(str, found.items('commits')))}; seeds of {seeds}."]
    left_out = ", ".join(map(str, found.items("not_available")))
    notes += [f"Left out: {left_out}."] if left_out else []
    tables: list[Table] = []
    for name, (kind, heads) in TABLES.items():
        rows = [(tuple(map(one.said, heads)), one) for one in found.objects(kind)]
        tables += table(name, run, rows, notes=notes)
    return tables
