"""Controls of what measures: do those who must do worse do worse, and does the report say so?"""

from selfevolve.metrics.labels import PERSONALISATION
from selfevolve.report.described import report, table
from selfevolve.report.document import Block, Text
from selfevolve.report.reading import Part, Run

FILE = "personalisation_controls.json"
HUMAN = "human"


def personalisation_controls(run: Run) -> list[Block]:
    """Return the scores of human responses and of the controls, where they were measured."""
    file = run.json(FILE)
    if not file.there:
        what = "controls of the scores of personalisation: not run (dvc repro stages/analyses/dvc.yaml)"
        return [Text.of(run.says(f"{what}."))]
    rows = {}
    for name in (HUMAN, *report()["personalisation_controls"]):
        numbers = {score: file.at(name).number(score) for score in PERSONALISATION}
        difference = file.at("differences", name)
        wanted = report()["personalisation_controls"].get(name)
        belongs = verdict(difference, wanted) if wanted else ""
        rows[name] = Part(file.file, {**numbers, "difference": difference.value, "belongs": belongs})
    return [*table("personalisation controls", run, rows, notes=file.absences())]


def verdict(found: Part, wanted: str) -> str:
    """Return whether a difference is where it belongs: `more` and `less` than 0 with the whole interval.

    Args:
        found: a difference with its interval.
        wanted: `more`, `less`, or `not more`, which an interval on or below 0 satisfies too.
    """
    interval = found.interval()
    if interval is None:
        return "no interval"
    low, high = interval
    if wanted == "not more":
        return "no" if low > 0 else "yes"
    sure, wrong = (low > 0, high < 0) if wanted == "more" else (high < 0, low > 0)
    return "yes" if sure else "no" if wrong else "undecided"
