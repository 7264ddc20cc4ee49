"""N66: no form of the admin keeps or shows a private key, whichever field it is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.http import QueryDict

from django_clientcert.admin.authorities.form import CertificateAuthorityForm
from django_clientcert.admin.base.private_keys import FormWithoutPrivateKeys
from django_clientcert.admin.explain.form import ExplainForm
from django_clientcert.admin.mappings.exporting import ExportForm
from django_clientcert.admin.mappings.renewing import RenewalForm
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    RevocationList,
)
from tests.private_keys import TEXTS, secrets_of

pytestmark = pytest.mark.django_db

# How to make the forms that take more than the data
MAKE: dict[Any, Callable[[Any], Any]] = {
    ExplainForm: lambda data: ExplainForm(None, data),
    ExportForm: lambda data: ExportForm(data, everything=True),
    RenewalForm: lambda data: RenewalForm(CertificateMapping(), data),
}


def forms_below(base: Any) -> Iterator[Any]:
    """Yield every form class of the package that derives from *base*, with a model."""
    for form in base.__subclasses__():
        if form.__module__.startswith("django_clientcert."):
            yield from forms_below(form)
            if form._meta.model is not None:
                yield form


FORMS = sorted(set(forms_below(FormWithoutPrivateKeys)), key=lambda form: form.__name__)


def test_every_screen_has_such_a_form() -> None:
    """Also those that Django makes for the model admins."""
    assert len(FORMS) > 8
    for model in (
        CertificateAuthority,
        CertificateMapping,
        Revocation,
        RevocationList,
    ):
        assert issubclass(
            admin.site.get_model_admin(model).form, FormWithoutPrivateKeys
        )


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("form_class", FORMS, ids=lambda form: form.__name__)
def test_n66_in_any_field(form_class: Any, kind: str, alice: Any) -> None:
    """It is refused where it is, and gone from the form that is shown again."""
    text = TEXTS[kind]
    make = MAKE.get(form_class, form_class)
    for name in (*make(QueryDict()).fields, "unheard_of"):
        data = QueryDict(mutable=True)
        data.setlist(name, ["harmless", text, "harmless"])
        form = make(data)
        reported = name if name in form.fields else "__all__"
        codes = [error.code for error in form.errors.as_data()[reported]]
        assert "private_key" in codes, name
        assert form.data[name] == ""
        assert data.getlist(name)[1] == text  # the request itself is not changed
        shown = str(form) + str(form.errors) + repr(form.data)
        assert not [secret for secret in secrets_of(text) if secret in shown], name
    for model in (CertificateMapping, CertificateAuthority, Revocation):
        assert not model._default_manager.exists()


def test_n66_in_a_form_with_a_prefix() -> None:
    """The field is found by its name without the prefix."""
    form = CertificateAuthorityForm({"p-note": TEXTS["pem ec"]}, prefix="p")
    codes = [error.code for error in form.errors.as_data()["note"]]
    assert codes == ["private_key"]
