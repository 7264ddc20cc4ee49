"""The screens of the mappings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import router, transaction
from django.db.models import Field, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.certificates import ClientCertificate
from django_clientcert.escaping import visible, visible_once
from django_clientcert.exceptions import ClientCertError
from django_clientcert.forms import CertificateMappingForm
from django_clientcert.forms.entries import spell_out
from django_clientcert.identities import Kind, find_identities, show_value
from django_clientcert.models import CertificateMapping, CertificateMappingQuerySet
from django_clientcert.names import Order, parse_name

from . import facts, remarks
from .guarded import Fieldsets, GuardedAdmin, is_possible_key
from .permissions import why_not_map
from .search import fingerprint_digits
from .times import (
    LastUsedFilter,
    ValidityFilter,
    mapping_validity,
    moment,
    relative,
    validity_status,
)

_NAME_KINDS = frozenset({Kind.SUBJECT.value, Kind.ISSUER_SERIAL.value})
_SHOWN_DIGITS = 16
_SHOWN_NAME = 50

_CERTIFICATE_FIELDS = (
    "subject",
    "issuer",
    "serial_number",
    "certificate_validity",
    "public_key",
    "key_usage",
    "extended_key_usage",
    "alternative_names",
    "policies",
    "sha256_fingerprint",
    "public_key_fingerprint",
    "sha1_fingerprint",
)
_READ_ONLY = (
    *_CERTIFICATE_FIELDS,
    "problems",
    "created",
    "last_used",
    "no_certificate",
    "shown_value",
    "understood",
    "validity",
)


@admin.register(CertificateMapping)
class CertificateMappingAdmin(GuardedAdmin):
    """Who a certificate is."""

    form = CertificateMappingForm
    list_display = (
        "shown_user",
        "kind",
        "list_value",
        "validity",
        "state",
        "list_last_used",
    )
    list_select_related = ("user", "authority")
    list_filter = ("state", ValidityFilter, LastUsedFilter, "kind", "authority")
    show_full_result_count = False
    search_fields = ("value", "certificate_subject")
    search_help_text = _(
        "User, subject or value; or a fingerprint or its first digits, with or without "
        "colons."
    )
    raw_id_fields = ("user",)
    readonly_fields = _READ_ONLY
    actions = ("enable", "disable")
    prefilled_fields = ("user", "kind", "value", "authority", "note")

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
                        "description": _(
                            "Paste or upload the certificate, or type what it can be "
                            "recognised by. A private key is refused."
                        ),
                    },
                ),
                (_("Matching"), {"fields": ("authority", "hosts")}),
                (_("Validity"), {"fields": ("state", "valid_from", "valid_until")}),
            ]
        may_change = self.has_change_permission(request, obj)
        value: tuple[str, ...] = ("value", "order") if may_change else ("shown_value",)
        if obj.kind in _NAME_KINDS:
            value += ("understood",)
        fieldsets: Fieldsets = [
            (
                _("Identity"),
                {"fields": ("user", "note", "created", "last_used")},
            ),
            (
                _("Matching"),
                {"fields": ("kind", *value, "authority", "hosts")},
            ),
            (
                _("Validity"),
                {"fields": ("state", "valid_from", "valid_until", "validity")},
            ),
            (_("Certificate"), {"fields": _certificate_fields(obj)}),
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

    # --- the list

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Return the user's name and address, the value and the subject."""
        model = get_user_model()
        names = [model.USERNAME_FIELD]
        if hasattr(model, "get_email_field_name"):
            names.append(model.get_email_field_name())
        searched = []
        for name in dict.fromkeys(names):
            try:
                field = model._meta.get_field(name)
            except FieldDoesNotExist:
                continue
            if isinstance(field, Field) and not field.is_relation:
                searched.append(f"user__{name}")
        return (*searched, *self.search_fields)

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: CertificateMappingQuerySet,  # type: ignore[override]
        search_term: str,
    ) -> tuple[QuerySet[CertificateMapping], bool]:
        """Return the pins that begin with a fingerprint; or search the texts."""
        digits = fingerprint_digits(search_term)
        if digits is not None:
            found = queryset.fingerprint_prefix(digits)
            if found.exists():
                return found, False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description=_("user"), ordering="user")
    def shown_user(self, obj: CertificateMapping) -> str:
        """Return the user."""
        return visible(str(obj.user), _SHOWN_NAME)

    @admin.display(description=_("value"), ordering="value")
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
            return visible_once(str(error))

    @admin.display(description=_("certificate"))
    def no_certificate(self, obj: CertificateMapping) -> str:
        """Return that there is nothing to show."""
        return gettext(
            "None is stored: this mapping was made from a typed value. Upload the "
            "certificate below to see what is in it."
        )

    @admin.display(description=_("subject"))
    def subject(self, obj: CertificateMapping) -> str:
        """Return the subject."""
        return _fact(obj, facts.subject)

    @admin.display(description=_("issuer"))
    def issuer(self, obj: CertificateMapping) -> str:
        """Return the issuer."""
        return _fact(obj, facts.issuer)

    @admin.display(description=_("serial number"))
    def serial_number(self, obj: CertificateMapping) -> str:
        """Return the serial number."""
        return _fact(obj, facts.serial_number)

    @admin.display(description=_("valid"))
    def certificate_validity(self, obj: CertificateMapping) -> str:
        """Return the validity period."""
        return _fact(obj, partial(facts.validity, now=timezone.now()))

    @admin.display(description=_("public key"))
    def public_key(self, obj: CertificateMapping) -> str:
        """Return algorithm and size of the key."""
        return _fact(obj, facts.key)

    @admin.display(description=_("key usage"))
    def key_usage(self, obj: CertificateMapping) -> str:
        """Return the key usage."""
        return _fact(obj, facts.usage)

    @admin.display(description=_("extended key usage"))
    def extended_key_usage(self, obj: CertificateMapping) -> str:
        """Return the extended key usage."""
        return _fact(obj, facts.extended_usage)

    @admin.display(description=_("alternative names"))
    def alternative_names(self, obj: CertificateMapping) -> str:
        """Return the subject alternative names."""
        return _fact(obj, facts.alternative_names)

    @admin.display(description=_("policies"))
    def policies(self, obj: CertificateMapping) -> str:
        """Return the certificate policies."""
        return _fact(obj, facts.policies)

    @admin.display(description=_("SHA-256 fingerprint"))
    def sha256_fingerprint(self, obj: CertificateMapping) -> str:
        """Return the fingerprint."""
        return _fact(obj, facts.fingerprint)

    @admin.display(description=_("SHA-256 of the public key"))
    def public_key_fingerprint(self, obj: CertificateMapping) -> str:
        """Return the digest of the public key."""
        return _fact(obj, facts.public_key_fingerprint)

    @admin.display(description=_("SHA-1 fingerprint"))
    def sha1_fingerprint(self, obj: CertificateMapping) -> str:
        """Return the SHA-1, to compare by eye with what other tools print."""
        return _fact(obj, facts.sha1_fingerprint)

    @admin.display(description=_("unusable"))
    def problems(self, obj: CertificateMapping) -> str:
        """Return which identities the certificate does not have, and why."""
        return _fact(obj, facts.problems)

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
            {"active", "retiring"},
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
                    mapping.state = after
                    mapping.save(update_fields=["state"])
                    self.log_change(
                        request, mapping, [{"changed": {"fields": ["State"]}}]
                    )
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
    """The autocomplete widget, which fails on a key that cannot be one."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """Return the selected user."""
        key = self.field.target_field
        possible = [one for one in value if is_possible_key(key, one)]
        return super().optgroups(name, possible, attr)


def _may_map(request: HttpRequest, obj: CertificateMapping | None) -> bool:
    if obj is None or obj.user_id is None:
        return True
    return why_not_map(request.user, obj.user) is None


def _certificate_fields(obj: CertificateMapping) -> tuple[str, ...]:
    """Return the facts that there are about the stored certificate."""
    certificate = obj.client_certificate()
    if certificate is None:
        return ("no_certificate",)
    if find_identities(certificate).problems:
        return (*_CERTIFICATE_FIELDS, "problems")
    return _CERTIFICATE_FIELDS


def _fact(obj: CertificateMapping, show: Callable[[ClientCertificate], str]) -> str:
    """Return one fact about the stored certificate."""
    certificate = obj.client_certificate()
    if certificate is None:
        return gettext("none")
    return facts.read(lambda: show(certificate))
