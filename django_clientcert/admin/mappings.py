"""The screens of the mappings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, PermissionDenied
from django.db import connections, router, transaction
from django.db.models import Field, QuerySet
from django.forms import Media
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import (
    sensitive_post_parameters,
    sensitive_variables,
)

from django_clientcert.bundles import to_pem
from django_clientcert.certificates import ClientCertificate
from django_clientcert.escaping import visible, visible_once
from django_clientcert.exceptions import ClientCertError, Reason
from django_clientcert.forms import CertificateMappingForm, RenewalForm
from django_clientcert.forms.entries import spell_out
from django_clientcert.identities import Kind, show_value
from django_clientcert.models import (
    CertificateMapping,
    UnknownCertificate,
)
from django_clientcert.names import Order, parse_name
from django_clientcert.renewals import find_predecessors

from . import facts, remarks, suggestions
from .certificate_page import ShowsCertificate
from .explaining import ExplainingAdmin
from .guarded import Fieldsets, hide_from_reports, is_possible_key
from .history import TellsChanges, change
from .importing import ImportingAdmin
from .pages import show_page
from .permissions import why_not_map
from .revoked import in_words, revoked_mappings
from .revoking import RevokingAdmin, may_add_revocations
from .search import (
    begins_with,
    fingerprint_digits,
    first_keys,
    is_indexed,
    name_keys,
    newest,
    with_words,
)
from .siblings import Siblings
from .timeline import TimelineAdmin
from .times import (
    LastUsedFilter,
    ValidityFilter,
    mapping_validity,
    moment,
    relative,
    validity_status,
)

T = TypeVar("T")

_NAME_KINDS = frozenset({Kind.SUBJECT.value, Kind.ISSUER_SERIAL.value})
_SHOWN_DIGITS = 16
_SHOWN_NAME = 50

_READ_ONLY = (
    "created",
    "last_used",
    "other_mappings",
    "predecessors",
    "renewal",
    "revocation",
    "shown_value",
    "strength",
    "successors",
    "understood",
    "used_from",
    "validity",
)


@admin.register(CertificateMapping)
class CertificateMappingAdmin(
    ExplainingAdmin,
    TimelineAdmin,
    ImportingAdmin,
    RevokingAdmin,
    ShowsCertificate,
    TellsChanges,
):
    """Who a certificate is."""

    form = CertificateMappingForm
    list_display = (
        "shown_user",
        "list_kind",
        "list_value",
        "validity",
        "list_state",
        "list_last_used",
    )
    list_select_related = ("user", "authority")
    list_filter = ("state", ValidityFilter, LastUsedFilter, "kind", "authority")
    search_fields = ("value", "certificate_subject")
    search_help_text = _(
        "The beginning of a user name; a fingerprint or its first digits, with or "
        "without colons; a whole value or subject. Of the newest 10,000 mappings and "
        "users, also a part of a name or address."
    )
    raw_id_fields = ("user",)
    readonly_fields = _READ_ONLY
    actions = ("enable", "disable", "revoke", "export_csv", "export_json")
    prefilled_fields = ("user", "kind", "value", "authority", "note")
    told_fields = (
        "user",
        "kind",
        "value",
        "authority",
        "state",
        "valid_from",
        "valid_until",
        "hosts",
    )
    renamed_fields = {
        "pasted": "Certificate",
        "upload": "Certificate",
        "order": "",
    }

    # --- who may do what

    def has_change_permission(
        self, request: HttpRequest, obj: CertificateMapping | None = None
    ) -> bool:
        """Tell whether the mapping's user is one whose mappings may be changed."""
        return super().has_change_permission(request, obj) and _may_map(request, obj)

    def has_delete_permission(
        self, request: HttpRequest, obj: CertificateMapping | None = None
    ) -> bool:
        """Tell whether the mapping may go: a disabled one keeps others out."""
        return super().has_delete_permission(request, obj) and _may_map(request, obj)

    # --- the form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the address fills in; the kind that survives a renewal."""
        initial = super().get_changeform_initial_data(request)
        initial = {"kind": Kind.PUBLIC_KEY.value, **initial}
        row = self._unknown(request)
        if row is not None:
            initial["pasted"] = to_pem([row.client_certificate()])
            authority = self._suggestions(request, row).authority
            pins = {Kind.PUBLIC_KEY.value, Kind.FINGERPRINT.value}
            if authority is not None and initial["kind"] not in pins:
                initial.setdefault("authority", authority.pk)
        return initial

    def _unknown(self, request: HttpRequest) -> UnknownCertificate | None:
        """Return the row of the inbox that is to be mapped, once per request."""
        return _once(
            request, "row", lambda: suggestions.chosen_row(self.admin_site, request)
        )

    def _suggestions(
        self, request: HttpRequest, row: UnknownCertificate
    ) -> suggestions.Suggestions:
        """Return how the row could be mapped, found out once per request."""
        return _once(
            request,
            "suggestions",
            lambda: suggestions.suggest(row.client_certificate()),
        )

    def _describe_unknown(self, request: HttpRequest) -> str:
        """Return what is said above the form of a certificate of the inbox."""
        row = self._unknown(request)
        if row is None:
            return ""
        found = self._suggestions(request, row)
        return format_html(
            "<p>{} {}</p><p>{}</p>{}",
            gettext("The certificate comes from the inbox."),
            suggestions.show_authorities(found),
            suggestions.show_predecessors(found, self.admin_site, request, row),
            suggestions.show_ways(found, None),
        )

    def get_form(
        self,
        request: HttpRequest,
        obj: CertificateMapping | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return the form, which knows who is at the keyboard."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        # A class of its own for each call: see modelform_factory.
        form.refuse_user = staticmethod(partial(why_not_map, request.user))
        if obj is None and (row := self._unknown(request)) is not None:
            form.offered_kinds = self._suggestions(request, row).kinds
        return form

    def get_autocomplete_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Return the user, where the admin of the users can be searched."""
        model = get_user_model()
        if not self.admin_site.is_registered(model):
            return ()
        users = self.admin_site.get_model_admin(model)
        searchable = users.get_search_fields(request)
        return ("user",) if searchable and users.has_view_permission(request) else ()

    def formfield_for_foreignkey(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Return the field; that of the user survives an impossible key."""
        if db_field.name == "user" and "user" in self.get_autocomplete_fields(request):
            kwargs["widget"] = _UserSelect(
                db_field, self.admin_site, using=kwargs.get("using")
            )
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_fieldsets(
        self, request: HttpRequest, obj: CertificateMapping | None = None
    ) -> Fieldsets:
        """Return the groups of fields, with what is known of the certificate."""
        if obj is None:
            return [
                (_("Identity"), {"fields": ("user", "note")}),
                (
                    _("Certificate"),
                    {
                        "fields": ("pasted", "upload", "kind", "value", "order"),
                        "description": self._describe_unknown(request)
                        or _(
                            "Paste or upload the certificate, or type what it can be "
                            "recognised by. A private key is refused."
                        ),
                    },
                ),
                (_("Matching"), {"fields": ("authority", "hosts")}),
                (_("Validity"), {"fields": ("state", "valid_from", "valid_until")}),
            ]
        obj.siblings = Siblings(self, request, obj)  # type: ignore[attr-defined]
        may_change = self.has_change_permission(request, obj)
        value: tuple[str, ...] = ("value", "order") if may_change else ("shown_value",)
        if obj.kind in _NAME_KINDS:
            value += ("understood",)
        fieldsets: Fieldsets = [
            (
                _("Identity"),
                {"fields": ("user", "note", "created", "last_used", "used_from")},
            ),
            (
                _("Matching"),
                {"fields": ("kind", *value, "strength", "authority", "hosts")},
            ),
            (
                _("Validity"),
                {
                    "fields": (
                        "state",
                        "valid_from",
                        "valid_until",
                        "validity",
                        "revocation",
                        "renewal",
                    ),
                    "description": self._links(request, obj),
                },
            ),
            (_("Certificate"), {"fields": self.certificate_fields(obj)}),
            (
                _("Other certificates"),
                {"fields": ("other_mappings", "predecessors", "successors")},
            ),
        ]
        if may_change:
            fieldsets.append(
                (
                    _("Store a certificate")
                    if obj.certificate is None
                    else _("Replace the certificate"),
                    {"fields": ("pasted", "upload"), "classes": ("collapse",)},
                )
            )
        return fieldsets

    def save_model(
        self,
        request: HttpRequest,
        obj: CertificateMapping,
        form: CertificateMappingForm,
        change: bool,
    ) -> None:
        """Save, and say what was done unasked and what may keep it from working."""
        super().save_model(request, obj, form, change)
        for remark in form.remarks:
            self.message_user(request, remark, messages.INFO)
        if form.certificate is not None:
            for remark in remarks.on_certificate(
                form.certificate, Kind(obj.kind), obj.authority
            ):
                self.message_user(request, remark, messages.WARNING)
            if not change:
                self._say_what_it_renews(request, form.certificate)
            self._clear_inbox(request, form.certificate)

    def _clear_inbox(
        self, request: HttpRequest, certificate: ClientCertificate
    ) -> None:
        """Take what is mapped now out of the inbox."""
        if UnknownCertificate.objects.all().of_keys(certificate).delete()[0]:
            self.message_user(
                request,
                gettext(
                    "The certificate is mapped now, and no longer in the inbox. It is "
                    "looked at anew with the next request."
                ),
                messages.INFO,
            )

    def _say_what_it_renews(
        self, request: HttpRequest, certificate: ClientCertificate
    ) -> None:
        """Say of which mappings' certificates this one seems to be the renewal."""
        for one in find_predecessors(certificate)[:5]:
            is_disabled = one.state == CertificateMapping.State.DISABLED
            text = format_html(
                '{} <a href="{}">{}</a>. {}',
                gettext("The certificate is the successor of"),
                self._address("change", one.pk),
                gettext("mapping %(pk)s") % {"pk": one.pk},
                gettext("That one is disabled.")
                if is_disabled
                else gettext(
                    "Both are good now: set a date on which the old one retires. "
                ),
            )
            if self.has_change_permission(request, one) and not is_disabled:
                text = format_html(
                    '{}<a href="{}">{}</a>',
                    text,
                    self._address("renew", one.pk),
                    gettext("Next time, renew it in one step."),
                )
            self.message_user(request, text, messages.INFO)

    def _links(self, request: HttpRequest, obj: CertificateMapping) -> str:
        """Return links to what can be done with the mapping's certificate."""
        explain = f"{self._address('explain')}?mapping={obj.pk}"
        links = [(explain, gettext("Explain"))]
        # A disabled one lets nobody in: there is nothing to renew.
        is_disabled = obj.state == CertificateMapping.State.DISABLED
        if self._may_renew(request, obj) and not is_disabled:
            links.append((self._address("renew", obj.pk), gettext("Renew")))
        if may_add_revocations(request.user) and _may_map(request, obj):
            address = f"{self._address('revoke')}?{ACTION_CHECKBOX_NAME}={obj.pk}"
            links.append((address, gettext("Revoke the certificate")))
        return format_html_join(" · ", '<a href="{}">{}</a>', links)

    # --- renewal

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses, with that of the renewal."""
        own = path(
            "<path:object_id>/renew/",
            self.admin_site.admin_view(self.renew_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_renew",
        )
        return [own, *super().get_urls()]

    @method_decorator(sensitive_post_parameters())
    @sensitive_variables()
    def renew_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Map a renewed certificate, and let the old mapping retire.

        Raises:
            PermissionDenied: this person may not.
        """
        hide_from_reports(request)
        mapping: CertificateMapping | None = self.get_object(
            request, unquote(object_id)
        )
        if mapping is None:
            # Django's own page for it: a message, and back to the start
            return self.change_view(request, object_id)
        if not self._may_renew(request, mapping):
            raise PermissionDenied
        sent = (request.POST, request.FILES) if request.method == "POST" else ()
        initial = {}
        if not sent and (row := self._unknown(request)) is not None:
            initial["pasted"] = to_pem([row.client_certificate()])
        form = RenewalForm(mapping, *sent, initial=initial)
        if sent and form.is_valid():
            return self._renewed(request, mapping, form)
        return show_page(
            self,
            request,
            "renew_mapping.html",
            title=gettext("Renew"),
            back=self._address("change", mapping.pk),
            original=str(mapping),
            form=form,
            fieldsets=[
                (_("Renewed certificate"), {"fields": ("pasted", "upload")}),
                (_("Dates"), {"fields": ("retire_on", "valid_from")}),
            ],
            action_url=self._address("renew", mapping.pk),
            button=gettext("Renew"),
        )

    def _renewed(
        self, request: HttpRequest, mapping: CertificateMapping, form: RenewalForm
    ) -> HttpResponse:
        """Write down and say what was done."""
        successor: Any = form.successor
        self.log_addition(request, successor, [{"added": {}}])
        mapping.refresh_from_db()
        self.log_change(
            request, mapping, [{"changed": {"fields": ["State", "Valid until"]}}]
        )
        until: Any = mapping.valid_until
        text = gettext(
            "Mapping %(new)s was made for the renewed certificate; mapping %(old)s "
            "retires on %(when)s."
        ) % {
            "new": successor.pk,
            "old": mapping.pk,
            "when": moment(until),
        }
        self.message_user(request, text, messages.SUCCESS)
        certificate = successor.client_certificate()
        self._clear_inbox(request, certificate)
        for remark in remarks.on_certificate(
            certificate, Kind(successor.kind), successor.authority
        ):
            self.message_user(request, remark, messages.WARNING)
        return HttpResponseRedirect(self._address("change", successor.pk))

    def _may_renew(self, request: HttpRequest, obj: CertificateMapping) -> bool:
        return self.has_change_permission(request, obj) and self.has_add_permission(
            request
        )

    # --- the list

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list, whose rows know whether they are revoked."""
        changelist: Any = super().get_changelist_instance(request)
        rows = list(changelist.result_list)
        why = revoked_mappings(rows)
        for row in rows:
            refusal = why.get(row.pk)
            row.is_revoked = refusal is not None and refusal.reason is Reason.REVOKED
        changelist.result_list = rows
        return changelist

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[CertificateMapping],
        search_term: str,
    ) -> tuple[QuerySet[CertificateMapping], bool]:
        """Return the pins that begin with a fingerprint; or search names and texts."""
        digits = fingerprint_digits(search_term)
        if digits is not None:
            pins = CertificateMapping.objects.using(queryset.db)
            keys = first_keys([pins.fingerprint_prefix(digits)], request)
            found = queryset.filter(pk__in=keys)
            if found.exists():
                return found, False
        return super().get_search_results(request, queryset, search_term)

    def find_by_index(self, request: HttpRequest, using: str, term: str) -> list[Any]:
        """Return those of users whose name begins with *term*, and those by a name.

        The name is a value, or the subject of the certificate that is stored.
        """
        rows = CertificateMapping.objects.using(using)
        keys = name_keys(term)
        subjects = [key for key, kind in keys.items() if kind is Kind.SUBJECT]
        found = [rows.filter(key__in=[*keys])] if keys else []
        if subjects:
            found.append(rows.filter(certificate_subject_key__in=subjects))
        users: Any = get_user_model()._default_manager.using(using)
        fields = _user_fields()
        # In queries of their own: for a join, PostgreSQL would read all users.
        vendor = connections[using].vendor
        named = [
            users.filter(begins_with(field, term, vendor))
            for field in filter(is_indexed, fields)
        ]
        inside = newest(users.all()).filter(with_words(fields, term))
        of_users = rows.filter(user__in=first_keys([*named, inside], request))
        return [*found, of_users] if fields else found

    @admin.display(description=_("user"), ordering="user_id")
    def shown_user(self, obj: CertificateMapping) -> str:
        """Return the user."""
        return visible(str(obj.user), _SHOWN_NAME)

    @admin.display(description=_("kind"), ordering="kind")
    def list_kind(self, obj: CertificateMapping) -> str:
        """Return the kind, and whether it is strong."""
        strength = gettext("strong") if obj.is_strong else gettext("by name")
        return format_html(
            '{}<br><span class="quiet">{}</span>', obj.get_kind_display(), strength
        )

    @admin.display(description=_("state"), ordering="state")
    def list_state(self, obj: CertificateMapping) -> str:
        """Return the state, and whether the certificate is revoked."""
        state: str = obj.get_state_display()
        if not obj.is_revoked:  # type: ignore[attr-defined]
            return state
        return format_html(
            "{}<br><strong>{}</strong>", state, gettext("certificate revoked")
        )

    @admin.display(description=_("value"))
    def list_value(self, obj: CertificateMapping) -> str:
        """Return the value, shortened; whose certificate, and which CA's, it is."""
        if obj.is_pin:
            value = format_html("<code>{}…</code>", visible(obj.value[:_SHOWN_DIGITS]))
        else:
            value = facts.breakable(self.shown_value(obj, _SHOWN_NAME))
        below: list[str] = []
        if obj.is_pin and obj.certificate_subject:
            below.append(
                facts.breakable(visible_once(obj.certificate_subject, _SHOWN_NAME))
            )
        if obj.authority is not None:
            # A column of its own would push the last ones out of sight.
            below.append(
                gettext("issued by %(authority)s") % {"authority": obj.authority}
            )
        if not below:
            return value
        return format_html(
            '{}<br><span class="quiet">{}</span>', value, facts.lines(below)
        )

    @admin.display(description=_("validity"), ordering="certificate_not_after")
    def validity(self, obj: CertificateMapping) -> str:
        """Return whether the mapping and its certificate are valid."""
        return validity_status(*mapping_validity(obj), timezone.now())

    @admin.display(description=_("last used"), ordering="last_used_at")
    def list_last_used(self, obj: CertificateMapping) -> str:
        """Return how long ago the mapping last let somebody in."""
        if obj.last_used_at is None:
            return gettext("never")
        return relative(obj.last_used_at, timezone.now())

    # --- one mapping

    @admin.display(description=_("last used"))
    def last_used(self, obj: CertificateMapping) -> str:
        """Return when the mapping last let somebody in."""
        if obj.last_used_at is None:
            return gettext("never")
        ago = relative(obj.last_used_at, timezone.now())
        return f"{moment(obj.last_used_at)}, {ago}"

    @admin.display(description=_("strength"))
    def strength(self, obj: CertificateMapping) -> str:
        """Return whether the certificate is named beyond doubt, or who answers."""
        return suggestions.strength(obj)

    @admin.display(description=_("revocation"))
    def revocation(self, obj: CertificateMapping) -> str:
        """Return whether the certificate is revoked, and by what."""
        why = revoked_mappings([obj]).get(obj.pk)
        if obj.certificate is None and obj.kind != Kind.PUBLIC_KEY.value:
            return gettext("unknown: the certificate is not stored")
        return in_words(why)

    @admin.display(description=_("renewal"))
    def renewal(self, obj: CertificateMapping) -> str:
        """Return what happens when the certificate is renewed."""
        return suggestions.renewal(obj)

    @admin.display(description=_("created"))
    def created(self, obj: CertificateMapping) -> str:
        """Return when the mapping was made."""
        return moment(obj.created_at)

    @admin.display(description=_("value"))
    def shown_value(self, obj: CertificateMapping, limit: int = facts.MAX_NAME) -> str:
        """Return the value, safe to show."""
        if obj.is_pin:
            return facts.pairs(visible(obj.value, 64))
        try:
            return show_value(Kind(obj.kind), obj.value, limit)
        except ValueError:  # a kind that this version does not know
            return visible(obj.value, limit)

    @admin.display(description=_("read as"))
    def understood(self, obj: CertificateMapping) -> str:
        """Return the parts of a name from the general to the specific."""
        name = obj.value
        if obj.kind == Kind.ISSUER_SERIAL.value:
            name = name.partition(" ")[2]
        try:
            return spell_out(parse_name(name, order=Order.MOST_SPECIFIC_FIRST))
        except ClientCertError as error:
            why = visible_once(str(error))
            return gettext("cannot be read: %(why)s") % {"why": why}

    # --- what is beside it: get_fieldsets() has said for whom

    @admin.display(description=_("used from"))
    def used_from(self, obj: CertificateMapping) -> str:
        """Return the hosts and certificates that it let in."""
        return _siblings(obj).seen()

    @admin.display(description=_("mappings of this user"))
    def other_mappings(self, obj: CertificateMapping) -> str:
        """Return the other mappings of the user."""
        return _siblings(obj).mappings()

    @admin.display(description=_("predecessors"))
    def predecessors(self, obj: CertificateMapping) -> str:
        """Return what the certificate seems to renew."""
        return _siblings(obj).predecessors()

    @admin.display(description=_("successors"))
    def successors(self, obj: CertificateMapping) -> str:
        """Return what seems to renew the certificate."""
        return _siblings(obj).successors()

    # --- actions

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


class _UserSelect(AutocompleteSelect):
    """The autocomplete widget, which fails on a key that cannot be one.

    And whose box has no name for a screen reader, without a script that gives it one.
    """

    @property
    def media(self) -> Media:
        """Return Django's files, and that script."""
        return super().media + Media(js=["django_clientcert/name_selects.js"])

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """Return the selected user."""
        key = self.field.target_field
        possible = [one for one in value if is_possible_key(key, one)]
        return super().optgroups(name, possible, attr)


def _once(request: HttpRequest, name: str, find: Callable[[], T]) -> T:
    """Return what *find* returns, and asks for it once in a request."""
    found: dict[str, Any] = request.__dict__.setdefault("_client_cert_inbox", {})
    if name not in found:
        found[name] = find()
    return found[name]  # type: ignore[no-any-return]


def _may_map(request: HttpRequest, obj: CertificateMapping | None) -> bool:
    if obj is None or obj.user_id is None:
        return True
    return why_not_map(request.user, obj.user) is None


def _user_fields() -> list[Field[Any, Any]]:
    """Return the columns of a user that are texts to search: name and address."""
    model = get_user_model()
    names = [model.USERNAME_FIELD]
    if hasattr(model, "get_email_field_name"):
        names.append(model.get_email_field_name())
    found = []
    for name in dict.fromkeys(names):
        try:
            field = model._meta.get_field(name)
        except FieldDoesNotExist:
            continue
        if isinstance(field, Field) and not field.is_relation:
            found.append(field)
    return found


def _siblings(obj: CertificateMapping) -> Siblings:
    siblings: Siblings = obj.siblings  # type: ignore[attr-defined]
    return siblings
