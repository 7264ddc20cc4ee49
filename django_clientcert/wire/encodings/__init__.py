"""Header text to DER: one strict, pure function for each encoding on the wire.

Each takes the whole value, already known to be short enough, and returns a tuple
of DER certificates, the client's own first and what was sent to get from it to a CA
behind it. A value is taken as a whole or not at all: nothing is skipped, repaired or
guessed.
"""

from .base64_der import (
    decode_base64_der,
    decode_base64_der_concatenated,
    decode_base64_der_list,
    decode_escaped_base64_der_list,
    decode_latin1_der,
)
from .pem import (
    decode_escaped_pem,
    decode_escaped_pem_chain,
    decode_folded_pem,
    decode_pem,
)
from .rfc9440 import decode_rfc9440, decode_rfc9440_list
from .values import MAX_CERTIFICATES, Decoder
from .xfcc import decode_xfcc, decode_xfcc_two_hops, read_forwarder

# Every encoding by the name that a preset, or a custom one, gives it.
DECODERS: dict[str, Decoder] = {
    "escaped_pem": decode_escaped_pem,
    "escaped_pem_chain": decode_escaped_pem_chain,
    "folded_pem": decode_folded_pem,
    "pem": decode_pem,
    "base64_der": decode_base64_der,
    "base64_der_concatenated": decode_base64_der_concatenated,
    "base64_der_list": decode_base64_der_list,
    "escaped_base64_der_list": decode_escaped_base64_der_list,
    "latin1_der": decode_latin1_der,
    "rfc9440": decode_rfc9440,
    "rfc9440_list": decode_rfc9440_list,
    "xfcc": decode_xfcc,
    "xfcc_two_hops": decode_xfcc_two_hops,
}

# Those whose value may hold more than the client's own certificate
OF_CHAINS = frozenset(
    {
        "escaped_pem_chain",
        "base64_der_concatenated",
        "base64_der_list",
        "escaped_base64_der_list",
        "rfc9440_list",
        "xfcc",
        "xfcc_two_hops",
    }
)

__all__ = [
    "DECODERS",
    "MAX_CERTIFICATES",
    "OF_CHAINS",
    "Decoder",
    "decode_base64_der",
    "decode_base64_der_concatenated",
    "decode_base64_der_list",
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
    "read_forwarder",
]
