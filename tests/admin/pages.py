"""The admin as somebody at the keyboard uses it: log in, look, fill in, send."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

MAPPING = "django_clientcert_certificatemapping"
AUTHORITY = "django_clientcert_certificateauthority"
REVOCATION_LIST = "django_clientcert_revocationlist"
REVOCATION = "django_clientcert_revocation"
SEEN = "django_clientcert_seencertificate"
UNKNOWN = "django_clientcert_unknowncertificate"

ADD_AUTHORITY = {
    "name": "A CA",
    "bundle": "",
    "profile": "private",
    "note": "",
    "revocation_policy": "if_loaded",
    "crl_urls": "",
    "rule_preset": "",
    "rule_identity": "",
    "rule_user_field": "",
    "rule_pattern": "",
    "rule_hosts": "",
    "rule_policies": "",
    "rule_extended_key_usages": "",
}

ADD_REVOCATION = {
    "pasted": "",
    "authority": "",
    "serial_number": "",
    "issuer": "",
    "begin": "",
    "end": "",
    "counted": "",
    "reason": "0",
    "note": "",
}

ADD_MAPPING = {
    "user": "",
    "note": "",
    "pasted": "",
    "kind": "fingerprint",
    "value": "",
    "order": "",
    "authority": "",
    "hosts": "",
    "state": "active",
    "valid_from_0": "",
    "valid_from_1": "",
    "valid_until_0": "",
    "valid_until_1": "",
}


def make_staff(name: str, *codenames: str) -> Any:
    """Return a member of the staff with permissions by codename."""
    user = get_user_model().objects.create_user(name, is_staff=True)
    for codename in codenames:
        user.user_permissions.add(Permission.objects.get(codename=codename))
    return user


def all_permissions(*models: str) -> list[str]:
    """Return the four codenames of each model."""
    return [
        f"{verb}_{model}"
        for model in models
        for verb in ("add", "change", "delete", "view")
    ]


def log_in(user: Any) -> Client:
    """Return a client with the user's session."""
    client = Client()
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return client


def page(name: str, *arguments: Any) -> str:
    """Return the address of a page of the admin."""
    return reverse(f"admin:{name}", args=arguments)


def text_of(response: Any) -> str:
    """Return what a page says, without its markup."""
    content = response.content.decode()
    content = re.sub(r"(?s)<(script|style).*?</\1>", " ", content).replace("<wbr>", "")
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", content)).split())


def errors_on(response: Any) -> dict[str, list[str]]:
    """Return the errors of the form that a page shows again."""
    assert response.status_code == 200, response.status_code
    errors: dict[str, list[str]] = {
        field: [str(message) for message in messages]
        for field, messages in response.context["adminform"].form.errors.items()
    }
    assert errors
    return errors


def messages_after(response: Any) -> list[tuple[str, str]]:
    """Return level and text of what was said by this request."""
    assert response.status_code == 302, text_of(response)
    said = get_messages(response.wsgi_request)._queued_messages
    return [(message.level_tag, str(message)) for message in said]


def warnings_after(response: Any) -> list[str]:
    """Return the warnings on the next page."""
    return [text for level, text in messages_after(response) if level == "warning"]


def run_action(
    client: Client, action: str, rows: Iterable[Any], model: str = MAPPING
) -> Any:
    """Send an action on a list: that of the mappings, unless *model* says another."""
    return client.post(
        page(f"{model}_changelist"),
        {"action": action, "_selected_action": [row.pk for row in rows]},
    )
