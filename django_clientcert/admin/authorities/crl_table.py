"""The CRLs and revocations of an authority, in words, without a query."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import wraps

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_clientcert.admin.base.certificate_facts import show_fact, show_subject
from django_clientcert.admin.base.markup import (
    MAX_SHOWN,
    breakable_name,
    join_lines,
    unreadable,
    with_more,
)
from django_clientcert.admin.base.times import moment, relative
from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import CertificateAuthority
from django_clientcert.models.authority_state import AuthorityState, get_state
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl.reading import CRLInfo
from django_clientcert.x509.crl.status import Outcome, RevocationPolicy, status
from django_clientcert.x509.escaping import visible, visible_once

Show = Callable[[CertificateAuthority, dt.datetime], str]


def _or_unreadable(show: Show) -> Show:
    """Make *show* return why policy or state of an authority cannot be read."""

    @wraps(show)
    def show_anyway(authority: CertificateAuthority, now: dt.datetime) -> str:
        try:
            return show(authority, now)
        except ValueError as error:
            return unreadable(error)

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
    policy, state = authority.policy(), get_state(authority)
    if policy is RevocationPolicy.OFF:
        words = [_("off")]
    elif policy is RevocationPolicy.REQUIRED:
        words = [_("required")]
    else:
        words = [_("if loaded")]
    count = len(state.crls)
    words.append(
        ngettext("%(count)d CRL", "%(count)d CRLs", count) % {"count": count}
        if count
        else _("no CRL")
    )
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
    table = format_html(
        "<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>",
        format_html_join(
            "",
            "<th scope='col'>{}</th>",
            ((_("number"),), (_("issuer"),), (_("state"),), (_("entries"),)),
        ),
        format_html_join(
            "",
            "<tr><th scope='row'>{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            (
                (
                    _number(info),
                    _issuer_and_scope(authority, info),
                    crl_state(info, now),
                    info.entry_count,
                )
                for info in loaded[:MAX_SHOWN]
            ),
        ),
    )
    return with_more(table, len(loaded), MAX_SHOWN)


@_or_unreadable
def show_revocations(authority: CertificateAuthority, now: dt.datetime) -> str:
    """Return the revoked CAs, and the periods in which everything is revoked."""
    state = get_state(authority)
    revoked = [
        *_cas_revoked_here(authority, state),
        *_cas_revoked_by_crl(authority, state, now),
        *(
            _("everything issued from %(begin)s to %(end)s (revocation %(pk)s)")
            % {
                "begin": moment(period.begin),
                "end": moment(period.end),
                "pk": period.number,
            }
            for period in state.periods[:MAX_SHOWN]
        ),
    ]
    if not revoked:
        return _("none")
    return with_more(join_lines(revoked), len(state.periods), MAX_SHOWN)


def _number(info: CRLInfo) -> str:
    number = "—" if info.number is None else str(info.number)
    if info.is_delta:
        return _("%(number)s (delta, from %(base)s)") % {
            "number": number,
            "base": info.base_number,
        }
    return number


def _issuer_and_scope(authority: CertificateAuthority, info: CRLInfo) -> SafeString:
    issuer = breakable_name(_issuer(authority, info))
    scope = visible_once(str(info.scope), 200)
    if not scope:
        return issuer
    # A column of its own would not fit into a narrow page.
    return format_html('{}<br><span class="quiet">{}</span>', issuer, scope)


def _issuer(authority: CertificateAuthority, info: CRLInfo) -> str:
    """Return the name that the bundle has for the CA of a CRL."""
    for certificate in _readable(authority):
        if certificate.public_key_bytes == info.issuer_key:
            return show_fact(certificate, show_subject)
    return _("no longer in the bundle")


def _cas_revoked_here(
    authority: CertificateAuthority, state: AuthorityState
) -> list[str]:
    names = {
        certificate.fingerprint: show_fact(certificate, show_subject)
        for certificate in _readable(authority)
    }
    return [
        _("the CA %(name)s (revocation %(pk)s)")
        % {"name": names.get(fingerprint, visible(fingerprint)), "pk": number}
        for fingerprint, number in state.revoked.items()
    ]


def _cas_revoked_by_crl(
    authority: CertificateAuthority, state: AuthorityState, now: dt.datetime
) -> list[str]:
    """Return which CAs of the bundle the loaded CRLs revoke."""
    if not state.hits:
        return []
    revoked = []
    loaded = list(state.crls.values())
    try:
        validator = authority.validator()
        for certificate in _readable(authority):
            for issuer in validator.issuers_of(certificate):
                result = status(certificate, issuer, loaded, state.hits, at=now)
                if result.outcome is Outcome.REVOKED:
                    name = show_fact(certificate, show_subject)
                    revoked.append(
                        _("the CA %(name)s: %(detail)s")
                        % {"name": name, "detail": result.detail}
                    )
    except ClientCertError:
        pass  # the page says elsewhere what is wrong with the bundle
    return revoked


def _readable(authority: CertificateAuthority) -> tuple[ClientCertificate, ...]:
    """Return the certificates of the bundle, if it can be read."""
    try:
        return authority.certificates()
    except ClientCertError:
        return ()  # the page says elsewhere what is wrong with the bundle
