"""Views: one that tells who is there, and one of each that demands a certificate."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import View

from django_clientcert.decorators import client_cert_required
from django_clientcert.mixins import ClientCertRequiredMixin
from django_clientcert.requests import ClientCertRequest


def _describe(request: ClientCertRequest, user: object) -> JsonResponse:
    decision = request.client_cert_decision
    return JsonResponse(
        {
            "user": getattr(user, "username", ""),
            "fingerprint": request.client_cert and request.client_cert.fingerprint,
            "accepted": decision.accepted,
            "reason": decision.reason and str(decision.reason),
            "left": sorted(key for key in request.META if "SSL" in key),
        }
    )


def open_view(request: ClientCertRequest) -> JsonResponse:
    """Tell who is there."""
    return _describe(request, request.user)


def untouched(request: HttpRequest) -> HttpResponse:
    """Look at nothing."""
    return HttpResponse("ok")


@client_cert_required
def ledger(request: ClientCertRequest) -> JsonResponse:
    """Demand a certificate."""
    return _describe(request, request.user)


@client_cert_required(authority="Partners")
def partner(request: ClientCertRequest) -> JsonResponse:
    """Demand a certificate of one authority."""
    return _describe(request, request.user)


class ClassView(ClientCertRequiredMixin, View):
    """Demand a certificate, class-based."""

    def get(self, request: ClientCertRequest) -> JsonResponse:
        """Tell who is there."""
        return _describe(request, request.user)


async def aopen_view(request: ClientCertRequest) -> JsonResponse:
    """See open_view()."""
    user = await request.auser()
    await request.aclient_cert_decision()
    return _describe(request, user)


@client_cert_required
async def aledger(request: ClientCertRequest) -> JsonResponse:
    """See ledger()."""
    return _describe(request, await request.auser())


@client_cert_required(authority="Partners")
async def apartner(request: ClientCertRequest) -> JsonResponse:
    """See partner()."""
    return _describe(request, await request.auser())


class AsyncClassView(ClientCertRequiredMixin, View):
    """See ClassView."""

    async def get(self, request: ClientCertRequest) -> JsonResponse:
        """Tell who is there."""
        return _describe(request, await request.auser())
