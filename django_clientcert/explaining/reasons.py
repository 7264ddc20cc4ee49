"""Every reason of refusal in plain words: what it means, and what would change it.

For operators: the explain command and the admin show them. A client is told
nothing of the kind.
"""

from __future__ import annotations

from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from django_clientcert.exceptions import Reason


class Explanation(NamedTuple):
    """One sentence that says what a reason means, and one that says what to do."""

    meaning: str | Promise
    remedy: str | Promise


def explain(reason: Reason) -> Explanation:
    """Return what *reason* means and what would have to change, both translated."""
    return EXPLANATIONS[reason]


EXPLANATIONS: dict[Reason, Explanation] = {
    Reason.NO_CERTIFICATE: Explanation(
        _("The request carries no client certificate."),
        _(
            "Let the client send its certificate, and let the proxy ask for it and "
            "forward it under the header that CLIENTCERT_PROXY names; ingress-nginx "
            "needs the annotation auth-tls-pass-certificate-to-upstream."
        ),
    ),
    Reason.UNTRUSTED_PEER: Explanation(
        _("The request does not come from a proxy that may speak for a client."),
        _(
            "If this address is your proxy’s, add it to CLIENTCERT_TRUSTED_PROXIES; "
            "if it is not, somebody reaches the application past the proxy."
        ),
    ),
    Reason.INSECURE_TRANSPORT: Explanation(
        _("The request did not reach the proxy over HTTPS, as far as Django knows."),
        _(
            "Use https://, and set SECURE_PROXY_SSL_HEADER to the header in which "
            "your proxy says so."
        ),
    ),
    Reason.HOST_NOT_COVERED: Explanation(
        _("The certificate does not count for this host name."),
        _(
            "Ask under a host name that is covered, or add this one to "
            "CLIENTCERT_HOSTS or to the hosts of the mapping or rule, whichever the "
            "step names."
        ),
    ),
    Reason.BAD_PROXY_SECRET: Explanation(
        _("The secret that only the proxy knows is missing or wrong."),
        _("Let the proxy send one of the secrets in CLIENTCERT_PROXY_SECRET."),
    ),
    Reason.AMBIGUOUS_HEADER: Explanation(
        _("A header is there twice, or in a second spelling, so none can be believed."),
        _(
            "Let the proxy overwrite the header and drop names with underscores "
            "(nginx: underscores_in_headers off); a client that sends the header "
            "itself is trying to be somebody else."
        ),
    ),
    Reason.HEADER_TOO_LARGE: Explanation(
        _("The header is longer than what is read."),
        _("If such a long certificate is genuine, raise CLIENTCERT_MAX_HEADER_BYTES."),
    ),
    Reason.MALFORMED_HEADER: Explanation(
        _("The header’s value is not written in the encoding that was declared."),
        _(
            "Compare what the proxy sends with the preset in CLIENTCERT_PROXY; a "
            "value that was cut, edited or decoded on its way is refused as a whole."
        ),
    ),
    Reason.MALFORMED_CERTIFICATE: Explanation(
        _("The certificate breaks the rules for certificates and cannot be used."),
        _(
            "Have a new certificate issued, or map this one by its fingerprint or "
            "public key if only a name in it is at fault."
        ),
    ),
    Reason.PROXY_VERDICT: Explanation(
        _("The proxy does not say that it verified the certificate."),
        _(
            "Let the client use a certificate that the proxy’s CA bundle verifies, "
            "or, where the proxy is meant to forward unverified ones, set "
            "CLIENTCERT_PROXY_VERIFIES = False."
        ),
    ),
    Reason.HEADER_MISMATCH: Explanation(
        _("The proxy’s headers speak of another certificate than the one forwarded."),
        _(
            "Let the proxy overwrite the certificate’s header too (ingress-nginx: "
            'auth-tls-pass-certificate-to-upstream: "true"); until then a client '
            "can send somebody else’s certificate."
        ),
    ),
    Reason.NOT_YET_VALID: Explanation(
        _("The certificate’s validity has not begun."),
        _("Wait until it begins, or correct the clock of this server or of the CA."),
    ),
    Reason.EXPIRED: Explanation(
        _("The certificate’s validity has ended."),
        _(
            "Have it renewed; a fingerprint mapping has to be made anew then, a "
            "public key mapping only if the key changes."
        ),
    ),
    Reason.WRONG_PURPOSE: Explanation(
        _("The certificate is not meant for a TLS client."),
        _(
            "Have a certificate issued with the extended key usage clientAuth, the "
            "key usage digitalSignature, and not as a CA."
        ),
    ),
    Reason.UNTRUSTED_ISSUER: Explanation(
        _("The certificate does not lead to the authority of the mapping or rule."),
        _(
            "Let the mapping name the authority that issued the certificate, and add "
            "missing intermediate certificates to that authority; a CA that only has "
            "the same name is another one."
        ),
    ),
    Reason.INVALID_PATH: Explanation(
        _("The path to the authority breaks a rule of path validation."),
        _(
            "Read which rule the step names: usually a CA certificate has to be "
            "renewed or replaced in the authority."
        ),
    ),
    Reason.REVOKED: Explanation(
        _("The certificate was revoked, here or by its CA."),
        _(
            "Have a new certificate with a new key issued; or, if it was revoked here "
            "by mistake, take that back: manage.py clientcert revoke --undo ID."
        ),
    ),
    Reason.REVOCATION_UNKNOWN: Explanation(
        _("Nobody can say whether the certificate was revoked."),
        _(
            "Give its authority a current revocation list (manage.py clientcert crl "
            "list, crl fetch), or another policy."
        ),
    ),
    Reason.UNMAPPED: Explanation(
        _("The client holds the key of this certificate; nobody has said whose it is."),
        _(
            "Map it to a user: manage.py clientcert map FILE --user NAME; or mend "
            "what the step says that the authority’s rule misses."
        ),
    ),
    Reason.MAPPING_DISABLED: Explanation(
        _("The mapping that matches was disabled."),
        _("Set the mapping to active, if the user may come in again."),
    ),
    Reason.MAPPING_NOT_YET_VALID: Explanation(
        _("The mapping that matches has not begun."),
        _("Wait, or set an earlier “valid from” on the mapping."),
    ),
    Reason.MAPPING_EXPIRED: Explanation(
        _("The mapping that matches has ended."),
        _("Set a later “valid until” on the mapping."),
    ),
    Reason.AMBIGUOUS_MAPPING: Explanation(
        _("More than one user could be meant by this certificate."),
        _(
            "Delete or change mappings until they name one user; where a rule is "
            "meant, have a certificate issued with one value of what it reads."
        ),
    ),
    Reason.INACTIVE_USER: Explanation(
        _("The user of the certificate may not log in."),
        _("Set the user to active, if that person or service may come in again."),
    ),
    Reason.TRUST_UNAVAILABLE: Explanation(
        _("What the decision depends on could not be loaded, so nobody is let in."),
        _(
            "Check the database and the authority’s certificates: manage.py check "
            "--database default, manage.py clientcert authority list."
        ),
    ),
}
