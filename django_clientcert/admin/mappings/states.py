"""Mappings are enabled and disabled, several at a time."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_clientcert.admin.base.base_admin import ClientCertModelAdmin
from django_clientcert.admin.base.history import change
from django_clientcert.models import CertificateMapping


class StatesAdmin(ClientCertModelAdmin):
    """An admin of the mappings with an action for each state."""

    @admin.action(
        permissions=["change"], description=_("Enable selected %(verbose_name_plural)s")
    )
    def enable(
        self, request: HttpRequest, queryset: QuerySet[CertificateMapping]
    ) -> None:
        """Let the disabled ones among the mappings count again."""
        changed = self._set_state(
            request, queryset, {"disabled"}, CertificateMapping.State.ACTIVE
        )
        text = ngettext(
            "%(count)d mapping was enabled.",
            "%(count)d mappings were enabled.",
            changed,
        )
        self._say(request, messages.SUCCESS, changed, text)

    @admin.action(
        permissions=["change"],
        description=_("Disable selected %(verbose_name_plural)s"),
    )
    def disable(
        self, request: HttpRequest, queryset: QuerySet[CertificateMapping]
    ) -> None:
        """Let the mappings refuse whoever they match."""
        changed = self._set_state(
            request,
            queryset,
            {"active", "scheduled", "retiring"},
            CertificateMapping.State.DISABLED,
        )
        text = ngettext(
            "%(count)d mapping was disabled.",
            "%(count)d mappings were disabled.",
            changed,
        )
        self._say(request, messages.SUCCESS, changed, text)

    def _set_state(
        self,
        request: HttpRequest,
        queryset: QuerySet[CertificateMapping],
        before: set[str],
        after: CertificateMapping.State,
    ) -> int:
        """Set the state of those mappings that may be changed; return how many.

        Says how many were left alone. Each change is in the history of its mapping.
        """
        changed, same, refused = 0, 0, 0
        with transaction.atomic(using=router.db_for_write(CertificateMapping)):
            rows = queryset.select_related("user").defer("certificate", "note")
            for mapping in rows.iterator(chunk_size=500):
                if not self.has_change_permission(request, mapping):
                    refused += 1
                elif mapping.state not in before:
                    same += 1
                else:
                    told = change("State", mapping.state, after.value)
                    mapping.state = after
                    mapping.save(update_fields=["state"])
                    self.log_change(request, mapping, [{"changed": {"fields": [told]}}])
                    changed += 1
        text = ngettext(
            "%(count)d mapping had this state already.",
            "%(count)d mappings had this state already.",
            same,
        )
        self._say(request, messages.INFO, same, text)
        text = ngettext(
            "%(count)d mapping was left alone: you may not change it.",
            "%(count)d mappings were left alone: you may not change them.",
            refused,
        )
        self._say(request, messages.WARNING, refused, text)
        return changed

    def _say(self, request: HttpRequest, level: int, count: int, text: str) -> None:
        if count:
            self.message_user(request, text % {"count": count}, level)
