"""A progress bar, shown only on a terminal."""

from __future__ import annotations

from typing import Any

_WIDTH = 30


class ProgressBar:
    """Redraws one line on *stream*, if it is a terminal and not *quiet*."""

    def __init__(self, stream: Any, label: str, *, quiet: bool = False) -> None:
        self._stream = stream
        self._label = label
        self._shown = not quiet and bool(getattr(stream, "isatty", lambda: False)())
        self._last = -1

    def __call__(self, done: int, total: int) -> None:
        """Show that *done* of *total* is done; *total* is 0 if it is not known."""
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
        """End the line, so that the next output has a line of its own."""
        if self._last >= 0:
            self._write("\n")

    def _write(self, text: str) -> None:
        # Bypass Django's OutputWrapper, which appends a newline.
        getattr(self._stream, "_out", self._stream).write(text)
        self._stream.flush()
