"""How every stage starts and ends: parameters and arguments in, one clear line and an exit code out."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from stages.records.errors import InputError
from stages.records.jsonl import read_text
from stages.records.took import note


class Params(BaseModel):
    """Base of the sections of params.yaml: unknown keys are errors and nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


P = TypeVar("P", bound=BaseModel)


def run(main: Callable[[], None]) -> NoReturn:
    """Run a stage's `main` and exit: 0 when done, 1 with one line on bad input, 130 on Ctrl-C.

    Anything else is a defect of this project and keeps its traceback. What a stage took that DVC ran is
    written down.
    """
    began_at, begin = time.time(), time.monotonic()
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    note(began_at, time.monotonic() - begin, sys.argv[1:])
    sys.exit(0)


def load_params(section: str, path: Path | str = "params.yaml") -> Any:
    """Return one section of the parameters file as it is: mostly a mapping.

    Raises:
        InputError: the file or the section is missing, or the file is not YAML.
    """
    try:
        params = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {error}", file=path) from None
    if not isinstance(params, dict) or section not in params:
        raise InputError("missing section", file=path, field=section)
    return params[section]


def read_params(section: str, kind: type[P], path: Path | str = "params.yaml") -> P:
    """Return one section of the parameters file, checked.

    Raises:
        InputError: as load_params, or a key is missing, unknown, of the wrong type or out of range.
    """
    try:
        return kind.model_validate(load_params(section, path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in (section, *first["loc"]))
        raise InputError(first["msg"], file=path, field=field) from None
