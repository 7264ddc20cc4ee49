"""The forms of what is revoked: lists that CAs have signed, and revocations here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_clientcert.admin.base.certificate_form import (
    CODE,
    CertificateForm,
    MomentField,
)
from django_clientcert.admin.base.entries import (
    MAX_BUNDLE_BYTES,
    unusable,
)
from django_clientcert.admin.base.private_keys import (
    FormWithoutModel,
    FormWithoutPrivateKeys,
)
from django_clientcert.exceptions import ClientCertError, RevocationListError
from django_clientcert.models import CertificateAuthority, Revocation, RevocationList
from django_clientcert.models.validators import PRIVATE_KEY_MESSAGE
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.trust.revoke import (
    revoke_certificate,
    revoke_period,
    revoke_serial,
)
from django_clientcert.x509.bundles import holds_private_key
from django_clientcert.x509.crl import MAX_CRL_BYTES
from django_clientcert.x509.escaping import visible_once
from django_clientcert.x509.text import parse_serial


class CRLForm(FormWithoutModel):
    """A list to import: that is done when the form is checked, or refused there.

    After ``is_valid()``, ``instance`` is the list that is now loaded, and
    ``replaced`` says which ones it took the place of.
    """

    upload = forms.FileField(
        label=_("List"),
        widget=forms.FileInput,
        help_text=_("The file that the CA has signed (.crl): DER or PEM."),
    )

    class Meta:
        model = RevocationList
        fields = ("authority",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.replaced: tuple[str, ...] = ()

    def clean_upload(self) -> bytes:
        """Return what was uploaded, if it may be looked at."""
        upload = self.cleaned_data["upload"]
        if upload.size is None or upload.size > MAX_CRL_BYTES:
            raise ValidationError(
                _("The file is larger than %(size)d MiB."),
                code="too_large",
                params={"size": MAX_CRL_BYTES // 1024 // 1024},
            )
        data: bytes = upload.read()
        if len(data) <= MAX_BUNDLE_BYTES and holds_private_key(data):
            raise ValidationError(PRIVATE_KEY_MESSAGE, code="private_key")
        return data

    def clean(self) -> dict[str, Any]:
        """Import the list: all of it, or nothing and the reason is said."""
        cleaned = super().clean()
        if not self.errors:
            authority: CertificateAuthority = cleaned["authority"]
            upload: Any = self.files[self.add_prefix("upload")]
            name = visible_once(str(upload.name), 200)
            try:
                imported = import_crl(authority, cleaned["upload"], source=name)
                self.instance, self.replaced = imported.row, imported.replaced
            except RevocationListError as error:
                self.add_error("upload", unusable(error, code=error.code))
            except ClientCertError as error:
                self.add_error("authority", unusable(error, code="bundle"))
            except CertificateAuthority.DoesNotExist:
                self.add_error(
                    "authority",
                    ValidationError(
                        _("This authority was deleted meanwhile."), code="deleted"
                    ),
                )
        return cleaned


class WhyForm(FormWithoutModel):
    """Why something is going to be revoked, whatever it is."""

    class Meta:
        model = Revocation
        fields = ("reason", "note")
        widgets = {
            "note": forms.Textarea(attrs={"class": "vLargeTextField", "rows": 3}),
        }


class RevocationReasonForm(FormWithoutPrivateKeys):
    """Why something was revoked: what may be changed later."""

    class Meta:
        model = Revocation
        fields = ("reason", "note")
        widgets = WhyForm.Meta.widgets


class RevocationForm(CertificateForm, FormWithoutModel):
    """What to revoke: a certificate, a serial number, or all of a time.

    ``refuse`` may be set to a function that returns why the person at the keyboard
    may not revoke something, or None; ``by`` to that person; ``count`` to one that
    returns how many mappings and certificates seen a time hits. It is revoked when
    the form is checked, or the reason is said why not. After ``is_valid()``,
    ``instance`` is the revocation.
    """

    refuse: Callable[[Revocation], ValidationError | None] | None = None
    count: Callable[[CertificateAuthority, Revocation], tuple[int, int]]
    by: Any = None

    serial_number = forms.CharField(
        label=_("Serial number"),
        required=False,
        widget=forms.TextInput(attrs={**CODE, "class": "vTextField"}),
        help_text=_("In hex, with or without colons; the authority issued it."),
    )
    issuer = forms.CharField(
        label=_("Issuer"),
        required=False,
        max_length=1000,
        widget=forms.TextInput(attrs={**CODE, "class": "vTextField"}),
        help_text=_(
            "The distinguished name of the CA; needed where the authority has several."
        ),
    )
    begin = MomentField(label=_("Issued from"), required=False)
    end = MomentField(
        label=_("until"),
        required=False,
        help_text=_("Both included; by when the certificate begins to be valid."),
    )
    confirm = forms.BooleanField(
        label=_("Yes, revoke all of them"),
        required=False,
        help_text=_("Asked for when you save: you are told first how many those are."),
    )
    # What was counted when the person at the keyboard was told
    counted = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Revocation
        fields = ("authority", "reason", "note")
        widgets = WhyForm.Meta.widgets

    def clean_serial_number(self) -> int | None:
        """Return the serial number."""
        text: str = self.cleaned_data["serial_number"]
        if not text:
            return None
        number = parse_serial(text)
        if number is None:
            raise ValidationError(
                _("Enter the serial number in hex, such as 1E:AD:85."), code="serial"
            )
        return number

    def clean(self) -> dict[str, Any]:
        """Revoke the one thing that was given, or say what is wrong with it."""
        cleaned = super().clean()
        if self.errors:
            return cleaned
        began = timezone.now()
        try:
            with transaction.atomic(using=router.db_for_write(Revocation)):
                revocation = self._revoke(cleaned)
                why = None if self.refuse is None else self.refuse(revocation)
                if why is not None:
                    raise why  # and what was done is undone
                if revocation.revoked_at < began:
                    raise ValidationError(
                        _(
                            "This is revoked already, by revocation %(pk)s: change "
                            "reason and note there."
                        ),
                        code="already_revoked",
                        params={"pk": revocation.pk},
                    )
                self.instance = revocation
        except ValidationError as error:
            self.add_error(None, error)
        return cleaned

    def _revoke(self, cleaned: dict[str, Any]) -> Revocation:
        """Revoke what the form says.

        Raises:
            ValidationError: that is nothing, more than one thing, or not clear.
        """
        certificate = self.given_certificate()
        authority: CertificateAuthority | None = cleaned["authority"]
        serial_number: int | None = cleaned["serial_number"]
        is_period = bool(cleaned["begin"] or cleaned["end"])
        given = [certificate is not None, serial_number is not None, is_period]
        if sum(given) != 1:
            raise ValidationError(
                _(
                    "Say what to revoke: a certificate, a serial number or a time; one "
                    "of them."
                ),
                code="one_thing",
            )
        why = {"reason": cleaned["reason"], "note": cleaned["note"], "by": self.by}
        if certificate is not None:
            return revoke_certificate(certificate, **why)
        if authority is None:
            raise ValidationError(
                {
                    "authority": ValidationError(
                        _("Choose the authority that issued it."),
                        code="authority_required",
                    )
                }
            )
        if serial_number is not None:
            try:
                return revoke_serial(
                    authority, serial_number, issuer=cleaned["issuer"], **why
                )
            except ValidationError as error:
                raise ValidationError({"issuer": error}) from error
        self._check_period(authority, cleaned)
        return revoke_period(authority, cleaned["begin"], cleaned["end"], **why)

    def _check_period(
        self, authority: CertificateAuthority, cleaned: dict[str, Any]
    ) -> None:
        """Return if the time makes sense and was confirmed, knowing what it hits.

        Raises:
            ValidationError: with how many mappings and certificates that are.
        """
        begin, end = cleaned["begin"], cleaned["end"]
        missing = [name for name in ("begin", "end") if cleaned[name] is None]
        if missing:
            raise ValidationError(
                {one: _("A time needs its beginning and its end.") for one in missing}
            )
        period = Revocation(authority=authority, issued_from=begin, issued_until=end)
        period.clean()
        mappings, seen = self.count(authority, period)
        parts = (authority.pk, begin.isoformat(), end.isoformat(), mappings, seen)
        counted = " ".join(map(str, parts))
        if cleaned["confirm"] and cleaned["counted"] == counted:
            return
        # So that the page that comes back carries it
        data: Any = self.data
        data[self.add_prefix("counted")] = counted
        hit = [
            ngettext("%(count)d mapping", "%(count)d mappings", mappings)
            % {"count": mappings},
            ngettext(
                "%(count)d certificate seen lately",
                "%(count)d certificates seen lately",
                seen,
            )
            % {"count": seen},
        ]
        raise ValidationError(
            {
                "confirm": ValidationError(
                    _(
                        "Everything that “%(authority)s” issued in that time would be "
                        "revoked: the certificates of %(mappings)s and %(seen)s, and "
                        "all that nobody here has seen. Tick this and save again to "
                        "do it."
                    ),
                    code="confirm",
                    params={
                        "authority": authority,
                        "mappings": hit[0],
                        "seen": hit[1],
                    },
                )
            }
        )
