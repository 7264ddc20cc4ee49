"""Views that ask for nothing, or for who is there."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path


def nothing(request: HttpRequest) -> HttpResponse:
    """Look at nothing."""
    return HttpResponse("ok")


def who(request: HttpRequest) -> HttpResponse:
    """Tell who is there."""
    return HttpResponse(request.user.get_username())


urlpatterns = [path("nothing/", nothing), path("who/", who)]
