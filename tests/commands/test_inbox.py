"""``clientcert inbox``: what is in it, and away with it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from django_clientcert.exceptions import Reason
from django_clientcert.models import UnknownCertificate
from django_clientcert.testing import ThrowawayCA
from django_clientcert.x509.certificates import ClientCertificate

from .running import clientcert

pytestmark = pytest.mark.django_db

NOW = timezone.now()
DAY = dt.timedelta(days=1)


def refuse(ca: ThrowawayCA, name: str, **values: Any) -> ClientCertificate:
    """Return a certificate that was refused."""
    certificate = ClientCertificate(ca.issue(name).der)
    UnknownCertificate.record(
        certificate,
        **{
            "reason": Reason.UNMAPPED,
            "detail": "",
            "host": "api.example.com",
            "address": "192.0.2.7",
            "count": 2,
            "size": 10,
            "at": NOW,
            **values,
        },
    )
    return certificate


def test_the_list_for_people(ca: ThrowawayCA) -> None:
    """The latest first, with the fingerprint to look for."""
    old = refuse(ca, "old", host="", address="", at=NOW - 40 * DAY)
    new = refuse(ca, "new")
    out = clientcert("inbox", "list").out
    assert "CN=new: unmapped, 2 times, last " in out
    assert "from 192.0.2.7 for api.example.com" in out
    assert out.index(new.fingerprint) < out.index("CN=old") < out.index(old.fingerprint)
    UnknownCertificate.objects.all().delete()
    assert clientcert("inbox", "list").out == "The inbox is empty.\n"


def test_the_list_for_programs(ca: ThrowawayCA) -> None:
    """As JSON; what is not known is null."""
    certificate = refuse(ca, "new")
    (row,) = clientcert("inbox", "list", "--json").data["unknown_certificates"]
    assert row["fingerprint"] == certificate.fingerprint
    assert row["public_key"] == certificate.public_key_fingerprint
    assert (row["reason"], row["count"], row["subject"]) == ("unmapped", 2, "CN=new")
    assert dt.datetime.fromisoformat(row["not_after"]) == certificate.not_after
    UnknownCertificate.objects.update(not_after=None)
    (row,) = clientcert("inbox", "list", "--json").data["unknown_certificates"]
    assert row["not_after"] is None


def test_it_is_emptied(ca: ThrowawayCA) -> None:
    """What is old, or everything."""
    refuse(ca, "old", at=NOW - 40 * DAY)
    refuse(ca, "new")
    assert clientcert("inbox", "purge", "--older-than", "30d").out == "1 deleted.\n"
    assert UnknownCertificate.objects.get().subject == "CN=new"
    assert clientcert("inbox", "purge").out == "1 deleted.\n"
    assert not UnknownCertificate.objects.exists()
    wrong = clientcert("inbox", "purge", "--older-than", "x")
    assert "write a time like" in wrong.error
