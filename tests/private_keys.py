"""Private keys in every form in which somebody pastes or uploads one by mistake."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from django_clientcert.testing import ThrowawayCA


def _forms() -> dict[str, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    issued = ThrowawayCA.create().issue("mallory")
    plain, locked = NoEncryption(), BestAvailableEncryption(b"secret")
    pem, der = Encoding.PEM, Encoding.DER
    pkcs8, traditional = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL
    p12 = issued.p12("secret")
    forms = {
        "pem pkcs8": key.private_bytes(pem, pkcs8, plain),
        "pem pkcs8 encrypted": key.private_bytes(pem, pkcs8, locked),
        "pem ec": key.private_bytes(pem, traditional, plain),
        "pem rsa": rsa_key.private_bytes(pem, traditional, plain),
        "pem rsa encrypted": rsa_key.private_bytes(pem, traditional, locked),
        "openssh": key.private_bytes(pem, PrivateFormat.OpenSSH, plain),
        "der pkcs8": key.private_bytes(der, pkcs8, plain),
        "der pkcs8 encrypted": key.private_bytes(der, pkcs8, locked),
        "der ec": key.private_bytes(der, traditional, plain),
        "der rsa": rsa_key.private_bytes(der, traditional, plain),
        "pkcs12": p12,
        "beside the certificate": issued.pem.encode() + issued.key_pem.encode(),
    }
    return forms


UPLOADS = _forms()

_RSA = UPLOADS["der rsa"]

# What can be pasted into a text
TEXTS = {
    **{
        name: octets.decode("ascii")
        for name, octets in UPLOADS.items()
        if octets.isascii()
    },
    **{
        f"base64 of {name}": base64.b64encode(octets).decode("ascii")
        for name, octets in UPLOADS.items()
        if not octets.isascii()
    },
    "base64 in lines": base64.encodebytes(_RSA).decode("ascii"),
    "base64url": base64.urlsafe_b64encode(_RSA).decode("ascii"),
    "base64 in a sentence": f"the key is {base64.b64encode(_RSA).decode()}, I think",
    "without the first line": "\n".join(
        UPLOADS["pem rsa"].decode("ascii").splitlines()[1:]
    ),
    "without the last line": "\n".join(
        UPLOADS["pem rsa"].decode("ascii").splitlines()[:-1]
    ),
    "putty": "PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 1\n" + "AAAAgQ8f" * 8,
}


def secrets_of(text: str) -> list[str]:
    """Return pieces of *text* that must not be found anywhere: its long words."""
    words = [word for word in text.split() if len(word) > 30 and "-----" not in word]
    assert words
    return words
