"""The answer to a question in words: as much of it as this person may see."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
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
from django_clientcert.admin.base.times import moment
from django_clientcert.evaluation import NOT_REACHED, PASSED, REFUSED
from django_clientcert.explaining import NOT_LOOKED_AT, Report
from django_clientcert.models import CertificateMapping, Revocation

MAX_LISTED = 20

# Each with a sign, so that colour is not needed
OUTCOMES = {
    PASSED: ("✓", gettext_lazy("passed")),
    REFUSED: ("✗", gettext_lazy("refused")),
    NOT_REACHED: ("—", gettext_lazy("not reached")),
    NOT_LOOKED_AT: ("—", gettext_lazy("not looked at")),
}

STEP_TITLES = {
    "peer": gettext_lazy("Who sends it"),
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


def in_words(model_admin: Any, request: HttpRequest, report: Report) -> dict[str, Any]:
    """Return *report* for a template, with links to what may be seen."""
    return _Words(model_admin, request, report).everything()


class _Words:
    """One answer, and the person who may see some of what it names."""

    def __init__(self, model_admin: Any, request: HttpRequest, report: Report) -> None:
        self.admin = model_admin
        self.request = request
        self.report = report
        self.shown = self._find_shown()

    def everything(self) -> dict[str, Any]:
        report = self.report
        at = dt.datetime.fromisoformat(report["at"])
        return {
            "accepted": report["accepted"],
            "sign": OUTCOMES[PASSED if report["accepted"] else REFUSED][0],
            "verdict": self._verdict(),
            "reason": report["reason"],
            "meaning": report["meaning"],
            "remedy": report["remedy"],
            "detail": report["detail"],
            "next_steps": list(self._next_steps()),
            "at": moment(at),
            "assumptions": report["assumptions"],
            "steps": [self._step(one) for one in report["steps"]],
            "identities": [self._identity(one) for one in report["identities"]],
            "problems": report["problems"],
            "certificate": self._certificate(at),
        }

    def _find_shown(self) -> dict[Any, CertificateMapping]:
        """Return the mappings that this person may see, by their keys."""
        named = [
            one["id"]
            for identity in self.report["identities"]
            for one in identity["mappings"] or ()
        ]
        named += self.report["successor_of"]
        if self.report["mapping"] is not None:
            named.append(self.report["mapping"]["id"])
        rows = self.admin.get_queryset(self.request).select_related("user")
        return {
            row.pk: row
            for row in rows.filter(pk__in=named).defer("certificate", "note")
            if self.admin.has_view_permission(self.request, row)
        }

    def _verdict(self) -> str:
        report = self.report
        if not report["accepted"]:
            return _("It would be refused")
        rule = report["rule"]
        if rule is None:
            text = _("It would be accepted as %(user)s, by mapping %(pk)s")
            pk = report["mapping"]["id"]
            user = report["user"] if pk in self.shown else _("a user hidden from you")
            return text % {"user": user, "pk": pk}
        text = (
            _("It would be accepted as %(user)s, a new user, by the rule of %(name)s")
            if rule["creates_user"]
            else _("It would be accepted as %(user)s, by the rule of %(name)s")
        )
        user = report["user"] if self._may_see_users() else _("a user hidden from you")
        return text % {"user": user, "name": rule["authority"]}

    def _may_see_users(self) -> bool:
        options = get_user_model()._meta
        user: Any = self.request.user
        names = (f"{options.app_label}.{verb}" for verb in ("view", "change"))
        return any(user.has_perm(f"{name}_{options.model_name}") for name in names)

    def _next_steps(self) -> Iterator[SafeString]:
        """Return links to what helps."""
        for pk in self.report["successor_of"][:MAX_LISTED]:
            if pk in self.shown:
                text = _("It is the successor of %(mapping)s: renew that one.")
                yield self._sentence(text, "mapping", self._mapping(pk))
        certificate = self.report["certificate"]
        if (
            self.report["reason"] == "unmapped"
            and certificate is not None
            and self.admin.has_add_permission(self.request)
        ):
            query = {"kind": "public_key", "value": certificate["public_key"]}
            yield link(
                f"{self.admin.page_url('add')}?{urlencode(query)}", _("Map its key.")
            )
        site, number = self.admin.admin_site, self.report["revocations"]
        if (
            number
            and site.is_registered(Revocation)
            and site.get_model_admin(Revocation).has_view_permission(self.request)
        ):
            for pk in number[:MAX_LISTED]:
                url = admin_url(site, Revocation, "change", pk)
                text = _("Its public key or serial number is in %(revocation)s.")
                label = _("revocation %(pk)s") % {"pk": pk}
                yield self._sentence(text, "revocation", link(url, label))

    def _sentence(self, text: str, name: str, link: SafeString) -> SafeString:
        """Return *text*, translated and free of markup, with a link in it."""
        before, _name, after = text.partition(f"%({name})s")
        return format_html("{}{}{}", before, link, after)

    def _step(self, step: Report) -> dict[str, Any]:
        sign, outcome = OUTCOMES[step["outcome"]]
        return {
            "name": step["name"],
            "title": STEP_TITLES[step["name"]],
            "sign": sign,
            "outcome": outcome,
            "refused": step["outcome"] == REFUSED,
            "reason": step["reason"],
            "detail": step["detail"],
        }

    def _identity(self, identity: Report) -> dict[str, Any]:
        mappings = identity["mappings"]
        if mappings is None:
            said = [_("the mappings cannot be read")]
        else:
            said = [self._describe(one) for one in mappings[:MAX_LISTED]]
            if more := more_than(len(mappings), MAX_LISTED):
                said.append(more)
        kinds = dict(CertificateMapping.MappingKind.choices)
        return {
            "kind": kinds[identity["kind"]],
            "value": identity["value"],
            "mappings": join_lines(said or [_("no mapping")]),
        }

    def _describe(self, mapping: Report) -> str:
        row = self.shown.get(mapping["id"])
        if row is None:
            return _("a mapping hidden from you")
        text = format_html(
            "{}: {}, {}",
            self._mapping(row.pk),
            mapping["user"],
            row.get_state_display(),
        )
        if mapping["authority"] is not None:
            by = _("issued by %(authority)s") % {"authority": mapping["authority"]}
            text = format_html("{}, {}", text, by)
        if mapping["hosts"]:
            hosts = _("for %(hosts)s") % {"hosts": ", ".join(mapping["hosts"])}
            text = format_html("{}, {}", text, hosts)
        return text

    def _certificate(self, at: dt.datetime) -> Iterable[tuple[str, str]]:
        """Return label and text of what the certificate says."""
        certificate = self.report["certificate"]
        if certificate is None:
            return []
        unreadable = _("cannot be read")
        texts = {
            name: unreadable if certificate[name] is None else certificate[name]
            for name in ("subject", "issuer", "serial_number", "fingerprint")
        }
        dates = [
            unreadable
            if certificate[name] is None
            else moment(dt.datetime.fromisoformat(certificate[name]))
            for name in ("not_before", "not_after")
        ]
        return [
            (_("subject"), texts["subject"] or _("empty")),
            (_("issuer"), texts["issuer"] or _("empty")),
            (_("serial number"), texts["serial_number"]),
            (_("valid from"), dates[0]),
            (_("valid until"), dates[1]),
            (_("SHA-256 fingerprint"), texts["fingerprint"]),
            *((_("problem"), one) for one in certificate["problems"]),
        ]

    def _mapping(self, pk: Any) -> SafeString:
        return link(self.admin.page_url("change", pk), _("mapping %(pk)s") % {"pk": pk})
