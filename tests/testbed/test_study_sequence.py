"""Several programs in one process: each as in its own, until one fails."""

import subprocess
import sys
from pathlib import Path

from testbed.study import sequence

PROGRAM = "import os, sys\nprint(sys.argv[1:], __name__, os.getpid())\nsys.exit(sys.argv[1] == 'fails')\n"


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "say.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "testbed.study.sequence", *words]
    root = str(Path(sequence.__file__).parents[2])
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": f"{root}:."}, capture_output=True, text=True, check=False
    )


def test_programs_run_in_one_process_until_one_fails(tmp_path: Path):
    say = ("python", "-m", "say")
    done = run(tmp_path, *say, "a b", "then", *say, "fails", "then", *say, "never")
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if not line.startswith(">")]
    assert [line.split("__main__")[0] for line in lines] == ["['a b'] ", "['fails'] "]
    assert len({line.split()[-1] for line in lines}) == 1  # process
    assert "> python -m say 'a b'" in done.stdout
    assert run(tmp_path, *say, "1", "then", *say, "2").returncode == 0


def test_a_program_that_is_none_is_named_before_any_runs(tmp_path: Path):
    done = run(tmp_path, "python", "-m", "say", "1", "then", "rm", "-r", "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: not `python -m MODULE ...`: rm -r x" in done.stderr
