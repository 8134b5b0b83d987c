"""DVC, as `python -m dvc` runs it, but one that SIGINT ends at any time.

While a stage runs, DVC ignores SIGINT: in a terminal the stage would get it as well. DVC does so in a main
thread only, so here it runs in another.
"""

import os
import signal
import sys
import threading


def main() -> None:
    """Run DVC on the arguments of the command line and exit with its code, or with 130 on SIGINT."""
    from dvc.cli import main as run

    codes: list[int] = []
    dvc = threading.Thread(target=lambda: codes.append(run(sys.argv[1:])))
    dvc.start()
    try:
        dvc.join()
    except KeyboardInterrupt:
        os._exit(128 + signal.SIGINT)  # the guard ends the stage; DVC would wait for it
    sys.exit(codes[0] if codes else 1)


if __name__ == "__main__":
    main()
