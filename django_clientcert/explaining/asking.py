"""A query: what a request would present, and what had to be assumed for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.http.request import split_domain_port
from django.utils.translation import gettext as _

from django_clientcert.backends import find_backend
from django_clientcert.conf import conf
from django_clientcert.evaluation.presented import Presented, present_certificates
from django_clientcert.evaluation.run import CanAuthenticate, evaluate, is_active
from django_clientcert.exceptions import CertificateParseError, Refusal
from django_clientcert.wire import DECODERS, Proxy, is_absent
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible

from .report import Report, make_report, one_line


class Assumptions(list[tuple[str, str]]):
    """Sentences, each with the option of the command that says otherwise, or ""."""

    def add(self, text: str, option: str = "", **values: object) -> None:
        """Add the sentence *text*, with *values* for its placeholders."""
        self.append((text % values if values else text, option))


class ExplainQuery(NamedTuple):
    """What is presented, the certificate to show, and the assumptions so far.

    ``certificate`` is None if it cannot be decoded.
    """

    presented: Presented
    certificate: ClientCertificate | None
    assumptions: Assumptions

    def answer(
        self, *, host: str | None, at: dt.datetime, options: bool = False
    ) -> Report:
        """Evaluate as of *at*; return every step, as ``make_report()`` does.

        *host* may have a port; None assumes one. With *options*, the assumptions name
        the options of the command.
        """
        assumptions = Assumptions(self.assumptions)
        host = _choose_host(host, assumptions)
        can_authenticate, problem = user_rule()
        if problem:
            assumptions.add(problem)
        decision = evaluate(
            self.presented, host=host, at=at, can_authenticate=can_authenticate
        )
        return make_report(
            decision,
            self.presented,
            self.certificate,
            at=at,
            host=host,
            assumptions=[text + option * options for text, option in assumptions],
        )


def ask_about_certificates(
    certificates: Sequence[ClientCertificate],
    certificate: ClientCertificate,
    *,
    verdict: str | None = None,
) -> ExplainQuery:
    """Return the query about *certificate*, without a request.

    *certificates* are all those of its file; *verdict* is evaluated as if the proxy
    had sent it.
    """
    proxy = conf.CLIENTCERT_PROXY
    verdict = present(verdict)
    others = [other for other in certificates if other != certificate]
    intermediates = others if proxy.forwards_chains else []
    assumptions = Assumptions()
    assumptions.add(
        _(
            "request: none, because a file is evaluated: peer, transport, host, "
            "secret and headers are not checked"
        )
    )
    if verdict is None:
        assumptions.add(
            _("verdict: none, so Django validates the path"),
            f"; --verdict {proxy.success} evaluates as if the proxy had done so",
        )
    if intermediates:
        assumptions.add(_("chain: the file’s other certificates, forwarded too"))
    elif others:
        text = _("chain: none, because %(proxy)s forwards none")
        assumptions.add(text, proxy=proxy.name)
    presented = present_certificates([certificate, *intermediates], verdict=verdict)
    return ExplainQuery(presented, certificate, assumptions)


def ask_about_header(
    value: str | None,
    *,
    verdict: str | None = None,
    subject_dn: str | None = None,
    issuer_dn: str | None = None,
    chain: tuple[str, ...] = (),
    peer: str | None = None,
) -> ExplainQuery:
    """Return the query about a request through the proxy with the header *value*.

    Each text is as a WSGI server passes it on. Arguments that are None are filled in
    with matching values.
    """
    proxy = conf.CLIENTCERT_PROXY
    value = present(value)
    certificate = _decode(proxy, value)
    secret = conf.CLIENTCERT_PROXY_SECRET
    assumptions = Assumptions()
    assumptions.add(_("preset: %(proxy)s"), proxy=proxy.name)
    if verdict is None and proxy.verdict is not None:
        verdict = proxy.success
        text = _("verdict: %(word)s, the proxy’s word for success")
        assumptions.add(text, " (--verdict)", word=verdict)
    choose_name = partial(_choose_name, proxy, certificate, assumptions)
    presented = Presented(
        proxy,
        value=value,
        verdict=present(verdict),
        subject_dn=choose_name("subject", subject_dn),
        issuer_dn=choose_name("issuer", issuer_dn),
        conditions=tuple(word for _name, word in proxy.conditions),
        chain=chain,
        peer=_choose_peer(assumptions) if peer is None else peer,
        secret=None if secret is None else secret[1][0],
    )
    for name, word in proxy.conditions:
        assumptions.add(f"{name}: {word}")
    assumptions.add(_("transport: assumed to be secure"))
    if secret is not None:
        assumptions.add(_("secret: the first of CLIENTCERT_PROXY_SECRET"))
    return ExplainQuery(presented, certificate, assumptions)


def user_rule() -> tuple[CanAuthenticate, str]:
    """Return the backend's rule on who may log in, and a sentence if there is none.

    Without a configured backend, that is Django's own rule.
    """
    try:
        return find_backend().user_can_authenticate, ""
    except (ImproperlyConfigured, ImportError) as error:
        text = _("backend: none is configured. %(why)s")
        return is_active, text % {"why": one_line(str(error))}


def as_wsgi(text: str) -> str:
    """Return *text* as a WSGI server passes it on: each octet a character."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def present(value: str | None) -> str | None:
    """Return *value*, or None if it is one that programs write for nothing."""
    return None if value is None or is_absent(value) else value


def _choose_host(given: str | None, assumptions: Assumptions) -> str:
    """Return the requested host without its port; if not given, one that fits."""
    if given is not None:
        return split_domain_port(given)[0]
    for pattern in conf.CLIENTCERT_HOSTS or ():
        host = pattern.lstrip(".")
        if host != "*":
            text = _("host: %(host)s, the first of CLIENTCERT_HOSTS")
            assumptions.add(text, " (--host)", host=visible(host))
            return host
    text = _("host: none; a mapping that is limited to certain hosts needs one")
    assumptions.add(text, " (--host)")
    return ""


def _decode(proxy: Proxy, value: str | None) -> ClientCertificate | None:
    """Return the certificate to show, whatever the decision on it will be."""
    if value is None:
        return None
    try:
        return ClientCertificate(DECODERS[proxy.encoding](value)[0])
    except Refusal:
        return None  # the step "decode" says why


def _choose_name(
    proxy: Proxy,
    certificate: ClientCertificate | None,
    assumptions: Assumptions,
    what: str,
    given: str | None,
) -> str | None:
    """Return the value of a header with a name; if not given, the certificate's."""
    if given is not None:
        return present(as_wsgi(given))
    header = proxy.subject_dn if what == "subject" else proxy.issuer_dn
    if header is None or certificate is None:
        return None
    try:
        name = certificate.subject if what == "subject" else certificate.issuer
        rendered = name.openssl_rfc2253()
    except CertificateParseError:
        text = _("%(header)s: missing, because the name cannot be read")
        assumptions.add(text, header=header)
        return None
    text = _("%(header)s: the certificate’s own, so that it matches")
    assumptions.add(text, f" (--{what}-dn)", header=header)
    return present(rendered)


def _choose_peer(assumptions: Assumptions) -> str | None:
    """Return the address of a trusted proxy; None for a Unix socket, or if unset."""
    trusted = conf.CLIENTCERT_TRUSTED_PROXIES
    if trusted.networks:
        network = trusted.networks[0]
        # The address of a network itself does not belong to a host.
        address = str(network[1] if network.num_addresses > 2 else network[0])
        text = _("peer: %(peer)s, the first address of CLIENTCERT_TRUSTED_PROXIES")
        assumptions.add(text, " (--peer)", peer=address)
        return address
    if trusted.unix:
        assumptions.add(_("peer: the Unix socket of CLIENTCERT_TRUSTED_PROXIES"))
    else:
        text = _("peer: none, because CLIENTCERT_TRUSTED_PROXIES is empty")
        assumptions.add(text)
    return None
