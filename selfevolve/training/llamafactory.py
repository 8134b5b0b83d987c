"""Run `llamafactory-cli train` so that being killed costs at most one checkpoint interval.

A run lives in `.scratch/<stage>/<fingerprint>/`: LLaMA-Factory's log, the tokenised data, checkpoints
and, in the end, the weights. LLaMA-Factory goes on from the last checkpoint that it finds there. This module
removes checkpoints that were cut off in the middle. It sees to it that two runs never write to one folder,
and that no run outlives the stage that started it.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import yaml
from tqdm import tqdm

from selfevolve.runtime import process_guard
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import is_json
from selfevolve.training.configuration import RANK, Launch, node_number

ALONE = Launch()  # one process on this machine
WORKER = "selfevolve.training.worker"
ADDRESS, PORT = "MASTER_ADDR", "MASTER_PORT"  # LLaMA-Factory's names of where several machines meet
LOCK_WAIT_S = 1.5 * process_guard.PATIENCE_S  # what the guard of a killed stage needs to end its training


def train(
    arguments: Mapping[str, Any],
    scratch: Path,
    check: Callable[[], object] = lambda: None,
    launch: Launch = ALONE,
    processes: int = 1,
) -> Path:
    """Run LLaMA-Factory with these arguments, from the last whole checkpoint on if there is one.

    Args:
        arguments: LLaMA-Factory's, without `output_dir` and `tokenized_path`.
        scratch: the folder of this run and no other.
        check: called once the tokenised data lies in `scratch`, before hours are spent on it; what it
            raises ends the training.
        launch: how the processes are started.
        processes: on all machines together.

    Returns:
        the folder with the trained weights and `trainer_state.json`.
    """
    output = scratch / "output"
    with _locked(scratch / "lock") as lock:
        if not (scratch / "done").exists():
            _remove_broken(scratch, output)
            _run(arguments, scratch, "llamafactory", lock, launch, processes, check)
            (scratch / "done").touch()
    return output


def follow(arguments: Mapping[str, Any], scratch: Path, launch: Launch, processes: int) -> None:
    """Take part in a training that another machine leads, in a folder that both see; else as `train`."""
    name = f"node-{os.environ[RANK]}"
    with _locked(scratch / f"{name}.lock") as lock:
        _run(arguments, scratch, name, lock, launch, processes)


def command(launch: Launch, processes: int, config: Path) -> list[str]:
    """Return the command line of the training, with `processes` in all.

    One machine meets itself at a free port; of several, each reads NODE_RANK, MASTER_ADDR and MASTER_PORT.
    """
    if launch.launcher == "none":
        return [sys.executable, "-m", WORKER, str(config)]
    several = launch.nodes > 1
    if launch.launcher == "torchrun":
        start = ["torch.distributed.run", f"--nproc-per-node={processes // launch.nodes}"]
        start += [f"--nnodes={launch.nodes}", *([] if several else ["--standalone"])]
        meeting = ("--node-rank", "--master-addr", "--master-port")
    else:
        start = ["accelerate.commands.launch", f"--config_file={launch.accelerate_config}"]
        start += [f"--num_processes={processes}", f"--num_machines={launch.nodes}"]
        start += [] if several else ["--main_process_port=0"]
        meeting = ("--machine_rank", "--main_process_ip", "--main_process_port")
    if several:
        start += [f"{option}={value}" for option, value in zip(meeting, _meeting(launch), strict=True)]
    return [sys.executable, "-m", *start, "-m", WORKER, str(config)]


def environment(launch: Launch) -> dict[str, str]:
    """Return the environment of the training's processes."""
    extra = {"LLAMAFACTORY_VERBOSITY": "INFO", "HF_HUB_DISABLE_TELEMETRY": "1"}
    if launch.launcher == "none":
        # LLaMA-Factory would start a process for every GPU that it sees, and a step would grow with them.
        extra["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return {**os.environ, **extra, **launch.environment}


def _meeting(launch: Launch) -> tuple[int, str, int]:
    """Return this machine's number, and the address and port at which all of them meet."""
    if not os.environ.get(ADDRESS):
        raise InputError("several nodes meet there: not in the environment", field=ADDRESS)
    return node_number(RANK, launch.nodes), os.environ[ADDRESS], node_number(PORT, 65536)


@contextmanager
def _locked(file: Path) -> Iterator[IO[str]]:
    """Hold a lock; LLaMA-Factory inherits it, so what a killed stage leaves behind holds it until it ends."""
    file.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_WAIT_S
    with file.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise InputError("another process is training here", file=file.parent) from None
                time.sleep(0.1)
        yield lock


def _remove_broken(scratch: Path, output: Path) -> None:
    """Remove what a killed run left half-written.

    The last file that transformers writes of a checkpoint is `trainer_state.json`, the last that
    datasets writes of a split is `dataset_info.json`.
    """
    for checkpoint in output.glob("checkpoint-*"):
        if not is_json(checkpoint / "trainer_state.json"):
            shutil.rmtree(checkpoint)
    if not any(output.glob("checkpoint-*")):
        shutil.rmtree(output, ignore_errors=True)  # else LLaMA-Factory refuses the folder as not empty
    if not _is_whole(scratch / "tokenized"):
        shutil.rmtree(scratch / "tokenized", ignore_errors=True)


def _is_whole(tokenized: Path) -> bool:
    """Whether datasets has written every split that it announced in `dataset_dict.json`."""
    announced = tokenized / "dataset_dict.json"
    return is_json(announced) and all(
        is_json(tokenized / split / "dataset_info.json")
        for split in json.loads(announced.read_bytes())["splits"]
    )


def _run(
    arguments: Mapping[str, Any],
    scratch: Path,
    name: str,
    lock: IO[str],
    launch: Launch,
    processes: int,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Run LLaMA-Factory to its end below a guard, with `<name>.yaml` and `<name>.log` in `scratch`."""
    config, log = scratch / f"{name}.yaml", scratch / f"{name}.log"
    places = {"output_dir": str(scratch / "output"), "tokenized_path": str(scratch / "tokenized")}
    config.write_text(yaml.safe_dump({**arguments, **places}, sort_keys=True), encoding="utf-8")
    start = command(launch, processes, config)
    child = process_guard.start(start, log, environment(launch), pass_fds=[lock.fileno()])
    try:
        _watch(child, scratch, check)
    finally:
        process_guard.stop(child)
    if child.returncode != 0:
        last = _last_line(log.read_text(encoding="utf-8", errors="replace"))
        raise InputError(f"LLaMA-Factory failed: {last}", file=log)


def _last_line(log: str) -> str:
    """Return the last line that says what went wrong: of several processes torchrun adds a report to it."""
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(\[rank\d+\]: ?)?[\w.]+(Error|Exception)\b", line)]
    own = [line for line in errors if "ChildFailedError" not in line]
    failed = "ChildFailedError" in log and own
    return own[-1] if failed else (lines[-1] if lines else "no output")


def _watch(child: subprocess.Popen[bytes], scratch: Path, check: Callable[[], object]) -> None:
    """Check the data as soon as it is whole; show steps, rate, time left and loss until the end."""
    checked = False
    with tqdm(desc="training", unit="step", disable=None) as bar:
        while True:
            if not checked and _is_whole(scratch / "tokenized"):
                check()
                checked = True
            try:
                child.wait(timeout=0.5)
                return
            except subprocess.TimeoutExpired:
                _show(bar, scratch / "output" / "trainer_log.jsonl")


def _show(bar: "tqdm[Any]", log: Path) -> None:
    try:
        entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):  # not there yet, or its last line is being written
        return
    if not entries:
        return
    bar.total = entries[-1].get("total_steps")
    if losses := [entry["loss"] for entry in entries if "loss" in entry]:
        bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
    bar.update(entries[-1].get("current_steps", bar.n) - bar.n)
