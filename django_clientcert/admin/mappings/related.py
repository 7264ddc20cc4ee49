"""Other rows about the same user or certificate, on the page of a certificate."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.db.models import Model, Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.base_admin import row_link
from django_clientcert.admin.base.certificate_page import StoredCertificateAdmin
from django_clientcert.admin.base.markup import column, join_lines
from django_clientcert.admin.base.permissions import may_see_row, visible_rows
from django_clientcert.admin.base.times import relative
from django_clientcert.exceptions import CertificateParseError
from django_clientcert.models import CertificateMapping, SeenCertificate
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible

MAX_LISTED = 20


class RelatedRows:
    """The rows related to *row* that the user may see, one query per list."""

    def __init__(self, model_admin: Any, request: HttpRequest, row: Any) -> None:
        self.site: Any = model_admin.admin_site
        self.request = request
        self.row = row

    def mappings(self) -> str:
        """Return the other mappings of the row’s user."""
        condition = Q(user_id=self.row.user_id)
        return self._find(CertificateMapping, condition, _describe_mapping)

    def seen(self) -> str:
        """Return the certificates that a mapping accepted.

        For a seen certificate, return the others of its user.
        """
        is_mapping = isinstance(self.row, CertificateMapping)
        condition = Q(mapping=self.row) if is_mapping else Q(user_id=self.row.user_id)
        return self._find(SeenCertificate, condition, _describe_seen)

    def relatives(self, *, newer: bool) -> str:
        """Return the mappings of *newer* or older certificates of the same subject.

        Their issuer is the same too.
        """
        rows = [row for is_newer, row in self._relatives if is_newer is newer]
        return self._list(rows, _describe_mapping)

    @cached_property
    def _relatives(self) -> list[tuple[bool, CertificateMapping]]:
        """The mappings of the same subject and issuer, and whether each is newer."""
        key, own = self.row.certificate_subject_key, self.row.client_certificate()
        rows = visible_rows(self.site, self.request, CertificateMapping)
        if key is None or own is None or rows is None:
            return []
        rows = (
            rows.filter(certificate_subject_key=key)
            .exclude(pk=self.row.pk)
            .exclude(certificate=None)
            .select_related("user")
            .defer("note")
        )
        ages = [(_is_newer(self.row, own, row), row) for row in rows[: MAX_LISTED + 1]]
        return [(age, row) for age, row in ages if age is not None]

    def _find(
        self, model: type[Model], condition: Q, describe: Callable[[Any], str]
    ) -> str:
        """Return the other rows of *model* that meet *condition*."""
        rows = visible_rows(self.site, self.request, model)
        if rows is None:
            return gettext("hidden from you")
        rows = rows.filter(condition).select_related("user").defer("certificate")
        if isinstance(self.row, model):
            rows = rows.exclude(pk=self.row.pk)
        return self._list(rows, describe)

    def _list(self, rows: Any, describe: Callable[[Any], str]) -> str:
        listed = list(rows[: MAX_LISTED + 1])
        lines: list[str] = [
            row_link(self.site, row, describe(row))
            for row in listed[:MAX_LISTED]
            if may_see_row(self.site, self.request, row)
        ]
        if len(listed) > MAX_LISTED:
            lines.append(gettext("and more"))
        return join_lines(lines) if lines else gettext("none")


def related_field(label: Any, show: Callable[[RelatedRows], str]) -> Any:
    """Return a column of a ``RelatedRowsAdmin``: one list of related rows."""
    return column(label, lambda row: show(row.related))


class RelatedRowsAdmin(StoredCertificateAdmin):
    """Base for models of users’ certificates: a row on a page has ``related``."""

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Return the row with its related rows, or None."""
        row: Any = super().get_object(request, object_id, from_field)
        if row is not None:
            row.related = RelatedRows(self, request, row)
        return row

    other_mappings = related_field(_("mappings of this user"), RelatedRows.mappings)


def _describe_mapping(row: CertificateMapping) -> str:
    return gettext("mapping %(pk)s of %(user)s, %(what)s, %(state)s") % {
        "pk": row.pk,
        "user": visible(str(row.user), 50),
        "what": row,
        "state": row.get_state_display(),
    }


def _describe_seen(row: SeenCertificate) -> str:
    host = visible(row.host, 80) or gettext("no host")
    return f"{host}, {relative(row.last_seen_at, timezone.now())}, {row}"


def _is_newer(
    before: CertificateMapping, own: ClientCertificate, row: CertificateMapping
) -> bool | None:
    """Return whether the certificate of *row* is newer; None if it is unrelated."""
    other = ClientCertificate(bytes(row.certificate or b""))
    try:
        if other == own or other.issuer_der != own.issuer_der:
            return None
        # Within the same second, the mapping that was added later is newer.
        return (other.not_before, row.pk) > (own.not_before, before.pk)
    except CertificateParseError:
        return None
