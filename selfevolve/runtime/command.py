"""How every program of this project starts and ends: one clear line and an exit code."""

import os
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from selfevolve.runtime.errors import Ended, InputError
from selfevolve.runtime.run_record import note


def run(main: Callable[[], None]) -> NoReturn:
    """Run a stage's `main` and exit: 0 when done, 1 with one line on bad input, 130 on Ctrl-C.

    Where `ending_whole` heeds signals, the code is 128 and the signal that ended it.
    Anything else is a defect of this project and keeps its traceback. A stage that DVC ran gets a run record.
    """
    began_at, begin = time.time(), time.monotonic()
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Ended as ended:
        print(f"ended by {ended.signal.name}: the same command goes on where it stopped", file=sys.stderr)
        sys.exit(128 + ended.signal)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    note(began_at, time.monotonic() - begin, sys.argv[1:])
    sys.exit(0)
