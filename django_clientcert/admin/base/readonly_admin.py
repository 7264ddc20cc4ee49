"""The base for certificates that the middleware recorded: nobody adds or edits one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.x509.escaping import visible_once
from django_clientcert.x509.text import show_day

from .certificate_page import StoredCertificateAdmin
from .markup import breakable_name, column, with_quiet
from .revocation_status import revoked_certificates, show_revocation
from .times import moment, moment_and_distance, on_day, relative, validity_status


class ReadOnlyCertificateAdmin(StoredCertificateAdmin):
    """Base for models whose rows are written when a certificate is presented."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: rows are written by requests only."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: a record is not edited."""
        return False

    shown_subject = column(
        _("subject"), lambda row: breakable_name(str(row)), ordering="subject"
    )

    @admin.display(description=_("last seen"), ordering="last_seen_at")
    def list_seen(self, obj: Any) -> str:
        """Return how long ago it was seen last, and on which day first."""
        first = gettext("first %(day)s") % {"day": show_day(obj.first_seen_at)}
        return with_quiet(relative(obj.last_seen_at, timezone.now()), first)

    @admin.display(description=_("valid until"), ordering="not_after")
    def valid_until(self, obj: Any) -> str:
        """Return when it expires."""
        if obj.not_after is None:
            return gettext("unknown")
        status = validity_status(None, obj.not_after, timezone.now())
        return on_day(obj.not_after, status)

    shown_host = column(
        _("host"), lambda row: visible_once(row.host, 80) or gettext("unknown")
    )
    first_seen = column(_("first seen"), lambda row: moment(row.first_seen_at))

    last_seen = column(
        _("last seen"), lambda row: moment_and_distance(row.last_seen_at)
    )

    @admin.display(description=_("revocation"))
    def revoked(self, obj: Any) -> str:
        """Return whether it is revoked now, and why."""
        refusals = revoked_certificates({obj.pk: obj.client_certificate()})
        return show_revocation(refusals.get(obj.pk))
