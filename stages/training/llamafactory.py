"""Run `llamafactory-cli train` so that being killed costs at most one checkpoint interval.

A run lives in `.scratch/<stage>/<fingerprint>/`: LLaMA-Factory's log, the tokenised data, checkpoints
and, in the end, the weights. LLaMA-Factory goes on from the last checkpoint it finds there by itself;
this module takes away checkpoints that were cut off in the middle, and sees to it that two runs never
write to one folder and that no run outlives the stage that started it.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import yaml
from tqdm import tqdm

from stages.records.errors import InputError
from stages.records.jsonl import read_text
from stages.training.hardware import RANK, Launch, command, environment
from stages.training.orphans import die_with_parent

ALONE = Launch()  # one process on this machine


class TrainingError(InputError):
    """LLaMA-Factory ended with an error; the message has its last line and where the log is."""


def read_config(path: Path | str, overrides: dict[str, Any]) -> dict[str, Any]:
    """Read a LLaMA-Factory YAML file and lay the overrides over it; an override of null removes a key.

    Raises:
        InputError: the file is missing, not YAML or not a mapping.
    """
    try:
        config = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {error}", file=path) from None
    if not isinstance(config, dict):
        raise InputError("not a mapping", file=path)
    merged = {**config, **overrides}
    return {key: value for key, value in merged.items() if value is not None}


def train(
    config: dict[str, Any],
    scratch: Path,
    check: Callable[[], object] = lambda: None,
    launch: Launch = ALONE,
    processes: int = 1,
) -> Path:
    """Run LLaMA-Factory with this configuration, from the last whole checkpoint on if there is one.

    Args:
        config: LLaMA-Factory's arguments without `output_dir` and `tokenized_path`.
        scratch: the folder of this run and no other.
        check: called once the tokenised data lies in `scratch`, before hours are spent on it; what it
            raises ends the training.
        launch: how the processes are started.
        processes: on all machines together.

    Returns:
        the folder with the trained weights and `trainer_state.json`.

    Raises:
        TrainingError: LLaMA-Factory ended with an error.
        InputError: another process is training in this folder.
    """
    output = scratch / "output"
    with _alone(scratch) as lock:
        if not (scratch / "done").exists():
            _drop_broken(scratch, output)
            file = _write_config(config, scratch, "config.yaml")
            start = command(launch, processes, file)
            _run_child(start, environment(launch), scratch / "llamafactory.log", lock, scratch, check)
            (scratch / "done").touch()
    return output


def follow(config: dict[str, Any], scratch: Path, launch: Launch, processes: int) -> None:
    """Take part in a training that another machine leads, which alone writes into `scratch`.

    Args:
        config: as `train` has it.
        scratch: as the other machine has it, in a folder that both see.
        launch: how the processes are started.
        processes: on all machines together.

    Raises:
        TrainingError: LLaMA-Factory ended with an error.
    """
    name = f"node-{os.environ[RANK]}"
    scratch.mkdir(parents=True, exist_ok=True)
    with (scratch / f"{name}.lock").open("w") as lock:
        file = _write_config(config, scratch, f"{name}.yaml")
        start = command(launch, processes, file)
        _run_child(start, environment(launch), scratch / f"{name}.log", lock, scratch, lambda: None)


def _write_config(config: dict[str, Any], scratch: Path, name: str) -> Path:
    config = {**config, "output_dir": str(scratch / "output"), "tokenized_path": str(scratch / "tokenized")}
    (scratch / name).write_text(yaml.safe_dump(config, sort_keys=True), encoding="utf-8")
    return scratch / name


def sample_counts(scratch: Path, cutoff: int) -> dict[str, int]:
    """Return how many samples LLaMA-Factory kept of each split (`train`, `validation`) and the longest.

    Read from the tokenised data on disk, since it drops what it cannot use with no more than a warning.
    `<split>_longest` is in tokens; `<split>_full` counts the samples that fill `cutoff` tokens, which may
    have been cut (each side of a preference pair counts).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    counts: dict[str, int] = {}
    for split in sorted(path for path in (scratch / "tokenized").iterdir() if path.is_dir()):
        rows, longest, full = 0, 0, 0
        for file in sorted(split.glob("*.arrow")):
            with pa.memory_map(str(file)) as source:
                table = pa.ipc.open_stream(source).read_all()
            rows += table.num_rows
            for name in table.column_names:
                if name.endswith("input_ids") and table.num_rows:
                    lengths = pc.list_value_length(table[name])
                    longest = max(longest, pc.max(lengths).as_py())
                    full += pc.sum(pc.greater_equal(lengths, cutoff)).as_py()
        counts[split.name] = rows
        counts[f"{split.name}_longest"] = longest
        counts[f"{split.name}_full"] = full
    return counts


@contextmanager
def _alone(scratch: Path) -> Iterator[IO[str]]:
    """Hold the folder's lock; LLaMA-Factory inherits it, so an orphan of a killed stage holds it too."""
    scratch.mkdir(parents=True, exist_ok=True)
    with (scratch / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError("another process is training here", file=scratch) from None
        yield lock


def _drop_broken(scratch: Path, output: Path) -> None:
    """Remove what a killed run left half-written.

    The last file that transformers writes of a checkpoint is `trainer_state.json`, the last that
    datasets writes of a split is `dataset_info.json`.
    """
    for checkpoint in output.glob("checkpoint-*"):
        if not _is_json(checkpoint / "trainer_state.json"):
            shutil.rmtree(checkpoint)
    if not any(output.glob("checkpoint-*")):
        shutil.rmtree(output, ignore_errors=True)  # else LLaMA-Factory refuses the folder as not empty
    if not _is_whole(scratch / "tokenized"):
        shutil.rmtree(scratch / "tokenized", ignore_errors=True)


def _is_whole(tokenized: Path) -> bool:
    """Whether datasets has written every split that it announced in `dataset_dict.json`."""
    announced = tokenized / "dataset_dict.json"
    if not _is_json(announced):
        return False
    splits = json.loads(announced.read_bytes())["splits"]
    return all(_is_json(tokenized / split / "dataset_info.json") for split in splits)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _run_child(
    start: list[str],
    variables: dict[str, str],
    log: Path,
    lock: IO[str],
    scratch: Path,
    check: Callable[[], object],
) -> None:
    with log.open("ab") as file:
        child = subprocess.Popen(
            start,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=variables,
            pass_fds=[lock.fileno()],
            preexec_fn=die_with_parent,
        )
        try:
            _watch(child, scratch / "tokenized", scratch / "output" / "trainer_log.jsonl", check)
        except BaseException:
            child.send_signal(signal.SIGTERM)
            child.wait()
            raise
    if child.returncode != 0:
        last = _last_line(log.read_text(encoding="utf-8", errors="replace"))
        raise TrainingError(f"LLaMA-Factory failed: {last}", file=log)


def _last_line(log: str) -> str:
    """Return the last line that says what went wrong: of several processes torchrun adds a report to it."""
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(\[rank\d+\]: ?)?[\w.]+(Error|Exception)\b", line)]
    own = [line for line in errors if "ChildFailedError" not in line]
    failed = "ChildFailedError" in log and own
    return own[-1] if failed else (lines[-1] if lines else "no output")


def _watch(child: subprocess.Popen[bytes], tokenized: Path, log: Path, check: Callable[[], object]) -> None:
    """Check the data as soon as it is whole; show steps, rate, time left and loss until the end."""
    checked = False
    with tqdm(desc="training", unit="step", disable=None) as bar:
        while True:
            if not checked and _is_whole(tokenized):
                check()
                checked = True
            try:
                child.wait(timeout=0.5)
                return
            except subprocess.TimeoutExpired:
                _show(bar, log)


def _show(bar: "tqdm[Any]", log: Path) -> None:
    try:
        entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):  # not there yet, or its last line is being written
        return
    if not entries:
        return
    bar.total = entries[-1].get("total_steps")
    losses = [entry["loss"] for entry in entries if "loss" in entry]
    if losses:
        bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
    bar.update(entries[-1].get("current_steps", bar.n) - bar.n)
