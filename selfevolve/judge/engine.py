"""The engine that judges: a policy in this process, or a server with a model that is no policy of ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from selfevolve.generation.engines import read_options
from selfevolve.generation.request import Engine, Meter
from selfevolve.policies.window import Window
from selfevolve.runtime.errors import InputError

JUDGES = ("transformers", "openai")


class Judge(NamedTuple):
    """An engine that judges.

    The window is known where the judge runs in this process. `metered` makes the engine again with a meter;
    a judge in this process makes no calls and stays as it is.
    """

    engine: Engine
    window: Window | None
    metered: Callable[[Meter], Engine]


def load_judge(params: dict[str, Any], section: str = "judge.engine") -> Judge:
    """Return the judge of the `judge.engine` parameters; one in this process also names its `policy`."""
    local = params.get("kind") == "transformers"
    policy = params.get("policy")
    options = {key: value for key, value in params.items() if not (local and key == "policy")}
    module, checked = read_options(options, section, JUDGES)
    if not local:
        return Judge(module.connect(checked), None, lambda meter: module.connect(checked, meter=meter))
    if not (isinstance(policy, str) and policy.strip()):
        raise InputError(f"must be a policy folder, got {policy!r}", field=f"{section}.policy")
    engine = module.load(Path(policy), checked)
    return Judge(engine, engine.window, lambda meter: engine)
