"""What each reason for a refusal means, and what would change the decision.

For operators, in the explain command and the admin. A client never sees these texts.
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


# Lazily translated
EXPLANATIONS: dict[Reason, Explanation] = {
    Reason.NO_CERTIFICATE: Explanation(
        _("The request carries no client certificate."),
        _(
            "Configure the client to send its certificate, and the proxy to request it "
            "and forward it in the header of the CLIENTCERT_PROXY preset; "
            "ingress-nginx needs the annotation "
            "auth-tls-pass-certificate-to-upstream."
        ),
    ),
    Reason.UNTRUSTED_PEER: Explanation(
        _("The request does not come from a trusted proxy."),
        _(
            "If the address is your proxy’s, add it to CLIENTCERT_TRUSTED_PROXIES; "
            "otherwise someone is bypassing the proxy."
        ),
    ),
    Reason.INSECURE_TRANSPORT: Explanation(
        _("As far as Django knows, the request did not reach the proxy over HTTPS."),
        _(
            "Use https://, and set SECURE_PROXY_SSL_HEADER to the header in which your "
            "proxy reports HTTPS."
        ),
    ),
    Reason.HOST_NOT_COVERED: Explanation(
        _("The certificate is not accepted for this host name."),
        _(
            "Use a host name that is covered, or add this one to CLIENTCERT_HOSTS or "
            "to the hosts of the mapping or rule, depending on what the step names."
        ),
    ),
    Reason.BAD_PROXY_SECRET: Explanation(
        _("The proxy’s secret is missing or wrong."),
        _("Configure the proxy to send one of the secrets in CLIENTCERT_PROXY_SECRET."),
    ),
    Reason.AMBIGUOUS_HEADER: Explanation(
        _(
            "A header occurs twice, or in a second spelling, so neither value can be "
            "trusted."
        ),
        _(
            "Configure the proxy to overwrite the header and to drop names with "
            "underscores (nginx: underscores_in_headers off); a client that sends the "
            "header itself is trying to impersonate someone."
        ),
    ),
    Reason.HEADER_TOO_LARGE: Explanation(
        _("The header is longer than CLIENTCERT_MAX_HEADER_BYTES."),
        _("If such a long certificate is genuine, raise CLIENTCERT_MAX_HEADER_BYTES."),
    ),
    Reason.MALFORMED_HEADER: Explanation(
        _("The header’s value is not in the encoding that the preset declares."),
        _(
            "Compare what the proxy sends with the preset in CLIENTCERT_PROXY; a value "
            "that was truncated, edited or decoded on the way is refused as a whole."
        ),
    ),
    Reason.MALFORMED_CERTIFICATE: Explanation(
        _(
            "The certificate violates the X.509 standard, or uses an algorithm that is "
            "not supported here, so it cannot be used."
        ),
        _(
            "Request a new certificate, or, if only a name in it is malformed, map "
            "this one by its fingerprint or public key."
        ),
    ),
    Reason.PROXY_VERDICT: Explanation(
        _("The proxy does not say that it verified the certificate."),
        _(
            "Use a certificate that the proxy’s CA bundle verifies, or, if the proxy "
            "is meant to forward unverified certificates, set "
            "CLIENTCERT_PROXY_VERIFIES = False."
        ),
    ),
    Reason.HEADER_MISMATCH: Explanation(
        _("The proxy’s headers describe a certificate other than the forwarded one."),
        _(
            "Configure the proxy to overwrite the certificate’s header too "
            '(ingress-nginx: auth-tls-pass-certificate-to-upstream: "true"); until '
            "then a client can send another client’s certificate."
        ),
    ),
    Reason.NOT_YET_VALID: Explanation(
        _("The certificate is not valid yet."),
        _("Wait until it is, or correct the clock of this server or of the CA."),
    ),
    Reason.EXPIRED: Explanation(
        _("The certificate has expired."),
        _(
            "Renew it; a fingerprint mapping has to be replaced then, a public key "
            "mapping only if the key changes."
        ),
    ),
    Reason.WRONG_PURPOSE: Explanation(
        _("The certificate is not meant for a TLS client."),
        _(
            "Request a certificate that is not a CA’s, with the extended key usage "
            "clientAuth and the key usage digitalSignature."
        ),
    ),
    Reason.UNTRUSTED_ISSUER: Explanation(
        _("The certificate does not chain to the authority of the mapping or rule."),
        _(
            "Choose the authority that issued the certificate in the mapping, and add "
            "missing intermediate certificates to that authority; a CA with the same "
            "name and another key is not the same CA."
        ),
    ),
    Reason.INVALID_PATH: Explanation(
        _("The path to the authority violates a rule of path validation."),
        _(
            "See which rule the step names: usually a CA certificate of the authority "
            "has to be renewed or replaced."
        ),
    ),
    Reason.REVOKED: Explanation(
        _("The certificate was revoked, here or by its CA."),
        _(
            "Request a new certificate with a new key; or, if it was revoked here by "
            "mistake, type manage.py clientcert revoke --undo ID."
        ),
    ),
    Reason.REVOCATION_UNKNOWN: Explanation(
        _("It cannot be determined whether the certificate was revoked."),
        _(
            "Import a current CRL of its CA (manage.py clientcert crl list, crl "
            "fetch), or change the authority’s revocation policy."
        ),
    ),
    Reason.UNMAPPED: Explanation(
        _(
            "The client holds the key of this certificate, but it is not mapped to any "
            "user."
        ),
        _(
            "Map it to a user (in the admin, or with manage.py clientcert map FILE "
            "--user NAME), or fix the mismatch with the authority’s rule that the "
            "step reports."
        ),
    ),
    Reason.MAPPING_DISABLED: Explanation(
        _("The matching mapping is disabled."),
        _("Set the mapping to active, if the user may log in again."),
    ),
    Reason.MAPPING_NOT_YET_VALID: Explanation(
        _("The matching mapping is not valid yet."),
        _("Wait, or set an earlier “valid from” on the mapping."),
    ),
    Reason.MAPPING_EXPIRED: Explanation(
        _("The matching mapping has expired."),
        _("Set a later “valid until” on the mapping."),
    ),
    Reason.AMBIGUOUS_MAPPING: Explanation(
        _("The certificate matches more than one user."),
        _(
            "Delete or change mappings until only one user matches; if the match is by "
            "a rule, request a certificate with a single value of the field that the "
            "rule reads."
        ),
    ),
    Reason.INACTIVE_USER: Explanation(
        _("The user of the certificate may not log in."),
        _("Set the user to active, if that person or service may log in again."),
    ),
    Reason.TRUST_UNAVAILABLE: Explanation(
        _("The data for the decision could not be loaded, so everyone is refused."),
        _(
            "Check the database and the authority’s certificates: manage.py check "
            "--database default, manage.py clientcert authority list."
        ),
    ),
}
