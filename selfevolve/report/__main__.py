"""Put everything that was measured on one page: `python -m selfevolve.report --out metrics/report`.

The paper's tables with this project's numbers below its own, figures, dialogues, what was dropped, and where
every number comes from: `index.html`, which needs no network, and `report.md`. Without `--revs` it is about
the files as they stand; `--revs llama3-m2 qwen2-m2` puts DVC experiments, branches or commits side by side,
and `workspace` among them is the files as they stand. What was not run says so.

This is no DVC stage: it is made of whatever metrics files there are.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from selfevolve.report import (
    figures,
    iterations,
    longer,
    paper,
    people,
    provenance,
    samples,
    scores,
    sessions,
    study,
)
from selfevolve.report.described import count_tables
from selfevolve.report.described import report as texts
from selfevolve.report.document import Block, Document, Section, Text, markdown, page
from selfevolve.report.reading import Run, open_runs
from selfevolve.runtime.command import run as run_command
from selfevolve.runtime.files import publishing

# name and title of a section -> what it has of every run
SECTIONS: dict[tuple[str, str], Callable[[Run], Sequence[Block]]] = {
    ("scores", "All scores"): scores.score_tables,
    ("differences", "Differences between models"): scores.difference_tables,
    ("people", "Human evaluation"): people.people_blocks,
    ("judges", "Judges' comparisons"): scores.judge_tables,
    ("facts", "The seeker's own facts"): scores.fact_tables,
    ("sessions", "Sessions"): sessions.session_blocks,
    ("pairs", "Preference pairs"): scores.pair_tables,
    ("training", "Training"): figures.curve_blocks,
    ("relevance", "Relevance of the pairs"): figures.relevance_blocks,
    ("phrases", "Frequent phrases"): figures.phrase_blocks,
    ("evolution", "From iteration to iteration"): iterations.evolution_blocks,
    ("inference", "What reflections infer"): figures.inference_blocks,
    ("unseen", "Further test sets"): scores.unseen_blocks,
    ("dialogues", "Dialogues"): samples.sample_blocks,
    ("counts", "Replaced, retried, shortened, dropped"): count_tables,
    ("study", "Study and controls"): study.study_blocks,
    ("longer", "More iterations than two"): longer.longer_blocks,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write the page and the Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--metrics", default="metrics", help="folder with a folder a model")
    parser.add_argument("--params", default="params.yaml")
    parser.add_argument("--revs", nargs="*", default=[], metavar="NAME", help="experiments or revisions")
    parser.add_argument("--out", type=Path, required=True, help="folder of index.html and report.md")
    args = parser.parse_args(argv)
    with TemporaryDirectory() as scratch:
        document = report(open_runs(args.revs, args.metrics, args.params, Path(scratch)))
    for name, text in (("index.html", page(document)), ("report.md", markdown(document))):
        with publishing(args.out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    print(f"{args.out}/index.html: open it in a browser; {args.out}/report.md has the same in Markdown")


def report(runs: Sequence[Run]) -> Document:
    """Return the whole report of one run or more; InputError where a file is not what it should be."""
    of_runs = [
        Section(name, title, tuple(block for run in runs for block in make(run)))
        for (name, title), make in SECTIONS.items()
    ]
    origins = [block for run in runs for block in provenance.origin_tables(run)]
    return Document(
        title=f"Report on “{paper.paper().title}”",
        link=paper.paper().url,
        introduction=Text.of(texts()["introduction"]),
        sections=(
            Section("runs", "Runs and signs", (*provenance.run_table(runs), Text(tuple(texts()["legend"])))),
            Section("tables", "The paper's tables", tuple(paper.paper_tables(runs))),
            *of_runs,
            Section(
                "origins", "Where the numbers come from", (*origins, *provenance.machine_blocks(runs[0]))
            ),
        ),
    )


if __name__ == "__main__":
    run_command(main)
