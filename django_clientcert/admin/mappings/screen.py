"""The screens of the mappings."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.base_admin import Fieldsets
from django_clientcert.admin.base.certificate_page import StoredCertificateAdmin
from django_clientcert.admin.base.entries import spell_out
from django_clientcert.admin.base.history import describe_changes
from django_clientcert.admin.base.permissions import may_add_revocations, why_not_map
from django_clientcert.admin.base.revocation_status import (
    revoked_mappings,
    show_revocation,
)
from django_clientcert.admin.base.times import moment, relative
from django_clientcert.admin.base.warnings import certificate_warnings
from django_clientcert.admin.explain.screen import explain_view
from django_clientcert.admin.inbox import suggestions
from django_clientcert.admin.revocations.revoking import revoke, revoke_view
from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import CertificateMapping
from django_clientcert.trust.renewals import find_predecessors
from django_clientcert.x509.bundles import to_pem
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible_once
from django_clientcert.x509.identities import PINS, IdentityKind
from django_clientcert.x509.names import Order, parse_name

from .changelist import MappingList
from .form import CertificateMappingForm
from .importing import ImportingAdmin
from .related import Siblings
from .renewing import RenewingAdmin
from .states import StatesAdmin
from .timeline import TimelineAdmin
from .user_select import UserSelect

_NAME_KINDS = frozenset({IdentityKind.SUBJECT.value, IdentityKind.ISSUER_SERIAL.value})

_READ_ONLY = (
    "created",
    "last_used",
    "other_mappings",
    "predecessors",
    "renewal",
    "revocation",
    "shown_value",
    "strength",
    "successors",
    "understood",
    "used_from",
    "validity",
)


# Whose old and new values the history shows
_HISTORY_FIELDS = frozenset(
    {"user", "kind", "value", "authority", "state", "valid_from", "valid_until"}
    | {"hosts"}
)
# What fields that are not columns are called there
_HISTORY_LABELS = {"pasted": "Certificate", "upload": "Certificate", "order": ""}


@admin.register(CertificateMapping)
class CertificateMappingAdmin(
    MappingList,
    StatesAdmin,
    RenewingAdmin,
    TimelineAdmin,
    ImportingAdmin,
    StoredCertificateAdmin,
):
    """Who a certificate is."""

    form = CertificateMappingForm
    raw_id_fields = ("user",)
    readonly_fields = _READ_ONLY
    actions = ("enable", "disable", revoke, "export_csv", "export_json")
    prefilled_fields = ("user", "kind", "value", "authority", "note")
    screens = (
        *StoredCertificateAdmin.screens,
        ("explain/", explain_view, "explain"),
        ("revoke/", revoke_view, "revoke"),
    )

    # --- who may do what

    def has_change_permission(
        self, request: HttpRequest, obj: CertificateMapping | None = None
    ) -> bool:
        """Tell whether the mapping's user is one whose mappings may be changed."""
        return super().has_change_permission(request, obj) and _may_map(request, obj)

    def has_delete_permission(
        self, request: HttpRequest, obj: CertificateMapping | None = None
    ) -> bool:
        """Tell whether the mapping may go: a disabled one keeps others out."""
        return super().has_delete_permission(request, obj) and _may_map(request, obj)

    # --- the form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the address fills in; the kind that survives a renewal."""
        initial = super().get_changeform_initial_data(request)
        initial = {"kind": IdentityKind.PUBLIC_KEY.value, **initial}
        row = self._unknown(request)
        if row is not None:
            initial["pasted"] = to_pem([row.client_certificate()])
            authority = self._suggestions(request, row).authority
            if authority is not None and initial["kind"] not in PINS:
                initial.setdefault("authority", authority.pk)
        return initial

    def get_form(
        self,
        request: HttpRequest,
        obj: CertificateMapping | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return the form, which knows who is at the keyboard."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        # A class of its own for each call: see modelform_factory.
        form.refuse_user = staticmethod(partial(why_not_map, request.user))
        if obj is None and (row := self._unknown(request)) is not None:
            form.offered_kinds = self._suggestions(request, row).kinds
        return form

    def get_autocomplete_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Return the user, where the admin of the users can be searched."""
        model = get_user_model()
        if not self.admin_site.is_registered(model):
            return ()
        users = self.admin_site.get_model_admin(model)
        searchable = users.get_search_fields(request)
        return ("user",) if searchable and users.has_view_permission(request) else ()

    def formfield_for_foreignkey(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Return the field; that of the user survives an impossible key."""
        if db_field.name == "user" and "user" in self.get_autocomplete_fields(request):
            kwargs["widget"] = UserSelect(
                db_field, self.admin_site, using=kwargs.get("using")
            )
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_fieldsets(
        self, request: HttpRequest, obj: CertificateMapping | None = None
    ) -> Fieldsets:
        """Return the groups of fields, with what is known of the certificate."""
        if obj is None:
            return [
                (_("Identity"), {"fields": ("user", "note")}),
                (
                    _("Certificate"),
                    {
                        "fields": ("pasted", "upload", "kind", "value", "order"),
                        "description": self._describe_unknown(request)
                        or _(
                            "Paste or upload the certificate, or type what it can be "
                            "recognised by. A private key is refused."
                        ),
                    },
                ),
                (_("Matching"), {"fields": ("authority", "hosts")}),
                (_("Validity"), {"fields": ("state", "valid_from", "valid_until")}),
            ]
        obj.siblings = Siblings(self, request, obj)  # type: ignore[attr-defined]
        may_change = self.has_change_permission(request, obj)
        value: tuple[str, ...] = ("value", "order") if may_change else ("shown_value",)
        if obj.kind in _NAME_KINDS:
            value += ("understood",)
        fieldsets: Fieldsets = [
            (
                _("Identity"),
                {"fields": ("user", "note", "created", "last_used", "used_from")},
            ),
            (
                _("Matching"),
                {"fields": ("kind", *value, "strength", "authority", "hosts")},
            ),
            (
                _("Validity"),
                {
                    "fields": (
                        "state",
                        "valid_from",
                        "valid_until",
                        "validity",
                        "revocation",
                        "renewal",
                    ),
                    "description": self._links(request, obj),
                },
            ),
            (_("Certificate"), {"fields": self.certificate_fields(obj)}),
            (
                _("Other certificates"),
                {"fields": ("other_mappings", "predecessors", "successors")},
            ),
        ]
        if may_change:
            fieldsets.append(
                (
                    _("Store a certificate")
                    if obj.certificate is None
                    else _("Replace the certificate"),
                    {"fields": ("pasted", "upload"), "classes": ("collapse",)},
                )
            )
        return fieldsets

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Return Django’s message, with old and new values."""
        if add:
            return super().construct_change_message(request, form, formsets, add)
        return describe_changes(form, _HISTORY_FIELDS, _HISTORY_LABELS)

    def save_model(
        self,
        request: HttpRequest,
        obj: CertificateMapping,
        form: CertificateMappingForm,
        change: bool,
    ) -> None:
        """Save, and say what was done unasked and what may keep it from working."""
        super().save_model(request, obj, form, change)
        for notice in form.notices:
            self.message_user(request, notice, messages.INFO)
        if form.certificate is not None:
            for remark in certificate_warnings(
                form.certificate, IdentityKind(obj.kind), obj.authority
            ):
                self.message_user(request, remark, messages.WARNING)
            if not change:
                self._say_what_it_renews(request, form.certificate)
            self._clear_inbox(request, form.certificate)

    def _say_what_it_renews(
        self, request: HttpRequest, certificate: ClientCertificate
    ) -> None:
        """Say of which mappings' certificates this one seems to be the renewal."""
        for one in find_predecessors(certificate)[:5]:
            is_disabled = one.state == CertificateMapping.State.DISABLED
            text = format_html(
                '{} <a href="{}">{}</a>. {}',
                gettext("The certificate is the successor of"),
                self.page_url("change", one.pk),
                gettext("mapping %(pk)s") % {"pk": one.pk},
                gettext("That one is disabled.")
                if is_disabled
                else gettext(
                    "Both are good now: set a date on which the old one retires. "
                ),
            )
            if self.has_change_permission(request, one) and not is_disabled:
                text = format_html(
                    '{}<a href="{}">{}</a>',
                    text,
                    self.page_url("renew", one.pk),
                    gettext("Next time, renew it in one step."),
                )
            self.message_user(request, text, messages.INFO)

    def _links(self, request: HttpRequest, obj: CertificateMapping) -> str:
        """Return links to what can be done with the mapping's certificate."""
        explain = f"{self.page_url('explain')}?mapping={obj.pk}"
        links = [(explain, gettext("Explain"))]
        # A disabled one lets nobody in: there is nothing to renew.
        is_disabled = obj.state == CertificateMapping.State.DISABLED
        if self._may_renew(request, obj) and not is_disabled:
            links.append((self.page_url("renew", obj.pk), gettext("Renew")))
        if may_add_revocations(request.user) and _may_map(request, obj):
            address = f"{self.page_url('revoke')}?{ACTION_CHECKBOX_NAME}={obj.pk}"
            links.append((address, gettext("Revoke the certificate")))
        return format_html_join(" · ", '<a href="{}">{}</a>', links)

    # --- one mapping

    @admin.display(description=_("last used"))
    def last_used(self, obj: CertificateMapping) -> str:
        """Return when the mapping last let somebody in."""
        if obj.last_used_at is None:
            return gettext("never")
        ago = relative(obj.last_used_at, timezone.now())
        return f"{moment(obj.last_used_at)}, {ago}"

    @admin.display(description=_("strength"))
    def strength(self, obj: CertificateMapping) -> str:
        """Return whether the certificate is named beyond doubt, or who answers."""
        return suggestions.strength(obj)

    @admin.display(description=_("revocation"))
    def revocation(self, obj: CertificateMapping) -> str:
        """Return whether the certificate is revoked, and by what."""
        why = revoked_mappings([obj]).get(obj.pk)
        if obj.certificate is None and obj.kind != IdentityKind.PUBLIC_KEY.value:
            return gettext("unknown: the certificate is not stored")
        return show_revocation(why)

    @admin.display(description=_("renewal"))
    def renewal(self, obj: CertificateMapping) -> str:
        """Return what happens when the certificate is renewed."""
        return suggestions.renewal(obj)

    @admin.display(description=_("created"))
    def created(self, obj: CertificateMapping) -> str:
        """Return when the mapping was made."""
        return moment(obj.created_at)

    @admin.display(description=_("read as"))
    def understood(self, obj: CertificateMapping) -> str:
        """Return the parts of a name from the general to the specific."""
        name = obj.value
        if obj.kind == IdentityKind.ISSUER_SERIAL.value:
            name = name.partition(" ")[2]
        try:
            return spell_out(parse_name(name, order=Order.MOST_SPECIFIC_FIRST))
        except ClientCertError as error:
            why = visible_once(str(error))
            return gettext("cannot be read: %(why)s") % {"why": why}

    # --- what is beside it: get_fieldsets() has said for whom

    @admin.display(description=_("used from"))
    def used_from(self, obj: CertificateMapping) -> str:
        """Return the hosts and certificates that it let in."""
        return _siblings(obj).seen()

    @admin.display(description=_("mappings of this user"))
    def other_mappings(self, obj: CertificateMapping) -> str:
        """Return the other mappings of the user."""
        return _siblings(obj).mappings()

    @admin.display(description=_("predecessors"))
    def predecessors(self, obj: CertificateMapping) -> str:
        """Return what the certificate seems to renew."""
        return _siblings(obj).predecessors()

    @admin.display(description=_("successors"))
    def successors(self, obj: CertificateMapping) -> str:
        """Return what seems to renew the certificate."""
        return _siblings(obj).successors()


def _may_map(request: HttpRequest, obj: CertificateMapping | None) -> bool:
    if obj is None or obj.user_id is None:
        return True
    return why_not_map(request.user, obj.user) is None


def _siblings(obj: CertificateMapping) -> Siblings:
    siblings: Siblings = obj.siblings  # type: ignore[attr-defined]
    return siblings
