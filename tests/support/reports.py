"""What the tests of the report share: a project's files, made here, and a page taken apart."""

import json
import xml.etree.ElementTree as ET
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import yaml

from selfevolve.report import __main__ as report
from selfevolve.runtime.files import publish_json, read_yaml
from tests.conftest import ROOT

METRICS = {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "meteor", "bertscore"}
METRICS |= {"distinct_1", "distinct_2", "distinct_3"}
VOID = {"meta", "br", "link", "img", "hr", "input"}


def text_scores(start: float, **changes: Any) -> dict[str, Any]:
    """The contents of a text.json in which no two numbers are the same."""
    paper = {name: start + 1.01 * number for number, name in enumerate(sorted(METRICS))}
    standard = {name: value / 3 for name, value in paper.items()}
    counts = {"count": 11, "empty": 0, "mean_words": start / 7, "truncated": 0}
    return {"paper": paper, "standard": standard, **counts, "signatures": {}, "not_available": {}, **changes}


def write_project(folder: Path, files: dict[str, Any], changes: dict[str, Any] | None = None) -> None:
    """Write a project's parameters with some keys replaced, and files by their paths.

    Objects become JSON, texts stay what they are.
    """
    params = read_yaml(ROOT / "params.yaml")
    for key, value in (changes or {}).items():
        *path, last = key.split(".")
        section = params
        for part in path:
            section = section[part]
        section[last] = value
    (folder / "params.yaml").write_text(
        yaml.dump(params, Dumper=yaml.CSafeDumper, sort_keys=False), encoding="utf-8"
    )
    for path, content in files.items():
        if isinstance(content, str):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content, encoding="utf-8")
        else:
            publish_json(folder / path, content)


def write_lines(records: list[dict[str, Any]]) -> str:
    """Records as JSONL."""
    return "".join(json.dumps(record) + "\n" for record in records)


def make_report(*arguments: str) -> tuple[str, str]:
    """The page and the Markdown of the project in the current folder."""
    report.main(["--out", "metrics/report", *arguments])
    folder = Path("metrics/report")
    return (folder / "index.html").read_text("utf-8"), (folder / "report.md").read_text("utf-8")


def figures(html: str) -> dict[str, ET.Element]:
    """The drawings by their captions."""
    found = {}
    for part in html.split("<figure")[1:]:
        caption = part[part.index("<figcaption>") + 12 : part.index("</figcaption>")]
        found[unescape(caption)] = ET.fromstring(part[part.index("<svg") : part.index("</svg>") + 6])
    return found


def texts(drawing: ET.Element) -> list[str]:
    """What is written in a drawing."""
    return ["".join(text.itertext()).strip() for text in drawing.iter("{http://www.w3.org/2000/svg}text")]


class Page(HTMLParser):
    """A page taken apart: tables by their captions, texts, ids, links, and whether every tag is closed."""

    def __init__(self, html: str):
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: dict[str, list[str]] = {}
        self._caption = ""
        self._rows: list[list[str]] = []
        self._left: dict[int, tuple[int, str]] = {}
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        """All text outside of styles."""
        return " ".join(word for tag, words in self.words.items() if tag != "style" for word in words)

    def row(self, caption: str, *heads: str) -> list[str]:
        """The cells of the one row of a table that begins with these heads."""
        table = next(table for name, table in self.tables.items() if name.startswith(caption))
        found = [row for row in table if tuple(row[: len(heads)]) == heads]
        assert len(found) == 1, (caption, heads, table)
        return found[0][len(heads) :]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if attributes.get("id"):
            self.ids.append(str(attributes["id"]))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("h3", "summary"):
            self._caption = ""
        elif tag == "table":
            self._rows, self._left = [], {}
        elif tag == "tr":
            self._rows.append([])
            for column, (rows, text) in sorted(self._left.items()):
                self._rows[-1].insert(column, text)
                self._left[column] = (rows - 1, text)
            self._left = {column: left for column, left in self._left.items() if left[0]}
        elif tag in ("td", "th"):
            self._at = len(self._rows[-1])
            self._rows[-1] += [""] * int(attributes.get("colspan") or 1)
            self._spans = int(attributes.get("rowspan") or 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [str(value) for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another"
        if tag in ("td", "th") and self._spans > 1:
            self._left[self._at] = (self._spans - 1, self._rows[-1][self._at])
        elif tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data: str) -> None:
        self.words.setdefault(self.open[-1] if self.open else "", []).append(data)
        if self.open and self.open[-1] in ("h3", "summary"):
            self._caption += data
        if self._rows and self._rows[-1] and {"td", "th"} & set(self.open):
            row = self._rows[-1]
            row[self._at] = f"{row[self._at]} {data.strip()}".strip()
