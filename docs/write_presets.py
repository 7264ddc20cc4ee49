"""Generate the sections of ``reference/presets.md`` from the presets and their notes.

    python3 docs/write_presets.py

Only the text between the two markers is generated; a test compares it with the data.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

from preset_notes import NOTES  # noqa: E402

from django_clientcert.wire import (  # noqa: E402
    CHAIN_ENCODINGS,
    PRESETS,
    Proxy,
    ValueSource,
)

PAGE = DOCS / "reference" / "presets.md"
BEGIN = "<!-- begin: written by docs/write_presets.py -->\n"
END = "<!-- end -->\n"

_SOURCES = {
    ValueSource.ENVIRON: "keys of `request.META` that no client can set",
    ValueSource.SOCKET: "the TLS connection in `request.META` under this key",
}

# Words of plain text that belong in code style
_CODE = re.compile(
    r"(?<![\w`])(?:"
    r"(?:auth-tls|ssl|X|Cf|Client|enable|proxy)-[A-Za-z-]*[A-Za-z]"
    r"|(?:set|add|del)-header|--[a-z-]+"
    r"|\+?[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+(?: (?:on|= False))?"
    r"|\w+\.trustedIPs|trustedIPs|\w+: (?:true|Sanitize\w*)"
    r"|SUCCESS|GENEROUS|SANITIZE|SanitizeSet|AppendForward|ForwardOnly"
    r"|AlwaysForwardOnly|\+\w+|SSLUserName|Connection|RequestHeader (?:un)?set"
    r")(?![\w`])"
)


def write() -> None:
    """Rewrite the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{render()}{END}{after}", encoding="utf-8")


def render() -> str:
    """Return the text between the markers."""
    return "\n".join(["", *_overview(), "", "## Each preset", "", *_sections(), ""])


def _overview() -> Iterator[str]:
    yield "| Preset | Proxy | Certificate | Encoding | Success | Validates |"
    yield "|---|---|---|---|---|---|"
    for proxy in PRESETS.values():
        success = (
            f"`{proxy.verdict}`: `{proxy.success}`" if proxy.verdict else "no verdict"
        )
        yield (
            f"| [`{proxy.name}`](#{proxy.name}) | {_mark_up(proxy.title)} "
            f"| `{proxy.certificate}` | `{proxy.encoding}` | {success} "
            f"| {'yes' if proxy.verifies else 'no'} |"
        )


def _sections() -> Iterator[str]:
    for proxy in PRESETS.values():
        yield f"### `{proxy.name}`"
        yield ""
        notes = NOTES[proxy.name]
        howto = f"See [how to use it](../howto/{notes.howto}.md)."
        yield f"{_mark_up(proxy.title)}. {howto}"
        yield ""
        for fact in _facts(proxy):
            yield _item(fact)
        yield "- Pitfalls:"
        for pitfall in notes.pitfalls:
            yield _item(_mark_up(pitfall), indent="  ")
        yield f"- Reference: {_reference(proxy.reference)}"
        yield ""


def _facts(proxy: Proxy) -> Iterator[str]:
    if not proxy.is_header:
        yield f"Read from: {_SOURCES[proxy.source]}"
    yield f"Certificate: `{proxy.certificate}`, as `{proxy.encoding}`"
    if proxy.verdict is not None:
        failure = ", ".join(f"`{word}`" for word in proxy.failure)
        yield (
            f"Verdict: `{proxy.verdict}`; success is exactly `{proxy.success}`, “not "
            f"verified” begins with {failure}"
        )
    for name, word in proxy.conditions:
        yield f"Condition: `{name}` is exactly `{word}`"
    if proxy.chain:
        names = ", ".join(f"`{name}`" for name in proxy.chain)
        yield f"Chain: {names}, as `{proxy.chain_encoding}`"
    elif proxy.encoding in CHAIN_ENCODINGS:
        yield "Chain: after the certificate, in the same value"
    if proxy.subject_dn is not None:
        required = "required" if proxy.names_required else "if sent"
        yield (
            f"Names, compared: `{proxy.subject_dn}`, `{proxy.issuer_dn}`; {required}"
        )
    yield f"Validates the path: {'yes' if proxy.verifies else 'no; Django does'}"
    yield f"A client's own headers: {_mark_up(NOTES[proxy.name].client_copies)}"


def _item(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        width=79,
        initial_indent=f"{indent}- ",
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _mark_up(text: str) -> str:
    return _CODE.sub(lambda match: f"`{match[0]}`", text)


def _reference(text: str) -> str:
    return f"<{text}>" if text.startswith("https://") else text


if __name__ == "__main__":
    write()
