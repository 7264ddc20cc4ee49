"""What each proxy sends, as data: one preset is read, and nothing else."""

from .description import (
    ABSENT,
    FIELDS,
    Proxy,
    ProxyConfigurationError,
    Source,
    meta_key,
)
from .presets import INGRESS_NGINX, NGINX, PRESETS
from .reading import get_proxy

__all__ = [
    "ABSENT",
    "FIELDS",
    "INGRESS_NGINX",
    "NGINX",
    "PRESETS",
    "Proxy",
    "ProxyConfigurationError",
    "Source",
    "get_proxy",
    "meta_key",
]
