"""What the report has, in its order."""

from collections.abc import Callable, Sequence
from pathlib import Path

from stages.reporting.analyses import phrase_blocks, relevance_blocks
from stages.reporting.certainty import (
    difference_tables,
    fact_tables,
    judge_tables,
    score_tables,
)
from stages.reporting.checks import inference_blocks, unseen_blocks
from stages.reporting.counts import count_tables
from stages.reporting.document import Block, Document, Section, Text
from stages.reporting.evolution import evolution_blocks
from stages.reporting.figures import curve_blocks
from stages.reporting.machine import machine_blocks
from stages.reporting.other_tables import benchmarks_table, corpora_table, judge_table, sub_metrics_table
from stages.reporting.paper import paper
from stages.reporting.people import people_blocks
from stages.reporting.provenance import origin_tables, run_table
from stages.reporting.reading import Run
from stages.reporting.samples import sample_blocks
from stages.reporting.scores import LEGEND, Scores
from stages.reporting.study import study_blocks
from stages.reporting.tables import text_table

INTRODUCTION = (
    "What this project has measured, beside what the paper printed. Numbers without a sign of their own are "
    "percentages. Nothing here is typed by hand but the paper's numbers; what was not run says so."
)


def report(runs: Sequence[Run], requirements: Path) -> Document:
    """Return the whole report.

    Args:
        runs: at least one.
        requirements: a file that names the direct dependencies.

    Raises:
        InputError: a metrics file is not what it should be; the message names it.
    """
    printed = paper()

    def text(number: int) -> Block:
        return text_table(number, printed, [Scores(run) for run in runs])

    benchmarks = [sub_metrics_table(run) for run in runs]
    tables: list[Block] = [
        corpora_table(printed, runs),
        text(2),
        text(3),
        benchmarks_table(printed, runs),
        *(table for table in benchmarks if table is not None),
        text(5),
        text(6),
        judge_table(printed, runs),
    ]
    origins = [block for run in runs for block in origin_tables(run)]
    return Document(
        title=f"Report on “{printed.title}”",
        link=printed.url,
        introduction=Text.of(INTRODUCTION),
        sections=(
            Section("runs", "Runs and signs", [run_table(list(runs)), Text(LEGEND)]),
            Section("tables", "The paper's tables", tables),
            Section("scores", "All scores", score_tables(runs)),
            Section("differences", "Differences between models", difference_tables(runs)),
            Section("people", "Human evaluation", _each(runs, people_blocks)),
            Section("judges", "Judges' comparisons", judge_tables(runs)),
            Section("facts", "The seeker's own facts", fact_tables(runs)),
            Section("training", "Training", _each(runs, curve_blocks)),
            Section("relevance", "Relevance of the pairs", _each(runs, relevance_blocks)),
            Section("phrases", "Frequent phrases", _each(runs, phrase_blocks)),
            Section("evolution", "From iteration to iteration", _each(runs, evolution_blocks)),
            Section("inference", "What reflections infer", _each(runs, inference_blocks)),
            Section("unseen", "Further test sets", _each(runs, unseen_blocks)),
            Section("dialogues", "Dialogues", _each(runs, sample_blocks)),
            Section("counts", "Substituted, retried, shortened, dropped", count_tables(runs)),
            Section("study", "Study and controls", _each(runs, study_blocks)),
            Section("origins", "Where the numbers come from", [*origins, *machine_blocks(requirements)]),
        ),
    )


def _each(runs: Sequence[Run], make: Callable[[Run], list[Block]]) -> list[Block]:
    return [block for run in runs for block in make(run)]
