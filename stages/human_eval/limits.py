"""How often somebody may ask: token buckets in memory, a bounded number of them."""

import threading
import time
from collections import OrderedDict

KEPT = 20_000  # buckets; the one that was asked longest ago goes first


class Limit:
    """Buckets that hold `burst` and are filled with `rate` a second."""

    def __init__(self, rate: float, burst: float):
        """Take requests a second in the long run, and at once."""
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str) -> bool:
        """Take one from the bucket of `key`; False when it is empty."""
        now = time.monotonic()
        with self._lock:
            level, at = self._buckets.pop(key, (self._burst, now))
            level = min(self._burst, level + (now - at) * self._rate)
            allowed = level >= 1
            self._buckets[key] = (level - allowed, now)
            if len(self._buckets) > KEPT:
                self._buckets.popitem(last=False)
        return allowed
