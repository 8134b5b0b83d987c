"""DVC as a child process: bring stages up to date, and keep a finished run as an experiment.

`dvc exp run --name m2` could do both only once: under a name that exists it stops, and with `--force` it runs
every stage again.
"""

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from selfevolve.experiment.compose import PARAMS, remember_params
from selfevolve.report.reading import LOCKS
from selfevolve.runtime.digests import digest_file, digest_value
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.files import is_json, publish_json, read_text
from selfevolve.runtime.git import git
from selfevolve.runtime.process_guard import start, stop

METRICS, REPORT = Path("metrics"), "report"
SAVED = Path(".scratch/experiments.json")  # what each experiment was saved from
SAVING = Path(".scratch/save.log")
DVC = (sys.executable, "-P", str(Path(__file__).with_name("run_dvc.py")))


def repro(targets: Sequence[str], *, beside_others: bool = False) -> None:
    """Run `dvc repro` on these stages or DVC files; however this process ends, DVC and its stages end too.

    Args:
        targets: stages, or DVC files.
        beside_others: run only these stages and not what they depend on, and wait while another DVC holds the
            lock, so that two can run in one clone. Even to find a stage upstream current, DVC would want its
            outputs to itself, and a stage of another DVC may be reading them.

    Raises:
        InputError: a stage failed, another DVC holds the lock or runs the same stage, or somebody ended DVC.
    """
    remove_torn_lock()
    sys.stdout.flush()
    command = ("--wait-for-lock", "repro", "--single-item") if beside_others else ("repro",)
    if code := _dvc(*command, *targets):
        raise InputError(_failed("repro", code))


def is_current(targets: Sequence[str]) -> bool:
    """Tell whether stages and all that they depend on need not run; also while another DVC uses them."""
    remove_torn_lock()
    return _dvc("--wait-for-lock", "status", "--quiet", "--with-deps", *targets) == 0


def _dvc(*arguments: str, log: Path | None = None) -> int:
    """Run DVC below a guard, what it writes appended to `log` if there is one; return its exit code."""
    guard = start([*DVC, *arguments], log)
    try:
        return guard.wait()
    except BaseException:
        stop(guard)
        raise


def _failed(command: str, code: int) -> str:
    """Return what an exit code of DVC or of its guard means; of signals it is 128 and their number."""
    by_signal = {128 + number: number.name for number in signal.Signals}
    if code in by_signal:
        return f"`dvc {command}` was ended by {by_signal[code]}: the same command goes on where it stopped"
    return f"`dvc {command}` failed (exit code {code}); its reason stands above"


def remove_torn_lock() -> None:
    """Remove DVC's list of files in use where a killed DVC left it torn: DVC itself stops at such a file.

    DVC writes `.dvc/tmp/rwlock` in place while it holds a guard lock, so whoever holds the guard sees no file
    that is being written.

    Raises:
        InputError: another DVC holds the guard for seconds.
    """
    listed = Path(".dvc/tmp/rwlock")
    if not listed.exists() or is_json(listed):
        return
    from dvc.lock import LockError, make_lock

    guard = listed.with_name("rwlock.lock")
    try:
        with make_lock(str(guard), tmp_dir=str(listed.parent)):
            if not is_json(listed):
                print(f"removed {listed}: a process was killed while it wrote it", file=sys.stderr)
                listed.unlink(missing_ok=True)
    except LockError:
        raise InputError("another DVC holds it: try again when that has ended", file=guard) from None


def save(name: str) -> None:
    """Keep the finished run as the experiment `name`, unless the experiment of that name is this very run.

    DVC's locks say what a run was made of and what came out, so locks, parameters and commit together tell
    whether there is anything new; a judge's scores and analyses made since are new. The report is made of the
    rest and stays out.
    """
    now = digest_value([git("rev-parse", "HEAD"), _lock_digests(), digest_file(PARAMS)])
    saved = json.loads(SAVED.read_text(encoding="utf-8")) if SAVED.exists() else {}
    refs = git("for-each-ref", "--format=%(refname:lstrip=-1)", "refs/exps").split()
    if saved.get(name) != now or name not in refs:
        made = sorted(str(path) for path in METRICS.iterdir() if path.name != REPORT)
        files = [part for path in (*made, *_lock_digests()) for part in ("-I", path)]
        SAVING.parent.mkdir(exist_ok=True)
        SAVING.unlink(missing_ok=True)
        if code := _dvc("exp", "save", "--force", "--name", name, *files, "headline", log=SAVING):
            print(read_text(SAVING), file=sys.stderr)
            raise InputError(_failed("exp save", code))
        publish_json(SAVED, saved | {name: now})
    remember_params()


def _lock_digests() -> dict[str, str]:
    return {path: digest_file(path) for path in LOCKS if Path(path).exists()}
