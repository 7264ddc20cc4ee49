"""The screens of authorities."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.base_admin import (
    ClientCertModelAdmin,
    Fieldsets,
    admin_url,
    fieldset,
)
from django_clientcert.admin.base.bounded import Count
from django_clientcert.admin.base.certificate_facts import (
    show_fact,
    show_fingerprint,
    show_issuer,
    show_public_key,
    show_subject,
    show_validity,
)
from django_clientcert.admin.base.deleting import Deletion, deletion_of_authorities
from django_clientcert.admin.base.long_lists import count_each
from django_clientcert.admin.base.markup import (
    MAX_SHOWN,
    column,
    join_lines,
    link,
    unreadable,
    with_more,
)
from django_clientcert.admin.base.permissions import (
    may_allow_privileged,
    may_change_authority,
    may_let_rule_create,
    may_set_rule,
    may_use_cas,
)
from django_clientcert.admin.base.times import moment, on_day, validity_status
from django_clientcert.admin.base.warnings import authority_warnings
from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import CertificateAuthority, RevocationList
from django_clientcert.models.authority_state import preload_states
from django_clientcert.x509.ca_problems import Admission, examine
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.paths import PROFILES

from .crl_table import show_crls, show_revocations, summarize_revocation
from .form import RULE_FIELDS, CertificateAuthorityForm


@admin.register(CertificateAuthority)
class CertificateAuthorityAdmin(ClientCertModelAdmin):
    """The model admin of authorities."""

    form = CertificateAuthorityForm
    list_display = (
        "shown_name",
        "certificate_count",
        "first_expiry",
        "mapping_count",
        "list_state",
        "rule_in_short",
    )
    search_fields = ("name", "note")
    readonly_fields = (
        "shown_certificates",
        "mapping_count",
        "created",
        "shown_lists",
        "shown_revocations",
    )
    filter_horizontal = ("rule_groups",)
    prefilled_fields = ("name", "profile", "note")

    # --- who may do what

    def has_change_permission(
        self, request: HttpRequest, obj: CertificateAuthority | None = None
    ) -> bool:
        """Return whether the user may change *obj*, see ``may_change_authority()``."""
        return super().has_change_permission(request, obj) and (
            obj is None or may_change_authority(request.user, obj)
        )

    def has_delete_permission(
        self, request: HttpRequest, obj: CertificateAuthority | None = None
    ) -> bool:
        """Return whether the user may delete *obj*, see ``may_change_authority()``."""
        return super().has_delete_permission(request, obj) and (
            obj is None or may_change_authority(request.user, obj)
        )

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deletion:
        """Return what is deleted with the authorities; entries of CRLs are counted."""
        return deletion_of_authorities(request, self.admin_site, objs)

    # --- the form

    def get_form(
        self,
        request: HttpRequest,
        obj: CertificateAuthority | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return the form class, with a check of what this user may do."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        # modelform_factory() returns a new class per call.
        form.may_use_cas = staticmethod(partial(may_use_cas, request.user))
        return form

    def get_readonly_fields(
        self, request: HttpRequest, obj: CertificateAuthority | None = None
    ) -> tuple[str, ...]:
        """Return the read-only fields, with those of the rule this user may not set.

        Users who set a rule can log in as any user it names.
        """
        fields: tuple[str, ...] = tuple(super().get_readonly_fields(request, obj))
        if not may_set_rule(request.user):
            return (*fields, *RULE_FIELDS, "rule_preset")
        if not may_let_rule_create(request.user):
            fields += ("rule_creates_users", "rule_groups")
        if not may_allow_privileged(request.user):
            fields += ("rule_allows_privileged",)
        return fields

    def get_fieldsets(
        self, request: HttpRequest, obj: CertificateAuthority | None = None
    ) -> Fieldsets:
        """Return the groups of fields."""
        rule = self._rule_fieldset(request, obj)
        if obj is None:
            return [
                fieldset(None, "name", "bundle", "upload", "profile", "note"),
                fieldset(_("Revocation"), "revocation_policy", "crl_urls"),
                rule,
            ]
        may_change = self.has_change_permission(request, obj)
        return [
            fieldset(None, "name", "profile", "note", "mapping_count", "created"),
            fieldset(_("Certificates"), "shown_certificates"),
            fieldset(
                _("Revocation"),
                *("revocation_policy", "crl_urls", "shown_lists", "shown_revocations"),
                description=self._link_to_import(request, obj),
            ),
            rule,
            fieldset(
                _("Replace the certificates"), "bundle", "upload", classes=["collapse"]
            )
            if may_change
            else fieldset(_("PEM"), "bundle"),
        ]

    def _link_to_import(self, request: HttpRequest, obj: CertificateAuthority) -> str:
        """Return a link to the page that imports a CRL, if the user may use it."""
        crl_admin = self.admin_site.get_model_admin(RevocationList)
        if not crl_admin.has_add_permission(request):
            return ""
        url = admin_url(self.admin_site, RevocationList, "add")
        return link(f"{url}?authority={obj.pk}", gettext("Import a CRL"))

    def _rule_fieldset(
        self, request: HttpRequest, obj: CertificateAuthority | None
    ) -> tuple[Any, Any]:
        """Return the fields of the rule, with the presets for those who may set it."""
        may_change = obj is None or self.has_change_permission(request, obj)
        may_set = may_change and may_set_rule(request.user)
        preset = ("rule_preset",) if may_set else ()
        return fieldset(
            _("Identity rule"),
            *preset,
            *RULE_FIELDS,
            description=_(
                "Without a mapping, a certificate from this authority logs in the user "
                "whose (field) equals the certificate’s (identity). To set a rule, you "
                "need the permission to add certificate mappings. To let it create "
                "users, you need the permission to change users. Only superusers can "
                "let it log in staff and superusers."
            ),
        )

    def save_model(
        self,
        request: HttpRequest,
        obj: CertificateAuthority,
        form: CertificateAuthorityForm,
        change: bool,
    ) -> None:
        """Save, and warn of what may not work as intended."""
        super().save_model(request, obj, form, change)
        if form.filled_in:
            self.message_user(request, form.filled_in, messages.INFO)
        for warning in authority_warnings(obj):
            self.message_user(request, warning, messages.WARNING)

    # --- the list

    shown_name = column(_("name"), lambda row: visible(row.name), ordering="name")
    list_state = column(
        _("CRLs"), lambda row: summarize_revocation(row, timezone.now())
    )
    shown_lists = column(_("loaded CRLs"), lambda row: show_crls(row, timezone.now()))
    shown_revocations = column(
        _("revoked"), lambda row: show_revocations(row, timezone.now())
    )
    created = column(_("created"), lambda row: moment(row.created_at))

    @admin.display(description=_("certificates"))
    def certificate_count(self, obj: CertificateAuthority) -> str:
        """Return the number of certificates."""
        try:
            return str(len(obj.certificates()))
        except ClientCertError as error:
            return unreadable(error)

    @admin.display(description=_("first to expire"))
    def first_expiry(self, obj: CertificateAuthority) -> str:
        """Return when the first of the certificates expires."""
        try:
            end = min(certificate.not_after for certificate in obj.certificates())
        except ClientCertError:
            return gettext("unknown")
        return on_day(end, validity_status(None, end, timezone.now()))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the changelist, with the mappings counted and the states read."""
        changelist: Any = super().get_changelist_instance(request)
        changelist.result_list = rows = list(changelist.result_list)
        preload_states(rows)
        counts = _count_mappings(rows)
        for row in rows:
            row.mapping_counts = counts
        return changelist

    @admin.display(description=_("mappings"))
    def mapping_count(self, obj: CertificateAuthority) -> str:
        """Return how many mappings rely on the authority, up to a limit."""
        counts = getattr(obj, "mapping_counts", None) or _count_mappings([obj])
        return str(counts[obj.pk])

    @admin.display(description=_("rule"), ordering="rule_identity")
    def rule_in_short(self, obj: CertificateAuthority) -> str:
        """Return the rule in a few words."""
        if not obj.rule_identity:
            return gettext("none")
        shown = f"{obj.get_rule_identity_display()} → {visible(obj.user_field, 50)}"
        if obj.rule_pattern:
            shown += f" ({visible(obj.rule_pattern, 50)})"
        return shown

    @admin.display(description=_("in the bundle"))
    def shown_certificates(self, obj: CertificateAuthority) -> str:
        """Return each certificate with its role and problems."""
        try:
            examined = examine(
                obj.certificates(),
                at=timezone.now(),
                profile=PROFILES.get(obj.profile, PROFILES["strict"]),
            )
        except ClientCertError as error:
            return unreadable(error, 500)
        listed = format_html_join(
            "", "<li>{}</li>", ((_describe(result),) for result in examined[:MAX_SHOWN])
        )
        listed = format_html("<ol>{}</ol>", listed)
        return with_more(listed, len(examined), MAX_SHOWN)


def _count_mappings(rows: Sequence[CertificateAuthority]) -> dict[int, Count]:
    """Return the number of mappings by the key of their authority, in one query."""
    if not rows:
        return {}
    some = CertificateAuthority.objects.filter(pk=rows[0].pk)
    return count_each(some, {row.pk: row.mappings.all() for row in rows})


def _describe(result: Admission) -> SafeString:
    """Return one certificate of a bundle, one fact per line."""
    certificate = result.certificate
    rows: list[tuple[str, str]] = [
        (
            gettext("role"),
            gettext("anchor") if result.is_anchor else gettext("intermediate"),
        ),
        (gettext("issuer"), show_fact(certificate, show_issuer)),
        (gettext("valid"), show_fact(certificate, show_validity)),
        (gettext("key"), show_fact(certificate, show_public_key)),
        (gettext("SHA-256 fingerprint"), show_fingerprint(certificate)),
        (
            gettext("verification"),
            join_lines(result.problems)
            if result.problems
            else gettext("paths through it can be validated here"),
        ),
    ]
    return format_html(
        "<p><strong>{}</strong><br>{}</p>",
        show_fact(certificate, show_subject),
        format_html_join(SafeString("<br>"), "{}: {}", rows),
    )
