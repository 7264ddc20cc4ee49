"""What each proxy sends, as data: one preset is read, and nothing else."""

from .configuration import get_proxy
from .presets import INGRESS_NGINX, NGINX, PRESETS
from .proxy import ABSENT, FIELDS, Proxy, ProxyConfigurationError, Source, meta_key

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
