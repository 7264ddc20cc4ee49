"""``ClientCertRequiredMixin``: the decorator, for class-based views."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from .decorators import client_cert_required


class ClientCertRequiredMixin:
    """Restrict a view to requests with an accepted client certificate.

    Put it before the view class. One of the authorities in
    ``client_cert_authority`` must have vouched for the certificate.
    """

    client_cert_authority: str | Iterable[str] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a class in which the mixin comes after the view, without effect.

        Raises:
            ImproperlyConfigured: another class's ``as_view`` comes first.
        """
        super().__init_subclass__(**kwargs)
        first = next(base for base in cls.__mro__[1:] if "as_view" in vars(base))
        if "as_view" not in vars(cls) and first is not ClientCertRequiredMixin:
            raise ImproperlyConfigured(
                f"Put ClientCertRequiredMixin first among the bases of {cls.__name__}."
            )

    @classmethod
    def as_view(cls, *args: Any, **initkwargs: Any) -> Any:
        """Return the view with the check, sync or async as its handlers are."""
        view = super().as_view(*args, **initkwargs)  # type: ignore[misc]
        authority = initkwargs.get("client_cert_authority", cls.client_cert_authority)
        return client_cert_required(authority=authority)(view)
