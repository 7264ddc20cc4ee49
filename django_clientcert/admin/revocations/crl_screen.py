"""The screens of the revocation lists: import, look, delete; never edit."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.authorities.crl_table import crl_state
from django_clientcert.admin.base.base_admin import ClientCertModelAdmin, Fieldsets
from django_clientcert.admin.base.deleting import Deletion, deletion_of_lists
from django_clientcert.admin.base.markup import breakable_name, hex_pairs
from django_clientcert.admin.base.permissions import may_change_authority
from django_clientcert.admin.base.times import moment
from django_clientcert.models import RevocationList, RevokedSerial, serial_key
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.text import parse_serial, show_day

from .forms import CRLForm


@admin.register(RevocationList)
class RevocationListAdmin(ClientCertModelAdmin):
    """What CAs have revoked."""

    form = CRLForm
    list_display = (
        "list_label",
        "authority",
        "list_issued",
        "list_next_due",
        "list_standing",
        "entry_count",
    )
    list_select_related = ("authority",)
    list_filter = ("authority", "is_delta")
    search_fields = ("issuer", "authority__name")
    search_help_text = _(
        "Issuer or authority; or a serial number in hex, with or without colons, to "
        "find the lists that it is on."
    )
    readonly_fields = (
        "entry_count",
        "label",
        "shown_issuer",
        "scope",
        "issued",
        "next_due",
        "standing",
        "shown_fingerprint",
        "shown_source",
        "imported",
    )
    prefilled_fields = ("authority",)

    # --- who may do what

    def has_change_permission(
        self, request: HttpRequest, obj: RevocationList | None = None
    ) -> bool:
        """Nobody changes what a CA has signed."""
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: RevocationList | None = None
    ) -> bool:
        """Tell whether what it revoked may be let in again."""
        return super().has_delete_permission(request, obj) and (
            obj is None or may_change_authority(request.user, obj.authority)
        )

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deletion:
        """Return what goes with the lists: their entries, counted."""
        return deletion_of_lists(request, self.admin_site, objs)

    # --- import

    def get_fieldsets(
        self, request: HttpRequest, obj: RevocationList | None = None
    ) -> Fieldsets:
        """Return the form of the import, or what is known of a list."""
        if obj is None:
            return [
                (
                    None,
                    {
                        "fields": ("authority", "upload"),
                        "description": _(
                            "The list has to be signed by a CA of the authority, and "
                            "be newer than the one that it replaces. If it is refused, "
                            "that one stays in force."
                        ),
                    },
                )
            ]
        return [
            (
                None,
                {
                    "fields": (
                        "label",
                        "authority",
                        "shown_issuer",
                        "scope",
                        "entry_count",
                    )
                },
            ),
            (_("Validity"), {"fields": ("issued", "next_due", "standing")}),
            (
                _("Origin"),
                {"fields": ("shown_source", "imported", "shown_fingerprint")},
            ),
        ]

    def save_model(
        self,
        request: HttpRequest,
        obj: RevocationList,
        form: CRLForm,
        change: bool,
    ) -> None:
        """Say what is loaded now; the form has imported it."""
        now = timezone.now()
        info = obj.crl_info()
        text = ngettext(
            "Imported %(label)s with %(count)d entry, %(standing)s.",
            "Imported %(label)s with %(count)d entries, %(standing)s.",
            info.entry_count,
        ) % {
            "label": obj.label(),
            "count": info.entry_count,
            "standing": crl_state(info, now),
        }
        if form.replaced:
            text += " " + gettext("It replaces %(labels)s.") % {
                "labels": ", ".join(form.replaced)
            }
        self.message_user(request, text, messages.SUCCESS)
        if now > info.expires():
            self.message_user(
                request,
                gettext(
                    "The list is stale already: what it lists is revoked, but it "
                    "clears nobody. Get the newest one from the CA."
                ),
                messages.WARNING,
            )

    def response_add(
        self,
        request: HttpRequest,
        obj: RevocationList,
        post_url_continue: str | None = None,
    ) -> HttpResponse:
        """Return to the list; what there is to say was said."""
        response: HttpResponse = self.response_post_save_add(request, obj)
        return response

    # --- the list

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[QuerySet[RevocationList], bool]:
        """Return the lists that a serial number is on, by index; or search texts."""
        number = parse_serial(search_term)
        if number is not None:
            entries = RevokedSerial.objects.filter(serial=serial_key(number))
            found = queryset.filter(pk__in=entries.values("crl"))
            if found.exists():
                return found, False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description=_("list"), ordering="issuer")
    def list_label(self, obj: RevocationList) -> str:
        """Return what to call it, and the CA that it is of."""
        issuer = breakable_name(visible_once(obj.issuer, 100))
        return format_html('{}<br><span class="quiet">{}</span>', obj.label(), issuer)

    @admin.display(description=_("issued"), ordering="this_update")
    def list_issued(self, obj: RevocationList) -> str:
        """Return the day on which the CA signed it."""
        return show_day(obj.this_update)

    @admin.display(description=_("next due"), ordering="next_update")
    def list_next_due(self, obj: RevocationList) -> str:
        """Return the day on which the CA will sign the next one."""
        if obj.next_update is None:
            return gettext("not said")
        return show_day(obj.next_update)

    @admin.display(description=_("state"))
    def list_standing(self, obj: RevocationList) -> str:
        """Return whether it is current or stale, in a word."""
        stale = timezone.now() > obj.crl_info().expires()
        return gettext("stale") if stale else gettext("current")

    @admin.display(description=_("list"))
    def label(self, obj: RevocationList) -> str:
        """Return what to call it."""
        return obj.label()

    @admin.display(description=_("issuer"))
    def shown_issuer(self, obj: RevocationList) -> str:
        """Return the CA that it is of."""
        return breakable_name(visible_once(obj.issuer, 200))

    @admin.display(description=_("scope"))
    def scope(self, obj: RevocationList) -> str:
        """Return which certificates it speaks of."""
        return visible_once(str(obj.crl_info().scope), 500) or gettext(
            "everything that the CA issued"
        )

    @admin.display(description=_("issued"))
    def issued(self, obj: RevocationList) -> str:
        """Return when the CA signed it."""
        return moment(obj.this_update)

    @admin.display(description=_("next one due"))
    def next_due(self, obj: RevocationList) -> str:
        """Return when the CA will sign the next one."""
        if obj.next_update is None:
            return gettext("not said")
        return moment(obj.next_update)

    @admin.display(description=_("state"))
    def standing(self, obj: RevocationList) -> str:
        """Return whether it is current or stale."""
        return crl_state(obj.crl_info(), timezone.now())

    @admin.display(description=_("SHA-256 fingerprint"))
    def shown_fingerprint(self, obj: RevocationList) -> str:
        """Return the digest of the file, as DER."""
        return hex_pairs(visible(obj.fingerprint, 64))

    @admin.display(description=_("source"))
    def shown_source(self, obj: RevocationList) -> str:
        """Return where it came from."""
        return visible_once(obj.source, 500) or gettext("unknown")

    @admin.display(description=_("imported"))
    def imported(self, obj: RevocationList) -> str:
        """Return when it was imported."""
        return moment(obj.imported_at)
