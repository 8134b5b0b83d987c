"""What a run would cost, before anything is spent: `python -m bench.plan --backbone llama3 --scale paper`.

Counts are those of the run that is there, or else follow from the paper's table 1 or the mini world. Times
follow from measured rates, or a data sheet gives a bound, named as such. It writes nothing, not even
params.yaml. docs/scale.md explains every column.
"""

import argparse
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.planning import formulas
from bench.planning.tokens import Work, Workload
from selfevolve.experiment.compose import GROUPS, check_groups, draft_params
from selfevolve.experiment.registry import Registry
from selfevolve.report.table import Row, Table, to_text
from selfevolve.runtime.command import run
from selfevolve.runtime.files import read_yaml
from selfevolve.runtime.parameters import validate
from selfevolve.training.configuration import Hardware, method_arguments
from selfevolve.training.memory import ShapeNotKnown, step_bytes

METRICS, PARAMS = Path("metrics"), Path("params.yaml")
RATES = Path(__file__).with_name("planning") / "rates.yaml"
NOT_KNOWN, WIDTH = "not known", 80
COLUMNS = ("requests", "prompt", "new", "memory", "predicted", "actual", "ratio")
WIDTHS = (19, 9, 8, 8, 10, 11, 8, 7)
# The sections of params.yaml that cannot change what a run costs up to the headline's model.
FREE = ("headline", "judge", "judged", "relevance", "phrases", "unseen")


@dataclass(frozen=True)
class Line:
    """One line of the plan, in bytes and seconds; None is what is not known, or not the stage's."""

    stage: str
    work: Work | None = None
    memory: float | None = None
    predicted: float | None = None
    least: float | None = None
    actual: float | None = None

    @property
    def row(self) -> Row:
        """The line as texts. A time after `>` is a data sheet's bound and no prediction."""
        bound = NOT_KNOWN if self.least is None else f"> {duration(self.least)}"
        predicted = bound if self.predicted is None else duration(self.predicted)
        actual = "" if self.actual is None else duration(self.actual)
        ratio = f"{self.actual / self.predicted:.2f}" if self.predicted and self.actual else ""
        counts = [""] * 4
        if self.work:
            requests = f"{self.work.requests:,}" if self.work.requests else ""
            new = amount(self.work.new) if self.work.new else ""
            counts = [requests, amount(self.work.prompt), new, size(self.memory)]
        return Row.of(self.stage, cells=[*counts, predicted, actual, ratio])


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, compose the parameters in memory and print the plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for group in GROUPS:
        parser.add_argument(f"--{group}", default="", help=f"a file of conf/{group}/ without .yaml")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="single parameters")
    args = parser.parse_args(argv)
    groups = {group: getattr(args, group) for group in GROUPS if getattr(args, group)}
    print("\n".join(Plan(composed(groups, args.set), METRICS).text()))


def composed(groups: dict[str, str], overrides: list[str]) -> dict[str, Any]:
    """Return the parameters that a run with these groups would have; params.yaml stays as it is."""
    check_groups(groups)
    with tempfile.TemporaryDirectory() as folder:
        draft_params(groups, overrides, Path(folder) / PARAMS.name)
        return read_yaml(Path(folder) / PARAMS.name)


class Plan:
    """The plan of a run with these parameters."""

    def __init__(self, params: Mapping[str, Any], metrics: Path):
        """Take all parameters, and the folder of metrics, which may hold a run with the same ones."""
        self.params, self.dtype, self.shape = params, params["backbone"]["dtype"], None
        same = same_run(params)
        self.workload = Workload(params, metrics if same else None)
        self.actual = formulas.actual_seconds(metrics) if same else {}
        self.names = {group: params[group]["name"] for group in ("backbone", "data", "hardware")}
        self.names["scale"] = params["scale"]
        known, hardware = read_yaml(RATES), self.names["hardware"]
        self.rate = known["measured"].get(self.names["backbone"], {}).get(hardware)
        self.card = known["sheets"].get(hardware)
        weights = params["backbone"]["weights"]
        try:
            self.shape = formulas.planned_shape(weights, params["backbone"]["revision"])
            self.model = f"{self.shape.parameters:,} parameters, by the config.json of {weights}"
        except ShapeNotKnown as reason:
            self.model = f"Memory is not known: {reason}"
        models = validate(Registry, params, file=PARAMS).chain(params["headline"])
        works = self.workload.works(models)
        self.lines = [self.line(work) for work in works]
        generated = {verb(work.stage) for work in works}
        self.lines += [self.other_line(*stage) for stage in other_stages(params, models, generated)]
        self.lines.append(total(self.lines))

    def text(self) -> list[str]:
        """Return the plan as lines of at most 80 characters."""
        rows = tuple(line.row for line in self.lines)
        return [
            f"plan of {self.params['headline']}: {', '.join(map(' '.join, self.names.items()))}",
            *textwrap.wrap(f"{self.model}. Data: {self.workload.source}.", WIDTH),
            "",
            *to_text(Table("", ("stage",), COLUMNS, rows), WIDTHS),
            "",
            *(s for note in self.notes() for s in textwrap.wrap(note, WIDTH, subsequent_indent=" " * 11)),
        ]

    def line(self, work: Work) -> Line:
        """Return the line of a stage that generates or trains."""
        predicted = least = None
        if self.rate:
            rate = self.rate["kinds"][work.kind]
            predicted = work.tokens * rate["seconds"] / rate["tokens"]
        elif self.card and self.shape:
            rows, processes = self.batch_rows(work), self.params["hardware"]["training"]["processes"]
            least = formulas.least_seconds(work, self.shape, self.dtype, rows, self.card, processes)
        return Line(work.stage, work, self.memory(work), predicted, least, self.actual.get(work.stage))

    def other_line(self, stage: str, times: int) -> Line:
        """Return the line of a stage that runs `times` times; rates are known at the scale they are from."""
        known = self.rate["others"] if self.rate and self.rate["scale"] == self.names["scale"] else {}
        predicted = known[stage] * times if stage in known else None
        actual = [seconds for name, seconds in self.actual.items() if verb(name) == stage]
        title = f"{stage} x {times}" if times > 1 else stage
        return Line(title, predicted=predicted, actual=sum(actual) if len(actual) == times else None)

    def batch_rows(self, work: Work) -> int:
        """Return how many texts of the longest kind the engine generates at once."""
        budget = int(self.params["engine"].get("batch_tokens", 32768))
        return max(1, min(work.requests, budget // work.longest))

    def memory(self, work: Work) -> float | None:
        """Return the most bytes that one process of a stage needs; None where the shape is not known."""
        if self.shape is None:
            return None
        if work.new:
            rows = self.batch_rows(work)
            return formulas.generation_bytes(self.shape, self.dtype, rows, rows * work.longest)
        config, hardware = training_config(self.params, work.kind), Hardware(**self.params["hardware"])
        return step_bytes(self.shape, self.dtype, config, hardware, work.longest)

    def notes(self) -> Iterator[str]:
        """Yield what stands below the table, a line each."""
        works = [line.work for line in self.lines[:-1] if line.work]
        disk: dict[str, float | None] = {"weights, models, data, scratch": None}
        if self.shape:
            rank, words = training_config(self.params, "sft")["lora_rank"], self.workload.tokens_a_word
            merge = self.params["hardware"]["training"]["merge"] and self.dtype == "float32"
            disk = {**formulas.disk_bytes(works, words, self.shape, self.dtype, rank, merge)}
        yield f"disk       {', '.join(f'{name} {size(number)}' for name, number in disk.items())}"
        yield f"tokens     {self.workload.tokens_note}; new ones: the most of one attempt"
        if (attempts := self.params["refine"]["attempts"]) > 1:
            yield f"refine     up to {attempts} attempts each; the table has one"
        yield "memory     the most of one process, by formula; without CUDA, libraries, cache"
        if self.rate:
            yield f"time       measured: {self.rate['how']}; the sum adds up the stages"
        elif self.card and self.shape:
            name, source = self.card["name"], self.card["source"]
            text = f"not measured here. > is no estimate: {name} cannot do these tokens in less"
            yield f"time       {text} ({source}); real programs take longer, and fewer tokens less"
            if (most := self.lines[-1].memory or 0) > self.card["memory"]:
                text = f"{size(most)} of {size(self.card['memory'])} (shorter data need less)"
                yield f"fits       not at the longest: {text}"
        else:
            yield "time       not measured on this hardware"
        if self.actual:
            yield "actual     each stage's last run in metrics/runs.jsonl; ratio is actual to predicted"


def same_run(params: Mapping[str, Any]) -> bool:
    """Return whether the run that lies here had these parameters, except those of FREE."""
    current = read_yaml(PARAMS) if PARAMS.is_file() else {}
    return all(current.get(key) == value for key, value in params.items() if key not in FREE)


def training_config(params: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Return LLaMA-Factory's arguments as the stage would make them, without model and data."""
    training = Hardware.model_validate(params["hardware"]).training
    file = Path("llamafactory_configs", f"{method}.yaml")
    return method_arguments(file, params["train"][method], training, f"train.{method} in {PARAMS}")


def other_stages(
    params: Mapping[str, Any], models: Sequence[str], planned: set[str]
) -> Iterator[tuple[str, int]]:
    """Yield the stages that are not `planned`, and how often they run for these models and their pairs."""
    if params["data"]["name"] == "mini":
        yield "mini", 1  # of testbed/dvc.yaml
    for name, stage in read_yaml("dvc.yaml")["stages"].items():
        times = 1
        if "foreach" in stage:
            entries = params[stage["foreach"].strip("${}")].items()
            times = sum({e.get("first", key), e.get("last", key)} <= {*models} for key, e in entries)
        if times and name not in planned:
            yield name, times


def verb(stage: str) -> str:
    """Return the name of a stage without its DVC file and its entry."""
    return stage.split("@")[0].split(":")[-1]


def total(lines: Sequence[Line]) -> Line:
    """Return the sum of all stages and the most memory; what is not known of one is not known of the sum."""

    def over(how: Callable[[list[float]], float], numbers: list[float | None]) -> float | None:
        return None if None in numbers else how([0.0, *(number or 0 for number in numbers)])

    works = [line.work for line in lines if line.work]
    return Line(
        stage="sum (memory: most)",
        work=Work("sum", "respond", 0, sum(w.prompt for w in works), sum(w.new for w in works), 0),
        memory=over(max, [line.memory for line in lines if line.work]),
        predicted=over(sum, [line.predicted for line in lines]),
        least=sum(line.least or 0 for line in lines) or None,
        actual=over(sum, [line.actual for line in lines]),
    )


def duration(seconds: float) -> str:
    """Return seconds below ten minutes as such, minutes below two hours, else hours."""
    if seconds < 600:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def amount(number: float) -> str:
    """Return a number with three digits and k, M or G."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.0f}"


def size(number: float | None) -> str:
    """Return bytes as MB or GB (10^6, 10^9)."""
    if number is None:
        return NOT_KNOWN
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


if __name__ == "__main__":
    run(main)
