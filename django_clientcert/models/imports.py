"""An upload, kept while its owner looks at the preview of the import."""

from __future__ import annotations

import datetime as dt
import json
import zlib
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

_KEPT = dt.timedelta(days=1)


class PendingImport(models.Model):
    """The rows of an upload or, once they are stored, the result of each.

    Only its owner sees it. No decision depends on it.
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
        cls._base_manager.filter(created_at__lt=at - _KEPT).delete()
