"""Untrusted text made safe to show: one line stays one line."""

from __future__ import annotations

import re
import unicodedata

# C0, DEL and C1 controls, and the bidirectional controls: no name that holds one
# of them is ever matched
FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# Cc controls, Cf format (zero width, soft hyphen, bidi), Cs lone surrogates,
# Co private use, Cn unassigned, Zl and Zp line and paragraph separators
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str, limit: int = 256) -> str:
    r"""Return *text* with every control, bidi or invisible character as ``\u{…}``.

    A backslash is doubled, so no text can imitate an escape. At most *limit*
    characters of *text* are shown; an ellipsis says that there was more.
    """
    shown = []
    for character in text[:limit]:
        if character == "\\":
            shown.append("\\\\")
        elif unicodedata.category(character) in _INVISIBLE:
            shown.append(f"\\u{{{ord(character):x}}}")
        else:
            shown.append(character)
    if len(text) > limit:
        shown.append("…")
    return "".join(shown)


def visible_once(text: str, limit: int = 256) -> str:
    """Return *text*, which may have been escaped already, safe to show.

    A distinguished name is (see ``DistinguishedName.rfc4514``), and escaping it
    once more would double its backslashes.
    """
    if not text.isprintable():
        return visible(text, limit)
    return text if len(text) <= limit else text[:limit] + "…"
