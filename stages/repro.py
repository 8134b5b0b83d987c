"""Run DVC stages, several at a time: `python -m stages.repro --jobs 2 dvc.yaml analyses/dvc.yaml`.

`dvc repro` runs one stage after another. With `--jobs` above 1 this asks DVC which stages changed, and runs
each of them, and what follows from it, with `dvc repro --single-item` as soon as all that it reads is made.
What a stage prints goes to `.scratch/repro/STAGE.log`. The results are the same bytes: stages share no file
but those that DVC knows of, and the journals, which one process at a time writes.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from stages.command import load_params, run
from stages.records.errors import InputError

if TYPE_CHECKING:
    import psutil

LOGS = Path(".scratch/repro")
_DVC = (sys.executable, "-m", "dvc")
SHOWN = 15  # last lines of the log of a stage that failed
_POLL_S = 0.05
_GRACE_S = 5.0  # for processes that are asked to end


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, help="stages at a time; else `jobs` of the parameters")
    parser.add_argument("targets", nargs="*", help="stages or DVC files; none: dvc.yaml")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    repro(args.targets, load_params("jobs", args.params) if args.jobs is None else args.jobs)


def repro(targets: Sequence[str], jobs: int) -> None:
    """Bring these stages, and what they need, up to date.

    Args:
        targets: names of stages, or DVC files that stand for all of their stages; none: dvc.yaml.
        jobs: stages at a time, 1 or more.

    Raises:
        InputError: `jobs` is below 1, or a stage failed.
    """
    if not isinstance(jobs, int) or jobs < 1:
        raise InputError(f"is {jobs}, not a number of stages from 1 on", field="jobs")
    _mend_lock()
    if jobs > 1:
        _run_all(changed(targets or ["dvc.yaml"]), jobs)
        return
    done = subprocess.run([*_DVC, "repro", *targets], check=False)
    if done.returncode != 0:
        raise InputError(f"`dvc repro` failed (exit code {done.returncode}); see above")


def changed(targets: Sequence[str]) -> dict[str, set[str]]:
    """Return which stages have to run, or may have to when others have, and which of these each waits for.

    Stages that nothing has changed for and that read of none that has are left out.
    """
    import networkx as nx
    from dvc.repo import Repo

    with Repo() as repo:
        graph = repo.index.graph  # an edge leads from a stage to one that it needs
        asked = {stage for target in targets for stage in repo.stage.collect(target)}
        graph = graph.subgraph(asked.union(*(nx.descendants(graph, stage) for stage in asked)))
        stale = set(repo.status(targets=list(targets), with_deps=True))
        first = {stage for stage in graph if stage.addressing in stale}
        follow = first.union(*(nx.ancestors(graph, stage) for stage in first))
        return {
            stage.addressing: {other.addressing for other in graph[stage] if other in follow}
            for stage in follow
        }


def heights(needs: Mapping[str, set[str]]) -> dict[str, int]:
    """Return of each stage how many stages, one after another, wait for it."""
    import networkx as nx

    graph = nx.DiGraph([(name, other) for name, others in needs.items() for other in others])
    graph.add_nodes_from(needs)
    found: dict[str, int] = {}
    for name in nx.topological_sort(graph):  # those that wait come before what they wait for
        found[name] = max((1 + found[other] for other in graph.predecessors(name)), default=0)
    return found


@dataclass
class _Job:
    """A stage that runs."""

    name: str
    log: Path = field(init=False)
    begin: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.log = LOGS / f"{self.name.replace('/', '_').replace(':', '.')}.log"
        with self.log.open("wb") as log:
            command = [*_DVC, "--wait-for-lock", "repro", "--single-item", self.name]
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )


def _run_all(needs: Mapping[str, set[str]], jobs: int) -> None:
    """Run these stages, `jobs` at a time and those first that most wait for.

    Of one that fails the log is shown, and no further one begins.
    """
    if not needs:
        print("Data and pipelines are up to date.")
        return
    LOGS.mkdir(parents=True, exist_ok=True)
    height = heights(needs)
    waiting = sorted(needs, key=lambda name: (-height[name], name))
    done: set[str] = set()
    failed: list[_Job] = []
    bar = tqdm(total=len(needs), unit="stage", disable=None)
    with bar, _shared_cores(jobs), _ended_with_us() as running:
        while running or (waiting and not failed):
            ready = [] if failed else [name for name in waiting if needs[name] <= done]
            for name in ready[: jobs - len(running)]:
                waiting.remove(name)
                running.append(_Job(name))
                bar.set_postfix_str(" ".join(job.name for job in running))
            time.sleep(_POLL_S)
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                if job.process.returncode == 0:
                    done.add(job.name)
                else:
                    failed.append(job)
                _say(bar, job, running)
    for job in failed:
        lines = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
        print("\n".join(lines[-SHOWN:]), flush=True)
    if failed:
        message = "the stage failed; its last lines stand above"
        raise InputError(message, file=failed[0].log, record=failed[0].name)


def _say(bar: "tqdm[Any]", job: _Job, running: Sequence[_Job]) -> None:
    """Print a line for a stage that has ended."""
    bar.update()
    took = f"{time.monotonic() - job.begin:.0f} s"
    text = f"{job.name}: {took}"
    if job.process.returncode != 0:
        text = f"{job.name}: failed after {took}"
        if running:
            text += f"; first {', '.join(other.name for other in running)} will be finished"
    bar.write(text, file=sys.stdout)
    sys.stdout.flush()


@contextmanager
def _shared_cores(jobs: int) -> Iterator[None]:
    """Give each of the stages its share of the cores, unless the environment says how many threads it has."""
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    given = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = given or threads
    try:
        yield
    finally:
        if given is None:
            del os.environ["OMP_NUM_THREADS"]


@contextmanager
def _ended_with_us() -> Iterator[list[_Job]]:
    """Give the list of what runs; whatever ends this process but SIGKILL ends what is on it too."""
    running: list[_Job] = []
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield running
    finally:
        signal.signal(signal.SIGTERM, before)
        _end([job.process.pid for job in running])


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end(pids: Sequence[int]) -> None:
    """End these processes of DVC and all that they have started: DVC itself leaves its commands running.

    The commands go first: DVC then ends by itself, and nothing is torn that it was about to write.
    """
    import psutil

    owners, commands = [], []
    for pid in pids:
        try:
            owner = psutil.Process(pid)
            commands += owner.children(recursive=True)
            owners.append(owner)
        except psutil.NoSuchProcess:
            continue
    _terminate(commands)
    late = psutil.wait_procs([*owners, *commands], timeout=_GRACE_S)[1]
    _terminate(late)
    for process in psutil.wait_procs(late, timeout=_GRACE_S)[1]:
        process.kill()


def _terminate(processes: "Sequence[psutil.Process]") -> None:
    import psutil

    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()


def _mend_lock() -> None:
    """Remove what a killed DVC has left of its list of files in use, if it is no JSON: DVC itself gives up.

    DVC writes `.dvc/tmp/rwlock` in place, with its guard locked: who can lock that sees no half of it.

    Raises:
        InputError: another process keeps the guard for seconds.
    """
    from dvc.lock import LockError, make_lock
    from dvc.repo import Repo
    from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK

    with Repo() as repo:
        folder = Path(repo.tmp_dir)
    listed, guard = folder / RWLOCK_FILE, folder / RWLOCK_LOCK
    try:
        with make_lock(str(guard), tmp_dir=str(folder)):
            _remove_unless_json(listed)
    except LockError:
        raise InputError("another DVC holds it: try again when that has ended", file=guard) from None


def _remove_unless_json(listed: Path) -> None:
    try:
        json.loads(listed.read_bytes() if listed.exists() else b"{}")
    except ValueError:
        print(f"removed {listed}: a process was killed while it wrote it", file=sys.stderr)
        listed.unlink()


if __name__ == "__main__":
    run(main)
