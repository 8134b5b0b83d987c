"""Open the engine that the parameters ask for.

Engines are imported by name, so that code that generates depends on none of them: DVC need not run a stage
again because the code of an engine that it does not use has changed.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from selfevolve.generation.request import Engine
from selfevolve.policies.window import Window
from selfevolve.runtime.errors import InputError
from selfevolve.runtime.parameters import Params, validate


class Kind(NamedTuple):
    """A kind of engine: the module with its `Options` and `open`, and the folder that holds all its code."""

    module: str
    code: str


ENGINES = {
    "transformers": Kind("selfevolve.engines.local.engine", "selfevolve/engines/local"),
    "openai": Kind("selfevolve.engines.server.client", "selfevolve/engines/server"),
    "server": Kind("selfevolve.engines.server.engine", "selfevolve/engines/server"),
    "ray": Kind("selfevolve.engines.ray.engine", "selfevolve/engines"),  # its workers open another engine
}


@contextmanager
def open_engine(params: dict[str, Any], policy: Path) -> Iterator[tuple[Engine, Window]]:
    """Give the engine of the `engine` parameters for a policy folder, and the policy's window.

    The end of the block ends everything that the engine has started.
    """
    module, options = read_engine(params)
    with module.open(policy, options) as opened:
        yield opened


def read_engine(
    params: dict[str, Any], section: str = "engine", kinds: Collection[str] = tuple(ENGINES)
) -> tuple[ModuleType, Params]:
    """Return the module of the engine that a section of the parameters asks for, and its options, checked.

    Raises:
        InputError: a kind that is not among `kinds`, a wrong option, or a `code` that is not the folder of
            the kind's code.
    """
    kind, code = params.get("kind"), params.get("code")
    if kind in kinds and code != ENGINES[kind].code:
        message = f"must be {ENGINES[kind].code} for {kind}, got {code!r}"
        raise InputError(message, field=f"{section}.code")
    return read_options({key: value for key, value in params.items() if key != "code"}, section, kinds)


def read_options(params: dict[str, Any], section: str, kinds: Collection[str]) -> tuple[ModuleType, Params]:
    """Return what `read_engine` does of a section without `code`, which no stage depends on."""
    kind = params.get("kind")
    if kind not in kinds:
        raise InputError(f"must be {' or '.join(kinds)}, got {kind!r}", field=f"{section}.kind")
    module = import_module(ENGINES[kind].module)
    return module, validate(module.Options, params, section=section)
