"""The inbox: certificates that were refused, why, and how to map them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import BadRequest, ValidationError
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base import base_admin, markup
from django_clientcert.admin.base.base_admin import Fieldsets
from django_clientcert.admin.base.filters import ConditionFilter
from django_clientcert.admin.base.permissions import may_see_row, visible_rows
from django_clientcert.admin.base.readonly_admin import ReadOnlyCertificateAdmin
from django_clientcert.admin.base.screens import screen, show_page
from django_clientcert.admin.base.search import fingerprint_digits
from django_clientcert.admin.base.which_form import Which, WhichForm
from django_clientcert.admin.explain.screen import may_explain
from django_clientcert.exceptions import Reason
from django_clientcert.explaining.reasons import EXPLANATIONS
from django_clientcert.models import CertificateMapping, UnknownCertificate
from django_clientcert.recording.refusals import RECORDED
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.identities import IdentityKind, find_identities

from .candidates import KINDS, Candidate, find_candidates
from .suggestions import Suggestions, map_url

# The limit of one request: each certificate is a field of the form.
MAX_MAPPED = 200

# The form field that names the previewed rows
_ROW = "row"

_REASONS: dict[str, Any] = {
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
    *("shown_reason", "shown_detail", "remedy", "list_count"),
    *("first_seen", "last_seen", "shown_host", "shown_address"),
)
_MAPPING_FIELDS = ("issued_by", "known_as", "renews", "ways")


class ReasonFilter(ConditionFilter):
    """Filter by the reason of the last refusal."""

    title = _("reason")
    parameter_name = "reason"
    labels = _REASONS


# --- mapping several certificates at once


class MapSeveralForm(WhichForm):
    """Whether all certificates have to be mapped, and a note for each mapping."""

    class Meta(WhichForm.Meta):
        fields = ("note",)
        widgets = {
            "note": forms.Textarea(attrs={"class": "vLargeTextField", "rows": 3})
        }


@admin.action(permissions=["map"], description=_("Map by e-mail address"))
def map_by_email(model_admin: Any, request: HttpRequest, queryset: Any) -> HttpResponse:
    """Preview the users that the e-mail addresses in the certificates name."""
    return _start(model_admin, request, queryset, IdentityKind.SAN_EMAIL)


@admin.action(permissions=["map"], description=_("Map by user principal name"))
def map_by_upn(model_admin: Any, request: HttpRequest, queryset: Any) -> HttpResponse:
    """Preview the users that the UPNs in the certificates name."""
    return _start(model_admin, request, queryset, IdentityKind.SAN_UPN)


@screen("map", "view")
def map_view(
    model_admin: Any, request: HttpRequest, kind: IdentityKind
) -> HttpResponse:
    """Map the previewed certificates that have not changed since the preview.

    Raises:
        BadRequest: the posted values are not keys of rows, or there are too many.
    """
    shown = request.POST.getlist(_ROW)
    keys = [value.partition(":")[0] for value in shown]
    if len(shown) > MAX_MAPPED or not all(
        base_admin.is_possible_key(model_admin.opts.pk, key) for key in keys
    ):
        raise BadRequest("These are not keys of rows, or there are too many.")
    changelist = HttpResponseRedirect(model_admin.page_url("changelist"))
    if not shown:
        return changelist
    rows = list(model_admin.get_queryset(request).filter(pk__in=keys).order_by("pk"))
    candidates = find_candidates(request.user, rows, kind)
    form = MapSeveralForm(request.POST)
    if form.is_valid():
        changed = gettext("This has changed since the preview. Review it again.")
        checked = [
            candidate
            if candidate.why_not or candidate.key in shown
            else candidate._replace(why_not=changed)
            for candidate in candidates
        ]
        has_problem = any(candidate.why_not for candidate in checked)
        if form.cleaned_data["which"] == Which.ALL.value and (
            has_problem or len(rows) < len(set(keys))
        ):
            text = gettext(
                "Nothing was mapped, because some certificates cannot be mapped or no "
                "longer exist."
            )
            form.add_error("which", text)
        elif _map_all(model_admin, request, checked, form):
            return changelist
    return _preview(model_admin, request, kind, rows, form)


def _start(
    model_admin: Any, request: HttpRequest, queryset: Any, kind: IdentityKind
) -> HttpResponse:
    rows = list(queryset.order_by("pk")[: MAX_MAPPED + 1])
    if len(rows) > MAX_MAPPED:
        text = gettext("At most %(count)d certificates can be mapped at a time.")
        model_admin.message_user(request, text % {"count": MAX_MAPPED}, messages.ERROR)
        return HttpResponseRedirect(model_admin.page_url("changelist"))
    return _preview(model_admin, request, kind, rows)


def _preview(
    model_admin: Any,
    request: HttpRequest,
    kind: IdentityKind,
    rows: Sequence[UnknownCertificate],
    form: MapSeveralForm | None = None,
) -> HttpResponse:
    """Show the current candidates, which then count for the next request."""
    candidates = find_candidates(request.user, rows, kind)
    count = sum(not candidate.why_not for candidate in candidates)
    if form is None:
        # The button states how many will be mapped, so this has to be the default.
        which = Which.ALL if count == len(candidates) else Which.VALID
        form = MapSeveralForm(initial={"which": which.value})
    return show_page(
        model_admin,
        request,
        "map_certificates.html",
        title=gettext("Map by %(name)s") % {"name": _NAMES[kind]},
        form=form if count else None,
        fieldsets=[base_admin.fieldset(_("Options"), "which", "note")],
        name=_NAMES[kind],
        rows=[
            {
                "subject": markup.breakable_name(str(candidate.row)),
                "name": markup.breakable_name(candidate.name, after="@.,"),
                "user": visible(str(candidate.user or ""), 50),
                "authority": candidate.authority,
                "why_not": candidate.why_not,
            }
            for candidate in candidates[: markup.MAX_SHOWN]
        ],
        more=markup.more_than(len(candidates), markup.MAX_SHOWN),
        selected=[candidate.key for candidate in candidates],
        selected_name=_ROW,
        action_url=model_admin.page_url(f"map_{kind.value}"),
        button=ngettext("Map %(n)d certificate", "Map %(n)d certificates", count)
        % {"n": count},
    )


def _map_all(
    model_admin: Any,
    request: HttpRequest,
    candidates: Sequence[Candidate],
    form: MapSeveralForm,
) -> bool:
    """Map all candidates, or those without a problem; return whether that was done."""
    all_or_none = form.cleaned_data["which"] == Which.ALL.value
    mapped, refused = 0, []
    history = model_admin.admin_site.get_model_admin(CertificateMapping)
    using = router.db_for_write(CertificateMapping)
    try:
        with transaction.atomic(using=using):
            for candidate in candidates:
                if candidate.why_not:
                    refused.append(f"{candidate.row}: {candidate.why_not}")
                    continue
                try:
                    with transaction.atomic(using=using):
                        mapping = candidate.mapping(form.cleaned_data["note"])
                        mapping.full_clean()
                        mapping.save()
                        history.log_addition(request, mapping, [{"added": {}}])
                        candidate.row.delete()
                    mapped += 1
                except ValidationError as error:
                    if all_or_none:
                        raise
                    refused.append(f"{candidate.row}: {' '.join(error.messages)}")
    except ValidationError as error:
        form.add_error("which", " ".join(error.messages))
        return False
    if mapped:
        text = ngettext(
            "%(count)d certificate was mapped and is accepted from the next request "
            "on.",
            "%(count)d certificates were mapped and are accepted from the next request "
            "on.",
            mapped,
        )
        model_admin.message_user(request, text % {"count": mapped}, messages.SUCCESS)
    for text in refused[:20]:
        model_admin.message_user(request, text, messages.WARNING)
    return True


# --- the admin


@admin.register(UnknownCertificate)
class UnknownCertificateAdmin(ReadOnlyCertificateAdmin):
    """Certificates that were refused and are not mapped: to view, map and delete."""

    list_display = (
        "list_subject",
        "list_reason",
        "list_count",
        "list_seen",
        "valid_until",
    )
    list_filter = (ReasonFilter,)
    search_fields = ("subject", "host")
    search_help_text = _(
        "Search by subject or host, or by a fingerprint or its first digits, with or "
        "without colons."
    )
    actions = (map_by_email, map_by_upn)
    screens = (
        *ReadOnlyCertificateAdmin.screens,
        *(
            (f"map/{kind.value}/", partial(map_view, kind=kind), f"map_{kind.value}")
            for kind in KINDS
        ),
    )

    # --- permissions

    def has_map_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may add mappings: the actions’ permission."""
        site: Any = self.admin_site
        return bool(
            site.is_registered(CertificateMapping)
            and site.get_model_admin(CertificateMapping).has_add_permission(request)
        )

    # --- the changelist

    def find_exactly(self, request: HttpRequest, queryset: Any, term: str) -> Any:
        """Return the rows whose fingerprint begins with *term*."""
        digits = fingerprint_digits(term)
        return queryset.none() if digits is None else queryset.digest_prefix(digits)

    @admin.display(description=_("reason"), ordering="reason")
    def list_reason(self, obj: UnknownCertificate) -> str:
        """Return the reason of the last refusal, in a few words."""
        reason = _reason_of(obj)
        return visible(obj.reason, 32) if reason is None else str(_REASONS[reason])

    @admin.display(description=_("refused"), ordering="count")
    def list_count(self, obj: UnknownCertificate) -> str:
        """Return how often it was refused."""
        text = ngettext("%(count)d time", "%(count)d times", obj.count)
        return text % {"count": obj.count}

    @admin.display(description=_("subject"), ordering="subject")
    def list_subject(self, obj: UnknownCertificate) -> str:
        """Return the subject, the requested host, and the client’s address."""
        # Separate columns would push the last one out of sight.
        below = [self.shown_host(obj), self.shown_address(obj)]
        return markup.with_quiet(self.shown_subject(obj), markup.join_lines(below))

    # --- one certificate

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Fieldsets:
        """Return the fieldsets, with the facts about the certificate."""
        facts = () if obj is None else self.certificate_fields(obj)
        return [
            base_admin.fieldset(_("Refusal"), *_REFUSAL_FIELDS),
            base_admin.fieldset(_("Mapping"), *_MAPPING_FIELDS),
            base_admin.fieldset(_("Certificate"), *facts, "revoked"),
        ]

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Return the row, with how to map its certificate, or None."""
        row: Any = super().get_object(request, object_id, from_field)
        if row is not None:
            row.suggestions = Suggestions(self.admin_site, request, row)
        return row

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show a certificate, with links that map and explain it."""
        pk = kwargs["obj"].pk
        if self.has_map_permission(request):
            context["map_url"] = map_url(self.admin_site, pk)
        if may_explain(self.admin_site, request):
            url = base_admin.admin_url(self.admin_site, CertificateMapping, "explain")
            context["explain_url"] = f"{url}?unknown={pk}"
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=_("reason"))
    def shown_reason(self, obj: UnknownCertificate) -> str:
        """Return what the last refusal means."""
        reason = _reason_of(obj)
        if reason is None:
            return visible(obj.reason, 32)
        return format_html(
            "{} <code>{}</code>", EXPLANATIONS[reason].meaning, reason.value
        )

    shown_detail = markup.column(
        _("detail"), lambda row: visible_once(row.detail, 500) or gettext("none")
    )

    @admin.display(description=_("what to do"))
    def remedy(self, obj: UnknownCertificate) -> str:
        """Return what would have to change."""
        reason = _reason_of(obj)
        if reason is None:
            return gettext("unknown")
        if reason is Reason.UNMAPPED:
            return gettext(
                "Map it to a user if you know whose it is, or delete the entry. It "
                "reappears with the next request."
            )
        return str(EXPLANATIONS[reason].remedy)

    # As reported by the proxy
    shown_address = markup.column(
        _("address"), lambda row: visible_once(row.address, 45) or gettext("unknown")
    )
    issued_by = markup.column(
        _("authority"), lambda row: row.suggestions.show_authorities()
    )

    @admin.display(description=_("matching mappings"))
    def known_as(self, obj: Any) -> str:
        """Return the mappings that match it, although it was refused."""
        keys = {
            identity.key: identity.kind.value
            for identity in find_identities(obj.client_certificate()).found
        }
        request = obj.suggestions.request
        rows = visible_rows(self.admin_site, request, CertificateMapping)
        if rows is None:
            return gettext("hidden from you")
        text = gettext("mapping %(pk)s (%(state)s)")
        texts = [
            base_admin.row_link(
                self.admin_site,
                mapping,
                text % {"pk": mapping.pk, "state": mapping.get_state_display()},
            )
            for mapping in rows.filter(key__in=keys).order_by()[:50]
            if mapping.kind == keys[bytes(mapping.key)]
            and may_see_row(self.admin_site, request, mapping)
        ]
        return markup.join_lines(texts[:10]) or gettext("none")

    @admin.display(description=_("renews"))
    def renews(self, obj: Any) -> str:
        """Return which mappings it seems to renew."""
        predecessors: str = obj.suggestions.show_predecessors()
        return predecessors or gettext("does not renew a mapped certificate")

    @admin.display(description=_("map by"))
    def ways(self, obj: Any) -> str:
        """Return the ways to map it, and how strong each is."""
        suggestions: Suggestions = obj.suggestions
        return suggestions.show_ways(
            linked=self.has_map_permission(suggestions.request)
        )


def _reason_of(obj: UnknownCertificate) -> Reason | None:
    """Return the reason; None if this version does not record it."""
    return next((reason for reason in RECORDED if reason.value == obj.reason), None)
