"""The addresses of the test project, and the files of the admin's style."""

from __future__ import annotations

from django.contrib.staticfiles.views import serve
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.cache import cache_control

from tests import urls

urlpatterns = [
    *urls.urlpatterns,
    path("static/<path:path>", cache_control(max_age=3600)(serve), {"insecure": True}),
    # Every browser asks for it.
    path("favicon.ico", lambda request: HttpResponse(status=204)),
]
