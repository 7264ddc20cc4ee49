"""The addresses of the other tests; and screens of Django's own, to compare with."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.urls import include, path


class SearchedGroupAdmin(GroupAdmin):
    """As it comes, but for the help text that the app's lists have too."""

    search_help_text = "A name."


admin.site.unregister(Group)
admin.site.register(Group, SearchedGroupAdmin)

urlpatterns = [path("admin/", admin.site.urls), path("", include("tests.urls"))]
