"""What else there is beside a certificate: of its user, before it and after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _

from django_clientcert.admin.base.markup import join_lines
from django_clientcert.admin.base.permissions import visible_rows
from django_clientcert.admin.base.times import relative
from django_clientcert.exceptions import CertificateParseError
from django_clientcert.models import CertificateMapping, SeenCertificate
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible

MAX_LISTED = 20


class Siblings:
    """The rows beside one, as far as a person may see them: a query for each list."""

    def __init__(self, model_admin: Any, request: HttpRequest, row: Any) -> None:
        self.site: Any = model_admin.admin_site
        self.request = request
        self.row = row
        self._relatives: list[tuple[bool, CertificateMapping]] | None = None

    def mappings(self) -> str:
        """Return the other mappings of the user."""
        rows = self._rows(CertificateMapping)
        if rows is None:
            return _hidden()
        others = rows.filter(user_id=self.row.user_id).defer("certificate", "note")
        if isinstance(self.row, CertificateMapping):
            others = others.exclude(pk=self.row.pk)
        return self._list(others.select_related("user"), self._about_mapping)

    def seen(self) -> str:
        """Return where the mapping was used from: the certificates that came in by it.

        For a certificate that was seen, the others of the user.
        """
        rows = self._rows(SeenCertificate)
        if rows is None:
            return _hidden()
        rows = rows.select_related("user").defer("certificate")
        if isinstance(self.row, CertificateMapping):
            rows = rows.filter(mapping=self.row)
        else:
            rows = rows.filter(user_id=self.row.user_id).exclude(pk=self.row.pk)
        return self._list(rows.order_by("-last_seen_at", "-pk"), self._about_seen)

    def predecessors(self) -> str:
        """Return the mappings of older certificates of the same subject and issuer."""
        return self._of_age(newer=False)

    def successors(self) -> str:
        """Return the mappings of newer certificates of the same subject and issuer."""
        return self._of_age(newer=True)

    def _of_age(self, *, newer: bool) -> str:
        if self._relatives is None:
            self._relatives = self._find_relatives()
        rows = [row for is_newer, row in self._relatives if is_newer is newer]
        return self._list(rows, self._about_mapping)

    def _find_relatives(self) -> list[tuple[bool, CertificateMapping]]:
        """Return those of the same subject and issuer, and whether each is newer."""
        key, own = self.row.certificate_subject_key, self.row.client_certificate()
        rows = self._rows(CertificateMapping)
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

    def _rows(self, model: Any) -> QuerySet[Any] | None:
        """Return the rows of *model* that this person may see; None for none."""
        return visible_rows(self.site, self.request, model)

    def _list(self, rows: Any, describe: Callable[[Any], str]) -> str:
        found = list(rows[: MAX_LISTED + 1])
        said = [
            format_html('<a href="{}">{}</a>', self._address(row), describe(row))
            for row in found[:MAX_LISTED]
            if self.site.get_model_admin(type(row)).has_view_permission(
                self.request, row
            )
        ]
        return _lines(said, more=len(found) > MAX_LISTED)

    def _address(self, row: Any) -> str:
        options = row._meta
        return reverse(
            f"admin:{options.app_label}_{options.model_name}_change",
            args=[row.pk],
            current_app=self.site.name,
        )

    def _about_mapping(self, row: CertificateMapping) -> str:
        return _("mapping %(pk)s of %(user)s, %(what)s, %(state)s") % {
            "pk": row.pk,
            "user": visible(str(row.user), 50),
            "what": row,
            "state": row.get_state_display(),
        }

    def _about_seen(self, row: SeenCertificate) -> str:
        return _("%(host)s, %(when)s, %(subject)s") % {
            "host": visible(row.host, 80) or _("no host"),
            "when": relative(row.last_seen_at, timezone.now()),
            "subject": row,
        }


def _is_newer(
    before: CertificateMapping, own: ClientCertificate, row: CertificateMapping
) -> bool | None:
    """Tell whether the certificate of *row* is newer; None where it is no relative."""
    other = ClientCertificate(bytes(row.certificate or b""))
    try:
        if other == own or other.issuer_der != own.issuer_der:
            return None
        # Of the same second, the one that was mapped later
        dates = (other.not_before, row.pk), (own.not_before, before.pk)
        return dates[0] > dates[1]
    except CertificateParseError:
        return None


def _hidden() -> str:
    return _("hidden from you")


def _lines(said: Iterable[str], *, more: bool) -> str:
    listed = list(said)
    if more:
        listed.append(_("and more"))
    return join_lines(listed) if listed else _("none")
