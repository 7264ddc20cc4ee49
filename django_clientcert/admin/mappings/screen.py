"""The admin of mappings."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base import (
    entries,
    history,
    permissions,
    revocation_status,
    times,
)
from django_clientcert.admin.base.base_admin import Fieldsets, fieldset, row_link
from django_clientcert.admin.base.markup import column, link, unreadable
from django_clientcert.admin.explain.screen import explain_view
from django_clientcert.admin.inbox import suggestions as inbox
from django_clientcert.admin.revocations.revoking import revoke, revoke_view
from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import CertificateMapping
from django_clientcert.trust.renewals import find_predecessors
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import PINS, IdentityKind

from .changelist import MappingChangelistAdmin
from .exporting import export_csv, export_json, export_view
from .form import CertificateMappingForm, UserSelect
from .importing import import_view, preview_view
from .related import RelatedRows, RelatedRowsAdmin, related_field
from .renewing import renew_view
from .states import disable, enable
from .timeline import timeline_view

# Fields that are only shown, by fieldset
_USE = ("created", "last_used", "used_from")
_VALIDITY = ("validity", "revocation", "renewal")
_RELATED = ("other_mappings", "predecessors", "successors")
_DATES = ("state", "valid_from", "valid_until")

# Fields whose old and new values are recorded in the history
_HISTORY_FIELDS = frozenset({"user", "kind", "value", "authority", "hosts", *_DATES})
# The labels there of fields that are not columns
_HISTORY_LABELS = {"pasted": "Certificate", "upload": "Certificate", "order": ""}


@admin.register(CertificateMapping)
class CertificateMappingAdmin(MappingChangelistAdmin, RelatedRowsAdmin):
    """Which user a certificate belongs to."""

    form = CertificateMappingForm
    raw_id_fields = ("user",)
    readonly_fields = (
        *(*_USE, *_VALIDITY, *_RELATED),
        *("shown_value", "understood", "strength"),
    )
    actions = (enable, disable, revoke, export_csv, export_json)
    streaming_actions = frozenset({"export_csv", "export_json"})
    prefilled_fields = ("user", "kind", "value", "authority", "note")
    screens = (
        *RelatedRowsAdmin.screens,
        ("explain/", explain_view, "explain"),
        ("export/", export_view, "export"),
        ("import/", import_view, "import"),
        ("import/<int:key>/", preview_view, "import_preview"),
        ("revoke/", revoke_view, "revoke"),
        ("timeline/", timeline_view, "timeline"),
        ("<path:object_id>/renew/", renew_view, "renew"),
    )

    # --- permissions

    def is_in_reach(self, actor: Any, row: CertificateMapping) -> bool:
        """See ``why_not_map()``: a disabled mapping refuses certificates too."""
        return permissions.why_not_map(actor, row.user) is None

    # --- the form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return the initial data: by default, the kind that survives a renewal."""
        initial = super().get_changeform_initial_data(request)
        initial = {"kind": IdentityKind.PUBLIC_KEY.value, **initial}
        suggestions = inbox.find_suggestions(self, request)
        if suggestions is not None:
            initial["pasted"] = suggestions.pem
            if suggestions.authority is not None and initial["kind"] not in PINS:
                initial.setdefault("authority", suggestions.authority.pk)
        return initial

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form, with the kinds that make sense for a suggestion."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        suggestions = inbox.find_suggestions(self, request) if obj is None else None
        if suggestions is not None:
            form.offered_kinds = {identity.kind for identity in suggestions.identities}
        return form

    def get_autocomplete_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Return the user field, if the admin of users can be searched."""
        model = get_user_model()
        if not self.admin_site.is_registered(model):
            return ()
        users = self.admin_site.get_model_admin(model)
        searchable = users.get_search_fields(request)
        return ("user",) if searchable and users.has_view_permission(request) else ()

    def formfield_for_foreignkey(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Return the form field; that of the user accepts impossible keys."""
        if db_field.name == "user" and "user" in self.get_autocomplete_fields(request):
            kwargs["widget"] = UserSelect(
                db_field, self.admin_site, using=kwargs.get("using")
            )
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Fieldsets:
        """Return the fieldsets, with the facts about a stored certificate."""
        if obj is None:
            description: Any = _(
                "Paste or upload the certificate, or enter a value that identifies it. "
                "Private keys are refused."
            )
            if suggestions := inbox.find_suggestions(self, request):
                description = inbox.describe_suggestions(suggestions)
            certificate = ("pasted", "upload", "kind", "value", "order")
            return [
                fieldset(_("Identity"), "user", "note"),
                fieldset(_("Certificate"), *certificate, description=description),
                fieldset(_("Matching"), "authority", "hosts"),
                fieldset(_("Validity"), *_DATES),
            ]
        may_change = self.has_change_permission(request, obj)
        value: tuple[str, ...] = ("value", "order") if may_change else ("shown_value",)
        if obj.kind in entries.NAME_KINDS:
            value += ("understood",)
        links = self._links(request, obj)
        fieldsets: Fieldsets = [
            fieldset(_("Identity"), "user", "note", *_USE),
            fieldset(_("Matching"), "kind", *value, "strength", "authority", "hosts"),
            fieldset(_("Validity"), *_DATES, *_VALIDITY, description=links),
            fieldset(_("Certificate"), *self.certificate_fields(obj)),
            fieldset(_("Other certificates"), *_RELATED),
        ]
        if may_change:
            title = _("Replace the certificate")
            if obj.certificate is None:
                title = _("Store a certificate")
            fieldsets.append(fieldset(title, "pasted", "upload", classes=("collapse",)))
        return fieldsets

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Return Django’s message, with old and new values."""
        if add:
            return super().construct_change_message(request, form, formsets, add)
        return history.describe_changes(form, _HISTORY_FIELDS, _HISTORY_LABELS)

    def save_model(
        self,
        request: HttpRequest,
        obj: CertificateMapping,
        form: CertificateMappingForm,
        change: bool,
    ) -> None:
        """Save, and report what was filled in and what will be refused."""
        super().save_model(request, obj, form, change)
        for notice in form.notices:
            self.message_user(request, notice, messages.INFO)
        if form.certificate is not None:
            if not change:
                self._report_predecessors(request, form.certificate)
            inbox.report_certificate(self, request, obj, form.certificate)

    def _report_predecessors(
        self, request: HttpRequest, certificate: ClientCertificate
    ) -> None:
        """Report the mappings whose certificates *certificate* seems to renew."""
        for mapping in find_predecessors(certificate)[:5]:
            renew = ""
            text = gettext(
                "The certificate is the successor of {}. That mapping is disabled."
            )
            if mapping.state != CertificateMapping.State.DISABLED:
                text = gettext(
                    "The certificate is the successor of {}. Both are accepted: set a "
                    "date on which the old mapping retires."
                )
                if self.has_change_permission(request, mapping):
                    hint = gettext("Next time, renew it in one step.")
                    renew = link(self.page_url("renew", mapping.pk), hint)
            name = gettext("mapping %(pk)s") % {"pk": mapping.pk}
            linked = format_html(text, row_link(self.admin_site, mapping, name))
            notice = format_html("{} {}", linked, renew)
            self.message_user(request, notice, messages.INFO)

    def _links(self, request: HttpRequest, obj: CertificateMapping) -> str:
        """Return links to the screens about the mapping’s certificate."""
        links = [(f"{self.page_url('explain')}?mapping={obj.pk}", gettext("Explain"))]
        # A disabled mapping accepts nothing that could be renewed.
        is_disabled = obj.state == CertificateMapping.State.DISABLED
        if not is_disabled and permissions.may_renew(self.admin_site, request, obj):
            links.append((self.page_url("renew", obj.pk), gettext("Renew")))
        if permissions.may_add_revocations(request.user) and self.is_in_reach(
            request.user, obj
        ):
            url = f"{self.page_url('revoke')}?{ACTION_CHECKBOX_NAME}={obj.pk}"
            links.append((url, gettext("Revoke the certificate")))
        return format_html_join(" · ", '<a href="{}">{}</a>', links)

    # --- one mapping

    @admin.display(description=_("last used"))
    def last_used(self, obj: CertificateMapping) -> str:
        """Return when the mapping last accepted a certificate."""
        at = obj.last_used_at
        return gettext("never") if at is None else times.moment_and_distance(at)

    strength = column(_("strength"), inbox.describe_strength)
    renewal = column(_("renewal"), inbox.describe_renewal)
    created = column(_("created"), lambda row: times.moment(row.created_at))

    @admin.display(description=_("revocation"))
    def revocation(self, obj: CertificateMapping) -> str:
        """Return whether the certificate is revoked, and by what."""
        refusal = revocation_status.revoked_mappings([obj]).get(obj.pk)
        if obj.certificate is None and obj.kind != IdentityKind.PUBLIC_KEY.value:
            return gettext("unknown: the certificate is not stored")
        return revocation_status.show_revocation(refusal)

    @admin.display(description=_("read as"))
    def understood(self, obj: CertificateMapping) -> str:
        """Return the parts of a name, from general to specific."""
        try:
            return entries.spell_out_value(IdentityKind(obj.kind), obj.value)
        except ClientCertError as error:
            return unreadable(error, 256)

    used_from = related_field(_("recent use"), RelatedRows.seen)
    predecessors = related_field(
        _("predecessors"), partial(RelatedRows.relatives, newer=False)
    )
    successors = related_field(
        _("successors"), partial(RelatedRows.relatives, newer=True)
    )
