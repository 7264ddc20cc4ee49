"""What is kept for a while only: uploads to import, and the expiry notices sent.

No decision depends on these tables.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import zlib
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .fields import KeyField

_IMPORTS_KEPT = dt.timedelta(days=1)
# Longer than any stage lasts
_NOTICES_KEPT = dt.timedelta(days=100)


class ExpiryNotice(models.Model):
    """One stage of one expiry, sent to one recipient."""

    key = KeyField(_("key"), unique=True, editable=False)
    sent_at = models.DateTimeField(_("sent"), default=timezone.now)

    class Meta:
        verbose_name = _("expiry notice")
        verbose_name_plural = _("expiry notices")

    def __str__(self) -> str:
        return bytes(self.key).hex()[:16]

    @staticmethod
    def key_of(
        recipient: str, what: str, pk: object, expires_at: dt.datetime, stage: int
    ) -> bytes:
        """Return the key of a notice; *stage* is in days."""
        parts = (recipient, what, str(pk), expires_at.isoformat(), str(stage))
        return hashlib.sha256("\0".join(parts).encode()).digest()

    @classmethod
    def forget_old(cls, at: dt.datetime) -> None:
        """Delete the notices that no stage needs any more."""
        cls._base_manager.filter(sent_at__lt=at - _NOTICES_KEPT).delete()


class PendingImport(models.Model):
    """The rows of an upload or, once they are stored, the result of each.

    Only its owner sees it.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("owner"),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    stored_at = models.DateTimeField(_("stored at"), null=True)
    content = models.BinaryField(_("content"))

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        default_permissions = ()

    def __str__(self) -> str:
        return self.created_at.isoformat()

    def pack(self, content: Any) -> None:
        """Set ``content`` to a value that can be written as JSON."""
        self.content = zlib.compress(json.dumps(content).encode(), 1)

    def unpack(self) -> Any:
        """Return the value that was packed."""
        return json.loads(zlib.decompress(bytes(self.content)))

    @classmethod
    def forget_old(cls, at: dt.datetime) -> None:
        """Delete uploads that are older than a day."""
        cls._base_manager.filter(created_at__lt=at - _IMPORTS_KEPT).delete()
