'''How proxies forward a client certificate, and how to read it; needs no Django.

A preset describes what one proxy sends. Its encoding names the decoder, which turns
the value of a header into DER:

    from django_clientcert.exceptions import HeaderDecodeError
    from django_clientcert.wire import DECODERS, forwarded_values, get_proxy
    from django_clientcert.x509.certificates import ClientCertificate

    proxy = get_proxy("caddy")

    def read(headers: dict[str, str]) -> ClientCertificate | None:
        """Return the client's certificate, or None if it cannot be decoded."""
        try:
            der, *_ = DECODERS[proxy.encoding](headers[proxy.certificate])
        except HeaderDecodeError as error:
            print(error)
            return None
        return ClientCertificate(der)

    headers = forwarded_values(proxy, der)  # what Caddy sends, for a test
    print(read(headers).subject)

Decoding is only one step: a header proves nothing unless it comes from the proxy, and
nothing here checks that, or validates the path of the certificate.
'''

from .configuration import get_proxy
from .encodings import CHAIN_ENCODINGS, DECODERS, MAX_CERTIFICATES, Decoder
from .encodings.base64_der import (
    decode_base64_der,
    decode_base64_der_concatenated,
    decode_base64_der_list,
    decode_escaped_base64_der_list,
    decode_latin1_der,
)
from .encodings.pem import (
    decode_base64_pem,
    decode_escaped_pem,
    decode_escaped_pem_chain,
    decode_folded_pem,
    decode_pem,
)
from .encodings.rfc9440 import decode_rfc9440, decode_rfc9440_list
from .encodings.writing import ENCODERS
from .encodings.xfcc import decode_xfcc, decode_xfcc_two_hops
from .forwarding import forwarded_values
from .presets import INGRESS_NGINX, NGINX, PRESETS
from .proxy import (
    FIELDS,
    Proxy,
    ProxyConfigurationError,
    ValueSource,
    is_absent,
    meta_key,
)

__all__ = [
    "CHAIN_ENCODINGS",
    "DECODERS",
    "ENCODERS",
    "FIELDS",
    "INGRESS_NGINX",
    "MAX_CERTIFICATES",
    "NGINX",
    "PRESETS",
    "Decoder",
    "Proxy",
    "ProxyConfigurationError",
    "ValueSource",
    "decode_base64_der",
    "decode_base64_der_concatenated",
    "decode_base64_der_list",
    "decode_base64_pem",
    "decode_escaped_base64_der_list",
    "decode_escaped_pem",
    "decode_escaped_pem_chain",
    "decode_folded_pem",
    "decode_latin1_der",
    "decode_pem",
    "decode_rfc9440",
    "decode_rfc9440_list",
    "decode_xfcc",
    "decode_xfcc_two_hops",
    "forwarded_values",
    "get_proxy",
    "is_absent",
    "meta_key",
]
