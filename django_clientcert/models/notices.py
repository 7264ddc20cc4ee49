"""The expiry notices that were sent, so that each is sent once."""

from __future__ import annotations

import datetime as dt
import hashlib

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .fields import KeyField

# Longer than any stage lasts
_KEPT = dt.timedelta(days=100)


class ExpiryNotice(models.Model):
    """One stage of one expiry, sent to one recipient. No decision depends on it."""

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
        cls._base_manager.filter(sent_at__lt=at - _KEPT).delete()
