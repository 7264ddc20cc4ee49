"""The users: a member is a person, in a table of its own."""

from __future__ import annotations

import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models


class Person(AbstractUser):
    """Somebody whose primary key is no number."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)


class Member(Person):
    """Who logs in; its primary key is the link to the person."""

    # A column that the mapping has too
    note = models.CharField(max_length=20, default="member")
