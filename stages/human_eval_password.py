"""Hash the operator's password for the rating application: `python -m stages.human_eval_password`.

Asks for the password (or reads one line of standard input) and prints its hash, argon2id. Put it into the
environment, in single quotes, as it contains dollar signs:

    export HUMAN_EVAL_PASSWORD_HASH='...'
"""

import argparse
import getpass
import sys
from collections.abc import Sequence

from stages.command import run
from stages.human_eval.passwords import hash_password
from stages.records.errors import InputError


def main(argv: Sequence[str] | None = None) -> None:
    """Ask for the password and print its hash."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args(
        argv
    )
    if sys.stdin.isatty():
        password = getpass.getpass("password: ")
        if getpass.getpass("once more: ") != password:
            raise InputError("these were two different passwords")
    else:
        password = sys.stdin.readline().rstrip("\n")
    print(hash_password(password))


if __name__ == "__main__":
    run(main)
