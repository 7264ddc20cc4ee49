"""One view of each sort: public, with an optional and with a required certificate."""

from __future__ import annotations

from django.http import HttpResponse, JsonResponse

from django_clientcert.decorators import client_cert_required
from django_clientcert.requests import ClientCertRequest


def home(request: ClientCertRequest) -> HttpResponse:
    """Show a public page; do not look at the certificate."""
    return HttpResponse(
        "<!doctype html><html lang=en><title>Example</title>"
        "<h1>Everyone may read this</h1>"
        "<ul><li><a href=whoami/>Who am I?</a>"
        "<li><a href=ledger/>The ledger, for client certificates only</a>"
        "<li><a href=admin/>The admin</a></ul>"
    )


def whoami(request: ClientCertRequest) -> JsonResponse:
    """Return the user and the certificate, if any; refuse no request."""
    certificate = request.client_cert
    return JsonResponse(
        {
            "user": request.user.get_username() or None,
            "accepted": request.client_cert_decision.accepted,
            "subject": certificate and str(certificate.subject),
            "fingerprint": certificate and certificate.fingerprint,
        }
    )


@client_cert_required
def ledger(request: ClientCertRequest) -> JsonResponse:
    """Return the ledger for a mapped certificate; everyone else gets a 403."""
    return JsonResponse({"user": request.user.get_username(), "balance": 1234})


@client_cert_required
async def async_ledger(request: ClientCertRequest) -> JsonResponse:
    """See ledger()."""
    user = await request.auser()
    return JsonResponse({"user": user.get_username(), "balance": 1234})
