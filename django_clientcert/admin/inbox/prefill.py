"""What is mapped may come from the inbox, and leaves it then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib import messages
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext

from django_clientcert.admin.base.base_admin import ClientCertModelAdmin
from django_clientcert.models import UnknownCertificate
from django_clientcert.x509.certificates import ClientCertificate

from . import suggestions

T = TypeVar("T")


class FromInboxAdmin(ClientCertModelAdmin):
    """An admin whose forms the address fills in with a row of the inbox."""

    def _unknown(self, request: HttpRequest) -> UnknownCertificate | None:
        """Return the row of the inbox that is to be mapped, once per request."""
        return _once(
            request, "row", lambda: suggestions.chosen_row(self.admin_site, request)
        )

    def _suggestions(
        self, request: HttpRequest, row: UnknownCertificate
    ) -> suggestions.Suggestions:
        """Return how the row could be mapped, found out once per request."""
        return _once(
            request,
            "suggestions",
            lambda: suggestions.suggest(row.client_certificate()),
        )

    def _describe_unknown(self, request: HttpRequest) -> str:
        """Return what is said above the form of a certificate of the inbox."""
        row = self._unknown(request)
        if row is None:
            return ""
        found = self._suggestions(request, row)
        return format_html(
            "<p>{} {}</p><p>{}</p>{}",
            gettext("The certificate comes from the inbox."),
            suggestions.show_authorities(found),
            suggestions.show_predecessors(found, self.admin_site, request, row),
            suggestions.show_ways(found, None),
        )

    def _clear_inbox(
        self, request: HttpRequest, certificate: ClientCertificate
    ) -> None:
        """Take what is mapped now out of the inbox."""
        if UnknownCertificate.objects.all().of_keys(certificate).delete()[0]:
            self.message_user(
                request,
                gettext(
                    "The certificate is mapped now, and no longer in the inbox. It is "
                    "looked at anew with the next request."
                ),
                messages.INFO,
            )


def _once(request: HttpRequest, name: str, find: Callable[[], T]) -> T:
    """Return what *find* returns, and asks for it once in a request."""
    found: dict[str, Any] = request.__dict__.setdefault("_client_cert_inbox", {})
    if name not in found:
        found[name] = find()
    return found[name]  # type: ignore[no-any-return]
