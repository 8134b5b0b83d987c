"""The paper's numbers as typed in: they agree with each other, and with the text where it is at hand."""

import re
from pathlib import Path

import pytest

from selfevolve.report.described import report
from selfevolve.report.paper import PaperTable, Printed, paper
from tests.conftest import ROOT

TABLES = paper().tables
TEXT = ROOT.parent / "shared" / "paper"


def rows(number: int) -> dict[tuple[str, str], Printed]:
    return {(row.block, row.model): row for row in TABLES[number].rows}


@pytest.mark.parametrize(("one", "other"), [(2, 6), (2, 3), (2, 5), (4, 4), (6, 2)])
def test_tables_that_show_the_same_model_show_the_same_numbers(one: int, other: int):
    first, last = rows(one), rows(other)
    common = first.keys() & last.keys()
    assert common
    for key in common:
        for metric in first[key].values.keys() & last[key].values.keys():
            assert first[key].values[metric] == last[key].values[metric], (key, metric)


@pytest.mark.parametrize("number", sorted(TABLES))
def test_every_row_has_the_columns_of_its_table(number: int):
    columns = TABLES[number].columns.keys()
    for row in TABLES[number].rows:
        assert row.values.keys() == columns, row
        assert row.gains.keys() <= columns, row


def test_the_averages_of_table_4_are_those_of_their_rows():
    for row in TABLES[4].rows:
        values = [value for name, value in row.values.items() if name != "average"]
        assert row.values["average"] == pytest.approx(sum(values) / 5, abs=0.0051)


@pytest.mark.parametrize("number", [5, 6])
def test_gains_follow_from_the_values_but_where_a_doubt_is_noted(number: int):
    table = TABLES[number]
    odd = {
        (row.row, metric)
        for before, row in pairs_of(table)
        for metric, gain in row.gains.items()
        if abs(100 * (row.values[metric] / before.values[metric] - 1) - gain) > 0.1
    }
    noted = {("{HM, P} M1", "bleu_2")} if number == 5 else {("M1", "meteor"), ("M2", "meteor")}
    assert odd == noted
    assert any("gain" in doubt for doubt in table.doubts)


def pairs_of(table: PaperTable) -> list[tuple[Printed, Printed]]:
    """Every row with gains, and the row that they are gains over."""
    found = []
    for at, row in enumerate(table.rows):
        if row.gains:
            first = next(one for one in table.rows if one.block == row.block)
            found.append((first if row.model.endswith("1") else table.rows[at - 1], row))
    return found


def is_share(percent: float, items: int) -> bool:
    """Whether a number with two decimals is a whole number of items, rounded or cut."""
    cut = [int(10_000 * count / items) / 100 for count in range(items + 1)]
    rounded = [round(100 * count / items, 2) for count in range(items + 1)]
    return percent in cut or percent in rounded


def test_the_sub_metrics_that_are_named_are_those_that_fit():
    values = {name: [row.values[name] for row in TABLES[4].rows] for name in TABLES[4].columns}
    assert all(is_share(value, 834) for value in values["ifeval"])
    assert not any(is_share(value, 541) for value in values["ifeval"])
    assert not is_share(values["truthfulqa_mc2"][0], 817)
    assert all(is_share(value, 1319) for value in values["gsm8k"])
    for number in ("1/834", "1/541", "1/817", "51.66", "79.08", "54.79"):
        assert number in report()["paper_notes"][4][1]


@pytest.mark.skipif(not TEXT.is_dir(), reason="the paper's text is not here")
@pytest.mark.parametrize("number", sorted(TABLES))
def test_every_row_stands_in_the_paper_s_text_in_this_order(number: int):
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(Path(TEXT).glob("*.txt")))
    lines = [re.findall(r"-?\d[\d,]*(?:\.\d+)?", line) for line in text.splitlines()]
    found = [[float(number.replace(",", "")) for number in line] for line in lines]
    if number == 1:  # its columns are rows here
        columns = [[row.values[name] for row in TABLES[1].rows] for name in TABLES[1].columns]
        wanted = [[column[0], column[1], column[2]] for column in columns]
    else:
        wanted = [
            [
                part
                for name in row.values
                for part in (row.values[name], row.gains.get(name))
                if part is not None
            ]
            for row in TABLES[number].rows
        ]
    for values in wanted:
        assert any(line[-len(values) :] == values for line in found), values
