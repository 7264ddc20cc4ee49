"""What was told of something that expires, so that it is told once."""

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
    """One stage of one ending, told to one recipient. No decision rests on it."""

    key = KeyField(_("key"), unique=True, editable=False)
    sent_at = models.DateTimeField(_("sent"), default=timezone.now)

    class Meta:
        verbose_name = _("notice of expiry")
        verbose_name_plural = _("notices of expiry")

    def __str__(self) -> str:
        return bytes(self.key).hex()[:16]

    @staticmethod
    def key_of(
        recipient: str, what: str, pk: object, expires_at: dt.datetime, stage: int
    ) -> bytes:
        """Return what stands for a notice; *stage* in days."""
        parts = (recipient, what, str(pk), expires_at.isoformat(), str(stage))
        return hashlib.sha256("\0".join(parts).encode()).digest()

    @classmethod
    def forget_old(cls, at: dt.datetime) -> None:
        """Delete what no stage needs any more."""
        cls._base_manager.filter(sent_at__lt=at - _KEPT).delete()
