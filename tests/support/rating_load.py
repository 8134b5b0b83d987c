"""Put the rating application under load: `python -m tests.support.rating_load --raters 50 --seconds 120`.

Programs rate, all at once, against a server process with models that only pretend, and send again with the
same nonce what could not be sent. The command prints percentiles by kind of page and compares what the server
acknowledged with what the database holds. It exits with 1 if anything was lost, doubled or an error.
"""

import argparse
import asyncio
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import yaml

from rating.app.export import export
from rating.app.security import form_token
from rating.app.store import open_store
from rating.app.study import Study, read_study
from selfevolve.records.jsonl import read_json_lines
from selfevolve.runtime.command import run
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import read_yaml

RETRY_S = 0.1
LINES = ("I have not slept well since the exam.", "It got worse in the winter.", "Yes, that is how it feels.")


@dataclass
class Log:
    """What all raters of one run saw; `acknowledged` counts (kind, rater, what), `seconds` are by kind."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[tuple[str, str, object]] = field(default_factory=Counter)
    resent: int = 0


class Server:
    """A server process on one port, started again whenever it is wanted; `peak` is its memory in bytes."""

    def __init__(self, study: Path, database: str, answer_s: float):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.tokens: dict[str, str] = {}  # by rater, as the first start prints them
        self.peak = 0
        options = ("--study", study, "--database", database, "--port", port, "--rehearse", answer_s)
        self._command = [sys.executable, "-m", "rating.serve", *map(str, options), "--words-a-second", "1000"]

    def start(self) -> None:
        """Start it and wait until it serves: from its last line on, its port answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        for line in self._process.stdout:
            name, _, link = line.strip().partition(" ")
            if "/r/" in link:
                self.tokens[name] = link.rsplit("/", 1)[1]
            if line.startswith("serving"):
                return
        raise InputError("the server did not start")

    def watch(self) -> None:
        """Note how much memory it has had at most."""
        self.peak = max(self.peak, psutil.Process(self._process.pid).memory_info().rss)

    def end(self, how: signal.Signals) -> None:
        """Send a signal and wait until it is gone."""
        self._process.send_signal(how)
        self._process.wait(30)


Disturb = Callable[[Server, asyncio.Future[Any]], Awaitable[None]]
"""Does something to the server while the raters work; the future is done when they are."""


class ScriptedRater:
    """A program that does what a rater of a study does, over HTTP."""

    def __init__(self, name: str, server: Server, study: Study, log: Log, args: argparse.Namespace):
        self._name, self._token = name, server.tokens[name]
        self._study, self._log, self._think_s = study, log, args.think
        self._draw = random.Random(f"{args.seed} {name}")
        self._http = httpx.AsyncClient(
            base_url=server.url,
            headers={"origin": server.url},
            timeout=60,
            follow_redirects=True,
        )

    async def work(self, going_on: Callable[[], bool]) -> None:
        """Open the link, consent, and do session after session while `going_on()` and there are any."""
        async with self._http:
            await self._ask("link", "GET", f"/r/{self._token}")
            await self._post("consent", "/consent", agree="yes")
            while going_on():
                page = await self._ask("next task", "GET", "/task")
                if not page.url.path.startswith("/t/"):
                    return
                await self._session(page.url.path, going_on)

    async def _session(self, path: str, going_on: Callable[[], bool]) -> None:
        for turn in range(1, self._study.minimum_turns + 1):
            if not going_on():
                return
            text = f"{self._draw.choice(LINES)} ({self._draw.randrange(10**9)})"
            await self._post("message", f"{path}/message", text, text=text, seen=str(turn - 1))
            await self._ask("", "GET", f"{path}/answers")  # until they are there: generation is not measured
            await self._ask("conversation", "GET", path)
            if self._study.mode == "pairwise":
                choice = self._draw.choice(("a", "tie", "b"))
                await self._post("choice", f"{path}/choose", choice, turn=str(turn), choice=choice)
                if choice == "tie" and self._study.after_tie == "rater":
                    side = self._draw.choice("ab")
                    await self._post("choice", f"{path}/continue", turn=str(turn), side=side)
        if self._study.mode == "pointwise":
            await self._ask("rating form", "GET", f"{path}/rate")
            for name in self._study.dimension_names:
                value = self._draw.randint(1, 5)
                rating = {"dimension": name, "value": str(value)}
                await self._post("rating", f"{path}/rating", (name, value), **rating)
        await self._post("submitted", f"{path}/submit", path.removeprefix("/t/"), do="submit")

    async def _post(self, kind: str, path: str, what: object = None, **fields: str) -> None:
        """Send a form. The server accepts it where it redirects without a note or has no page to show."""
        fields |= {"csrf": form_token(self._token), "nonce": f"n{self._draw.getrandbits(64):016x}"}
        response = await self._ask(kind, "POST", path, fields)
        if response.status_code != 204 and "note=" in str(response.url):
            self._log.errors[f"{kind}: {response.url.query.decode()}"] += 1
        elif response.is_success and what is not None:
            self._log.acknowledged[kind, self._name, what] += 1

    async def _ask(
        self, kind: str, method: str, path: str, fields: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send a request, again until there is an answer; a request without a kind is not measured."""
        await asyncio.sleep(self._draw.expovariate(1 / self._think_s) if self._think_s and kind else 0)
        while True:
            try:
                response = await self._http.request(method, path, data=fields)
                break
            except httpx.TransportError:
                self._log.resent += 1
                await asyncio.sleep(RETRY_S)
        if not response.is_success:
            self._log.errors[f"{kind}: {response.status_code}"] += 1
        for one in [*response.history, response] if kind else []:
            page = "" if one.request.url.path == path else ": page"
            self._log.seconds[kind + page].append(one.elapsed.total_seconds())
        return response


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, let the raters work, print the table, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", type=Path, default=Path("rating/studies/pointwise.yaml"))
    parser.add_argument("--models", nargs="*", default=["m0", "m1", "m2"])
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--think", type=float, default=1.0, help="mean seconds before each action")
    parser.add_argument("--answer", type=float, default=0.5, help="seconds an answer takes")
    parser.add_argument("--sessions", type=int, default=99, help="of each rater, at most")
    parser.add_argument("--turns", type=int, help="in place of the study's minimum")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", help="an empty one's URL; default: a SQLite file that is thrown away")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        wrong = work(args, Path(folder))
    sys.exit(int(wrong))


def work(args: argparse.Namespace, folder: Path, disturb: Disturb | None = None) -> bool:
    """Let raters work, print the table, and compare; return whether anything was wrong.

    `folder` is for the study and its export; `disturb` happens to the server meanwhile.
    """
    value = read_yaml(args.study) | {"raters": args.raters, "models": args.models}
    value |= {"overlap": None, "attention_checks": 0, "sessions_per_rater": args.sessions}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(value | ({"minimum_turns": args.turns} if args.turns else {})))
    study, database = read_study(path), args.database or str(folder / "ratings.sqlite")
    server, log = Server(path, database, args.answer), Log()
    server.start()
    began = time.monotonic()
    asyncio.run(_all_raters(args, server, study, log, disturb))
    elapsed = time.monotonic() - began
    server.end(signal.SIGTERM)
    store = open_store(database, study)
    with store.reading() as db:
        export(db, study, folder / "export")
    store.close()
    wrong = differences(log, folder / "export")
    _print_table(log, elapsed, server.peak)
    counts = Counter(kind for kind, _, _ in log.acknowledged.elements())
    names = {"message": "messages", "rating": "ratings", "choice": "choices", "submitted": "submitted"}
    print("acknowledged:", ", ".join(f"{counts[kind]} {name}" for kind, name in names.items()))
    print(*wrong, "in the database: the same" if not wrong else f"{len(wrong)} differences", sep="\n")
    return bool(wrong or log.errors)


async def _all_raters(
    args: argparse.Namespace, server: Server, study: Study, log: Log, disturb: Disturb | None
) -> None:
    end = time.monotonic() + args.seconds
    raters = [ScriptedRater(name, server, study, log, args) for name in server.tokens]
    everything = asyncio.gather(*(rater.work(lambda: time.monotonic() < end) for rater in raters))
    if disturb:
        await disturb(server, everything)
    while not everything.done():
        server.watch()
        await asyncio.wait([everything], timeout=0.5)
    await everything


def differences(log: Log, folder: Path) -> list[str]:
    """Return what was acknowledged and is not in the export just once, or is there and was never sent."""
    names = ("sessions", "turns", "ratings")
    found = {name: [value for _, value in read_json_lines(folder / f"{name}.jsonl")] for name in names}
    stored: Counter[tuple[str, str, object]] = Counter()
    stored.update(("message", x["rater"], x["seeker"]) for x in found["turns"])
    stored.update(("choice", x["rater"], x["choice"]) for x in found["turns"] if x["choice"])
    stored.update(("rating", x["rater"], (x["dimension"], x["score"])) for x in found["ratings"])
    stored.update(("submitted", x["rater"], x["session"]) for x in found["sessions"] if x["submitted_at"])
    wrong = [
        f"{key}: acknowledged {log.acknowledged[key]}, stored {stored[key]}"
        for key in sorted(log.acknowledged.keys() | stored.keys(), key=str)
        if log.acknowledged[key] != stored[key]
    ]
    for turn in found["turns"]:
        sides = [answer["side"] for answer in turn["answers"]]
        if len(sides) != len(set(sides)):
            wrong.append(f"turn {turn['session']}#{turn['index']}: answers {sides}")
    return wrong


def _print_table(log: Log, elapsed: float, peak: int) -> None:
    print(f"{'page':<22}{'requests':>9}{'p50 ms':>9}{'p95 ms':>9}{'max ms':>9}")
    everything = [second for seconds in log.seconds.values() for second in seconds]
    for kind, seconds in [*sorted(log.seconds.items()), ("all", everything)]:
        figures = 1000 * np.percentile(seconds or [0.0], [50, 95, 100])
        print(f"{kind:<22}{len(seconds):>9}" + "".join(f"{figure:>9.1f}" for figure in figures))
    rate = len(everything) / elapsed
    print(f"{elapsed:.1f} s, {rate:.1f} requests a second, server at most {peak / 2**20:.0f} MiB")
    print(f"{log.resent} requests sent again, {sum(log.errors.values())} errors")
    for error, count in log.errors.most_common():
        print(f"  {count} x {error}")


if __name__ == "__main__":
    run(main)
