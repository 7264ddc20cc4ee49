"""The application for an ASGI server.

With uvicorn, always ``--no-proxy-headers``: otherwise it puts an address from the
header ``X-Forwarded-For`` where Django looks for the proxy's.
"""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example.settings")

application = get_asgi_application()
