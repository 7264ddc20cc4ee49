"""One view that looks at nothing, and some that look at the user."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate
from django.http import HttpRequest, HttpResponse
from django.urls import path


def nothing(request: HttpRequest) -> HttpResponse:
    """Look at nothing."""
    return HttpResponse("ok", headers={"Content-Length": "2"})


async def anothing(request: HttpRequest) -> HttpResponse:
    """Look at nothing, asynchronously."""
    return HttpResponse("ok")


def who(request: HttpRequest) -> HttpResponse:
    """Return the username."""
    return HttpResponse(request.user.get_username(), headers={"Content-Length": "5"})


async def awho(request: HttpRequest) -> HttpResponse:
    """Return the username, asynchronously."""
    user: Any = await request.auser()
    return HttpResponse(user.get_username())


def why(request: Any) -> HttpResponse:
    """Return why the certificate is refused."""
    return HttpResponse(str(request.client_cert_decision.reason))


def backend(request: HttpRequest) -> HttpResponse:
    """Return the username that the backends find for this request."""
    user: Any = authenticate(request=request)
    return HttpResponse("nobody" if user is None else user.get_username())


urlpatterns = [
    path("nothing/", nothing),
    path("anothing/", anothing),
    path("who/", who),
    path("awho/", awho),
    path("why/", why),
    path("backend/", backend),
]

try:
    from rest_framework.authentication import TokenAuthentication
    from rest_framework.views import APIView
except ImportError:
    pass  # one of those to compare with, if it is installed
else:

    class Token(APIView):  # type: ignore[misc]
        """Return the username of a token."""

        authentication_classes = (TokenAuthentication,)

        def get(self, request: Any) -> HttpResponse:
            """Answer."""
            return HttpResponse(request.user.get_username())

    urlpatterns.append(path("token/", Token.as_view()))
