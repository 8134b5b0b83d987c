"""Run several programs one after the other in one process, as a run of the study does.

    python -m testbed.study.sequence python -m stages.refine ... then python -m stages.pair ...

Each does what it would do in a process of its own, but torch and transformers are imported once.
"""

import runpy
import shlex
import sys
from collections.abc import Iterator, Sequence

THEN, PROGRAM = "then", ("python", "-m")


def main(argv: Sequence[str]) -> int:
    """Run the programs of the command line until one fails; return the exit code of the last one that ran."""
    for module, *arguments in list(programs(argv)):  # all of them are read before one runs
        print(">", shlex.join((*PROGRAM, module, *arguments)), flush=True)
        sys.argv = [module, *arguments]
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            if ended.code:
                return ended.code if isinstance(ended.code, int) else 1
    return 0


def programs(argv: Sequence[str]) -> Iterator[list[str]]:
    """Yield the module and the arguments of each program; SystemExit where one is no `python -m MODULE`."""
    words = list(argv)
    while words:
        end = words.index(THEN) if THEN in words else len(words)
        program, words = words[:end], words[end + 1 :]
        if tuple(program[:2]) != PROGRAM or len(program) < 3:
            sys.exit(f"error: not `python -m MODULE ...`: {shlex.join(program)}")
        yield program[2:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
