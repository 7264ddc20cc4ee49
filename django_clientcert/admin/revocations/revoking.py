"""The action that revokes certificates, and its page: what, why, and go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_permission_codename
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    ValidationError,
)
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import (
    sensitive_post_parameters,
    sensitive_variables,
)

from django_clientcert.admin.authorities.crl_table import MAX_SHOWN, more_than
from django_clientcert.admin.base import certificate_facts as facts
from django_clientcert.admin.base.base_admin import (
    GuardedAdmin,
    hide_from_reports,
    is_possible_key,
)
from django_clientcert.admin.base.pages import show_page
from django_clientcert.admin.base.permissions import why_not_map
from django_clientcert.models import CertificateMapping, Revocation, SeenCertificate
from django_clientcert.trust.revoke import (
    certificate_of,
    revoke_certificate,
    revoke_public_key,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible

from .forms import WhyForm
from .permissions import may_revoke

# At a time; each asks who issued it, and is a field of the form: of more than a
# thousand, Django takes none (``DATA_UPLOAD_MAX_NUMBER_FIELDS``).
MAX_REVOKED = 500

Row = CertificateMapping | SeenCertificate


class Target(NamedTuple):
    """What is to be revoked for a row: a certificate or a key, or why nothing is."""

    row: Any
    certificate: ClientCertificate | None = None
    public_key: bytes | None = None
    why_not: str = ""

    def revoke(self, **why: Any) -> Revocation:
        """Revoke it; returns and raises as ``revoke_certificate()``."""
        if self.certificate is not None:
            return revoke_certificate(self.certificate, **why)
        assert self.public_key is not None  # noqa: S101 - one of them, or ``why_not``
        return revoke_public_key(self.public_key, **why)

    @property
    def what(self) -> str:
        """What will be revoked, or why nothing."""
        if self.why_not:
            return gettext("cannot be revoked: %(why)s") % {"why": self.why_not}
        if self.certificate is None:
            return gettext("its public key only: the certificate is not at hand")
        certificate = self.certificate
        return format_html(
            "{}<br>{} {}",
            facts.breakable(facts.read(lambda: facts.subject(certificate))),
            gettext("serial number"),
            facts.read(lambda: facts.serial_number(certificate)),
        )


class RevokingAdmin(GuardedAdmin):
    """An admin of rows whose certificates can be revoked."""

    actions: Any = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Tell whether a revocation may be made: an action’s permission."""
        return may_add_revocations(request.user)

    @admin.action(permissions=["revoke"], description=_("Revoke the certificates"))
    def revoke(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        """Show what would be revoked."""
        return self._revoke_page(request, queryset)

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses, with that of the page."""
        own = path(
            "revoke/",
            self.admin_site.admin_view(self.revoke_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_revoke",
        )
        return [own, *super().get_urls()]

    @method_decorator(sensitive_post_parameters())
    @sensitive_variables()
    def revoke_view(self, request: HttpRequest) -> HttpResponse:
        """Show what would be revoked, or revoke it.

        Raises:
            PermissionDenied: this person may not.
            BadRequest: the keys are none.
        """
        hide_from_reports(request)
        if not (
            self.has_revoke_permission(request) and self.has_view_permission(request)
        ):
            raise PermissionDenied
        sent = request.POST if request.method == "POST" else request.GET
        keys = sent.getlist(ACTION_CHECKBOX_NAME)
        if len(keys) > MAX_REVOKED or not all(
            is_possible_key(self.opts.pk, key) for key in keys
        ):
            raise BadRequest("These are no keys of rows, or too many.")
        return self._revoke_page(
            request, self.get_queryset(request).filter(pk__in=keys)
        )

    def _revoke_page(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        rows = list(queryset.select_related("user").order_by("pk")[: MAX_REVOKED + 1])
        back = self._address("changelist")
        if len(rows) > MAX_REVOKED:
            self.message_user(
                request,
                gettext("At most %(count)d at a time can be revoked here.")
                % {"count": MAX_REVOKED},
                messages.ERROR,
            )
            return HttpResponseRedirect(back)
        targets = [find_target(request.user, row) for row in rows]
        possible = [one for one in targets if not one.why_not]
        was_sent = request.method == "POST" and "post" in request.POST
        form = WhyForm(request.POST if was_sent else None)
        if possible and was_sent and form.is_valid():
            self._revoke_all(request, possible, form.cleaned_data)
            return HttpResponseRedirect(back)
        count = len(possible)
        return show_page(
            self,
            request,
            "revoke_certificates.html",
            title=gettext("Revoke the certificates"),
            back=back,
            form=form if possible else None,
            fieldsets=[(_("Why"), {"fields": ("reason", "note")})],
            rows=[
                {
                    "name": str(one.row),
                    "user": visible(str(one.row.user), 50),
                    "what": one.what,
                }
                for one in targets[:MAX_SHOWN]
            ],
            more=more_than(len(targets), MAX_SHOWN),
            selected=[str(one.row.pk) for one in possible],
            selected_name=ACTION_CHECKBOX_NAME,
            action_url=self._address("revoke"),
            button=ngettext("Revoke %(n)d", "Revoke %(n)d", count) % {"n": count},
        )

    def _revoke_all(
        self, request: HttpRequest, targets: Iterable[Target], why: dict[str, Any]
    ) -> None:
        """Revoke what may be, and say how much that was."""
        revoked, refused = 0, []
        for one in targets:
            try:
                with transaction.atomic(using=router.db_for_write(Revocation)):
                    revocation = one.revoke(
                        reason=why["reason"], note=why["note"], by=request.user
                    )
                    if not may_revoke(request.user, revocation):
                        raise ValidationError(NOT_IN_REACH, code="not_in_reach")
                    admin_of = self.admin_site.get_model_admin(Revocation)
                    admin_of.log_addition(request, revocation, [{"added": {}}])
                    revoked += 1
            except ValidationError as error:
                refused.append(f"{one.row}: {' '.join(error.messages)}")
        if revoked:
            text = ngettext(
                "%(count)d certificate is revoked.",
                "%(count)d certificates are revoked.",
                revoked,
            )
            self.message_user(request, text % {"count": revoked}, messages.SUCCESS)
        for text in refused[:20]:
            self.message_user(request, text, messages.ERROR)


NOT_IN_REACH = _(
    "It would lock out users whose certificates you may not map: a superuser, other "
    "members of the staff, or everybody of an authority."
)


def may_add_revocations(user: Any) -> bool:
    """Tell whether *user* has the permission to add revocations."""
    options = Revocation._meta
    return bool(
        user.has_perm(f"{options.app_label}.{get_permission_codename('add', options)}")
    )


def find_target(actor: Any, row: Row) -> Target:
    """Return what *actor* would revoke for a mapping or a certificate seen."""
    why = why_not_map(actor, row.user)
    if why is not None:
        return Target(row, why_not=why.messages[0])
    if isinstance(row, SeenCertificate):
        return Target(row, row.client_certificate())
    certificate = certificate_of(row)
    if certificate is not None:
        return Target(row, certificate)
    if row.kind == "public_key":
        return Target(row, public_key=bytes(row.key))
    return Target(
        row,
        why_not=gettext(
            "no certificate is stored, and none was seen. Disable the mapping instead, "
            "or revoke by serial number."
        ),
    )
