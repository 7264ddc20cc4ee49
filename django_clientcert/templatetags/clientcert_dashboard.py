"""Template tags of the app’s index page."""

from __future__ import annotations

from typing import Any

from django import template

from django_clientcert.admin.dashboard import make_card

register = template.Library()


@register.inclusion_tag(
    "admin/django_clientcert/includes/dashboard.html", takes_context=True
)
def clientcert_dashboard(context: Any) -> dict[str, Any]:
    """Show how many rows need attention, as far as the user may see them."""
    request = context.get("request")
    return {"card": None if request is None else make_card(request)}
