"""The screens of CRLs: import, view, delete; never edit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.authorities.crl_table import crl_state
from django_clientcert.admin.base.base_admin import (
    ClientCertModelAdmin,
    Fieldsets,
    fieldset,
)
from django_clientcert.admin.base.deleting import Deletion, find_deletion
from django_clientcert.admin.base.markup import breakable_name, column, hex_pairs
from django_clientcert.admin.base.permissions import may_change_authority
from django_clientcert.admin.base.times import moment
from django_clientcert.models import RevocationList, RevokedSerial, serial_key
from django_clientcert.trust.revoke import describe_delay
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.text import parse_serial, show_day

from .forms import CRLForm


@admin.register(RevocationList)
class RevocationListAdmin(ClientCertModelAdmin):
    """The model admin of CRLs."""

    form = CRLForm
    list_display = (
        "list_label",
        "authority",
        "list_issued",
        "list_next_due",
        "list_state",
        "entry_count",
    )
    list_select_related = ("authority",)
    list_filter = ("authority", "is_delta")
    search_fields = ("issuer", "authority__name")
    search_help_text = _(
        "Issuer or authority; or a serial number in hexadecimal, with or without "
        "colons, to find the CRLs that list it."
    )
    readonly_fields = (
        "entry_count",
        "label",
        "shown_issuer",
        "scope",
        "issued",
        "next_due",
        "state",
        "shown_fingerprint",
        "shown_source",
        "imported",
    )
    prefilled_fields = ("authority",)

    # --- who may do what

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: a CA has signed it."""
        return False

    def is_in_reach(self, actor: Any, row: RevocationList) -> bool:
        """Return whether *actor* may lift what the CRL revoked."""
        return may_change_authority(actor, row.authority)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deletion:
        """Return what is deleted with the CRLs: their entries, counted."""
        return find_deletion(request, self.admin_site, objs)

    # --- import

    def get_fieldsets(
        self, request: HttpRequest, obj: RevocationList | None = None
    ) -> Fieldsets:
        """Return the import form, or the contents of a CRL."""
        if obj is None:
            return [
                fieldset(
                    None,
                    *("authority", "upload"),
                    description=_(
                        "The CRL must be signed by a CA of the authority and be newer "
                        "than the one it replaces. If it is refused, the old one stays "
                        "in force."
                    ),
                )
            ]
        return [
            fieldset(
                None, "label", "authority", "shown_issuer", "scope", "entry_count"
            ),
            fieldset(_("Validity"), "issued", "next_due", "state"),
            fieldset(_("Origin"), "shown_source", "imported", "shown_fingerprint"),
        ]

    def save_model(
        self, request: HttpRequest, obj: RevocationList, form: CRLForm, change: bool
    ) -> None:
        """Show what is loaded now; the form has imported it."""
        now = timezone.now()
        info = obj.crl_info()
        text = ngettext(
            "Imported %(label)s with %(count)d entry, %(state)s.",
            "Imported %(label)s with %(count)d entries, %(state)s.",
            info.entry_count,
        ) % {
            "label": obj.label(),
            "count": info.entry_count,
            "state": crl_state(info, now),
        }
        if form.replaced:
            text += " " + gettext("It replaces %(labels)s.") % {
                "labels": ", ".join(form.replaced)
            }
        text = f"{text} {describe_delay()}".rstrip()
        self.message_user(request, text, messages.SUCCESS)
        for warning in form.warnings:
            self.message_user(request, warning, messages.WARNING)
        if now > info.expires():
            self.message_user(
                request,
                gettext(
                    "The CRL is already stale: its entries are revoked, but it no "
                    "longer clears other certificates. Get the latest one from the CA."
                ),
                messages.WARNING,
            )

    def response_add(
        self,
        request: HttpRequest,
        obj: RevocationList,
        post_url_continue: str | None = None,
    ) -> HttpResponse:
        """Return to the changelist; ``save_model()`` has shown the result."""
        response: HttpResponse = self.response_post_save_add(request, obj)
        return response

    # --- the list

    def find_exactly(self, request: HttpRequest, queryset: Any, term: str) -> Any:
        """Return the CRLs that list the serial number *term*."""
        number = parse_serial(term)
        if number is None:
            return queryset.none()
        entries = RevokedSerial.objects.filter(serial=serial_key(number))
        return queryset.filter(pk__in=entries.values("crl"))

    @admin.display(description=_("CRL"), ordering="issuer")
    def list_label(self, obj: RevocationList) -> str:
        """Return its label and the CA that issued it."""
        issuer = breakable_name(visible_once(obj.issuer, 100))
        return format_html('{}<br><span class="quiet">{}</span>', obj.label(), issuer)

    @admin.display(description=_("state"))
    def list_state(self, obj: RevocationList) -> str:
        """Return whether it is current or stale, in one word."""
        stale = timezone.now() > obj.crl_info().expires()
        return gettext("stale") if stale else gettext("current")

    @admin.display(description=_("scope"))
    def scope(self, obj: RevocationList) -> str:
        """Return which certificates it covers."""
        return visible_once(str(obj.crl_info().scope), 500) or gettext(
            "everything that the CA issued"
        )

    list_issued = column(
        _("issued"), lambda crl: show_day(crl.this_update), ordering="this_update"
    )
    list_next_due = column(
        _("next due"), lambda crl: _next_due(crl, show_day), ordering="next_update"
    )
    label = column(_("CRL"), RevocationList.label)
    shown_issuer = column(
        _("issuer"), lambda crl: breakable_name(visible_once(crl.issuer, 200))
    )
    issued = column(_("issued"), lambda crl: moment(crl.this_update))
    next_due = column(_("next due"), lambda crl: _next_due(crl, moment))
    state = column(_("state"), lambda crl: crl_state(crl.crl_info(), timezone.now()))
    shown_fingerprint = column(
        _("SHA-256 fingerprint"), lambda crl: hex_pairs(visible(crl.fingerprint, 64))
    )
    shown_source = column(
        _("source"), lambda crl: visible_once(crl.source, 500) or gettext("unknown")
    )
    imported = column(_("imported"), lambda crl: moment(crl.imported_at))


def _next_due(crl: RevocationList, show: Callable[[dt.datetime], str]) -> str:
    """Return by when the CA will issue the next CRL."""
    return (
        gettext("not specified") if crl.next_update is None else show(crl.next_update)
    )
