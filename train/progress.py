"""A progress bar on standard error."""

import sys
import time


class Progress:
    """Shows how far a job is; redraws at most five times a second, and once a minute in a log file."""

    def __init__(self, label: str, total: float) -> None:
        self._label, self._total = label, total
        self._started, self._drawn = time.monotonic(), -1e9
        self._before: float | None = None
        self._every = 0.2 if sys.stderr.isatty() else 60

    def update(self, done: float, note: str = "") -> None:
        """Draws the bar when it is time to."""
        now = time.monotonic()
        if self._before is None:
            self._before = done
        finished = done >= self._total
        if now - self._drawn < self._every and not finished:
            return
        self._drawn = now
        share = min(1, done / self._total)
        bar = "#" * round(30 * share)
        gone = done - self._before
        left = (now - self._started) * (self._total - done) / gone if gone > 0.01 * self._total else 0
        end = "\n" if finished or not sys.stderr.isatty() else ""
        start = "\r" if sys.stderr.isatty() else ""
        print(f"{start}{self._label} [{bar:<30}] {share:4.0%} {left:5.0f} s left {note}", end=end, file=sys.stderr, flush=True)
