"""One view that looks at nothing, and one that looks at the user."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path


def nothing(request: HttpRequest) -> HttpResponse:
    """Look at nothing."""
    return HttpResponse("ok")


def who(request: HttpRequest) -> HttpResponse:
    """Return the username."""
    return HttpResponse(request.user.get_username())


urlpatterns = [path("nothing/", nothing), path("who/", who)]
