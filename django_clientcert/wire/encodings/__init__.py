"""Header text to DER: one strict, pure function for each encoding on the wire.

Each takes the whole value, already known to be short enough, and returns a tuple
of DER certificates: the client's own, followed by the intermediates that were sent
with it. A value is accepted as a whole or not at all: nothing is skipped, repaired or
guessed.
"""

from . import base64_der, pem, rfc9440, xfcc
from .values import MAX_CERTIFICATES, Decoder

_ONE_CERTIFICATE: dict[str, Decoder] = {
    "escaped_pem": pem.decode_escaped_pem,
    "folded_pem": pem.decode_folded_pem,
    "pem": pem.decode_pem,
    "base64_pem": pem.decode_base64_pem,
    "base64_der": base64_der.decode_base64_der,
    "latin1_der": base64_der.decode_latin1_der,
    "rfc9440": rfc9440.decode_rfc9440,
}
_WITH_CHAIN: dict[str, Decoder] = {
    "escaped_pem_chain": pem.decode_escaped_pem_chain,
    "base64_der_concatenated": base64_der.decode_base64_der_concatenated,
    "base64_der_list": base64_der.decode_base64_der_list,
    "escaped_base64_der_list": base64_der.decode_escaped_base64_der_list,
    "rfc9440_list": rfc9440.decode_rfc9440_list,
    "xfcc": xfcc.decode_xfcc,
    "xfcc_two_hops": xfcc.decode_xfcc_two_hops,
}

# Every encoding by the name that a preset, or a custom description, gives it
DECODERS = _ONE_CERTIFICATE | _WITH_CHAIN

# Those whose value may hold more than the client's own certificate
CHAIN_ENCODINGS = frozenset(_WITH_CHAIN)

__all__ = ["CHAIN_ENCODINGS", "DECODERS", "MAX_CERTIFICATES", "Decoder"]
