"""One process of several that train together: `torchrun ... -m stages.training.worker config.yaml`.

The same as LLaMA-Factory's own launcher runs, but for what it lacks: torchrun gives its processes sessions of
their own, and when it is killed they would go on for ever.
"""

import os
import sys

from stages.training.orphans import die_with_parent


def main() -> None:
    """Train; the configuration is the only argument, as LLaMA-Factory reads it."""
    parent = os.getppid()
    die_with_parent()
    if os.getppid() != parent:  # it was gone before we could ask to follow it
        sys.exit(1)
    from llamafactory.train.tuner import run_exp

    take_numbered_cpus()
    run_exp()


def take_numbered_cpus() -> None:
    """Let torch load to `cpu:0`, as several processes without GPUs call their device.

    transformers loads a checkpoint's optimizer to the device of the process, and torch knows `cpu` alone.
    """
    import torch

    def restore(storage: "torch.UntypedStorage", location: str) -> "torch.UntypedStorage | None":
        return storage if location.startswith("cpu:") else None

    torch.serialization.register_package(15, lambda _: None, restore)


if __name__ == "__main__":
    main()
