"""What can go wrong, and the stable words for it."""

from __future__ import annotations

from enum import Enum


class Word(str, Enum):
    """Base of enumerations of stable words: str() and format() give the value."""

    __str__ = str.__str__


class Reason(Word):
    """Why a certificate was refused. The values are stable: scripts may use them."""

    NO_CERTIFICATE = "no_certificate"
    UNTRUSTED_PEER = "untrusted_peer"
    INSECURE_TRANSPORT = "insecure_transport"
    HOST_NOT_COVERED = "host_not_covered"
    BAD_PROXY_SECRET = "bad_proxy_secret"
    AMBIGUOUS_HEADER = "ambiguous_header"
    HEADER_TOO_LARGE = "header_too_large"
    MALFORMED_HEADER = "malformed_header"
    MALFORMED_CERTIFICATE = "malformed_certificate"
    PROXY_VERDICT = "proxy_verdict"
    HEADER_MISMATCH = "header_mismatch"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    WRONG_PURPOSE = "wrong_purpose"
    UNTRUSTED_ISSUER = "untrusted_issuer"
    INVALID_PATH = "invalid_path"
    REVOKED = "revoked"
    REVOCATION_UNKNOWN = "revocation_unknown"
    UNMAPPED = "unmapped"
    MAPPING_DISABLED = "mapping_disabled"
    MAPPING_NOT_YET_VALID = "mapping_not_yet_valid"
    MAPPING_EXPIRED = "mapping_expired"
    AMBIGUOUS_MAPPING = "ambiguous_mapping"
    INACTIVE_USER = "inactive_user"
    TRUST_UNAVAILABLE = "trust_unavailable"


class ClientCertError(Exception):
    """Base of every error this package raises."""


class Refusal(ClientCertError):
    """A certificate is refused; carries one stable reason.

    ``detail`` is for an operator. It may hold text out of the certificate, always
    escaped (see ``escaping.visible``), and never the certificate itself.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class HeaderDecodeError(Refusal, ValueError):
    """A header value is not what the declared encoding allows."""

    def __init__(
        self, detail: str, *, reason: Reason = Reason.MALFORMED_HEADER
    ) -> None:
        super().__init__(reason, detail)


class CertificateParseError(Refusal, ValueError):
    """Bytes are not a certificate that can be used."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.MALFORMED_CERTIFICATE, detail)


class PathError(Refusal):
    """A certification path does not validate."""


class NameSyntaxError(ClientCertError, ValueError):
    """A text is not a distinguished name, or could be two different ones."""


class NameNotMatchableError(ClientCertError, ValueError):
    """A name holds what must never match, although RFC 5280 allows it."""


class BundleError(ClientCertError, ValueError):
    """An uploaded file or text holds nothing usable; says which part and why."""


class PrivateKeyFoundError(BundleError):
    """An uploaded file or text holds a private key."""


class RevocationListError(ClientCertError, ValueError):
    """A revocation list is refused; ``code`` is stable, the text says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
