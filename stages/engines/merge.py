"""A policy as one model that any server can load: its chain of adapters merged into its backbone.

Merged weights of a 7B model take some 15 GB, so they are no output of the pipeline: they are made when they
are needed, in `.scratch/merged/<digest of the policy>`, and those that nobody uses go when others come.
"""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import yaml

from stages.engines.policy import Policy
from stages.engines.template import ChatTemplate
from stages.records.errors import InputError
from stages.records.jsonl import read_text
from stages.records.publish import publishing

CONFIG = Path(__file__).resolve().parents[2] / "llamafactory_configs" / "export.yaml"
GUARD = Path(__file__).with_name("guard.py")


def merge(policy: Policy, out: Path) -> None:
    """Let LLaMA-Factory write the merged model to the folder `out`, whole or not at all.

    It would leave a backbone's own chat template in it, which may say things in another place or way than the
    template that the policy was trained with; here it is replaced by the latter.

    Raises:
        InputError: LLaMA-Factory has no Jinja for the template, which is found out before anything is merged;
            or it failed (a full disk, weights that cannot be had ...): its last line.
    """
    jinja = ChatTemplate.of(policy).jinja()
    config: dict[str, Any] = yaml.safe_load(read_text(CONFIG)) | {
        "model_name_or_path": policy.weights,
        "template": policy.backbone.template,
        "infer_dtype": policy.backbone.dtype,
    }
    if policy.backbone.revision:
        config["model_revision"] = policy.backbone.revision
    if policy.adapters:
        config["adapter_name_or_path"] = ",".join(str(adapter) for adapter in policy.adapters)
    try:
        with publishing(out) as folder:
            folder.mkdir()
            settings = folder / "export.yaml"
            settings.write_text(yaml.safe_dump(config | {"export_dir": str(folder)}), encoding="utf-8")
            log = folder / "export.log"
            code = _run([sys.executable, "-m", "llamafactory.cli", "export", str(settings)], log)
            if code != 0:
                lines = [line for line in read_text(log).splitlines() if line.strip()]
                message = f"LLaMA-Factory failed: {lines[-1] if lines else 'no output'}"
                raise InputError(message, file=policy.folder)
            log.unlink()
            settings.unlink()
            (folder / "chat_template.jinja").write_text(jinja, encoding="utf-8")
    except OSError as error:
        raise InputError(f"the merged model cannot be written: {error.strerror}", file=out) from None


def _run(command: list[str], log: Path) -> int:
    """Run a command under a guard, so that it ends with this process; return its exit code."""
    guard = [sys.executable, "-P", str(GUARD)]
    with log.open("wb") as errors:
        child = subprocess.Popen(
            [*guard, *command],
            stdin=subprocess.PIPE,  # held open: its end is what the guard waits for
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
    with child:
        return child.wait()


@contextmanager
def merged(policy: Policy, scratch: Path) -> Iterator[Path]:
    """Give a folder with the policy's merged model; while it is open, nobody removes it.

    A backbone that lies in a folder is that folder. A second process that needs the same model waits until
    the first has merged it.

    Raises:
        InputError: as for `merge`.
    """
    if not policy.adapters and policy.backbone.weights == ".":
        yield policy.backbone_folder
        return
    home = scratch / "merged"
    home.mkdir(parents=True, exist_ok=True)
    folder = home / policy.digest[:16]
    with _lock_of(folder).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _remove_unused(home, folder)
            print(f"merging {policy.folder} into {folder}", file=sys.stderr, flush=True)
            merge(policy, folder)
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield folder


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _remove_unused(home: Path, needed: Path) -> None:
    """Remove merged models that no process holds open, and parts that a killed merge left."""
    for folder in home.iterdir():
        if not folder.is_dir() or folder == needed:
            continue
        name = folder.name.split(".")[1] if folder.name.startswith(".") else folder.name
        with ExitStack() as stack:
            if name != needed.name and not _take(stack.enter_context(_lock_of(home / name).open("a"))):
                continue
            shutil.rmtree(folder)


def _take(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
