"""The screens of the inbox: who was refused, why, and how to let them in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import (
    sensitive_post_parameters,
    sensitive_variables,
)

from django_clientcert.admin.base.base_admin import (
    Fieldsets,
    is_possible_key,
)
from django_clientcert.admin.base.markup import MAX_SHOWN, breakable_name, more_than
from django_clientcert.admin.base.readonly_admin import ReadOnlyCertificateAdmin
from django_clientcert.admin.base.screens import hide_from_reports, show_page
from django_clientcert.admin.base.search import fingerprint_digits
from django_clientcert.admin.explain.screen import may_explain
from django_clientcert.exceptions import Reason
from django_clientcert.explaining.reasons import explain
from django_clientcert.models import (
    CertificateMapping,
    UnknownCertificate,
    UnknownCertificateQuerySet,
)
from django_clientcert.recording.refusals import RECORDED
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.identities import IdentityKind, find_identities

from . import suggestions
from .candidates import KINDS, Candidate, find_candidates
from .form import MapSeveralForm, Which

# At a time; each is a field of the form
MAX_MAPPED = 200

# The field that the rows of the preview come back in
_ROW = "row"

_WORDS = {
    Reason.UNMAPPED: _("not mapped"),
    Reason.UNTRUSTED_ISSUER: _("issuer not trusted"),
    Reason.INVALID_PATH: _("path not valid"),
    Reason.NOT_YET_VALID: _("not yet valid"),
    Reason.EXPIRED: _("expired"),
    Reason.WRONG_PURPOSE: _("not for clients"),
    Reason.MALFORMED_CERTIFICATE: _("malformed"),
    Reason.REVOKED: _("revoked"),
    Reason.REVOCATION_UNKNOWN: _("revocation unknown"),
}

_NAMES = {
    IdentityKind.SAN_EMAIL: _("e-mail address"),
    IdentityKind.SAN_UPN: _("user principal name"),
}

_REFUSAL_FIELDS = (
    "shown_reason",
    "shown_detail",
    "remedy",
    "list_count",
    "first_seen",
    "last_seen",
    "shown_host",
    "shown_address",
)
_MAPPING_FIELDS = ("issued_by", "known_as", "renews", "ways")


class ReasonFilter(admin.SimpleListFilter):
    """Certificates by why they were refused last."""

    title = _("reason")
    parameter_name = "reason"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, Any]]:
        """Return the choices."""
        return [(reason.value, words) for reason, words in _WORDS.items()]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[UnknownCertificate]
    ) -> QuerySet[UnknownCertificate]:
        """Return those of the chosen reason."""
        value = self.value()
        if value not in {reason.value for reason in RECORDED}:
            return queryset
        return queryset.filter(reason=value)


@admin.register(UnknownCertificate)
class UnknownCertificateAdmin(ReadOnlyCertificateAdmin):
    """Who was refused and is nobody yet: to look at, to map, and to delete."""

    list_display = (
        "list_subject",
        "list_reason",
        "list_count",
        "list_seen",
        "valid_until",
    )
    list_display_links = ("list_subject",)
    list_filter = (ReasonFilter,)
    search_fields = ("subject", "host")
    search_help_text = _(
        "Subject or host; or a fingerprint or its first digits, with or without colons."
    )
    actions = ("map_by_email", "map_by_upn")
    readonly_fields = (*_REFUSAL_FIELDS, *_MAPPING_FIELDS, "revoked")

    # --- who may do what

    def has_map_permission(self, request: HttpRequest) -> bool:
        """Tell whether a mapping may be made: an action’s permission."""
        return self.admin_site.is_registered(CertificateMapping) and bool(
            self.admin_site.get_model_admin(CertificateMapping).has_add_permission(
                request
            )
        )

    # --- the list

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: UnknownCertificateQuerySet,  # type: ignore[override]
        search_term: str,
    ) -> tuple[QuerySet[UnknownCertificate], bool]:
        """Return those that begin with a fingerprint; or search the texts."""
        digits = fingerprint_digits(search_term)
        if digits is not None:
            found = queryset.digest_prefix(digits)
            if found.exists():
                return found, False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description=_("reason"), ordering="reason")
    def list_reason(self, obj: UnknownCertificate) -> str:
        """Return why it was refused last, in a few words."""
        reason = _reason_of(obj)
        return visible(obj.reason, 32) if reason is None else str(_WORDS[reason])

    @admin.display(description=_("refused"), ordering="count")
    def list_count(self, obj: UnknownCertificate) -> str:
        """Return how often it was refused."""
        return ngettext("%(count)d time", "%(count)d times", obj.count) % {
            "count": obj.count
        }

    @admin.display(description=_("subject"), ordering="subject")
    def list_subject(self, obj: UnknownCertificate) -> str:
        """Return the subject, the host that was asked for, and where the client was."""
        # Columns of their own would push the last one out of sight.
        return format_html(
            '{}<br><span class="quiet">{}<br>{}</span>',
            self.shown_subject(obj),
            self.shown_host(obj),
            self.shown_address(obj),
        )

    # --- one certificate

    def get_fieldsets(
        self, request: HttpRequest, obj: UnknownCertificate | None = None
    ) -> Fieldsets:
        """Return the groups of fields, with what is known of the certificate."""
        facts_of = () if obj is None else self.certificate_fields(obj)
        return [
            (_("Refusal"), {"fields": _REFUSAL_FIELDS}),
            (_("Mapping"), {"fields": _MAPPING_FIELDS}),
            (_("Certificate"), {"fields": (*facts_of, "revoked")}),
        ]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show a certificate, with the way to map it."""
        address = ""
        if (
            object_id is not None
            and is_possible_key(self.opts.pk, object_id)
            and self.has_map_permission(request)
        ):
            address = self._address_to_map(object_id)
        context = {**(extra_context or {}), "map_url": address}
        if object_id is not None and may_explain(self.admin_site, request):
            explain_url = reverse(
                "admin:django_clientcert_certificatemapping_explain",
                current_app=self.admin_site.name,
            )
            query = urlencode({"unknown": object_id})
            context["explain_url"] = f"{explain_url}?{query}"
        return super().changeform_view(request, object_id, form_url, context)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> UnknownCertificate | None:
        """Return the row, which knows who is looking, or None."""
        row: UnknownCertificate | None = super().get_object(
            request, object_id, from_field
        )
        if row is not None:
            row.__dict__["_request"] = request
        return row

    @admin.display(description=_("reason"))
    def shown_reason(self, obj: UnknownCertificate) -> str:
        """Return what the last refusal means."""
        reason = _reason_of(obj)
        if reason is None:
            return visible(obj.reason, 32)
        return format_html("{} <code>{}</code>", explain(reason).meaning, reason.value)

    @admin.display(description=_("detail"))
    def shown_detail(self, obj: UnknownCertificate) -> str:
        """Return what the last refusal said besides."""
        return visible_once(obj.detail, 500) or gettext("none")

    @admin.display(description=_("what to do"))
    def remedy(self, obj: UnknownCertificate) -> str:
        """Return what would have to change."""
        reason = _reason_of(obj)
        if reason is None:
            return gettext("unknown")
        if reason is Reason.UNMAPPED:
            return gettext(
                "Map it to a user, if you know whose it is; or delete it from here. It "
                "comes back when it calls again."
            )
        return str(explain(reason).remedy)

    @admin.display(description=_("address"))
    def shown_address(self, obj: UnknownCertificate) -> str:
        """Return where the client was, as the proxy said."""
        return visible_once(obj.address, 45) or gettext("unknown")

    @admin.display(description=_("authority"))
    def issued_by(self, obj: UnknownCertificate) -> str:
        """Return which authority could answer for it."""
        return suggestions.show_authorities(_suggestions(obj))

    @admin.display(description=_("known already"))
    def known_as(self, obj: UnknownCertificate) -> str:
        """Return the mappings that match it, although it was refused."""
        keys = {
            one.key: one.kind.value
            for one in find_identities(obj.client_certificate()).found
        }
        rows = [
            one
            for one in CertificateMapping.objects.matching(keys)[:50]
            if one.kind == keys[bytes(one.key)]
        ]
        if not rows:
            return gettext("no mapping matches it")
        return format_html_join(
            SafeString("<br>"), "{}", ((self._link_to(obj, one),) for one in rows[:10])
        )

    @admin.display(description=_("renewal"))
    def renews(self, obj: UnknownCertificate) -> str:
        """Return whose successor it seems to be."""
        said = suggestions.show_predecessors(
            _suggestions(obj), self.admin_site, obj.__dict__["_request"], obj
        )
        return said or gettext("not that of a certificate that is mapped")

    @admin.display(description=_("map by"))
    def ways(self, obj: UnknownCertificate) -> str:
        """Return by what it could be mapped, and how strong that is."""
        request = obj.__dict__["_request"]
        address = partial(self._address_to_map, obj.pk)
        return suggestions.show_ways(
            _suggestions(obj), address if self.has_map_permission(request) else None
        )

    def _address_to_map(self, key: Any, kind: IdentityKind | None = None) -> str:
        """Return the address of the form that maps a row, by *kind*."""
        query = {suggestions.PARAMETER: key}
        if kind is not None:
            query["kind"] = kind.value
        address = reverse(
            "admin:django_clientcert_certificatemapping_add",
            current_app=self.admin_site.name,
        )
        return f"{address}?{urlencode(query)}"

    def _link_to(self, obj: UnknownCertificate, mapping: CertificateMapping) -> str:
        """Return the name of a mapping, with a link where it may be seen."""
        text = gettext("mapping %(pk)s (%(state)s)") % {
            "pk": mapping.pk,
            "state": mapping.get_state_display(),
        }
        if not self.admin_site.is_registered(CertificateMapping):
            return text
        screens = self.admin_site.get_model_admin(CertificateMapping)
        if not screens.has_view_permission(obj.__dict__["_request"], mapping):
            return text
        address = reverse(
            "admin:django_clientcert_certificatemapping_change",
            args=[mapping.pk],
            current_app=self.admin_site.name,
        )
        return format_html('<a href="{}">{}</a>', address, text)

    # --- several at once

    @admin.action(permissions=["map"], description=_("Map by e-mail address"))
    def map_by_email(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        """Show which users the selected certificates name by e-mail."""
        return self._start(request, queryset, IdentityKind.SAN_EMAIL)

    @admin.action(permissions=["map"], description=_("Map by user principal name"))
    def map_by_upn(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        """Show which users the selected certificates name by UPN."""
        return self._start(request, queryset, IdentityKind.SAN_UPN)

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses, with those that map several."""
        own = [
            path(
                f"map/{kind.value}/",
                self.admin_site.admin_view(self.map_view),
                {"kind": kind},
                name=f"{self.opts.app_label}_{self.opts.model_name}_map_{kind.value}",
            )
            for kind in KINDS
        ]
        return [*own, *super().get_urls()]

    @method_decorator(sensitive_post_parameters())
    @sensitive_variables()
    def map_view(self, request: HttpRequest, kind: IdentityKind) -> HttpResponse:
        """Map what was shown, as far as it still is what was shown.

        Raises:
            PermissionDenied: this person may not.
            BadRequest: what was sent names no rows.
        """
        hide_from_reports(request)
        if not (self.has_map_permission(request) and self.has_view_permission(request)):
            raise PermissionDenied
        sent = request.POST.getlist(_ROW)
        keys = [one.partition(":")[0] for one in sent]
        if len(sent) > MAX_MAPPED or not all(
            is_possible_key(self.opts.pk, key) for key in keys
        ):
            raise BadRequest("These are no keys of rows, or too many.")
        if not sent:
            return HttpResponseRedirect(self.page_url("changelist"))
        rows = list(self.get_queryset(request).filter(pk__in=keys).order_by("pk"))
        shown = set(sent)
        candidates = [
            one
            if one.key in shown
            else one._replace(
                why_not=one.why_not
                or gettext("It has changed since it was shown: look at it again.")
            )
            for one in find_candidates(request.user, rows, kind)
        ]
        form = MapSeveralForm(request.POST)
        if form.is_valid():
            is_whole = len(rows) == len(set(keys)) and not any(
                one.why_not for one in candidates
            )
            if form.cleaned_data["which"] == Which.ALL.value and not is_whole:
                form.add_error(
                    "which",
                    gettext("Some cannot be mapped, or are gone. Nothing was done."),
                )
            elif self._map_all(request, candidates, form):
                return HttpResponseRedirect(self.page_url("changelist"))
        # What is shown now is what counts when it is sent again.
        fresh = find_candidates(request.user, rows, kind)
        return self._preview(request, kind, fresh, form)

    def _start(
        self,
        request: HttpRequest,
        queryset: QuerySet[UnknownCertificate],
        kind: IdentityKind,
    ) -> HttpResponse:
        rows = list(queryset.order_by("pk")[: MAX_MAPPED + 1])
        if len(rows) > MAX_MAPPED:
            self.message_user(
                request,
                gettext("At most %(count)d at a time can be mapped here.")
                % {"count": MAX_MAPPED},
                messages.ERROR,
            )
            return HttpResponseRedirect(self.page_url("changelist"))
        candidates = find_candidates(request.user, rows, kind)
        # The button says how many will be mapped: that is what it does.
        some = any(one.why_not for one in candidates)
        which = Which.VALID if some else Which.ALL
        form = MapSeveralForm(initial={"which": which.value})
        return self._preview(request, kind, candidates, form)

    def _preview(
        self,
        request: HttpRequest,
        kind: IdentityKind,
        candidates: Sequence[Candidate],
        form: MapSeveralForm,
    ) -> HttpResponse:
        count = sum(not one.why_not for one in candidates)
        return show_page(
            self,
            request,
            "map_certificates.html",
            title=gettext("Map by %(name)s") % {"name": _NAMES[kind]},
            back=self.page_url("changelist"),
            form=form if count else None,
            fieldsets=[(_("How"), {"fields": ("which", "note")})],
            name=_NAMES[kind],
            rows=[
                {
                    "subject": breakable_name(str(one.row)),
                    "name": _breakable(one.name),
                    "user": "" if one.user is None else visible(str(one.user), 50),
                    "authority": one.authority or "",
                    "why_not": one.why_not,
                }
                for one in candidates[:MAX_SHOWN]
            ],
            more=more_than(len(candidates), MAX_SHOWN),
            selected=[one.key for one in candidates],
            selected_name=_ROW,
            action_url=self.page_url(f"map_{kind.value}"),
            button=ngettext("Map %(n)d", "Map %(n)d", count) % {"n": count},
        )

    def _map_all(
        self,
        request: HttpRequest,
        candidates: Sequence[Candidate],
        form: MapSeveralForm,
    ) -> bool:
        """Map what can be; tell whether it was done. All of them, or what may be."""
        all_or_none = form.cleaned_data["which"] == Which.ALL.value
        mapped, refused = 0, []
        using = router.db_for_write(CertificateMapping)
        try:
            with transaction.atomic(using=using):
                for one in candidates:
                    if one.why_not:
                        refused.append(f"{one.row}: {one.why_not}")
                        continue
                    try:
                        with transaction.atomic(using=using):
                            self._map(request, one, form.cleaned_data["note"])
                        mapped += 1
                    except ValidationError as error:
                        if all_or_none:
                            raise
                        refused.append(f"{one.row}: {' '.join(error.messages)}")
        except ValidationError as error:
            form.add_error("which", " ".join(error.messages))
            return False
        if mapped:
            text = ngettext(
                "%(count)d certificate is mapped, and let in from the next request on.",
                "%(count)d certificates are mapped, and let in from the next request "
                "on.",
                mapped,
            )
            self.message_user(request, text % {"count": mapped}, messages.SUCCESS)
        for text in refused[:20]:
            self.message_user(request, text, messages.WARNING)
        return True

    def _map(self, request: HttpRequest, one: Candidate, note: str) -> None:
        """Save the mapping of one row, and take the row away.

        Raises:
            ValidationError: it cannot be saved.
        """
        mapping = one.mapping(note)
        mapping.full_clean()
        mapping.save()
        screens = self.admin_site.get_model_admin(CertificateMapping)
        screens.log_addition(request, mapping, [{"added": {}}])
        one.row.delete()


def _breakable(name: str) -> str:
    """Return an address that a narrow column may break behind its signs."""
    parts = re.split(r"(?<=[@.,])", name)
    return format_html_join(SafeString("<wbr>"), "{}", ((part,) for part in parts))


def _reason_of(obj: UnknownCertificate) -> Reason | None:
    """Return the reason; None for one that this version does not record."""
    return next((one for one in RECORDED if one.value == obj.reason), None)


def _suggestions(obj: UnknownCertificate) -> suggestions.Suggestions:
    """Return how to map a row, found out once for its page."""
    found: suggestions.Suggestions | None = obj.__dict__.get("_suggestions")
    if found is None:
        found = suggestions.suggest(obj.client_certificate())
        obj.__dict__["_suggestions"] = found
    return found
