"""The looks in which each screen is examined."""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    """A width in CSS pixels, a colour scheme, and the language of the browser."""

    name: str
    width: int = 1280
    scheme: str = "light"
    language: str = "en"

    @property
    def is_rtl(self) -> bool:
        """Whether the page runs from right to left."""
        return self.language == "he"


HEIGHT = 900
NARROW = 400

LIGHT = Look("light")
LOOKS = (
    LIGHT,
    Look("dark", scheme="dark"),
    Look("narrow", width=NARROW),
    Look("rtl", language="he"),
)
NARROW_DARK = Look("dark and narrow", width=NARROW, scheme="dark")
NARROW_RTL = Look("rtl and narrow", width=NARROW, language="he")
