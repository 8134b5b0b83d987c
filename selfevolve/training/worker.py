"""One process of a training: `python -m selfevolve.training.worker config.yaml`, or several by torchrun.

The same as LLaMA-Factory's own launcher runs, but that a chain of adapters can stay unmerged, that a
preference loss is the one that is named, that batches have no mask where they need none, and that a
training of several processes on CPUs can be resumed.
"""

from typing import Any


def main() -> None:
    """Train; the configuration is the only argument, as LLaMA-Factory reads it."""
    from llamafactory.hparams import read_args
    from llamafactory.train.tuner import run_exp

    from selfevolve.policies.policy import CHAIN
    from selfevolve.policies.unmerged import load_in_llamafactory
    from selfevolve.training.losses import train_with_the_named_loss
    from selfevolve.training.padding import drop_needless_masks

    arguments: Any = read_args()
    load_in_llamafactory(arguments.pop(CHAIN, ()), trainable=True)
    train_with_the_named_loss()
    if arguments.get("stage") != "rm":  # a reward is read where the mask ends
        drop_needless_masks()
    take_numbered_cpus()
    run_exp(arguments)


def take_numbered_cpus() -> None:
    """Let torch load to `cpu:0`, where transformers puts a checkpoint's optimizer in several processes."""
    import torch

    def restore(storage: "torch.UntypedStorage", location: str) -> "torch.UntypedStorage | None":
        return storage if location.startswith("cpu:") else None

    torch.serialization.register_package(15, lambda _: None, restore)


if __name__ == "__main__":
    main()
