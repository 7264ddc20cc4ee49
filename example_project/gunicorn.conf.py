"""gunicorn's settings, for the demonstration and for Kubernetes."""

from __future__ import annotations

wsgi_app = "example.wsgi"
worker_class = "gthread"
workers = 2
threads = 4

# gunicorn's default limit for a header line is 8190 bytes; a percent-encoded
# certificate with many names, or with a post-quantum key, is longer than that. This
# value is CLIENTCERT_MAX_HEADER_BYTES and room for the header's name.
limit_request_field_size = 16640

# Keep a second spelling with underscores from reaching Django. Do not change this
# default.
header_map = "drop"

# Not needed, and its socket would be in the home directory.
control_socket_disable = True
