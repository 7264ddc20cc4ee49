"""What is loaded of an authority's revocations, in words: no query."""

from __future__ import annotations

import datetime as dt

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_clientcert.admin.base.certificate_facts import show_fact, show_subject
from django_clientcert.admin.base.markup import (
    MAX_SHOWN,
    breakable_name,
    join_lines,
    with_more,
)
from django_clientcert.admin.base.times import moment, relative
from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import CertificateAuthority
from django_clientcert.models.authority_state import AuthorityState, get_state
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl import CRLInfo, Outcome, RevocationPolicy, status
from django_clientcert.x509.escaping import visible, visible_once


def crl_state(info: CRLInfo, now: dt.datetime) -> str:
    """Return whether a list is current or stale, and until or since when."""
    end = info.expires()
    if now > end:
        return _("stale since %(when)s") % {"when": moment(end)}
    return _("current until %(when)s, %(relative)s") % {
        "when": moment(end),
        "relative": relative(end, now),
    }


def summarize_revocation(authority: CertificateAuthority, now: dt.datetime) -> str:
    """Return policy and state of the lists in a few words."""
    try:
        policy, state = authority.policy(), get_state(authority)
    except ValueError as error:
        return _("cannot be read: %(why)s") % {"why": visible_once(str(error), 100)}
    if policy is RevocationPolicy.OFF:
        said = [_("off")]
    elif policy is RevocationPolicy.REQUIRED:
        said = [_("required")]
    else:
        said = [_("if loaded")]
    count = len(state.crls)
    said.append(
        ngettext("%(count)d list", "%(count)d lists", count) % {"count": count}
        if count
        else _("no list")
    )
    stale = sum(now > one.expires() for one in state.crls.values())
    if stale:
        said.append(ngettext("%(n)d stale", "%(n)d stale", stale) % {"n": stale})
    if state.revoked or _listed_cas(authority, state, now):
        said.append(_("a CA is revoked"))
    if state.periods:
        said.append(_("a time is revoked"))
    return ", ".join(said)


def show_crls(authority: CertificateAuthority, now: dt.datetime) -> str:
    """Return the loaded lists, a row for each."""
    try:
        loaded = list(get_state(authority).crls.values())
    except ValueError as error:
        return _("cannot be read: %(why)s") % {"why": visible_once(str(error), 100)}
    if not loaded:
        return _("None is loaded.")
    rows = format_html_join(
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
    )
    heads = format_html_join(
        "",
        "<th scope='col'>{}</th>",
        (
            (title,)
            for title in (
                _("number"),
                _("issuer"),
                _("state"),
                _("entries"),
            )
        ),
    )
    shown = format_html(
        "<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", heads, rows
    )
    return with_more(shown, len(loaded), MAX_SHOWN)


def show_revocations(authority: CertificateAuthority, now: dt.datetime) -> str:
    """Return the CAs that are revoked, and the times of which everything is."""
    try:
        state = get_state(authority)
    except ValueError as error:
        return _("cannot be read: %(why)s") % {"why": visible_once(str(error), 100)}
    said = [
        *_revoked_cas(authority, state),
        *_listed_cas(authority, state, now),
        *(
            _("all that was issued from %(begin)s to %(end)s (revocation %(pk)s)")
            % {"begin": moment(one.begin), "end": moment(one.end), "pk": one.number}
            for one in state.periods[:MAX_SHOWN]
        ),
    ]
    if not said:
        return _("none")
    return with_more(join_lines(said), len(state.periods), MAX_SHOWN)


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
    """Return the name of the CA that a list is of, as the bundle has it."""
    for one in _readable(authority):
        if one.public_key_bytes == info.issuer_key:
            return _name(one)
    return _("not in the bundle any more")


def _revoked_cas(authority: CertificateAuthority, state: AuthorityState) -> list[str]:
    by_fingerprint = {one.fingerprint: one for one in _readable(authority)}
    said = []
    for fingerprint, number in state.revoked.items():
        one = by_fingerprint.get(fingerprint)
        name = visible(fingerprint) if one is None else _name(one)
        said.append(
            _("the CA %(name)s (revocation %(pk)s)") % {"name": name, "pk": number}
        )
    return said


def _listed_cas(
    authority: CertificateAuthority, state: AuthorityState, now: dt.datetime
) -> list[str]:
    """Return which CAs of the bundle the loaded lists revoke."""
    if not state.hits:
        return []
    said = []
    loaded = list(state.crls.values())
    try:
        validator = authority.validator()
        for one in _readable(authority):
            for issuer in validator.issuers_of(one):
                found = status(one, issuer, loaded, state.hits, at=now)
                if found.outcome is Outcome.REVOKED:
                    said.append(
                        _("the CA %(name)s: %(detail)s")
                        % {"name": _name(one), "detail": found.detail}
                    )
    except ClientCertError:
        return said  # what is wrong with the bundle is said elsewhere on the page
    return said


def _readable(authority: CertificateAuthority) -> tuple[ClientCertificate, ...]:
    """Return the certificates of the bundle, if it can be read."""
    try:
        return authority.certificates()
    except ClientCertError:
        return ()  # what is wrong with the bundle is said elsewhere on the page


def _name(certificate: ClientCertificate) -> str:
    return show_fact(certificate, show_subject)
