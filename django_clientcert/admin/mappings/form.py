"""The form of a mapping."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.entries import (
    SAN_KINDS,
    all_readings,
    find_identity,
    offered_identities,
    parse_entry,
    read_end_entity,
    read_file,
    within_reach,
)
from django_clientcert.admin.base.private_keys import FormWithoutPrivateKeys
from django_clientcert.models import CertificateMapping
from django_clientcert.trust.issuers import check_authority, find_authority
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import IdentityKind, find_identities, show_value
from django_clientcert.x509.names import Order

_CODE = {"class": "vLargeTextField", "spellcheck": "false", "autocomplete": "off"}


class CertificateMappingForm(FormWithoutPrivateKeys):
    """A mapping, from a certificate that is pasted or uploaded, or from a typed value.

    ``refuse_user`` may be set to a function that returns why the person at the
    keyboard may not map a certificate to a user, or None; ``offered_kinds`` to those
    that an empty form offers. After ``is_valid()``,
    ``certificate`` is what the mapping is about, and ``remarks`` what was done
    without being asked.
    """

    refuse_user: Callable[[Any], ValidationError | None] | None = None
    offered_kinds: Collection[IdentityKind] | None = None

    pasted = forms.CharField(
        label=_("Paste a certificate"),
        required=False,
        strip=False,
        widget=forms.Textarea(
            attrs={**_CODE, "rows": 6, "placeholder": "-----BEGIN CERTIFICATE-----"}
        ),
        help_text=_("PEM; a chain is fine, the client’s certificate is taken."),
    )
    upload = forms.FileField(
        label=_("or upload it"),
        required=False,
        widget=forms.FileInput,
        help_text=_("PEM, DER or PKCS#7 (.pem, .crt, .cer, .der, .p7b). Never a .p12."),
    )
    order = forms.ChoiceField(
        label=_("Order of the name"),
        required=False,
        choices=[
            ("", _("as the text itself tells")),
            (
                Order.MOST_SPECIFIC_FIRST.value,
                _("the person or device first: CN=alice,O=Example,C=FR"),
            ),
            (
                Order.MOST_GENERAL_FIRST.value,
                _("the country or organisation first: C=FR, O=Example, CN=alice"),
            ),
        ],
        help_text=_("Only needed where a typed name can be read in two directions."),
    )

    class Meta:
        model = CertificateMapping
        fields = (
            "user",
            "kind",
            "value",
            "authority",
            "state",
            "valid_from",
            "valid_until",
            "hosts",
            "note",
        )
        widgets = {
            "value": forms.Textarea(attrs={**_CODE, "rows": 2}),
            "hosts": forms.Textarea(attrs={**_CODE, "rows": 2}),
            "note": forms.Textarea(attrs={"class": "vLargeTextField", "rows": 3}),
        }
        help_texts = {
            "kind": _(
                "“Public key” survives a renewal with the same key; “fingerprint” is "
                "this one certificate and no other. Neither needs an authority; every "
                "other kind is what its authority has to answer for."
            ),
            "value": _(
                "Leave empty to take it from the certificate. Without a certificate: a "
                "SHA-256 or a name, in any spelling. Of several alternative names in a "
                "certificate: the one that counts."
            ),
            "authority": _(
                "The CA that must have issued the certificate. Leave empty to take the "
                "one that did; a fingerprint or public key needs none."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "value" in self.fields:
            self.fields["value"].required = False
            # A name may end with an escaped space.
            self.fields["value"].strip = False  # type: ignore[attr-defined]
        if "kind" in self.fields:
            # What survives a renewal is offered first.
            self.fields["kind"].choices = sorted(  # type: ignore[attr-defined]
                CertificateMapping.MappingKind.choices,
                key=lambda choice: choice[0] != IdentityKind.PUBLIC_KEY.value,
            )
            if self.offered_kinds is not None and not self.is_bound:
                offered = {kind.value for kind in self.offered_kinds}
                self.fields["kind"].choices = [  # type: ignore[attr-defined]
                    choice
                    for choice in self.fields["kind"].choices  # type: ignore[attr-defined]
                    if choice[0] in offered
                ]
        self.certificate: ClientCertificate | None = None
        self.remarks: list[str] = []

    def clean_user(self) -> Any:
        """Return the user, if a certificate may be mapped to that one."""
        user = self.cleaned_data["user"]
        why = self.refuse_user(user) if self.refuse_user is not None else None
        if why is not None:
            raise why
        return user

    def clean_valid_from(self) -> dt.datetime | None:
        """Return a date that every time zone and database can hold."""
        return within_reach(self.cleaned_data["valid_from"])

    def clean_valid_until(self) -> dt.datetime | None:
        """Return a date that every time zone and database can hold."""
        return within_reach(self.cleaned_data["valid_until"])

    def clean_pasted(self) -> ClientCertificate | None:
        """Return the end-entity certificate in the pasted text."""
        text: str = self.cleaned_data["pasted"]
        return read_end_entity(text) if text.strip() else None

    def clean_upload(self) -> ClientCertificate | None:
        """Return the end-entity certificate in the uploaded file."""
        upload = self.cleaned_data["upload"]
        return None if upload is None else read_end_entity(read_file(upload))

    def clean(self) -> dict[str, Any]:
        """Find the certificate, the value and the authority, and see that they fit."""
        cleaned = super().clean()
        if self.errors:
            return cleaned
        given = self._given_certificate()
        if self.errors:
            return cleaned
        kind = IdentityKind(cleaned["kind"])
        try:
            cleaned["value"] = self._find_value(kind, given)
        except ValidationError as error:
            self.add_error("value", error)
            return cleaned
        touched = {"user", "kind", "value", "authority"} & set(self.changed_data)
        if self.certificate is not None and (given is not None or touched):
            self._check_other_users(self.certificate)
            self._settle_authority(kind, self.certificate)
        return cleaned

    def _post_clean(self) -> None:
        super()._post_clean()
        if not self.errors:
            self.instance.certificate = (
                None if self.certificate is None else self.certificate.der
            )

    def _given_certificate(self) -> ClientCertificate | None:
        """Return the certificate that came with the form; two are an error."""
        pasted: ClientCertificate | None = self.cleaned_data["pasted"]
        upload: ClientCertificate | None = self.cleaned_data["upload"]
        if pasted is not None and upload is not None and pasted != upload:
            self.add_error(
                "upload",
                ValidationError(
                    _("This is another certificate than the pasted one."),
                    code="two_certificates",
                ),
            )
        return upload if pasted is None else pasted

    def _find_value(self, kind: IdentityKind, given: ClientCertificate | None) -> str:
        """Return the value of the mapping; sets ``certificate``.

        Raises:
            ValidationError: there is none, or it does not fit.
        """
        text: str = self.cleaned_data["value"]
        is_stored = self._is_stored(text)
        same_kind = self.instance.pk is not None and self.instance.kind == kind.value
        self.certificate = given or self.instance.client_certificate()
        stored: str = self.instance.value
        if given is None and is_stored and same_kind:
            return stored
        # What was typed without a certificate has to be what an upload has.
        was_typed = same_kind and self.instance.certificate is None
        if text.strip() and (not is_stored or (given is not None and was_typed)):
            return self._typed_value(kind, text, given)
        if self.certificate is None:
            raise ValidationError(
                _(
                    "This is the value of the kind that the mapping was of: type that "
                    "of the new kind."
                )
                if is_stored
                else _("Paste or upload a certificate, or type the value."),
                code="required",
            )
        if is_stored and same_kind and kind in SAN_KINDS:
            for one in offered_identities(kind, self.certificate):
                if one.value == stored:
                    return stored
        value = find_identity(kind, self.certificate).value
        if is_stored and same_kind and value != stored:
            self.remarks.append(
                gettext("The value is now that of the new certificate.")
            )
        return value

    def _is_stored(self, text: str) -> bool:
        """Tell whether *text* is the value as it came out of the database."""
        return (
            self.instance.pk is not None
            and text.strip() == self.instance.value.strip()
            and bool(text.strip())
        )

    def _typed_value(
        self, kind: IdentityKind, text: str, given: ClientCertificate | None
    ) -> str:
        """Return the typed value, which the certificate must have, if there is one.

        A certificate that was stored before gives way to it.

        Raises:
            ValidationError: it is none of *kind*, or none of the certificate's.
        """
        order = (
            Order(self.cleaned_data["order"]) if self.cleaned_data["order"] else None
        )
        if self.certificate is None:
            return parse_entry(kind, text, order).value
        readings = all_readings(kind, text, order)
        try:
            offered = offered_identities(kind, self.certificate)
        except ValidationError:
            if given is not None:
                raise
            offered = []
        keys = {one.key for one in readings}
        for one in offered:
            if one.key in keys:
                return one.value
        if given is not None:
            listed = "; ".join(show_value(kind, one.value, 100) for one in offered[:5])
            raise ValidationError(
                _(
                    "The certificate does not have this, but: %(values)s. Leave the "
                    "value empty to take it from the certificate."
                ),
                code="disagree",
                params={"values": listed or _("nothing of the kind")},
            )
        value = parse_entry(kind, text, order).value
        self.certificate = None
        self.remarks.append(
            gettext(
                "The certificate that was stored does not have the new value, so it "
                "was taken out of the mapping."
            )
        )
        return value

    def _check_other_users(self, certificate: ClientCertificate) -> None:
        """Refuse a key that is somebody else's, and mention other mappings."""
        keys = [one.key for one in find_identities(certificate).found]
        others = (
            CertificateMapping.objects.filter(key__in=keys)
            .exclude(user=self.cleaned_data["user"])
            .exclude(pk=self.instance.pk)
            .select_related("user")
            .order_by("pk")[:10]
        )
        for other in others:
            params = {"pk": other.pk, "kind": other.get_kind_display()}
            if other.is_pin:
                message = _(
                    "Mapping %(pk)s (%(kind)s) says that the key of this certificate "
                    "is another user’s. One key is one user’s: delete that mapping "
                    "first."
                )
                self.add_error(None, ValidationError(message, "shared_key", params))
            elif self.refuse_user is not None and self.refuse_user(other.user):
                message = _(
                    "Mapping %(pk)s (%(kind)s) says that this certificate is that of a "
                    "user whose mappings you may not change."
                )
                self.add_error(
                    None, ValidationError(message, "user_not_allowed", params)
                )
            else:
                self.remarks.append(
                    gettext(
                        "Mapping %(pk)s (%(kind)s) leads to another user. Of two "
                        "mappings the more exact kind counts; two of the same "
                        "exactness are both refused."
                    )
                    % params
                )

    def _settle_authority(
        self, kind: IdentityKind, certificate: ClientCertificate
    ) -> None:
        """Take the authority that issued the certificate, or see that it did."""
        authority = self.cleaned_data["authority"]
        try:
            if authority is not None:
                check_authority(authority, certificate)
            elif not kind.is_pin:
                authority = find_authority(certificate)
                self.cleaned_data["authority"] = authority
                self.remarks.append(
                    gettext("“%(authority)s” is the issuer and was taken as authority.")
                    % {"authority": authority}
                )
        except ValidationError as error:
            self.add_error("authority", error)
