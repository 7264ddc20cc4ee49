"""Is everything in its place: middleware, backend, router?"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import (
    AuthenticationMiddleware,
    RemoteUserMiddleware,
)
from django.core.checks import Error, Tags, register
from django.db import router

from django_clientcert.backends import ClientCertBackend
from django_clientcert.models import CertificateAuthority, CertificateMapping

from .ids import IDS
from .looking import (
    Messages,
    dotted_paths,
    find_subclass,
    import_or_none,
    is_subclass,
    usable,
)

MIDDLEWARE = "django_clientcert.middleware.ClientCertMiddleware"


BACKEND = "django_clientcert.backends.ClientCertBackend"


@register(Tags.security)
def check_middleware_is_there(app_configs: Any, **kwargs: Any) -> Messages:
    """Is the middleware, or a subclass, in MIDDLEWARE?"""
    if (
        find_subclass(dotted_paths("MIDDLEWARE"), import_or_none(MIDDLEWARE))
        is not None
    ):
        return []
    return [
        Error(
            "The middleware is not in MIDDLEWARE: no client certificate is looked at.",
            hint=(
                f'Put "{MIDDLEWARE}" into MIDDLEWARE, behind '
                '"django.contrib.auth.middleware.AuthenticationMiddleware".'
            ),
            id=IDS["middleware_missing"],
        )
    ]


@register(Tags.security)
def check_middleware_order(app_configs: Any, **kwargs: Any) -> Messages:
    """Does the middleware stand behind AuthenticationMiddleware?"""
    paths = dotted_paths("MIDDLEWARE")
    ours = find_subclass(paths, import_or_none(MIDDLEWARE))
    django = find_subclass(paths, AuthenticationMiddleware)
    if ours is None or django is None or ours > django:
        return []
    return [
        Error(
            f"{paths[ours]} stands in front of {paths[django]}, which replaces the "
            "user that the certificate stands for.",
            hint=f'Move "{paths[ours]}" behind "{paths[django]}" in MIDDLEWARE.',
            id=IDS["middleware_order"],
        )
    ]


@register(Tags.security)
def check_backend_is_there(app_configs: Any, **kwargs: Any) -> Messages:
    """Is the backend, or a subclass, in AUTHENTICATION_BACKENDS?"""
    paths = dotted_paths("AUTHENTICATION_BACKENDS")
    if find_subclass(paths, ClientCertBackend) is not None:
        return []
    return [
        Error(
            "The backend is not in AUTHENTICATION_BACKENDS: the server does not start.",
            hint=f'Put "{BACKEND}" first into AUTHENTICATION_BACKENDS.',
            id=IDS["backend_missing"],
        )
    ]


@register(Tags.security)
def check_remote_user(app_configs: Any, **kwargs: Any) -> Messages:
    """Does a RemoteUserMiddleware believe a header of the certificate's?"""
    proxy = usable("CLIENTCERT_PROXY")
    if proxy is None:
        return []
    ours = {proxy.meta_key(name) for name in proxy.names}
    found = []
    for path in dotted_paths("MIDDLEWARE"):
        middleware = import_or_none(path)
        if not is_subclass(middleware, RemoteUserMiddleware):
            continue
        header = str(getattr(middleware, "header", "")).upper().replace("-", "_")
        # Under ASGI, Django before 6.1 puts an HTTP_ in front of it.
        if not ours & {header, f"HTTP_{header}"}:
            continue
        found.append(
            Error(
                f"{path} takes the header {middleware.header} for a user's name: it "
                "logs in whoever the certificate claims to be, mapped or not.",
                hint=f'Remove "{path}" from MIDDLEWARE: the client certificate '
                "middleware replaces it.",
                id=IDS["remote_user"],
            )
        )
    return [*found]


@register(Tags.security)
def check_database_router(app_configs: Any, **kwargs: Any) -> Messages:
    """Do the mappings live in the database of the users, so that one can join?"""
    try:
        # Reads may be spread over replicas, by chance; a table is where it is
        # written.
        users = router.db_for_write(get_user_model())
        elsewhere = {
            model._meta.label: alias
            for model in (CertificateMapping, CertificateAuthority)
            if (alias := router.db_for_write(model)) != users
        }
    except Exception:  # noqa: BLE001 - a router or user model that is broken
        # Nothing of the project works then, and others say why.
        return []
    return [
        Error(
            f"The router sends {label} to the database “{alias}”, and the users to "
            f"“{users}”: one query has to reach both.",
            hint=(
                "Let db_for_read, db_for_write and allow_migrate of your router send "
                f"the app django_clientcert to “{users}”."
            ),
            id=IDS["database_router"],
        )
        for label, alias in elsewhere.items()
    ]
