"""Kill the rating application again and again: `python -m tests.support.rating_kills --raters 20 --kills 40`.

Programs rate until all are done, as in `rating_load`, while the server is killed (SIGKILL) at random moments
and started again. The end is the same comparison of what was acknowledged with what the database holds.
"""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support import rating_load as load

ALIVE_S = (0.2, 3.0)  # that a server lives before it is killed


def main() -> None:
    """Let raters work against a server that is killed; exit with 1 where anything was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", type=Path, default=Path("rating/studies/pointwise.yaml"))
    parser.add_argument("--models", nargs="*", default=["m0", "m1", "m2"])
    parser.add_argument("--raters", type=int, default=20)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--sessions", type=int, default=1, help="of each rater")
    parser.add_argument("--turns", type=int, help="in place of the study's minimum")
    parser.add_argument("--think", type=float, default=1.0, help="mean seconds before each action")
    parser.add_argument("--answer", type=float, default=0.5, help="seconds an answer takes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", help="an empty one's URL; default: a SQLite file that is thrown away")
    args = parser.parse_args()
    args.seconds = float("inf")
    killed = 0

    async def kill(server: load.Server, raters: asyncio.Future[Any]) -> None:
        nonlocal killed
        draw = random.Random(args.seed)
        while killed < args.kills and not raters.done():
            await asyncio.wait([raters], timeout=draw.uniform(*ALIVE_S))
            await asyncio.to_thread(server.end, signal.SIGKILL)
            await asyncio.to_thread(server.start)
            killed += 1

    with tempfile.TemporaryDirectory() as folder:
        wrong = load.work(args, Path(folder), kill)
    print(f"{killed} kills")
    sys.exit(int(wrong))


if __name__ == "__main__":
    main()
