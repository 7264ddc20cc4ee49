"""Forms that are filled in with an unknown certificate, which then leaves the inbox."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext

from django_clientcert.admin.base.base_admin import is_possible_key
from django_clientcert.admin.base.permissions import may_see
from django_clientcert.models import UnknownCertificate
from django_clientcert.x509.certificates import ClientCertificate

from .suggestions import PARAMETER, Suggestions

_CACHE = "_clientcert_suggestions"


def find_suggestions(model_admin: Any, request: HttpRequest) -> Suggestions | None:
    """Return how to map the unknown certificate that the query string names, if any.

    The result is cached on the request.
    """
    if not hasattr(request, _CACHE):
        setattr(request, _CACHE, _find_suggestions(model_admin, request))
    found: Suggestions | None = getattr(request, _CACHE)
    return found


def _find_suggestions(model_admin: Any, request: HttpRequest) -> Suggestions | None:
    pk: Any = request.GET.get(PARAMETER)
    if pk is None or not is_possible_key(UnknownCertificate._meta.pk, pk):
        return None
    if not may_see(model_admin.admin_site, request, UnknownCertificate):
        return None
    row = UnknownCertificate.objects.filter(pk=pk).first()
    return None if row is None else Suggestions(model_admin.admin_site, request, row)


def describe_suggestions(suggestions: Suggestions) -> str:
    """Return the text above the form that maps an unknown certificate."""
    return format_html(
        "<p>{} {}</p><p>{}</p>{}",
        gettext("The certificate comes from the inbox."),
        suggestions.show_authorities(),
        suggestions.show_predecessors(),
        suggestions.show_ways(),
    )


def clear_inbox(
    model_admin: Any, request: HttpRequest, certificate: ClientCertificate
) -> None:
    """Remove *certificate*, which is mapped now, from the inbox."""
    if UnknownCertificate.objects.all().of_keys(certificate).delete()[0]:
        model_admin.message_user(
            request,
            gettext(
                "The certificate is now mapped and was removed from the inbox. The "
                "next request with it is evaluated again."
            ),
            messages.INFO,
        )
