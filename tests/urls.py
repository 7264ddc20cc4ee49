"""The views of the test project."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from . import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("open/", views.open_view),
    path("untouched/", views.untouched),
    path("ledger/", views.ledger),
    path("partner/", views.partner),
    path("class/", views.ClassView.as_view()),
    path("aopen/", views.aopen_view),
    path("aledger/", views.aledger),
    path("apartner/", views.apartner),
    path("aclass/", views.AsyncClassView.as_view()),
]
