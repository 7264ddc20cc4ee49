"""The forms of CRLs and revocations."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_clientcert.admin.base import private_keys
from django_clientcert.admin.base.certificate_form import (
    CODE,
    CertificateForm,
    MomentField,
)
from django_clientcert.admin.base.entries import (
    field_error,
    read_file,
    unusable,
)
from django_clientcert.exceptions import ClientCertError, RevocationListError
from django_clientcert.models import CertificateAuthority, Revocation, RevocationList
from django_clientcert.models.validators import PRIVATE_KEY_MESSAGE
from django_clientcert.trust import revoke
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.x509.bundles import MAX_BUNDLE_BYTES, holds_private_key
from django_clientcert.x509.crl.reading import MAX_CRL_BYTES
from django_clientcert.x509.escaping import visible_once

from .permissions import check_reach, count_period


class CRLForm(private_keys.FormWithoutModel):
    """A CRL to import, which validating the form does.

    After ``is_valid()``, ``instance`` is the CRL that is now loaded, ``replaced`` has
    the labels of those it replaces, and ``warnings`` those of the import.
    """

    replaced: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    upload = forms.FileField(
        label=_("CRL"),
        widget=forms.FileInput,
        help_text=_("The file signed by the CA (.crl), DER or PEM."),
    )

    class Meta:
        model = RevocationList
        fields = ("authority",)

    def clean_upload(self) -> bytes:
        """Return the contents of the file."""
        data = read_file(self.cleaned_data["upload"], MAX_CRL_BYTES)
        if len(data) <= MAX_BUNDLE_BYTES and holds_private_key(data):
            raise ValidationError(PRIVATE_KEY_MESSAGE, code="private_key")
        return data

    def clean(self) -> dict[str, Any]:
        """Import the whole CRL, or report why not."""
        cleaned = super().clean()
        if self.errors:
            return cleaned
        authority: CertificateAuthority = cleaned["authority"]
        upload: Any = self.files[self.add_prefix("upload")]
        name = visible_once(str(upload.name), 200)
        try:
            imported = import_crl(authority, cleaned["upload"], source=name)
            self.instance, self.replaced = imported.row, imported.replaced
            self.warnings = imported.warnings
        except RevocationListError as error:
            self.add_error("upload", unusable(error, code=error.code))
        except ClientCertError as error:
            self.add_error("authority", unusable(error, code="bundle"))
        except CertificateAuthority.DoesNotExist:
            text = _("This authority was deleted in the meantime.")
            self.add_error("authority", ValidationError(text, code="deleted"))
        return cleaned


class RevocationReasonForm(private_keys.FormWithoutPrivateKeys):
    """Reason and note of a revocation, which may be changed later."""

    class Meta:
        model = Revocation
        fields: tuple[str, ...] = ("reason", "note")
        widgets = {
            "note": forms.Textarea(attrs={"class": "vLargeTextField", "rows": 3})
        }


class WhyForm(private_keys.FormWithoutModel):
    """Reason and note of a revocation to come."""

    class Meta(RevocationReasonForm.Meta):
        pass


class RevocationForm(CertificateForm, private_keys.FormWithoutModel):
    """What to revoke: a certificate, a serial number, or a period.

    Validating the form revokes it, so that the errors include why that is refused.
    After ``is_valid()``, ``instance`` is the revocation. *actor* is the user who makes
    it.
    """

    actor: Any = AnonymousUser()

    serial_number = forms.CharField(
        label=_("Serial number"),
        required=False,
        widget=forms.TextInput(attrs={**CODE, "class": "vTextField"}),
        help_text=_("Hexadecimal, with or without colons. Choose the authority too."),
    )
    issuer = forms.CharField(
        label=_("Issuer"),
        required=False,
        max_length=1000,
        widget=forms.TextInput(attrs={**CODE, "class": "vTextField"}),
        help_text=_(
            "The distinguished name of the CA. Required if the authority has "
            "several CAs."
        ),
    )
    begin = MomentField(label=_("Issued from"), required=False)
    end = MomentField(
        label=_("until"),
        required=False,
        help_text=_("Inclusive. Compared with the certificate’s “not before” date."),
    )
    confirm = forms.BooleanField(
        label=_("Yes, revoke all of them"),
        required=False,
        help_text=_(
            "Required for a period. Leave this unticked at first: saving then revokes "
            "nothing and shows how many certificates are affected."
        ),
    )
    # The counts that were shown to the user
    counted = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta(RevocationReasonForm.Meta):
        fields = ("authority", "reason", "note")

    def clean_serial_number(self) -> tuple[int, int | None] | None:
        """Return the serial number in its two readings, see ``read_serial()``."""
        text: str = self.cleaned_data["serial_number"]
        return revoke.read_serial(text) if text else None

    def clean(self) -> dict[str, Any]:
        """Revoke what was given, or report why not."""
        cleaned = super().clean()
        if self.errors:
            return cleaned
        began = timezone.now()
        try:
            with transaction.atomic(using=router.db_for_write(Revocation)):
                revocation = self._revoke(cleaned)
                check_reach(self.actor, revocation)  # an error rolls back
                if revocation.revoked_at < began:
                    raise ValidationError(
                        _(
                            "Revocation %(pk)s revokes this already: change the reason "
                            "and the note there."
                        ),
                        code="already_revoked",
                        params={"pk": revocation.pk},
                    )
                self.instance = revocation
        except ValidationError as error:
            self.add_error(None, error)
        return cleaned

    def _revoke(self, cleaned: dict[str, Any]) -> Revocation:
        """Revoke what was given.

        Raises:
            ValidationError: nothing or several things were given, or it is ambiguous.
        """
        certificate = self.given_certificate()
        authority: CertificateAuthority | None = cleaned["authority"]
        serial_number: tuple[int, int | None] | None = cleaned["serial_number"]
        is_period = bool(cleaned["begin"] or cleaned["end"])
        given = [certificate is not None, serial_number is not None, is_period]
        if sum(given) != 1:
            raise ValidationError(
                _(
                    "Choose what to revoke: either a certificate, a serial number or a "
                    "period."
                ),
                code="one_thing",
            )
        why = {"reason": cleaned["reason"], "note": cleaned["note"], "by": self.actor}
        if certificate is not None:
            return revoke.revoke_certificate(certificate, **why)
        if authority is None:
            raise field_error(
                "authority",
                _("Choose the authority that issued it."),
                "authority_required",
            )
        if serial_number is not None:
            try:
                return revoke.revoke_serial(
                    authority, *serial_number, issuer=cleaned["issuer"], **why
                )
            except ValidationError as error:
                field = "serial_number" if error.code == "decimal" else "issuer"
                raise ValidationError({field: error}) from error
        self._check_period(authority, cleaned)
        return revoke.revoke_period(authority, cleaned["begin"], cleaned["end"], **why)

    def _check_period(
        self, authority: CertificateAuthority, cleaned: dict[str, Any]
    ) -> None:
        """Raise unless the period is valid, and confirmed knowing what it affects.

        Raises:
            ValidationError: a bound is missing or wrong, or it is not confirmed; says
                how many mappings and seen certificates are affected.
        """
        begin, end = cleaned["begin"], cleaned["end"]
        missing = {
            name: _("A period needs its beginning and its end.")
            for name in ("begin", "end")
            if cleaned[name] is None
        }
        if missing:
            raise ValidationError(missing)
        period = Revocation(authority=authority, issued_from=begin, issued_until=end)
        period.clean()
        mappings, seen = count_period(authority, period)
        parts = (authority.pk, begin.isoformat(), end.isoformat(), mappings, seen)
        counted = " ".join(map(str, parts))
        if cleaned["confirm"] and cleaned["counted"] == counted:
            return
        # The page that comes back sends it again.
        data: Any = self.data
        data[self.add_prefix("counted")] = counted
        raise field_error(
            "confirm",
            _(
                "This would revoke everything that “%(authority)s” issued in that "
                "period: the certificates of %(mappings)s, %(seen)s, and all that were "
                "never seen here. To do it, tick this and save again."
            ),
            "confirm",
            authority=authority,
            mappings=ngettext("%(count)d mapping", "%(count)d mappings", mappings)
            % {"count": mappings},
            seen=ngettext(
                "%(count)d recently seen certificate",
                "%(count)d recently seen certificates",
                seen,
            )
            % {"count": seen},
        )
