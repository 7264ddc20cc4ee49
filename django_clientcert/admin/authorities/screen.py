"""The screens of authorities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base import certificate_facts as facts
from django_clientcert.admin.base import markup, permissions
from django_clientcert.admin.base.base_admin import (
    ClientCertModelAdmin,
    Fieldsets,
    admin_url,
    fieldset,
)
from django_clientcert.admin.base.bounded import Count
from django_clientcert.admin.base.deleting import Deletion, find_deletion
from django_clientcert.admin.base.long_lists import count_each
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

    def is_in_reach(self, actor: Any, row: CertificateAuthority) -> bool:
        """See ``may_change_authority()``."""
        return permissions.may_change_authority(actor, row)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deletion:
        """Return what is deleted with the authorities; entries of CRLs are counted."""
        return find_deletion(request, self.admin_site, objs)

    # --- the form

    def get_readonly_fields(
        self, request: HttpRequest, obj: CertificateAuthority | None = None
    ) -> tuple[str, ...]:
        """Return the read-only fields, with those of the rule this user may not set.

        Users who set a rule can log in as any user it names.
        """
        fields: tuple[str, ...] = tuple(super().get_readonly_fields(request, obj))
        if not permissions.may_set_rule(request.user):
            return (*fields, *RULE_FIELDS, "rule_preset")
        if not permissions.may_let_rule_create(request.user):
            fields += ("rule_creates_users", "rule_groups")
        if not permissions.may_allow_privileged(request.user):
            fields += ("rule_allows_privileged",)
        return fields

    def get_fieldsets(
        self, request: HttpRequest, obj: CertificateAuthority | None = None
    ) -> Fieldsets:
        """Return the groups of fields."""
        may_change = obj is None or self.has_change_permission(request, obj)
        may_set = may_change and permissions.may_set_rule(request.user)
        rule = fieldset(
            _("Identity rule"),
            *(("rule_preset",) if may_set else ()),
            *RULE_FIELDS,
            description=_(
                "Without a mapping, a certificate from this authority logs in the user "
                "whose user field equals the certificate value. To set a rule, you "
                "need the permission to add certificate mappings. To let it create "
                "users, you need the permission to change users. Only superusers can "
                "let it log in staff and superusers."
            ),
        )
        if obj is None:
            return [
                fieldset(None, "name", "bundle", "upload", "profile", "note"),
                fieldset(_("Revocation"), "revocation_policy", "crl_urls"),
                rule,
            ]
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
        return markup.link(f"{url}?authority={obj.pk}", gettext("Import a CRL"))

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
        left_out = [
            gettext("Left out: %(what)s.") % {"what": item}
            for item in form.left_out[: markup.MAX_SHOWN]
        ]
        mappings, seen = form.orphans
        if mappings or seen:
            text = gettext(
                "%(mappings)d mappings and %(seen)d certificates accepted lately have "
                "no issuer in the new certificates and are refused."
            )
            left_out.append(text % {"mappings": len(mappings), "seen": seen})
        for warning in (*left_out, *authority_warnings(obj)):
            self.message_user(request, warning, messages.WARNING)

    # --- the list

    shown_name = markup.column(
        _("name"), lambda row: visible(row.name), ordering="name"
    )
    list_state = markup.column(
        _("CRLs"), lambda row: summarize_revocation(row, timezone.now())
    )
    shown_lists = markup.column(
        _("loaded CRLs"), lambda row: show_crls(row, timezone.now())
    )
    shown_revocations = markup.column(
        _("revoked"), lambda row: show_revocations(row, timezone.now())
    )
    created = markup.column(_("created"), lambda row: moment(row.created_at))

    @admin.display(description=_("certificates"))
    def certificate_count(self, obj: CertificateAuthority) -> str:
        """Return the number of certificates."""
        try:
            return str(len(obj.certificates()))
        except ClientCertError as error:
            return markup.unreadable(error)

    @admin.display(description=_("first to expire"))
    def first_expiry(self, obj: CertificateAuthority) -> str:
        """Return when the first of the certificates expires."""
        try:
            end = min(certificate.not_after for certificate in obj.certificates())
        except ClientCertError:
            return gettext("unknown")
        return on_day(end, validity_status(None, end, timezone.now()))

    def prepare_rows(self, rows: Sequence[Any]) -> None:
        """Read the states and count the mappings."""
        preload_states(rows)
        counts = _count_mappings(rows)
        for row in rows:
            row.mapping_counts = counts

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
            return markup.unreadable(error, 500)
        listed = format_html_join(
            "",
            "<li>{}</li>",
            ((_describe(result),) for result in examined[: markup.MAX_SHOWN]),
        )
        listed = format_html("<ol>{}</ol>", listed)
        if unreadable := obj.unreadable_certificates():
            text = gettext("cannot be read, and has no effect: %(what)s")
            lines = [text % {"what": item} for item in unreadable[: markup.MAX_SHOWN]]
            listed += format_html("<p>{}</p>", markup.join_lines(lines))
        return markup.with_more(listed, len(examined), markup.MAX_SHOWN)


def _count_mappings(rows: Sequence[CertificateAuthority]) -> dict[int, Count]:
    """Return the number of mappings by the key of their authority, in one query."""
    if not rows:
        return {}
    some = CertificateAuthority.objects.filter(pk=rows[0].pk)
    return count_each(some, {row.pk: row.mappings.all() for row in rows})


def _describe(result: Admission) -> SafeString:
    """Return one certificate of a bundle, one fact per line."""
    certificate = result.certificate
    role = gettext("trust anchor") if result.is_anchor else gettext("intermediate")
    problems = markup.join_lines(result.problems) or gettext(
        "can be used to verify client certificates"
    )
    rows: list[tuple[str, str]] = [
        (gettext("role"), role),
        (gettext("issuer"), facts.show_fact(certificate, facts.show_issuer)),
        (gettext("valid"), facts.show_fact(certificate, facts.show_validity)),
        (gettext("key"), facts.show_fact(certificate, facts.show_public_key)),
        (gettext("SHA-256 fingerprint"), facts.show_fingerprint(certificate)),
        (gettext("verification"), problems),
    ]
    return format_html(
        "<p><strong>{}</strong><br>{}</p>",
        facts.show_fact(certificate, facts.show_subject),
        format_html_join(SafeString("<br>"), "{}: {}", rows),
    )
