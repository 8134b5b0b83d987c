"""Whatever dialogues, names and phrases say, the page and the Markdown keep their shape and fetch nothing."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfevolve.report.document import anchor
from selfevolve.report.plots import Bar, Series, bars, lines
from selfevolve.report.table import escaped, printable, without_folders
from selfevolve.runtime.files import publish_json
from tests.support.reports import Page, make_report, text_scores, write_lines, write_project

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=http://example.org/x onerror=alert(1)>',
    "</td></tr></table>",
    "a | b\n| c | d |\n## e",
    "$\\frac{1}{0}$ and $x",
    "`code` **bold** [link](http://example.org) ![x](y) <b>&amp;</b>",
    "{{ 7 * 7 }} {% raw %}",
    "nul \x00 bell \x07 half \ud83d end \ufffe",
    "]]> --> <!-- -- é 漢字 \U0001f600 \u202e",
)
NAME = 'm<i>"&|`{{7*7}}'


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A page with hostile texts at every place where a text can come from data."""
    monkeypatch.chdir(tmp_path)
    everything = " ".join(HOSTILE).replace("\ud83d", "")
    texts = [text.replace("\ud83d", "") for text in HOSTILE]
    ids = [f"d{at}#1" for at in range(len(texts))]
    contexts = [
        {"id": one, "messages": [{"role": "user", "content": text}], "golden": text}
        for one, text in zip(ids, texts, strict=True)
    ]
    answers = [
        {"id": one, "text": text, "finish_reason": "stop", "attempt": 1, "model": text}
        for one, text in zip(ids, texts, strict=True)
    ]
    phrases = "phrase,percent,golden_percent\n"
    phrases += "".join('"' + text.replace('"', '""') + '",5.5,1.5\n' for text in texts)
    scores = text_scores(20, signatures={everything: everything})
    scores["not_available"] = {"meteor": everything}
    del scores["paper"]["meteor"]
    sample = {"rule": everything, "id": everything, "matching": 1, "contexts": 2, "own": [everything]}
    sample |= {"messages": [{"role": everything, "content": everything}]}
    sample |= {"first": everything, "last": everything, "golden": everything}
    pair = {
        "first": "m0",
        "last": NAME,
        "paper": {everything: {"difference": 1}},
        "not_available": {"x": everything},
    }
    files = {
        f"metrics/{NAME}/text.json": scores,
        f"metrics/{NAME}/openings.csv": phrases,
        f"metrics/{NAME}/phrases.csv": phrases,
        f"metrics/{NAME}/curves.csv": "step,loss\n1,2\n2,1\n",
        f"metrics/{NAME}/rejected.json": {everything: 1},
        "metrics/sample.json": sample,
        "metrics/comparisons/x.json": {"pairs": [pair]},
        "metrics/corpora.json": {everything: {"skipped": {everything: 1}}, "splits": {"rule": everything}},
        "metrics/human/points.json": {
            **{"study": everything, "mode": "pointwise", "models": [everything]},
            "counts": {"sessions_by_model": {everything: 1}},
            "all": {
                "means": {everything: {everything: {"value": 2.5, "low": 2, "high": 3}}},
                "drift": {"not_available": everything},
                "differences": [{"dimension": everything, "model": everything, "value": 1.0}],
            },
        },
        "metrics/human/pairs.json": {
            **{"study": everything, "mode": "pairwise", "models": [everything]},
            "all": {
                "pairs": [{"model": everything, "against": NAME, "win": 1, "tie": 1, "loss": 1}],
                "bradley_terry": {"scores": {everything: {"value": 1.5, "no_interval": everything}}},
            },
        },
        "metrics/study/study.json": {
            "commit": everything,
            "seeds": [everything],
            "not_available": [everything],
            "controls": [{"arm": everything, "symptom": everything, "mean": 1, "low": 0, "high": 2}],
        },
        "data/contexts/test.jsonl": write_lines(contexts),
        "data/m0/responses.jsonl": write_lines(answers),
        f"data/{NAME}/responses.jsonl": write_lines(answers),
        f"models/{NAME}/policy.json": {"parent": everything, "parent_digest": everything},
    }
    model = {"policy": f"models/{NAME}", "prompt": everything}
    names = {"m0": {"policy": "models/m0", "prompt": "task"}, NAME: model}
    changes = {"models": names, "headline": NAME, "iterations": {NAME: {"prev": "m0"}}, "backbone.name": NAME}
    write_project(tmp_path, files, changes)
    publish_json(
        tmp_path / "metrics/iterations.json", {"metrics": {everything: {NAME: 1.5}, "x": {"m0": everything}}}
    )
    return make_report()


def test_hostile_texts_are_texts_on_the_page(page: tuple[str, str]):
    html, _ = page
    found = Page(html)  # asserts that every tag closes its own
    assert not found.open
    tags = {tag for tag, _ in found.tags}
    assert not tags & {"script", "img", "i", "b", "iframe", "object"}
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in found.text
    assert "{{ 7 * 7 }}" in found.text
    assert "49" not in found.text.split()


def test_the_page_fetches_nothing_and_links_to_the_paper_alone(page: tuple[str, str]):
    html, _ = page
    found = Page(html)
    links = [attributes["href"] for tag, attributes in found.tags if tag == "a"]
    assert {link for link in links if not str(link).startswith("#")} == {"https://arxiv.org/abs/2505.16610"}
    fetching = {"src", "srcset", "data", "poster", "background", "action", "xlink:href"}
    assert not [name for _, attributes in found.tags for name in attributes if name in fetching]
    uses = [str(attributes["href"]) for tag, attributes in found.tags if tag == "use"]
    assert uses
    assert all(use.startswith("#") and use[1:] in found.ids for use in uses)
    styles = "".join(found.words["style"])
    assert "url(" not in styles
    assert "@import" not in styles
    assert "default-src 'none'" in html


def test_ids_are_those_of_one_element_each_and_links_lead_to_them(page: tuple[str, str]):
    found = Page(page[0])
    assert len(found.ids) == len(set(found.ids))
    links = [str(attributes.get("href")) for tag, attributes in found.tags if tag == "a"]
    labels = [
        str(attributes["aria-labelledby"]) for _, attributes in found.tags if "aria-labelledby" in attributes
    ]
    assert {link[1:] for link in links if link.startswith("#")} <= set(found.ids)
    assert set(labels) <= set(found.ids)


def test_tables_in_markdown_keep_their_columns(page: tuple[str, str]):
    _, markdown = page
    tables = [block for block in markdown.strip().split("\n\n") if block.startswith("|")]
    assert len(tables) > 20
    for table in tables:
        rows = [re.split(r"(?<!\\)\|", line) for line in table.split("\n")]
        assert len({len(row) for row in rows}) == 1, table[:200]
    assert "<script>" not in markdown
    assert "](http" not in re.sub(r"\\.", "", markdown)


def test_only_headings_of_the_report_are_headings_in_markdown(page: tuple[str, str]):
    headings = [line for line in page[1].splitlines() if line.startswith("#")]
    assert headings[0].startswith("# Report on ")
    assert all(re.match(r"#{1,3} \S", heading) for heading in headings)
    assert not [heading for heading in headings if heading == "## e"]


@given(st.text())
def test_an_escaped_text_is_one_line_whose_signs_are_all_escaped(text: str):
    line = escaped(text)
    assert "\n" not in line
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`*_\[\]<>]", line)
    line.encode("utf-8")


@given(st.text(st.characters(codec=None)))
def test_a_printable_text_can_be_written_and_is_xml(text: str):
    cleaned = printable(text)
    cleaned.encode("utf-8")
    ET.fromstring(f"<a>{cleaned.replace('&', '').replace('<', '')}</a>")
    assert re.fullmatch(r"[A-Za-z0-9_-]*", anchor(text))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/data/models/llama", "…/llama"),
        ("encoder:/srv/someone/minilm|layers:6", "encoder:…/minilm|layers:6"),
        ("no file '~/cache/hub'", "no file '…/hub'"),
        ("C:\\Users\\someone\\llama", "…/llama"),
        *(
            (text, text)
            for text in ("meta-llama/Meta", "metrics/m2/text.json", "https://a.org/b/c", "w/ and/or")
        ),
    ],
)
def test_where_something_lies_on_a_machine_is_not_shown(text: str, shown: str):
    assert without_folders(text) == shown


@pytest.mark.parametrize("text", HOSTILE)
def test_a_drawing_takes_any_text_as_it_is(text: str):
    label = Series(text, [1, 2], [1, 2])
    for svg in (
        lines("a", [label, Series("_hidden", [1], [1])], text, text, [text, text, text]),
        bars("b", [Bar(text, [1.0], 2.0)], text, [text], text),
    ):
        words = "".join(ET.fromstring(svg).itertext())
        assert " ".join(printable(text).split())[:12] in words
        assert "<script" not in svg
    assert "_hidden" in lines("a", [Series("_hidden", [1], [1])], "x", "y")
