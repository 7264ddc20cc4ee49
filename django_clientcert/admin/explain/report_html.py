"""The report of a decision as HTML, as far as the user may view it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_clientcert.admin.base.base_admin import admin_url
from django_clientcert.admin.base.markup import join_lines, link, more_than
from django_clientcert.admin.base.permissions import has_permission, may_see
from django_clientcert.admin.base.times import moment
from django_clientcert.evaluation.decisions import NOT_REACHED, PASSED, REFUSED
from django_clientcert.explaining.report import NOT_LOOKED_AT, Report
from django_clientcert.models import CertificateMapping, Revocation

MAX_LISTED = 20

# Each with a sign, for users who cannot tell the colours apart
OUTCOMES = {
    PASSED: ("✓", gettext_lazy("passed")),
    REFUSED: ("✗", gettext_lazy("refused")),
    NOT_REACHED: ("—", gettext_lazy("not reached")),
    NOT_LOOKED_AT: ("—", gettext_lazy("not checked")),
}

STEP_TITLES = {
    "peer": gettext_lazy("Sender"),
    "transport": gettext_lazy("Over HTTPS"),
    "host": gettext_lazy("Host"),
    "secret": gettext_lazy("The proxy’s secret"),
    "spelling": gettext_lazy("Spelling of the headers"),
    "size": gettext_lazy("Length of the headers"),
    "verdict": gettext_lazy("The proxy’s verdict"),
    "decode": gettext_lazy("Decoding the header"),
    "parse": gettext_lazy("Reading the certificate"),
    "names": gettext_lazy("Names in the headers"),
    "validity": gettext_lazy("Dates of the certificate"),
    "purpose": gettext_lazy("Purpose of the certificate"),
    "revocation": gettext_lazy("Revocation"),
    "match": gettext_lazy("Mapping or rule that matches"),
    "verify": gettext_lazy("Path to the authority"),
    "crls": gettext_lazy("CRLs"),
    "mapping": gettext_lazy("State of the mapping"),
    "user": gettext_lazy("User"),
}


class ReportPage:
    """A report, shown to a user who may view some of what it names."""

    def __init__(self, model_admin: Any, request: HttpRequest, report: Report) -> None:
        self.admin = model_admin
        self.request = request
        self.report = report
        self.visible_mappings = self._find_visible_mappings()

    def context(self) -> dict[str, Any]:
        """Return the report for a template, with links to what the user may view."""
        report = self.report
        return {
            **report,
            "sign": OUTCOMES[PASSED if report["accepted"] else REFUSED][0],
            "verdict": self._verdict(),
            "next_steps": list(self._next_steps()),
            "at": _moment(report["at"]),
            "steps": [_step(step) for step in report["steps"]],
            "identities": [
                self._identity(identity) for identity in report["identities"]
            ],
            "certificate": _certificate_rows(report["certificate"]),
        }

    def _find_visible_mappings(self) -> dict[Any, CertificateMapping]:
        """Return the mappings that the user may view, by primary key."""
        keys = [
            mapping["id"]
            for identity in self.report["identities"]
            for mapping in identity["mappings"] or ()
        ]
        keys += self.report["successor_of"]
        if self.report["mapping"] is not None:
            keys.append(self.report["mapping"]["id"])
        rows = self.admin.get_queryset(self.request).select_related("user")
        return {
            row.pk: row
            for row in rows.filter(pk__in=keys).defer("certificate", "note")
            if self.admin.has_view_permission(self.request, row)
        }

    def _verdict(self) -> str:
        report = self.report
        if not report["accepted"]:
            return _("It would be refused")
        rule, user = report["rule"], report["user"]
        if rule is None:
            pk = report["mapping"]["id"]
            if pk not in self.visible_mappings:
                user = _("a user hidden from you")
            text = _("It would be accepted as %(user)s, by mapping %(pk)s")
            return text % {"user": user, "pk": pk}
        actor, users = self.request.user, get_user_model()
        if not any(has_permission(actor, verb, users) for verb in ("view", "change")):
            user = _("a user hidden from you")
        text = (
            _("It would be accepted as %(user)s, a new user, by the rule of %(name)s")
            if rule["creates_user"]
            else _("It would be accepted as %(user)s, by the rule of %(name)s")
        )
        return text % {"user": user, "name": rule["authority"]}

    def _next_steps(self) -> Iterator[SafeString]:
        """Yield sentences with links to what may help."""
        for pk in self.report["successor_of"][:MAX_LISTED]:
            if pk in self.visible_mappings:
                text = _("It is the successor of %(mapping)s: renew that one.")
                yield _sentence(text, "mapping", self._mapping_link(pk))
        certificate = self.report["certificate"]
        if (
            self.report["reason"] == "unmapped"
            and certificate is not None
            and self.admin.has_add_permission(self.request)
        ):
            query = {"kind": "public_key", "value": certificate["public_key"]}
            url = f"{self.admin.page_url('add')}?{urlencode(query)}"
            yield link(url, _("Map its key."))
        site, revocations = self.admin.admin_site, self.report["revocations"]
        if revocations and may_see(site, self.request, Revocation):
            for pk in revocations[:MAX_LISTED]:
                url = admin_url(site, Revocation, "change", pk)
                text = _("Its public key or serial number is in %(revocation)s.")
                label = _("revocation %(pk)s") % {"pk": pk}
                yield _sentence(text, "revocation", link(url, label))

    def _identity(self, identity: Report) -> dict[str, Any]:
        mappings = identity["mappings"]
        lines = [_("the mappings cannot be read")]
        if mappings is not None:
            lines = [*map(self._describe, mappings[:MAX_LISTED])]
            lines.append(more_than(len(mappings), MAX_LISTED))
        kinds = dict(CertificateMapping.MappingKind.choices)
        return {
            "kind": kinds[identity["kind"]],
            "value": identity["value"],
            "mappings": join_lines(filter(None, lines)) or _("no mapping"),
        }

    def _describe(self, mapping: Report) -> str:
        row = self.visible_mappings.get(mapping["id"])
        if row is None:
            return _("a mapping hidden from you")
        parts = [mapping["user"], row.get_state_display()]
        if mapping["authority"] is not None:
            text = _("issued by %(authority)s")
            parts.append(text % {"authority": mapping["authority"]})
        if mapping["hosts"]:
            text = _("for %(hosts)s")
            parts.append(text % {"hosts": ", ".join(mapping["hosts"])})
        return format_html("{}: {}", self._mapping_link(row.pk), ", ".join(parts))

    def _mapping_link(self, pk: Any) -> SafeString:
        return link(self.admin.page_url("change", pk), _("mapping %(pk)s") % {"pk": pk})


def _sentence(text: str, name: str, linked: SafeString) -> SafeString:
    """Return *text*, which is translated and free of markup, with a link in it."""
    before, _name, after = text.partition(f"%({name})s")
    return format_html("{}{}{}", before, linked, after)


def _step(step: Report) -> dict[str, Any]:
    sign, outcome = OUTCOMES[step["outcome"]]
    return {
        **step,
        "title": STEP_TITLES[step["name"]],
        "sign": sign,
        "outcome": outcome,
        "refused": step["outcome"] == REFUSED,
    }


def _certificate_rows(certificate: Report | None) -> list[tuple[str, str]]:
    """Return the contents of the certificate, each a label and a text."""
    if certificate is None:
        return []

    def show(name: str, convert: Callable[[str], str] = str) -> str:
        value = certificate[name]
        return _("cannot be read") if value is None else convert(value)

    return [
        (_("subject"), show("subject") or _("empty")),
        (_("issuer"), show("issuer") or _("empty")),
        (_("serial number"), show("serial_number")),
        (_("valid from"), show("not_before", _moment)),
        (_("valid until"), show("not_after", _moment)),
        (_("SHA-256 fingerprint"), show("fingerprint")),
        *((_("problem"), problem) for problem in certificate["problems"]),
    ]


def _moment(iso: str) -> str:
    return moment(dt.datetime.fromisoformat(iso))
