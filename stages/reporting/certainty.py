"""Beyond the paper's tables: all scores of all models, differences, what a judge prefers, own facts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stages.reporting.cells import bounds, not_available, not_run, p_value, shown, without_folders
from stages.reporting.document import Block, Cell, Group, Row, Table, Text
from stages.reporting.reading import Run, is_number, mapping, number
from stages.reporting.scores import Scores
from stages.reporting.tables import all_scores

NAMES = {f"bleu_{order}": f"BLEU-{order}" for order in (1, 2, 3, 4)}
NAMES |= {"rouge_l": "ROUGE-L", "meteor": "METEOR", "bertscore": "BERTScore"}
NAMES |= {f"distinct_{order}": f"Distinct-{order}" for order in (1, 2, 3)}
FACTS = {
    "own_share": "own facts",
    "personal": "personal",
    "generic": "generic",
    "wrong": "wrong",
    "words": "words a response",
}
LABELS = NAMES | FACTS | {"own_count": "number of own facts"}
GROUPS = {"paper": "paper protocol", "standard": "standard protocol", "facts": "the seeker's own facts"}
TESTS = {
    "p_bootstrap": "p, bootstrap",
    "p_bootstrap_holm": "with Holm",
    "p_randomisation": "p, randomisation",
    "p_randomisation_holm": "with Holm",
}
PROTOCOLS = {
    "paper": "All models in the paper protocol (means over responses, jieba tokens; inferred from the paper)",
    "standard": "All models in the standard protocol (sacreBLEU and Distinct of the corpus, on words)",
}
REFLECTIONS = {
    "valid_first": "valid JSON at once",
    "valid": "valid at last",
    "fields_right": "fields right",
    "profile_named": "whole profile named",
    "wrong": "wrong",
    "direct_own_share": "own facts, direct",
    "refined_own_share": "own facts, refined",
}
WINS = {"win": "last wins", "tie": "ties", "loss": "first wins"}
SHARES = WINS | {"flips": "orders disagree"}


def score_tables(runs: Sequence[Run]) -> list[Block]:
    """Return every model's scores in both protocols, a table a protocol and run."""
    return [
        all_scores(Scores(run), protocol, NAMES, caption)
        for run in runs
        for protocol, caption in PROTOCOLS.items()
    ]


def difference_tables(runs: Sequence[Run]) -> list[Block]:
    """Return a table for every compared pair of models, or a sentence where a run compared none."""
    found: list[Block] = []
    for run in runs:
        scores = Scores(run)
        found += [_difference_table(scores, where, pair) for where, pair in scores.pairs]
        if not scores.pairs:
            found.append(Text.of(run.says("no comparison of two models has been run.")))
    return found


def fact_tables(runs: Sequence[Run]) -> list[Block]:
    """Return which facts of the seeker responses take up, and how good reflections are (mini world)."""
    found: list[Block] = []
    for run in runs:
        files = {model: run.json(model, "facts.json") for model in run.models}
        if not any((file or {}).get("with_profile") for file in files.values()):
            reason = (
                "there are none" if not any(files.values()) else "these dialogues have no hidden profiles"
            )
            found.append(Text.of(run.says(f"no numbers of own facts, since {reason}.")))
            continue
        table = all_scores(Scores(run), "facts", FACTS, "The seeker's own facts, in percent of the responses")
        found.append(Table(**{**vars(table), "folded": False}))
        if (reflections := _reflections(run)) is not None:
            found.append(reflections)
    return found


def judge_tables(runs: Sequence[Run]) -> list[Block]:
    """Return what a judge said of pairs of models, or that none was asked."""
    found: list[Block] = []
    for run in runs:
        paths = [path for path in run.files.below(run.metrics_path("judge")) if path.endswith(".json")]
        rows = [row for path in paths for row in _preferred(run, path)]
        if not rows:
            found.append(Text.of(run.says("a judge's comparisons of two models are not run.")))
            continue
        caption = f"Two models' responses side by side, both orders asked{run.behind}"
        heads, columns = ("models", "last by first, in words"), (*SHARES.values(), "pairs")
        notes = (
            "In percent of the pairs with a verdict; in brackets an interval over dialogues. Below all: the "
            "pairs in which the last model's response has so many times the words of the first one's.",
        )
        name = f"judge-{run.name}"
        found.append(Table(name, caption, heads, columns, (Group("", tuple(rows)),), notes))
    return found


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return all numbers of a JSON object by their dotted names."""
    found: dict[str, float] = {}
    for key, part in value.items():
        if isinstance(part, Mapping):
            found |= flat(part, f"{prefix}{key}.")
        elif is_number(part):
            found[f"{prefix}{key}"] = part
    return found


def _difference_table(scores: Scores, where: str, pair: Mapping[str, Any]) -> Table:
    first, last = str(pair.get("first")), str(pair.get("last"))
    groups = []
    for group, label in GROUPS.items():
        rows = []
        for metric in mapping(pair, group, file=where):
            found = scores.test(first, last, group, metric)
            rows.append(Row((LABELS.get(metric, metric),), _difference(found)))
        groups += [Group(label, tuple(rows))] if rows else []
    reasons = mapping(pair, "not_available", file=where)
    notes = [
        f"{metric} is not available: {without_folders(str(reason))}." for metric, reason in reasons.items()
    ]
    return Table(
        f"difference-{scores.run.name}-{first}-{last}",
        f"{last} minus {first}{scores.run.behind}",
        ("score",),
        ("difference", *TESTS.values()),
        tuple(groups),
        (*scores.notes, *notes, f"From {where}."),
        folded=True,
    )


def _difference(found: Mapping[str, float] | None) -> tuple[Cell, ...]:
    if found is None:
        return (not_available(1 + len(TESTS)),)
    interval = bounds(found.get("low"), found.get("high"))
    ps = [Cell(p_value(found[test])) if test in found else not_available() for test in TESTS]
    return (Cell(f"{found['difference']:+.2f}", detail=interval), *ps)


def _reflections(run: Run) -> Table | None:
    rows = []
    for model in run.iterations:
        document = run.json(model, "reflections.json")
        where = run.where(run.metrics_path(model, "reflections.json"))
        if document is None:
            rows.append(Row((model,), (not_run(len(REFLECTIONS)),)))
            continue
        values = [number(document, name, file=where) for name in REFLECTIONS]
        cells = [not_available() if value is None else Cell(shown(value)) for value in values]
        rows.append(Row((model,), tuple(cells)))
    if not rows:
        return None
    caption = f"Reflections that each iteration learns from, in percent{run.behind}"
    note = (
        "Those of an iteration are made by the model before it, and there are none where the chosen responses"
    )
    note += " are the dialogues' own. From metrics/MODEL/reflections.json."
    name, columns = f"reflections-{run.name}", tuple(REFLECTIONS.values())
    return Table(name, caption, ("iteration",), columns, (Group("", tuple(rows)),), (note,))


def _preferred(run: Run, path: str) -> list[Row]:
    """Return a row of all pairs, and one of each stratum of their lengths."""
    document, where = run.json_at(path), run.where(path)
    name = path.rpartition("/")[2].removesuffix(".json")
    decided = number(document, "pairs", "decided", file=where)
    compared = number(document, "pairs", "compared", file=where)
    pairs = not_available()
    if decided is not None and compared is not None:
        pairs = Cell(f"{decided:g} of {compared:g}")
    rows = [Row((name, "all"), (*_shares(document, SHARES, where), pairs))]
    for stratum, results in mapping(document, "by_length", file=where).items():
        of_it = mapping(results, file=where)
        size = number(of_it, "pairs", file=where)
        cells = [*_shares(of_it, WINS, where), Cell("–", kind="absent", meaning="not by length")]
        rows.append(Row((name, stratum), (*cells, not_available() if size is None else Cell(f"{size:g}"))))
    return rows


def _shares(results: Mapping[str, Any] | None, names: Iterable[str], where: str) -> list[Cell]:
    cells = []
    for name in names:
        share, low, high = (number(results, name, key, file=where) for key in ("percent", "low", "high"))
        cells.append(not_available() if share is None else Cell(shown(share), detail=bounds(low, high)))
    return cells
