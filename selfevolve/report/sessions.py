"""Sessions with seekers, by rule or played: models' scores, differences, and controls that must lose."""

from collections.abc import Mapping
from typing import NamedTuple

from selfevolve.metrics.labels import SESSIONS
from selfevolve.report.controls import verdict
from selfevolve.report.described import cells, columns_of, report, table
from selfevolve.report.document import Block, Figure, Text
from selfevolve.report.figures import ASIDE, TOGETHER, figure, gallery, in_order, measured
from selfevolve.report.reading import Part, Run
from selfevolve.report.table import Cell, Row

GROUPS = ("all", "open", "resistant")  # of seekers


class Kind(NamedTuple):
    """Sessions of one kind: their key in `conversed`, their files, and what their seekers are called."""

    key: str
    name: str
    seekers: str


KINDS = (
    Kind("world", "world_sessions", "seekers by rule"),
    Kind("played", "sessions", "played seekers"),
)


def session_blocks(run: Run) -> list[Block]:
    """Return what sessions came to, for either kind of seekers, or that there were none."""
    return [block for kind in KINDS for block in _of_kind(run, kind)]


def _of_kind(run: Run, kind: Kind) -> list[Block]:
    models = {model: run.json(model, f"{kind.name}.json") for model in _models(run, kind)}
    controls = {
        f"control: {name}": file
        for name in report()["session_controls"]
        if (file := run.json(kind.name, f"{name}.json")).there
    }
    there = {name: file for name, file in {**models, **controls}.items() if file.there}
    pairs = [pair for file in run.jsons(kind.name) for pair in file.objects("pairs")]
    if not there and not pairs:
        return [Text.of(run.says(f"sessions with {kind.seekers}: not run (docs/sessions.md)."))]
    missing = [model for model, file in models.items() if not file.there]
    own: list[Part] = []
    against: list[Part] = []
    for pair in pairs:
        (against if pair.said("first") in report()["session_controls"] else own).append(pair)
    words = {"seekers": kind.seekers, "name": kind.name}
    return [
        *table("sessions", run, _scores(there), words=words),
        *gallery(_paths(run, kind, there), run, f"sessions with {kind.seekers}, of", missing),
        *table("session differences", run, _differences(own), words=words),
        *table("session controls", run, _controls(against), words=words),
        *[Text.of(sentence) for pair in pairs for sentence in pair.absences()],
    ]


def _models(run: Run, kind: Kind) -> list[str]:
    """Return the models that the parameters let talk; older parameters do not have the section."""
    return list(run.params.at("conversed", kind.key, "models").value)


def _scores(files: Mapping[str, Part]) -> list[Row]:
    """Return a row of all sessions a model, and one each of open and resistant seekers where it had both."""
    columns = columns_of("sessions")
    rows = []
    for name, file in files.items():
        groups = [group for group in GROUPS if file.at(group).value]
        for group in groups if len(groups) == len(GROUPS) else groups[:1]:
            sizes = {key: file.value.get(key) for key in ("sessions", "cards") if group == "all"}
            scores = Part(file.file, {**file.at(group).value, **sizes}, place=(group,))
            rows.append(Row((name, group), cells(scores, columns)))
    return rows


def _paths(run: Run, kind: Kind, files: Mapping[str, Part]) -> list[Figure]:
    """Return figures of the mean emotion by seeker turn, of a few models each."""
    paths = {name: file.at("emotion_path").parts() for name, file in files.items()}
    turns = sorted({turn for path in paths.values() for turn in path}, key=in_order)
    found: list[Figure] = []
    for start in range(0, len(paths), TOGETHER):
        few = list(paths)[start : start + TOGETHER]
        series = [
            measured(name, [paths[name].get(turn, Part("", {})) for turn in turns], at, ASIDE * at)
            for at, name in enumerate(few)
        ]
        caption = f"Emotion of {kind.seekers}, from 1 (calm) to 5: {', '.join(few)}{run.behind}"
        found += figure(caption, series, ("seeker turn", "mean level"), turns)
    return found


def _differences(pairs: list[Part]) -> list[Row]:
    columns = columns_of("session differences")
    return [
        Row((_names(pair), SESSIONS.get(name, name)), cells(part, columns))
        for pair in pairs
        for name, part in pair.at("scores").parts().items()
    ]


def _controls(pairs: list[Part]) -> list[Row]:
    """Return a row a score in which a control must lose: by how much, and whether it does."""
    columns = columns_of("session controls")[:-1]
    rows = []
    for pair in pairs:
        for name, wanted in report()["session_controls"][pair.said("first")].items():
            found = pair.at("scores", name)
            if not found.value:
                continue
            made = (*cells(found, columns), Cell(verdict(found, wanted), kind="text"))
            rows.append(Row((_names(pair), f"{SESSIONS[name]}: {wanted}"), made))
    return rows


def _names(pair: Part) -> str:
    return f"{pair.said('last')} minus {pair.said('first')}"
