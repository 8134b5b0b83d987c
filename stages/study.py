"""Run the method over several seeds, with its controls, and test what came out: `python -m stages.study`.

Every arm of `study.arms` is one evolution a seed (stages/evolve.py); `study.workers` run at a time, each in
a process of its own. What is finished is not run again unless the code, the data or its parameters
changed; what was interrupted goes on. The tables say which commit and seeds made them.
"""

import argparse
import contextlib
import fcntl
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stages import evolve
from stages.command import read_params, run
from stages.findings.page import METHOD, publish
from stages.findings.runs import Run, read_run
from stages.records.errors import InputError
from stages.records.fingerprint import digest_file, digest_folder, digest_value
from stages.records.publish import publishing

PARAMS = "params.yaml"  # in the folder of the runs
LOCK = Path(".scratch/study.lock")
# What a run reads of the parameters. Of the others the data are made, which have a digest; or they are like
# `headline`, which every `make m1` changes.
SECTIONS = (
    "capability",
    "contexts",
    "engine",
    "hardware",
    "pair",
    "prompts",
    "refine",
    "respond",
    "score",
    "sft_data",
    "train",
)
ROOMS = ("benchmarks", "dialogue", "engines", "prompts", "records", "scoring", "training", "world")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, run what is missing, and publish the study's folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".scratch/study"), help="where the runs lie")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    study = read_params("study", evolve.StudyParams, args.params)
    check(study, args.params)
    with _alone():
        made_by = {"commit": commit(args.out), "seeds": study.seeds}
        bases, arms = _tasks(args, study)
        with publishing(args.work / PARAMS) as temporary:  # the runs read these: nobody edits them meanwhile
            shutil.copyfile(args.params, temporary)
        later = [task for tasks in arms.values() for task in tasks]
        with (
            _workers(study.workers) as pool,
            tqdm(total=len(bases) + len(later), desc="study", unit="arm", disable=None) as bar,
        ):
            for tasks in (bases, later):  # the arms of a seed share its base
                _run_all(tasks, study.workers, pool, bar)
        runs = {name: [task.read() for task in tasks] for name, tasks in arms.items()}
        publish(args.out, made_by, [task.read() for task in bases], runs)


def check(study: evolve.StudyParams, params: Path) -> None:
    """Raise InputError unless the study can be evaluated: the method with all seeds, each of them once."""
    own = study.arms.get(METHOD)
    if own is None:
        raise InputError(f"the method itself, {METHOD}, is missing", file=params, field="study.arms")
    method = own.contexts == "synesc" and own.chosen == "refined"
    if len(study.seeds[: own.seeds]) < len(study.seeds) or not method:
        message = "the method runs with all seeds, on contexts of synesc, and chooses refined responses"
        raise InputError(message, file=params, field=f"study.arms.{METHOD}")
    if evolve.BASE in study.arms:
        message = "this is the name of what the arms share"
        raise InputError(message, file=params, field=f"study.arms.{evolve.BASE}")
    if len(set(study.seeds)) < len(study.seeds):
        raise InputError("a seed occurs twice", file=params, field="study.seeds")


class _Task:
    """One arm of one seed: where it lies, and whether it is finished."""

    def __init__(self, args: argparse.Namespace, study: evolve.StudyParams, arm: str, seed: int):
        self.arm, self.seed, self.params = arm, seed, args.work / PARAMS
        self.work = args.work / f"seed-{seed}"
        self.folder = self.work / arm
        own = evolve.arm_params(args.params, arm, seed)
        inputs = input_digest(own["data"]["alpaca"], own["prompts"]["dir"])
        params = {section: own.get(section) for section in SECTIONS}
        self.made_of = digest_value([params, _contexts(study, arm), code_digest(), inputs])

    @property
    def finished(self) -> bool:
        """Whether it ran to its end with the code, data and parameters of now."""
        done = self.folder / "finished"
        return done.exists() and done.read_text(encoding="utf-8") == self.made_of

    def read(self) -> Run:
        """Return what it measured."""
        return read_run(self.folder, self.arm, self.seed)

    def run(self) -> str:
        """Run it with what it prints in `log.txt`; return what was wrong with it, or nothing.

        What an earlier run left here goes first: it may be of other parameters, and all that takes long
        is found again in .scratch.
        """
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        _print_to(self.folder / "log.txt")
        try:
            evolve.evolve(self.work, self.arm, self.seed, self.params)
        except InputError as error:
            return str(error)
        (self.folder / "finished").write_text(self.made_of, encoding="utf-8")
        return ""


def _tasks(args: argparse.Namespace, study: evolve.StudyParams) -> tuple[list[_Task], dict[str, list[_Task]]]:
    """Return what every seed's arms share, and the tasks of every arm."""
    arms = {
        name: [_Task(args, study, name, seed) for seed in study.seeds[: arm.seeds]]
        for name, arm in study.arms.items()
    }
    return [_Task(args, study, evolve.BASE, seed) for seed in study.seeds], arms


def _contexts(study: evolve.StudyParams, arm: str) -> list[str]:
    """Whose contexts an arm takes and what it chooses; of a base, of all arms."""
    arms = study.arms.values() if arm == evolve.BASE else [study.arms[arm]]
    return sorted({f"{other.contexts} {other.chosen}" for other in arms})


def _run_all(tasks: list[_Task], workers: int, pool: ProcessPoolExecutor, bar: "tqdm[Any]") -> None:
    """Run what is not finished, `workers` at a time; stop at the first that fails.

    Of a seed one at a time: two arms may ask for the very same texts, and a journal has one writer.
    """
    waiting = [task for task in tasks if not task.finished]
    bar.update(len(tasks) - len(waiting))
    running: dict[Future[str], _Task] = {}
    while waiting or running:
        for task in list(waiting):
            if len(running) < workers and task.seed not in {other.seed for other in running.values()}:
                waiting.remove(task)
                running[pool.submit(task.run)] = task
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            task = running[future]
            try:
                message = future.result()
            except BrokenProcessPool:
                message = "its process, or one beside it, was killed (out of memory?)"
            except Exception as error:
                error.add_note(f"in arm {task.arm}, seed {task.seed}: see {task.folder / 'log.txt'}")
                raise
            if message:
                file = task.folder / "log.txt"
                raise InputError(f"seed {task.seed}: {message}", file=file, record=task.arm)
            del running[future]
            bar.update()


@contextlib.contextmanager
def _workers(number: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of processes that share the cores, and end them at once where something goes wrong."""
    threads = max(1, (os.cpu_count() or 1) // number)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # also LLaMA-Factory's, which the workers start
    pool = ProcessPoolExecutor(number, multiprocessing.get_context("spawn"), _begin_worker)
    try:
        yield pool
    except BaseException:
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    """Leave Ctrl-C to the study, which ends its workers, as its end ends them whatever it was."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _print_to(log: Path) -> None:
    """Let this process print to a file from now on, also through loggers that hold on to a stream."""
    with log.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of this folder's work in progress: two studies would write to the same journals."""
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError("another study is running here", file=LOCK) from None
        yield


def commit(out: Path) -> str:
    """Return the commit of the working tree, with `+` where tracked files, but for `out`, differ from it.

    Raises:
        InputError: Git cannot tell.
    """
    relative = os.path.relpath(out)
    others = ["--", "."] if relative.startswith("..") else ["--", ".", f":(exclude){relative}"]
    changed = _git("status", "--porcelain", "--untracked-files=no", *others)
    return _git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        raise InputError(f"the tables name the commit, and Git cannot tell it: {reason}") from None
    return done.stdout.strip()


@cache
def code_digest() -> str:
    """Return one digest of all code that a run goes through."""
    stages = Path(evolve.__file__).parent
    files = [stages / f"{name}.py" for name in ("evolve", *evolve.STAGES)]
    return digest_value([*map(digest_file, files), *(digest_folder_of_code(stages / room) for room in ROOMS)])


def digest_folder_of_code(folder: Path) -> str:
    """Return one digest of a room's files, without what Python puts beside them."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return digest_value([[file.relative_to(folder).as_posix(), digest_file(file)] for file in files])


@cache
def input_digest(alpaca: str, prompts: str) -> str:
    """Return one digest of the data, the prompts and the backbone that all runs start from.

    Raises:
        InputError: something is not there.
    """
    paths = [*evolve.INPUTS, Path(alpaca), Path(prompts)]
    if missing := [path for path in paths if not path.exists()]:
        raise InputError("is not there: run `make study`", file=missing[0])
    return digest_value([digest_folder(path) if path.is_dir() else digest_file(path) for path in paths])


if __name__ == "__main__":
    run(main)
