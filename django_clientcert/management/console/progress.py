"""A line that says how far a long work is: on a terminal only."""

from __future__ import annotations

from typing import Any

_WIDTH = 30


class ProgressBar:
    """Redraws one line on *stream*; nothing where nobody watches."""

    def __init__(self, stream: Any, label: str, *, quiet: bool = False) -> None:
        self._stream = stream
        self._label = label
        self._shown = not quiet and bool(getattr(stream, "isatty", lambda: False)())
        self._last = -1

    def __call__(self, done: int, total: int) -> None:
        """Show that *done* of *total* is done; *total* 0 is not known."""
        if not self._shown:
            return
        share = 100 * done // total if total else done
        if share == self._last:
            return
        self._last = share
        if total:
            filled = _WIDTH * done // total
            bar = "#" * filled + "-" * (_WIDTH - filled)
            self._write(f"\r{self._label} [{bar}] {share} %")
        else:
            self._write(f"\r{self._label} {done}")

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *error: object) -> None:
        self.finish()

    def finish(self) -> None:
        """End the line, if there is one; what is said next has a line of its own."""
        if self._last >= 0:
            self._write("\n")

    def _write(self, text: str) -> None:
        # Not Django's wrapper of the stream: it ends every line.
        getattr(self._stream, "_out", self._stream).write(text)
        self._stream.flush()
