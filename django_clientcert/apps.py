"""The Django application."""

from __future__ import annotations

import warnings

from cryptography.utils import CryptographyDeprecationWarning
from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.utils.translation import gettext_lazy as _


class ClientCertConfig(AppConfig):
    """``django_clientcert`` in ``INSTALLED_APPS``."""

    name = "django_clientcert"
    label = "django_clientcert"
    verbose_name = _("Client certificates")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, and say once what cryptography says each time."""
        from . import checks  # noqa: F401
        from .evaluation.keeping import watch

        connection_created.connect(watch)

        # An upload and the page of an authority name these serial numbers.
        warnings.filterwarnings(
            "ignore", "Parsed a serial number", CryptographyDeprecationWarning
        )
