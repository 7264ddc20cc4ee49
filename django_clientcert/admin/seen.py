"""The admin of the certificates that were accepted recently."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.models import CertificateMapping, SeenCertificate
from django_clientcert.x509.escaping import visible

from .base.base_admin import Fieldsets, admin_url, fieldset, row_link
from .base.markup import breakable_name, column, link, with_quiet
from .base.readonly_admin import ReadOnlyCertificateAdmin
from .explain.screen import may_explain
from .mappings.related import RelatedRows, RelatedRowsAdmin, related_field
from .revocations.revoking import revoke, revoke_view

_USE = ("shown_user", "through", "shown_host", "first_seen", "last_seen")
_RELATED = ("other_mappings", "others_of_user")


@admin.register(SeenCertificate)
class SeenCertificateAdmin(RelatedRowsAdmin, ReadOnlyCertificateAdmin):
    """The certificates that were accepted: to view and to revoke."""

    list_display = (
        "shown_subject",
        "shown_user",
        "through",
        "list_seen",
        "valid_until",
    )
    actions = (revoke,)
    screens = (*ReadOnlyCertificateAdmin.screens, ("revoke/", revoke_view, "revoke"))
    list_select_related = ("user", "mapping", "authority")
    list_filter = ("authority",)
    search_fields = ("subject", "host")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Fieldsets:
        """Return the fieldsets, with the facts about the certificate."""
        if obj is None:
            return []  # nobody may add one
        explained = ("explained",) if may_explain(self.admin_site, request) else ()
        return [
            fieldset(None, *_USE, *explained),
            fieldset(_("Certificate"), *self.certificate_fields(obj), "revoked"),
            fieldset(_("Other certificates"), *_RELATED),
        ]

    # --- permissions

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow deletion only as part of the deletion of the user."""
        return obj is not None

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Refuse.

        Raises:
            PermissionDenied: always.
        """
        raise PermissionDenied

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show a certificate, without a button that deletes it."""
        context["show_delete"] = False
        return super().render_change_form(request, context, *args, **kwargs)

    # --- columns and fields

    @admin.display(description=_("subject"), ordering="subject")
    def shown_subject(self, obj: SeenCertificate) -> str:
        """Return the subject, shortened, and the host of the last request."""
        return with_quiet(breakable_name(str(obj)), visible(obj.host, 80))

    shown_user = column(
        _("user"), lambda row: visible(str(row.user), 50), ordering="user"
    )

    @admin.display(description=_("through"))
    def through(self, obj: SeenCertificate) -> str:
        """Return the mapping that accepted it, or the authority whose rule did."""
        if obj.mapping is not None:
            text = gettext("mapping %(pk)s") % {"pk": obj.mapping.pk}
            return row_link(self.admin_site, obj.mapping, text)
        if obj.authority is not None:
            return gettext("the rule of %(authority)s") % {"authority": obj.authority}
        return gettext("a mapping or rule that was deleted")

    others_of_user = related_field(
        _("other certificates of this user"), RelatedRows.seen
    )

    @admin.display(description=_("decision"))
    def explained(self, obj: SeenCertificate) -> str:
        """Return a link to the screen that explains the decision on it."""
        url = admin_url(self.admin_site, CertificateMapping, "explain")
        return link(f"{url}?seen={obj.pk}", gettext("Explain"))
