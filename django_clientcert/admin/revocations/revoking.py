"""The action that revokes certificates, and its page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, ValidationError
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.base_admin import fieldset, is_possible_key
from django_clientcert.admin.base.certificate_facts import (
    show_fact,
    show_serial_number,
    show_subject,
)
from django_clientcert.admin.base.markup import MAX_SHOWN, breakable_name, more_than
from django_clientcert.admin.base.permissions import why_not_map
from django_clientcert.admin.base.screens import screen, show_page
from django_clientcert.models import CertificateMapping, Revocation, SeenCertificate
from django_clientcert.trust.revoke import (
    certificate_of,
    describe_delay,
    revoke_certificate,
    revoke_public_key,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible

from .forms import WhyForm
from .permissions import check_reach

# At a time. Each looks up its issuer, and each is a field of the form, of which Django
# accepts a thousand (``DATA_UPLOAD_MAX_NUMBER_FIELDS``).
MAX_REVOKED = 500

Row = CertificateMapping | SeenCertificate


class Target(NamedTuple):
    """What to revoke for a row: a certificate or a public key, or why nothing."""

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
        """What will be revoked, or why nothing will."""
        if self.why_not:
            return gettext("cannot be revoked: %(why)s") % {"why": self.why_not}
        if self.certificate is None:
            return gettext("only its public key, because the certificate is not stored")
        certificate = self.certificate
        return format_html(
            "{}<br>{} {}",
            breakable_name(show_fact(certificate, show_subject)),
            gettext("serial number"),
            show_fact(certificate, show_serial_number),
        )


@admin.action(permissions=["revoke"], description=_("Revoke the certificates"))
def revoke(model_admin: Any, request: HttpRequest, queryset: Any) -> HttpResponse:
    """Show what would be revoked: the action of a changelist."""
    return _revoke_page(model_admin, request, queryset)


@screen("revoke", "view")
def revoke_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show what would be revoked, or revoke it.

    Raises:
        BadRequest: what was sent are not keys of rows, or too many.
    """
    data = request.POST if request.method == "POST" else request.GET
    keys = data.getlist(ACTION_CHECKBOX_NAME)
    if len(keys) > MAX_REVOKED or not all(
        is_possible_key(model_admin.opts.pk, key) for key in keys
    ):
        raise BadRequest("These are not keys of rows, or too many.")
    rows = model_admin.get_queryset(request).filter(pk__in=keys)
    return _revoke_page(model_admin, request, rows)


def _revoke_page(model_admin: Any, request: HttpRequest, queryset: Any) -> HttpResponse:
    rows = list(queryset.select_related("user").order_by("pk")[: MAX_REVOKED + 1])
    back = model_admin.page_url("changelist")
    if len(rows) > MAX_REVOKED:
        text = gettext("At most %(count)d certificates can be revoked at a time.")
        model_admin.message_user(request, text % {"count": MAX_REVOKED}, messages.ERROR)
        return HttpResponseRedirect(back)
    targets = [find_target(request.user, row) for row in rows]
    possible = [target for target in targets if not target.why_not]
    was_sent = request.method == "POST" and "post" in request.POST
    form = WhyForm(request.POST if was_sent else None)
    if possible and form.is_valid():
        _revoke_all(model_admin, request, possible, form.cleaned_data)
        return HttpResponseRedirect(back)
    count = len(possible)
    return show_page(
        model_admin,
        request,
        "revoke_certificates.html",
        title=gettext("Revoke the certificates"),
        form=form if possible else None,
        fieldsets=[fieldset(_("Why"), "reason", "note")],
        rows=[
            {
                "name": str(target.row),
                "user": visible(str(target.row.user), 50),
                "what": target.what,
            }
            for target in targets[:MAX_SHOWN]
        ],
        more=more_than(len(targets), MAX_SHOWN),
        selected=[str(target.row.pk) for target in possible],
        selected_name=ACTION_CHECKBOX_NAME,
        action_url=model_admin.page_url("revoke"),
        button=ngettext("Revoke %(n)d certificate", "Revoke %(n)d certificates", count)
        % {"n": count},
    )


def _revoke_all(
    model_admin: Any,
    request: HttpRequest,
    targets: Iterable[Target],
    why: dict[str, Any],
) -> None:
    """Revoke all *targets* that the user may revoke, and say how many were."""
    revoked, refused = 0, []
    history = model_admin.admin_site.get_model_admin(Revocation)
    for target in targets:
        try:
            with transaction.atomic(using=router.db_for_write(Revocation)):
                revocation = target.revoke(
                    reason=why["reason"], note=why["note"], by=request.user
                )
                check_reach(request.user, revocation)
                history.log_addition(request, revocation, [{"added": {}}])
                revoked += 1
        except ValidationError as error:
            refused.append(f"{target.row}: {' '.join(error.messages)}")
    if revoked:
        text = ngettext(
            "%(count)d certificate is revoked.",
            "%(count)d certificates are revoked.",
            revoked,
        )
        text = f"{text % {'count': revoked}} {describe_delay()}".rstrip()
        model_admin.message_user(request, text, messages.SUCCESS)
    for text in refused[:20]:
        model_admin.message_user(request, text, messages.ERROR)


def find_target(actor: Any, row: Row) -> Target:
    """Return what *actor* would revoke for a mapping or a seen certificate."""
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
