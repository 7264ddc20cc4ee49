"""The screens of the authorities."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.base_admin import ClientCertModelAdmin, Fieldsets
from django_clientcert.admin.base.certificate_facts import (
    show_fact,
    show_fingerprint,
    show_issuer,
    show_public_key,
    show_subject,
    show_validity,
)
from django_clientcert.admin.base.deleting import Deletion, deletion_of_authorities
from django_clientcert.admin.base.long_lists import MAX_COUNTED, count_each
from django_clientcert.admin.base.markup import MAX_SHOWN, join_lines, with_more
from django_clientcert.admin.base.permissions import (
    may_allow_privileged,
    may_change_authority,
    may_let_rule_create,
    may_set_rule,
    may_use_cas,
)
from django_clientcert.admin.base.times import moment, on_day, validity_status
from django_clientcert.admin.base.warnings import (
    authority_warnings,
    policy_warnings,
    rule_warnings,
)
from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import CertificateAuthority, RevocationList
from django_clientcert.x509.ca_problems import Admission, examine
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.paths import PROFILES

from .crl_table import show_crls, show_revocations, summarize_revocation
from .form import RULE_FIELDS, CertificateAuthorityForm


@admin.register(CertificateAuthority)
class CertificateAuthorityAdmin(ClientCertModelAdmin):
    """Which CAs answer for names."""

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
        """Tell whether the users whose mappings rely on it are in reach."""
        return super().has_change_permission(request, obj) and (
            obj is None or may_change_authority(request.user, obj)
        )

    def has_delete_permission(
        self, request: HttpRequest, obj: CertificateAuthority | None = None
    ) -> bool:
        """Tell whether the users whose mappings rely on it are in reach."""
        return super().has_delete_permission(request, obj) and (
            obj is None or may_change_authority(request.user, obj)
        )

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deletion:
        """Return what goes with the authorities, without each entry of each list."""
        return deletion_of_authorities(request, self.admin_site, objs)

    # --- the form

    def get_form(
        self,
        request: HttpRequest,
        obj: CertificateAuthority | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return the form, which knows who is at the keyboard."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        # A class of its own for each call: see modelform_factory.
        form.may_use_cas = staticmethod(partial(may_use_cas, request.user))
        return form

    def get_readonly_fields(
        self, request: HttpRequest, obj: CertificateAuthority | None = None
    ) -> tuple[str, ...]:
        """Return also what of the rule is not this person's to say.

        Who sets a rule can become whomever it names.
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
        if obj is None:
            return [
                (None, {"fields": ("name", "bundle", "upload", "profile", "note")}),
                (_("Revocation"), {"fields": ("revocation_policy", "crl_urls")}),
                self._rule_fieldset(request, obj),
            ]
        fieldsets: Fieldsets = [
            (
                None,
                {"fields": ("name", "profile", "note", "mapping_count", "created")},
            ),
            (_("Certificates"), {"fields": ("shown_certificates",)}),
            (
                _("Revocation"),
                {
                    "fields": (
                        "revocation_policy",
                        "crl_urls",
                        "shown_lists",
                        "shown_revocations",
                    ),
                    "description": self._link_to_import(request, obj),
                },
            ),
            self._rule_fieldset(request, obj),
        ]
        if self.has_change_permission(request, obj):
            fieldsets.append(
                (
                    _("Replace the certificates"),
                    {"fields": ("bundle", "upload"), "classes": ("collapse",)},
                )
            )
        else:
            fieldsets.append((_("PEM"), {"fields": ("bundle",)}))
        return fieldsets

    def _link_to_import(self, request: HttpRequest, obj: CertificateAuthority) -> str:
        """Return a link to the page that imports a list, if it may be used."""
        imports = self.admin_site.get_model_admin(RevocationList)
        if not imports.has_add_permission(request):
            return ""
        return format_html(
            '<a href="{}?authority={}">{}</a>',
            reverse(
                "admin:django_clientcert_revocationlist_add",
                current_app=self.admin_site.name,
            ),
            obj.pk,
            gettext("Import a revocation list"),
        )

    def _rule_fieldset(
        self, request: HttpRequest, obj: CertificateAuthority | None
    ) -> tuple[Any, Any]:
        """Return the fields of the rule, in the order in which one says it."""
        preset: tuple[str, ...] = ("rule_preset",)
        if (
            obj is not None and not self.has_change_permission(request, obj)
        ) or not may_set_rule(request.user):
            preset = ()
        return (
            _("Identity rule"),
            {
                "fields": (*preset, *RULE_FIELDS),
                "description": _(
                    "Every certificate of this authority that no mapping knows is "
                    "the user whose name stands in it: the certificate’s (identity) "
                    "is the user’s (field). Setting a rule needs the permission to "
                    "add certificate mappings; letting it create users, that to "
                    "change users; letting it log in staff, a superuser."
                ),
            },
        )

    def save_model(
        self,
        request: HttpRequest,
        obj: CertificateAuthority,
        form: CertificateAuthorityForm,
        change: bool,
    ) -> None:
        """Save, and say what the verifier cannot do with it."""
        super().save_model(request, obj, form, change)
        for remark in form.remarks:
            self.message_user(request, remark, messages.INFO)
        for remark in (
            *authority_warnings(obj),
            *policy_warnings(obj),
            *rule_warnings(obj),
        ):
            self.message_user(request, remark, messages.WARNING)

    # --- the list

    @admin.display(description=_("name"), ordering="name")
    def shown_name(self, obj: CertificateAuthority) -> str:
        """Return the name."""
        return visible(obj.name)

    @admin.display(description=_("certificates"))
    def certificate_count(self, obj: CertificateAuthority) -> str:
        """Return how many certificates there are."""
        try:
            return str(len(obj.certificates()))
        except ClientCertError as error:
            return _unreadable(error, 100)

    @admin.display(description=_("first to expire"))
    def first_expiry(self, obj: CertificateAuthority) -> str:
        """Return when the first of the certificates expires."""
        now = timezone.now()
        try:
            end = min(one.not_after for one in obj.certificates())
        except ClientCertError:
            return gettext("unknown")
        status = validity_status(None, end, now)
        return on_day(end, status)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list, whose rows know how many mappings rely on them."""
        changelist: Any = super().get_changelist_instance(request)
        changelist.result_list = rows = list(changelist.result_list)
        counts = _count_mappings(rows)
        for row in rows:
            row.number_of_mappings = counts[row.pk]
        return changelist

    @admin.display(description=_("mappings"))
    def mapping_count(self, obj: CertificateAuthority) -> str:
        """Return how many mappings rely on the authority; not if they are many."""
        count = obj.__dict__.get("number_of_mappings")
        if count is None:
            count = _count_mappings([obj])[obj.pk]
        if count > MAX_COUNTED:
            return gettext("more than %(count)d") % {"count": MAX_COUNTED}
        return str(count)

    @admin.display(description=_("revocation lists"))
    def list_state(self, obj: CertificateAuthority) -> str:
        """Return what is asked of lists, and what is loaded."""
        return summarize_revocation(obj, timezone.now())

    @admin.display(description=_("rule"), ordering="rule_identity")
    def rule_in_short(self, obj: CertificateAuthority) -> str:
        """Return the rule in a few words."""
        if not obj.rule_identity:
            return gettext("none")
        shown = f"{obj.get_rule_identity_display()} → {visible(obj.user_field, 50)}"
        if obj.rule_pattern:
            shown += f" ({visible(obj.rule_pattern, 50)})"
        return shown

    # --- one authority

    @admin.display(description=_("loaded lists"))
    def shown_lists(self, obj: CertificateAuthority) -> str:
        """Return the lists that are in force."""
        return show_crls(obj, timezone.now())

    @admin.display(description=_("revoked"))
    def shown_revocations(self, obj: CertificateAuthority) -> str:
        """Return the CAs and the times that are revoked."""
        return show_revocations(obj, timezone.now())

    @admin.display(description=_("created"))
    def created(self, obj: CertificateAuthority) -> str:
        """Return when the authority was made."""
        return moment(obj.created_at)

    @admin.display(description=_("in the bundle"))
    def shown_certificates(self, obj: CertificateAuthority) -> str:
        """Return each certificate with its role and what the verifier does with it."""
        try:
            examined = examine(
                obj.certificates(),
                at=timezone.now(),
                profile=PROFILES.get(obj.profile, PROFILES["strict"]),
            )
        except ClientCertError as error:
            return _unreadable(error, 500)
        listed = format_html_join(
            "", "<li>{}</li>", ((_describe(one),) for one in examined[:MAX_SHOWN])
        )
        listed = format_html("<ol>{}</ol>", listed)
        return with_more(listed, len(examined), MAX_SHOWN)


def _count_mappings(rows: Sequence[CertificateAuthority]) -> dict[int, int]:
    """Return the number of mappings by the key of their authority: one query."""
    if not rows:
        return {}
    some = CertificateAuthority.objects.filter(pk=rows[0].pk)
    return count_each(some, {row.pk: row.mappings.all() for row in rows})


def _unreadable(error: ClientCertError, limit: int) -> str:
    return gettext("cannot be read: %(why)s") % {"why": visible_once(str(error), limit)}


def _describe(one: Admission) -> SafeString:
    """Return one certificate of a bundle, a line for each fact."""
    certificate = one.certificate
    rows: list[tuple[str, str]] = [
        (
            gettext("role"),
            gettext("anchor") if one.is_anchor else gettext("intermediate"),
        ),
        (gettext("issuer"), show_fact(certificate, show_issuer)),
        (gettext("valid"), show_fact(certificate, show_validity)),
        (gettext("key"), show_fact(certificate, show_public_key)),
        (gettext("SHA-256 fingerprint"), show_fingerprint(certificate)),
        (
            gettext("verification"),
            join_lines(one.problems)
            if one.problems
            else gettext("paths through it are verified here"),
        ),
    ]
    return format_html(
        "<p><strong>{}</strong><br>{}</p>",
        show_fact(certificate, show_subject),
        format_html_join(SafeString("<br>"), "{}: {}", rows),
    )
