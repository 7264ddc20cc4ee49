"""The report of an evaluation as text for an operator."""

from __future__ import annotations

from collections.abc import Iterator

from django_clientcert.evaluation.decisions import REFUSED
from django_clientcert.explaining.report import Report
from django_clientcert.x509.identities import PINS
from django_clientcert.x509.text import some_of

from .text import show_iso


def verdict_of(report: Report) -> str:
    """Return the outcome in one line."""
    if report["accepted"]:
        mapping, rule = report["mapping"], report["rule"]
        if rule is not None:
            new = ", a new user" if rule["creates_user"] else ""
            return (
                f"would be accepted as {report['user']}{new}, by the rule of "
                f"{rule['authority']}"
            )
        return (
            f"would be accepted as {report['user']} by mapping {mapping['id']} "
            f"({mapping['kind']})"
        )
    return f"would be refused: {report['reason']}"


def write_text(report: Report) -> Iterator[str]:
    """Return the lines of *report* for an operator."""
    yield f"At {show_iso(report['at'])}"
    for assumption in report["assumptions"]:
        yield f"  {assumption}"
    yield from _certificate_lines(report["certificate"])
    yield from _step_lines(report)
    yield from _identity_lines(report)
    yield ""
    yield f"Verdict: {verdict_of(report)}"
    for number in report["successor_of"]:
        yield f"  It is the successor of mapping {number}. To replace that mapping:"
        yield (
            f"  manage.py clientcert map FILE --successor-of {number} --retire-on DATE"
        )
    if report["revocations"]:
        yield (
            "  Revocations of its public key, or of a serial number like its own: "
            f"{some_of(map(str, report['revocations']))}"
        )
    if report["reason"] == "no_certificate":  # no step reports it
        yield from _reason_lines(report, indent="  ")


def _certificate_lines(certificate: Report | None) -> Iterator[str]:
    yield ""
    if certificate is None:
        yield "Certificate: none that can be read"
        return
    yield "Certificate"
    dates = {"not_before": "valid from", "not_after": "valid until"}
    facts = {**certificate}
    problems = facts.pop("problems")
    for key, value in facts.items():
        label = dates.get(key, key.replace("_", " "))
        shown = show_iso(value) if key in dates or value is None else value
        yield f"  {label:<14} {shown or '(empty)'}"
    for problem in problems:
        yield f"  problem        {problem}"


def _step_lines(report: Report) -> Iterator[str]:
    yield ""
    yield "Steps"
    for step in report["steps"]:
        outcome = step["outcome"].replace("_", " ")
        if step["outcome"] == REFUSED:
            outcome = outcome.upper()
        details = filter(None, (step["reason"], step["detail"]))
        yield f"  {step['name']:<10} {outcome:<14} {': '.join(details)}".rstrip()
        if step["outcome"] == REFUSED:
            yield from _reason_lines(report, indent="    ")


def _reason_lines(report: Report, *, indent: str) -> Iterator[str]:
    yield f"{indent}What this means: {report['meaning']}"
    yield f"{indent}How to fix it: {report['remedy']}"


def _identity_lines(report: Report) -> Iterator[str]:
    if report["certificate"] is None:
        return
    yield ""
    yield "Identities, each with its mappings"
    for identity in report["identities"]:
        yield f"  {identity['kind']:<14} {identity['value']}"
        if identity["mappings"] is None:
            yield "    the mappings cannot be read"
            continue
        for mapping in identity["mappings"]:
            yield f"    {_mapping_line(mapping)}"
        if not identity["mappings"]:
            yield "    no mapping"
    for problem in report["problems"]:
        yield f"  cannot be used: {problem}"


def _mapping_line(mapping: Report) -> str:
    parts = [
        f"mapping {mapping['id']}: {mapping['user']}",
        mapping["state"],
        "strong" if mapping["strong"] else "names-based",
    ]
    if mapping["authority"] is not None:
        parts.append(f"with authority {mapping['authority']}")
    elif mapping["kind"] not in PINS:
        parts.append("WITHOUT AN AUTHORITY, so it never matches")
    if mapping["valid_from"] is not None:
        parts.append(f"from {show_iso(mapping['valid_from'])}")
    if mapping["valid_until"] is not None:
        parts.append(f"until {show_iso(mapping['valid_until'])}")
    if mapping["hosts"]:
        parts.append(f"for {', '.join(mapping['hosts'])}")
    return ", ".join(parts)
