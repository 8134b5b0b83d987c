"""Importing a library without the packages that it imports only because they are installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """Make these packages look not installed inside the block, unless they are imported already.

    NLTK and transformers do without them. Importing scikit-learn with pandas and SciPy takes a second.
    """
    unused = set(packages) - sys.modules.keys()
    sys.modules.update(dict.fromkeys(unused))  # type: ignore[arg-type]  # None makes an import fail
    try:
        yield
    finally:
        for name in unused:
            del sys.modules[name]
