"""Put the rating application under load, or kill it again and again: `python -m stages.human_eval_load`.

    --raters 50 --seconds 120      programs that rate, all at once, against a server process with models
                                   that only pretend; prints the 50th and 95th percentile by kind of page
    --kills 40 --raters 20         the same until all are done, while the server is killed (SIGKILL) at
                                   random moments and started again

Either way it ends by comparing what the server acknowledged with what the database holds: exit code 1
if anything was lost, doubled or answered with an error.
"""

import argparse
import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from stages.command import run
from stages.human_eval import export, store
from stages.human_eval.scripted import Log, ScriptedRater
from stages.human_eval.study import read_study
from stages.records.errors import InputError

WINNERS = {"first": "a", "second": "b", "tie": "tie"}
KILL_S = (0.2, 3.0)  # a server lives so long before it is killed


class Server:
    """A server process on one port, started again whenever it is wanted; `peak` is its memory in bytes."""

    def __init__(self, study: Path, database: str, answer_s: float):
        """Choose a free port."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.links: dict[str, str] = {}
        self.peak = 0
        self._command = [sys.executable, "-m", "stages.human_eval_serve", "--study", str(study)]
        self._command += ["--database", database, "--port", str(self.port), "--rehearse", str(answer_s)]
        self._command += ["--words-a-second", "1000"]

    def start(self) -> None:
        """Start it and wait until it serves; keep the raters' tokens it prints the first time."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        for line in self._process.stdout:
            name, _, link = line.strip().partition(" ")
            if "/r/" in link:
                self.links[name] = link.rsplit("/", 1)[1]
            if line.startswith("serving"):
                break
        else:
            raise InputError("the server did not start")
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.01)

    def watch(self) -> None:
        """Note how much memory it has had at most."""
        self.peak = max(self.peak, psutil.Process(self._process.pid).memory_info().rss)

    def end(self, how: signal.Signals) -> None:
        """Send a signal and wait until it is gone."""
        self._process.send_signal(how)
        self._process.wait(30)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, run the raters, print the table, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", type=Path, default=Path("studies/pointwise.yaml"))
    parser.add_argument("--models", nargs="*", default=["m0", "m1", "m2"])
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--think", type=float, default=1.0, help="mean seconds before each act")
    parser.add_argument("--answer", type=float, default=0.5, help="seconds an answer takes")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--sessions", type=int, default=1, help="of each rater")
    parser.add_argument("--turns", type=int, help="in place of the study's minimum")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", help="an empty one's URL; default: a SQLite file that is thrown away")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(_rehearse(args, Path(folder)))


def _rehearse(args: argparse.Namespace, folder: Path) -> int:
    study = _study(args, folder)
    database = args.database or str(folder / "ratings.sqlite")
    server = Server(study, database, args.answer)
    server.start()
    log = Log()
    raters = [
        ScriptedRater(name, server.url, token, log, args.think, args.seed)
        for name, token in server.links.items()
    ]
    began = time.monotonic()
    kills = asyncio.run(_work(args, server, raters))
    took = time.monotonic() - began
    server.watch()
    server.end(signal.SIGTERM)
    wrong = compare(raters, _exported(study, args.models, database, folder))
    _print(log, took, kills, server.peak)
    for line in wrong:
        print(line)
    acknowledged = {
        "messages": sum(sum(rater.said.values()) for rater in raters),
        "ratings": sum(len(rater.rated) for rater in raters),
        "choices": sum(sum(rater.chosen.values()) for rater in raters),
        "submitted": sum(len(rater.submitted) for rater in raters),
    }
    print("acknowledged:", ", ".join(f"{count} {name}" for name, count in acknowledged.items()))
    print("in the database: the same" if not wrong else f"{len(wrong)} differences")
    return int(bool(wrong or log.errors))


def _study(args: argparse.Namespace, folder: Path) -> Path:
    """Write the study with as many raters as are wanted; with kills, as many sessions."""
    value = yaml.safe_load(args.study.read_text(encoding="utf-8"))
    value["raters"] = args.raters
    value["models"] = args.models
    value["overlap"] = None  # there may be no responses yet
    value["attention_checks"] = 0  # their values stand in no table, so they could not be compared
    value["sessions_per_rater"] = args.sessions if args.kills else 99
    if args.turns:
        value["minimum_turns"] = args.turns
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    return path


async def _work(args: argparse.Namespace, server: Server, raters: Sequence[ScriptedRater]) -> int:
    end = time.monotonic() + args.seconds
    everything = asyncio.gather(
        *(rater.work(lambda: args.kills > 0 or time.monotonic() < end) for rater in raters)
    )
    draw, kills = random.Random(args.seed), 0
    while not everything.done():
        if kills < args.kills:
            await asyncio.wait([everything], timeout=draw.uniform(*KILL_S))
            await asyncio.to_thread(server.end, signal.SIGKILL)
            await asyncio.to_thread(server.start)
            kills += 1
        else:
            server.watch()
            await asyncio.wait([everything], timeout=0.5)
    await everything
    return kills


def _exported(study: Path, models: Sequence[str], database: str, folder: Path) -> dict[str, list[Any]]:
    opened = store.open_store(database, read_study(study, models))
    try:
        with opened.reading() as db:
            export.export(db, opened.study, folder / "export")
    finally:
        opened.close()
    files = ("sessions", "turns", "ratings", "comparisons", "attention")
    return {
        name: [json.loads(line) for line in (folder / "export" / f"{name}.jsonl").read_text().splitlines()]
        for name in files
    }


def compare(raters: Sequence[ScriptedRater], found: dict[str, list[Any]]) -> list[str]:
    """Return what was acknowledged and is not in the export just once, or is there and was never sent."""
    sent = Counter((rater.name, text) for rater in raters for (_, text) in rater.said.elements())
    wrong = _unlike("message", sent, Counter((turn["rater"], turn["seeker"]) for turn in found["turns"]))
    given = Counter((rater.name, name, value) for rater in raters for (_, name), value in rater.rated.items())
    rated = Counter((line["rater"], line["dimension"], line["score"]) for line in found["ratings"])
    chosen = Counter((rater.name, choice) for rater in raters for (_, choice) in rater.chosen.elements())
    compared = Counter((line["rater"], WINNERS[line["winner"]]) for line in found["comparisons"])
    checks = Counter(line["rater"] for line in found["attention"])
    if not checks:  # a check's values stand in no table of ratings
        wrong += _unlike("rating", given, rated) + _unlike("choice", chosen, compared)
    else:
        wrong += [f"rating {key}: never given" for key in rated - given]
        wrong += [f"choice {key}: never made" for key in compared - chosen]
    states = {line["session"]: line["state"] for line in found["sessions"]}
    for rater in raters:
        lost = [task for task in rater.submitted if states.get(task, "submitted") != "submitted"]
        wrong += [f"session {task}: submitted, stored as {states[task]}" for task in lost]
    for turn in found["turns"]:
        sides = [answer["side"] for answer in turn["answers"]]
        if len(sides) != len(set(sides)):
            wrong.append(f"turn {turn['session']}#{turn['index']}: answers {sides}")
    return wrong


def _unlike(kind: str, sent: Counter[Any], stored: Counter[Any]) -> list[str]:
    keys = sorted(sent.keys() | stored.keys())
    return [
        f"{kind} {key}: sent {sent[key]}, stored {stored[key]}" for key in keys if sent[key] != stored[key]
    ]


def _print(log: Log, took: float, kills: int, peak: int) -> None:
    print(f"{'page':<22}{'requests':>9}{'p50 ms':>9}{'p95 ms':>9}{'max ms':>9}")
    everything: list[float] = []
    for kind, seconds in sorted(log.seconds.items()):
        everything += seconds
        print(_line(kind, seconds))
    print(_line("all", everything))
    print(
        f"{took:.1f} s, {len(everything) / took:.1f} requests a second, server at most {peak / 2**20:.0f} MiB"
    )
    print(f"{kills} kills, {log.resent} requests sent again, {sum(log.errors.values())} errors")
    for error, count in log.errors.most_common():
        print(f"  {count} x {error}")


def _line(kind: str, seconds: list[float]) -> str:
    ordered = sorted(seconds) or [0.0]
    middle, high = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.95))
    figures = "".join(f"{1000 * value:>9.1f}" for value in (middle, high, ordered[-1]))
    return f"{kind:<22}{len(seconds):>9}{figures}"


if __name__ == "__main__":
    run(main)
