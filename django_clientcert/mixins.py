"""``ClientCertRequiredMixin``: the decorator, for class-based views."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .decorators import client_cert_required


class ClientCertRequiredMixin:
    """Let only requests with an accepted client certificate into the view.

    Put it in front of the view class. ``client_cert_authority`` names the
    authorities of which one must have vouched for the certificate.
    """

    client_cert_authority: str | Iterable[str] | None = None

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return the view, sync or async as its handlers are, behind the check."""
        view = super().as_view(**initkwargs)  # type: ignore[misc]
        authority = initkwargs.get("client_cert_authority", cls.client_cert_authority)
        return client_cert_required(authority=authority)(view)
