"""The URLs of the example project."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("whoami/", views.whoami, name="whoami"),
    path("ledger/", views.ledger, name="ledger"),
    path("ledger/async/", views.async_ledger, name="async-ledger"),
    path("admin/", admin.site.urls),
    # With DEBUG only; otherwise run collectstatic and serve the files
    *staticfiles_urlpatterns(),
]
