"""Export a policy by LLaMA-Factory: `python -m selfevolve.policies.merge_worker export.yaml`.

The same as `llamafactory-cli export`, but that a chain on weights that are not float32 is merged in float32
and rounded once, which keeps more of it.
"""

from typing import Any


def main() -> None:
    """Merge and write the model; the configuration is the only argument, as LLaMA-Factory reads it."""
    from llamafactory.hparams import read_args
    from llamafactory.train.tuner import export_model

    from selfevolve.policies.policy import CHAIN
    from selfevolve.policies.unmerged import load_in_llamafactory

    arguments: Any = read_args()
    load_in_llamafactory(arguments.pop(CHAIN, ()), trainable=False)
    export_model(arguments)


if __name__ == "__main__":
    main()
