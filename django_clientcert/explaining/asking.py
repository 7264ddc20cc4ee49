"""A question: what a request would present, and what had to be assumed for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.http.request import split_domain_port
from django.utils.translation import gettext as _

from django_clientcert.backends import find_backend
from django_clientcert.conf import conf
from django_clientcert.evaluation import CanAuthenticate, evaluate, is_active
from django_clientcert.evaluation.presented import Presented
from django_clientcert.exceptions import CertificateParseError, Refusal
from django_clientcert.wire import ABSENT, DECODERS, Proxy
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible

from .report import Report, make_report
from .text import one_line


class Assumption(NamedTuple):
    """What was assumed, and how the command is told otherwise."""

    text: str
    hint: str = ""


class Question(NamedTuple):
    """What is presented, the certificate to show, and what was assumed so far.

    ``certificate`` is None where none can be decoded.
    """

    presented: Presented
    certificate: ClientCertificate | None
    assumptions: tuple[Assumption, ...]

    def answer(
        self, *, host: str, at: dt.datetime, assumptions: Sequence[str]
    ) -> Report:
        """Evaluate as of *at*; return every step, as ``make_report()`` has it.

        *assumptions* are the sentences about all that was assumed.
        """
        can_authenticate, why = user_rule()
        decision = evaluate(
            self.presented, host=host, at=at, can_authenticate=can_authenticate
        )
        return make_report(
            decision,
            self.certificate,
            at=at,
            host=host,
            assumptions=[*assumptions, *([why] if why else [])],
            from_request=self.presented.from_request,
            verdict_given=self.presented.verdict is not None,
        )


def ask_about_certificates(
    certificates: Sequence[ClientCertificate],
    certificate: ClientCertificate,
    *,
    verdict: str | None = None,
) -> Question:
    """Return the question about *certificate*, without any request around it.

    *certificates* are those of the file that it came in; *verdict* is as if the
    proxy had said so.
    """
    proxy = conf.CLIENTCERT_PROXY
    verdict = present(verdict)
    said = [
        Assumption(
            _(
                "request: none, because a file is judged: peer, transport, host, "
                "secret and headers are not looked at"
            )
        )
    ]
    if verdict is None:
        said.append(
            Assumption(
                _("verdict: none, so the path is validated here"),
                f"; --verdict {proxy.success} judges as if the proxy had done it",
            )
        )
    above = [one.der for one in certificates if one != certificate]
    if above and proxy.forwards_chains:
        said.append(
            Assumption(_("chain: the file’s other certificates, forwarded too"))
        )
    elif above:
        text = _("chain: none, because %(proxy)s forwards none")
        said.append(Assumption(text % {"proxy": proxy.name}))
        above = []
    presented = Presented(
        proxy, verdict=verdict, certificates=(certificate.der, *above)
    )
    return Question(presented, certificate, tuple(said))


def ask_about_header(
    value: str | None,
    *,
    verdict: str | None = None,
    subject_dn: str | None = None,
    issuer_dn: str | None = None,
    chain: tuple[str, ...] = (),
    peer: str | None = None,
) -> Question:
    """Return the question about a request of the proxy whose header is *value*.

    Each text is as a WSGI server hands it over; what is None is filled in, so that
    it fits.
    """
    proxy = conf.CLIENTCERT_PROXY
    value = present(value)
    certificate = _decode(proxy, value)
    secret = conf.CLIENTCERT_PROXY_SECRET
    said = [Assumption(_("preset: %(proxy)s") % {"proxy": proxy.name})]
    presented = Presented(
        proxy,
        value=value,
        verdict=_choose_verdict(verdict, proxy, said),
        subject_dn=_choose_name(
            "subject", subject_dn, proxy.subject_dn, certificate, said
        ),
        issuer_dn=_choose_name("issuer", issuer_dn, proxy.issuer_dn, certificate, said),
        conditions=tuple(word for _name, word in proxy.conditions),
        chain=chain,
        peer=_choose_peer(peer, said),
        secret=None if secret is None else secret[1][0],
    )
    said += [Assumption(f"{name}: {word}") for name, word in proxy.conditions]
    said.append(Assumption(_("transport: taken as secure")))
    if secret is not None:
        said.append(Assumption(_("secret: the first of CLIENTCERT_PROXY_SECRET")))
    return Question(presented, certificate, tuple(said))


def choose_host(given: str | None) -> tuple[str, tuple[Assumption, ...]]:
    """Return the host that is asked for, without its port, and what was assumed."""
    if given is not None:
        return split_domain_port(given)[0], ()
    for pattern in conf.CLIENTCERT_HOSTS or ():
        host = pattern.lstrip(".")
        if host != "*":
            text = _("host: %(host)s, the first of CLIENTCERT_HOSTS")
            return host, (Assumption(text % {"host": visible(host)}, " (--host)"),)
    text = _("host: none; a mapping for certain hosts needs one")
    return "", (Assumption(text, " (--host)"),)


def user_rule() -> tuple[CanAuthenticate, str]:
    """Return the configured backend's rule on who may log in; else Django's own.

    And, where no backend is configured, a sentence that says so.
    """
    try:
        return find_backend().user_can_authenticate, ""
    except (ImproperlyConfigured, ImportError) as error:
        text = _("backend: none is configured. %(why)s")
        return is_active, text % {"why": one_line(str(error))}


def as_wsgi(text: str) -> str:
    """Return *text* as a WSGI server hands it over: each octet a character."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def present(value: str | None) -> str | None:
    """Return *value*, or None where it is what programs write for nothing."""
    return None if value is None or value in ABSENT else value


def _decode(proxy: Proxy, value: str | None) -> ClientCertificate | None:
    """Return the certificate to show, whatever the decision will be on it."""
    if value is None:
        return None
    try:
        return ClientCertificate(DECODERS[proxy.encoding](value)[0])
    except Refusal:
        return None  # the step "decode" says why


def _choose_verdict(
    given: str | None, proxy: Proxy, said: list[Assumption]
) -> str | None:
    if given is not None or proxy.verdict is None:
        return present(given)
    text = _("verdict: %(word)s, the proxy’s word for success")
    said.append(Assumption(text % {"word": proxy.success}, " (--verdict)"))
    return proxy.success


def _choose_name(
    what: str,
    given: str | None,
    header: str | None,
    certificate: ClientCertificate | None,
    said: list[Assumption],
) -> str | None:
    """Return a header with a name; where none is given, what fits the certificate."""
    if given is not None:
        return present(as_wsgi(given))
    if header is None or certificate is None:
        return None
    try:
        name = certificate.subject if what == "subject" else certificate.issuer
        rendered = name.openssl_rfc2253()
    except CertificateParseError:
        text = _("%(header)s: missing, because the name cannot be read")
        said.append(Assumption(text % {"header": header}))
        return None
    text = _("%(header)s: as the certificate has it, so that it fits")
    said.append(Assumption(text % {"header": header}, f" (--{what}-dn)"))
    return present(rendered)


def _choose_peer(given: str | None, said: list[Assumption]) -> str | None:
    if given is not None:
        return given
    trusted = conf.CLIENTCERT_TRUSTED_PROXIES
    if trusted.networks:
        network = trusted.networks[0]
        # The address of a network itself is nobody's.
        first = network[1] if network.num_addresses > 2 else network[0]
        text = _("peer: %(peer)s, the first address of CLIENTCERT_TRUSTED_PROXIES")
        said.append(Assumption(text % {"peer": first}, " (--peer)"))
        return str(first)
    if trusted.unix:
        text = _("peer: the Unix socket of CLIENTCERT_TRUSTED_PROXIES")
    else:
        text = _("peer: none, because CLIENTCERT_TRUSTED_PROXIES is empty")
    said.append(Assumption(text))
    return None
