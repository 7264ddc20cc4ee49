"""The screens of the certificates that were let in lately."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.models import SeenCertificate
from django_clientcert.x509.escaping import visible

from .base.base_admin import Fieldsets
from .base.markup import breakable_name
from .base.readonly_admin import ReadOnlyCertificateAdmin
from .explain.screen import may_explain
from .mappings.related import Siblings
from .revocations.revoking import revoke, revoke_view


@admin.register(SeenCertificate)
class SeenCertificateAdmin(ReadOnlyCertificateAdmin):
    """Which certificates were let in: to look at, and to revoke."""

    list_display = (
        "shown_subject",
        "shown_user",
        "through",
        "list_seen",
        "valid_until",
    )
    list_display_links = ("shown_subject",)
    actions = (revoke,)
    screens = (
        *ReadOnlyCertificateAdmin.screens,
        ("revoke/", revoke_view, "revoke"),
    )
    list_select_related = ("user", "mapping", "authority")
    list_filter = ("authority",)
    search_fields = ("subject", "host")
    readonly_fields = (
        "shown_user",
        "through",
        "shown_host",
        "first_seen",
        "last_seen",
        "revoked",
        "explained",
        "mappings_of_user",
        "others_of_user",
    )

    def get_fieldsets(
        self, request: HttpRequest, obj: SeenCertificate | None = None
    ) -> Fieldsets:
        """Return the groups of fields, with what is known of the certificate."""
        if obj is None:
            return []  # nobody adds one
        obj.siblings = Siblings(self, request, obj)  # type: ignore[attr-defined]
        used = ["shown_user", "through", "shown_host", "first_seen", "last_seen"]
        if may_explain(self.admin_site, request):
            used.append("explained")
        return [
            (None, {"fields": used}),
            (
                _("Certificate"),
                {"fields": (*self.certificate_fields(obj), "revoked")},
            ),
            (
                _("Other certificates"),
                {"fields": ("mappings_of_user", "others_of_user")},
            ),
        ]

    # --- who may do what

    def has_delete_permission(
        self, request: HttpRequest, obj: SeenCertificate | None = None
    ) -> bool:
        """Nobody deletes one by itself; but it goes with its user."""
        return obj is not None

    def delete_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Refuse.

        Raises:
            PermissionDenied: always.
        """
        raise PermissionDenied

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a certificate, without a button to delete it."""
        return super().changeform_view(
            request,
            object_id,
            form_url,
            {**(extra_context or {}), "show_delete": False},
        )

    # --- what is shown

    @admin.display(description=_("subject"), ordering="subject")
    def shown_subject(self, obj: SeenCertificate) -> str:
        """Return the subject, shortened, and the host of the last request."""
        return format_html(
            '{}<br><span class="quiet">{}</span>',
            breakable_name(str(obj)),
            visible(obj.host, 80),
        )

    @admin.display(description=_("user"), ordering="user")
    def shown_user(self, obj: SeenCertificate) -> str:
        """Return the user."""
        return visible(str(obj.user), 50)

    @admin.display(description=_("through"))
    def through(self, obj: SeenCertificate) -> str:
        """Return the mapping that let it in, or the authority whose rule did."""
        if obj.mapping is not None:
            return format_html(
                '<a href="{}">{}</a>',
                reverse(
                    "admin:django_clientcert_certificatemapping_change",
                    args=[obj.mapping.pk],
                    current_app=self.admin_site.name,
                ),
                gettext("mapping %(pk)s") % {"pk": obj.mapping.pk},
            )
        if obj.authority is not None:
            return gettext("the rule of %(authority)s") % {"authority": obj.authority}
        return gettext("what is deleted now")

    @admin.display(description=_("mappings of this user"))
    def mappings_of_user(self, obj: SeenCertificate) -> str:
        """Return the mappings of the user."""
        return _siblings(obj).mappings()

    @admin.display(description=_("seen of this user"))
    def others_of_user(self, obj: SeenCertificate) -> str:
        """Return the other certificates of the user."""
        return _siblings(obj).seen()

    @admin.display(description=_("decision"))
    def explained(self, obj: SeenCertificate) -> str:
        """Return a link to the page that explains what becomes of it now."""
        address = reverse(
            "admin:django_clientcert_certificatemapping_explain",
            current_app=self.admin_site.name,
        )
        text = gettext("Explain")
        return format_html('<a href="{}?seen={}">{}</a>', address, obj.pk, text)


def _siblings(obj: SeenCertificate) -> Siblings:
    siblings: Siblings = obj.siblings  # type: ignore[attr-defined]
    return siblings
