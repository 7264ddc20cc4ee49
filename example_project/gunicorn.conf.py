"""gunicorn's settings, for the demonstration and for Kubernetes alike."""

from __future__ import annotations

wsgi_app = "example.wsgi"
worker_class = "gthread"
workers = 2
threads = 4

# A header line of at most 8190 bytes is gunicorn's own limit; percent-encoding makes
# a certificate with a long list of names, or a post-quantum key, longer than that.
# This is CLIENTCERT_MAX_HEADER_BYTES and room for the header's name.
limit_request_field_size = 16640

# A second spelling with underscores never reaches Django. The default; never change it.
header_map = "drop"

# Not needed here, and its socket would lie in the home directory.
control_socket_disable = True
