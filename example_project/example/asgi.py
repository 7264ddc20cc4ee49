"""The application for an ASGI server.

Always run uvicorn with ``--no-proxy-headers``: otherwise it replaces the proxy's
address with one from the header ``X-Forwarded-For``.
"""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example.settings")

application = get_asgi_application()
