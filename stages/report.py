"""Put everything that was measured on one page: `python -m stages.report --out metrics/report`.

The paper's tables with this project's numbers below its own, figures, dialogues, what was dropped, and where
every number comes from: `index.html`, which needs no network, and `report.md`. Without `--revs` it is about
the files as they stand; `--revs llama3-m2 qwen2-m2` puts DVC experiments, branches or commits side by side,
and `workspace` among them is the files as they stand. What was not run says so.

This is no DVC stage: it is made of whatever metrics files there are.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from stages.command import run
from stages.records.publish import publishing
from stages.reporting.contents import report
from stages.reporting.files import LOCKS, Layout
from stages.reporting.markdown import markdown
from stages.reporting.page import page
from stages.reporting.reading import open_runs


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write the page and the Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--metrics", default="metrics", help="folder with a folder a model")
    parser.add_argument("--data", default="data", help="folder with the responses, for dialogues")
    parser.add_argument("--models", default="models", help="folder with the policies")
    parser.add_argument("--locks", nargs="*", default=LOCKS, help="DVC's lock files")
    parser.add_argument("--requirements", type=Path, default=Path("requirements.in"))
    parser.add_argument("--params", default="params.yaml")
    parser.add_argument("--revs", nargs="*", default=[], metavar="NAME", help="experiments or revisions")
    parser.add_argument("--out", type=Path, required=True, help="folder of index.html and report.md")
    args = parser.parse_args(argv)
    layout = Layout(args.metrics, args.data, args.models, args.params, tuple(args.locks))
    document = report(open_runs(args.revs, layout), args.requirements)
    texts = {"index.html": page(document), "report.md": markdown(document)}
    for name, text in texts.items():
        with publishing(args.out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    print(
        f"{args.out / 'index.html'}: open it in a browser; {args.out / 'report.md'} has the same in Markdown"
    )


if __name__ == "__main__":
    run(main)
