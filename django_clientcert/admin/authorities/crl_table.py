"""The CRLs and revocations of an authority, in words, without a query."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from functools import wraps

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_clientcert.admin.base import markup
from django_clientcert.admin.base.certificate_facts import show_fact, show_subject
from django_clientcert.admin.base.times import moment, relative
from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import CertificateAuthority
from django_clientcert.models.authority_state import (
    AuthorityState,
    get_state,
    readable_certificates,
)
from django_clientcert.x509.crl.reading import CRLInfo
from django_clientcert.x509.crl.status import Outcome, RevocationPolicy, status
from django_clientcert.x509.escaping import visible, visible_once

Show = Callable[[CertificateAuthority, dt.datetime], str]

_POLICIES = {
    RevocationPolicy.OFF: gettext_lazy("off"),
    RevocationPolicy.REQUIRED: gettext_lazy("required"),
    RevocationPolicy.IF_LOADED: gettext_lazy("if loaded"),
}


def _or_unreadable(show: Show) -> Show:
    """Make *show* return why policy or state of an authority cannot be read."""

    @wraps(show)
    def show_anyway(authority: CertificateAuthority, now: dt.datetime) -> str:
        try:
            return show(authority, now)
        except ValueError as error:
            return markup.unreadable(error)

    return show_anyway


def crl_state(info: CRLInfo, now: dt.datetime) -> str:
    """Return whether a CRL is current or stale, and until or since when."""
    end = info.expires()
    if now > end:
        return _("stale since %(when)s") % {"when": moment(end)}
    return _("current until %(when)s, %(relative)s") % {
        "when": moment(end),
        "relative": relative(end, now),
    }


@_or_unreadable
def summarize_revocation(authority: CertificateAuthority, now: dt.datetime) -> str:
    """Return the policy, and the state of the CRLs, in a few words."""
    state = get_state(authority)
    count = len(state.crls)
    words = [
        str(_POLICIES[authority.policy()]),
        ngettext("%(count)d CRL", "%(count)d CRLs", count) % {"count": count}
        if count
        else _("no CRL"),
    ]
    stale = sum(now > crl.expires() for crl in state.crls.values())
    if stale:
        words.append(ngettext("%(n)d stale", "%(n)d stale", stale) % {"n": stale})
    if state.revoked or _cas_revoked_by_crl(authority, state, now):
        words.append(_("a CA is revoked"))
    if state.periods:
        words.append(_("a period is revoked"))
    return ", ".join(words)


@_or_unreadable
def show_crls(authority: CertificateAuthority, now: dt.datetime) -> str:
    """Return the loaded CRLs as a table."""
    loaded = list(get_state(authority).crls.values())
    if not loaded:
        return _("No CRL is loaded.")
    titles = (_("number"), _("issuer"), _("state"), _("entries"))
    rows = (
        (
            _number(info),
            _issuer_and_scope(authority, info),
            crl_state(info, now),
            info.entry_count,
        )
        for info in loaded[: markup.MAX_SHOWN]
    )
    row = "<tr><th scope='row'>{}</th><td>{}</td><td>{}</td><td>{}</td></tr>"
    table = format_html(
        "<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>",
        format_html_join("", "<th scope='col'>{}</th>", ((title,) for title in titles)),
        format_html_join("", row, rows),
    )
    return markup.with_more(table, len(loaded), markup.MAX_SHOWN)


@_or_unreadable
def show_revocations(authority: CertificateAuthority, now: dt.datetime) -> str:
    """Return the revoked CAs, and the periods in which everything is revoked."""
    state = get_state(authority)
    names = {
        certificate.fingerprint: show_fact(certificate, show_subject)
        for certificate in readable_certificates(authority)
    }
    revoked = [
        *(
            _("the CA %(name)s (revocation %(pk)s)")
            % {"name": names.get(fingerprint, visible(fingerprint)), "pk": number}
            for fingerprint, number in state.revoked.items()
        ),
        *_cas_revoked_by_crl(authority, state, now),
        *(
            _("everything issued from %(begin)s to %(end)s (revocation %(pk)s)")
            % {
                "begin": moment(period.begin),
                "end": moment(period.end),
                "pk": period.number,
            }
            for period in state.periods[: markup.MAX_SHOWN]
        ),
    ]
    if not revoked:
        return _("none")
    return markup.with_more(
        markup.join_lines(revoked), len(state.periods), markup.MAX_SHOWN
    )


def _number(info: CRLInfo) -> str:
    number = "—" if info.number is None else str(info.number)
    if not info.is_delta:
        return number
    text = _("%(number)s (delta, from %(base)s)")
    return text % {"number": number, "base": info.base_number}


def _issuer_and_scope(authority: CertificateAuthority, info: CRLInfo) -> SafeString:
    issuers = (
        show_fact(certificate, show_subject)
        for certificate in readable_certificates(authority)
        if certificate.public_key_bytes == info.issuer_key
    )
    issuer = markup.breakable_name(next(issuers, _("no longer in the bundle")))
    scope = visible_once(str(info.scope), 200)
    # A column of its own would not fit into a narrow page.
    text = '{}<br><span class="quiet">{}</span>' if scope else "{}"
    return format_html(text, issuer, scope)


def _cas_revoked_by_crl(
    authority: CertificateAuthority, state: AuthorityState, now: dt.datetime
) -> list[str]:
    """Return which CAs of the bundle the loaded CRLs revoke."""
    if not state.hits:
        return []
    revoked = []
    loaded = list(state.crls.values())
    with suppress(ClientCertError):  # the page says elsewhere what is wrong
        for certificate in readable_certificates(authority):
            for issuer in state.validator.issuers_of(certificate):
                result = status(certificate, issuer, loaded, state.hits, at=now)
                if result.outcome is Outcome.REVOKED:
                    name = show_fact(certificate, show_subject)
                    text = _("the CA %(name)s: %(detail)s")
                    revoked.append(text % {"name": name, "detail": result.detail})
    return revoked
