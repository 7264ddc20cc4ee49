"""The screens of the authorities."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admission import Admission, examine
from django_clientcert.escaping import visible, visible_once
from django_clientcert.exceptions import ClientCertError
from django_clientcert.forms import CertificateAuthorityForm
from django_clientcert.models import CertificateAuthority
from django_clientcert.verification import PROFILES

from . import facts, remarks
from .guarded import Fieldsets, GuardedAdmin
from .permissions import may_change_authority
from .times import moment, validity_status

MAX_SHOWN = 100


@admin.register(CertificateAuthority)
class CertificateAuthorityAdmin(GuardedAdmin):
    """Which CAs answer for names."""

    form = CertificateAuthorityForm
    list_display = ("shown_name", "certificate_count", "first_expiry", "mapping_count")
    search_fields = ("name", "note")
    readonly_fields = ("shown_certificates", "mapping_count", "created")
    prefilled_fields = ("name", "profile", "note")

    def get_queryset(self, request: HttpRequest) -> QuerySet[CertificateAuthority]:
        """Return the authorities with the number of their mappings: one query."""
        queryset: QuerySet[CertificateAuthority] = super().get_queryset(request)
        return queryset.annotate(number_of_mappings=Count("mappings"))

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

    # --- the form

    def get_fieldsets(
        self, request: HttpRequest, obj: CertificateAuthority | None = None
    ) -> Fieldsets:
        """Return the groups of fields."""
        if obj is None:
            return [(None, {"fields": ("name", "bundle", "upload", "profile", "note")})]
        fieldsets: Fieldsets = [
            (
                None,
                {"fields": ("name", "profile", "note", "mapping_count", "created")},
            ),
            (_("Certificates"), {"fields": ("shown_certificates",)}),
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

    def save_model(
        self,
        request: HttpRequest,
        obj: CertificateAuthority,
        form: CertificateAuthorityForm,
        change: bool,
    ) -> None:
        """Save, and say what the verifier cannot do with it."""
        super().save_model(request, obj, form, change)
        for remark in remarks.on_authority(obj):
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
            return visible_once(str(error), 100)

    @admin.display(description=_("first to expire"))
    def first_expiry(self, obj: CertificateAuthority) -> str:
        """Return when the first of the certificates expires."""
        now = timezone.now()
        try:
            end = min(one.not_after for one in obj.certificates())
        except ClientCertError:
            return gettext("unknown")
        status = validity_status(None, end, now)
        return f"{end:%Y-%m-%d}: {status}"

    @admin.display(description=_("mappings"), ordering="number_of_mappings")
    def mapping_count(self, obj: CertificateAuthority) -> int:
        """Return how many mappings rely on the authority."""
        count: int = obj.number_of_mappings  # type: ignore[attr-defined]
        return count

    # --- one authority

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
            return visible_once(str(error), 500)
        listed = format_html_join(
            "", "<li>{}</li>", ((_describe(one),) for one in examined[:MAX_SHOWN])
        )
        more = len(examined) - MAX_SHOWN
        if more > 0:
            text = ngettext("and %(more)d more", "and %(more)d more", more)
            return format_html("<ol>{}</ol>{}", listed, text % {"more": more})
        return format_html("<ol>{}</ol>", listed)


def _describe(one: Admission) -> SafeString:
    """Return one certificate of a bundle, a line for each fact."""
    certificate = one.certificate
    now = timezone.now()
    rows: list[tuple[str, str]] = [
        (
            gettext("role"),
            gettext("anchor") if one.is_anchor else gettext("intermediate"),
        ),
        (gettext("issuer"), facts.read(lambda: facts.issuer(certificate))),
        (gettext("valid"), facts.read(lambda: facts.validity(certificate, now))),
        (gettext("key"), facts.read(lambda: facts.key(certificate))),
        (gettext("SHA-256 fingerprint"), facts.fingerprint(certificate)),
        (
            gettext("verification"),
            facts.lines(one.problems)
            if one.problems
            else gettext("paths through it are verified here"),
        ),
    ]
    return format_html(
        "<p><strong>{}</strong><br>{}</p>",
        facts.read(lambda: facts.subject(certificate)),
        format_html_join(SafeString("<br>"), "{}: {}", rows),
    )
