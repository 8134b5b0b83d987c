"""A policy as one model that any server can load: its chain of adapters merged into its backbone.

Merged weights of a 7B model take some 15 GB, so they are no output of the pipeline: they are made when they
are needed, in `.scratch/merged/<digest of the policy>`, and those that nobody uses go when others come.
"""

import fcntl
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import yaml

from selfevolve.policies.policy import Policy
from selfevolve.policies.window import ChatTemplate
from selfevolve.runtime import process_guard
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import publishing, read_text, read_yaml

CONFIG = Path(__file__).resolve().parents[2] / "llamafactory_configs" / "export.yaml"


def merge(policy: Policy, out: Path) -> None:
    """Let LLaMA-Factory write the merged model to the folder `out`, whole or not at all.

    It would leave a backbone's own chat template in it, which may say things in another place or way than the
    template that the policy was trained with; here it is replaced by the latter.
    """
    jinja = ChatTemplate.of(policy).jinja()
    config = read_yaml(CONFIG) | policy.arguments() | {"infer_dtype": policy.backbone.dtype}
    try:
        with publishing(out) as folder:
            folder.mkdir()
            settings = folder / "export.yaml"
            settings.write_text(yaml.safe_dump(config | {"export_dir": str(folder)}), encoding="utf-8")
            log = folder / "export.log"
            export = process_guard.start(
                [sys.executable, "-m", "selfevolve.policies.merge_worker", str(settings)], log
            )
            try:
                code = export.wait()
            finally:
                process_guard.stop(export)
            if code != 0:
                lines = [line for line in read_text(log).splitlines() if line.strip()]
                message = f"LLaMA-Factory failed: {lines[-1] if lines else 'no output'}"
                raise InputError(message, file=policy.folder)
            log.unlink()
            settings.unlink()
            (folder / "chat_template.jinja").write_text(jinja, encoding="utf-8")
    except OSError as error:
        raise InputError(f"the merged model cannot be written: {error.strerror}", file=out) from None


@contextmanager
def merged(policy: Policy, scratch: Path) -> Iterator[Path]:
    """Give a folder with the policy's merged model; while it is open, nobody removes it.

    A backbone that lies in a folder is that folder. A second process that needs the same model waits until
    the first has merged it.
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
