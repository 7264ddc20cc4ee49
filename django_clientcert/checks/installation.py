"""Are the middleware, the backend and the database router in place?"""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import (
    AuthenticationMiddleware,
    RemoteUserMiddleware,
)
from django.core.checks import Error
from django.db import router

from django_clientcert.backends import ClientCertBackend
from django_clientcert.models import CertificateAuthority, CertificateMapping

from .base import (
    Messages,
    check_of_settings,
    dotted_paths,
    find_subclass,
    import_or_none,
    is_subclass,
    usable,
)
from .ids import IDS

MIDDLEWARE = "django_clientcert.middleware.ClientCertMiddleware"
BACKEND = "django_clientcert.backends.ClientCertBackend"


@check_of_settings()
def check_middleware_is_there() -> Messages:
    """Is the middleware, or a subclass, in MIDDLEWARE?"""
    if find_subclass(dotted_paths("MIDDLEWARE"), import_or_none(MIDDLEWARE)) is None:
        yield Error(
            "The middleware is not in MIDDLEWARE: client certificates are ignored.",
            hint=(
                f'Add "{MIDDLEWARE}" to MIDDLEWARE, after '
                '"django.contrib.auth.middleware.AuthenticationMiddleware".'
            ),
            id=IDS["middleware_missing"],
        )


@check_of_settings()
def check_middleware_order() -> Messages:
    """Is the middleware after AuthenticationMiddleware?"""
    paths = dotted_paths("MIDDLEWARE")
    ours = find_subclass(paths, import_or_none(MIDDLEWARE))
    django = find_subclass(paths, AuthenticationMiddleware)
    if ours is not None and django is not None and ours <= django:
        yield Error(
            f"{paths[ours]} is before {paths[django]}, which replaces the user of the "
            "certificate.",
            hint=f'Move "{paths[ours]}" after "{paths[django]}" in MIDDLEWARE.',
            id=IDS["middleware_order"],
        )


@check_of_settings()
def check_backend_is_there() -> Messages:
    """Is the backend, or a subclass, in AUTHENTICATION_BACKENDS?"""
    if (
        find_subclass(dotted_paths("AUTHENTICATION_BACKENDS"), ClientCertBackend)
        is None
    ):
        yield Error(
            "The backend is not in AUTHENTICATION_BACKENDS: the server does not start.",
            hint=f'Add "{BACKEND}" to AUTHENTICATION_BACKENDS, as the first.',
            id=IDS["backend_missing"],
        )


@check_of_settings()
def check_remote_user() -> Messages:
    """Does a RemoteUserMiddleware trust one of the certificate headers?"""
    proxy = usable("CLIENTCERT_PROXY")
    ours = set() if proxy is None else {proxy.meta_key(name) for name in proxy.names}
    for path in dotted_paths("MIDDLEWARE"):
        middleware = import_or_none(path)
        if not is_subclass(middleware, RemoteUserMiddleware):
            continue
        header = str(getattr(middleware, "header", "")).upper().replace("-", "_")
        # Under ASGI, Django before 6.1 prefixes it with HTTP_.
        if ours & {header, f"HTTP_{header}"}:
            yield Error(
                f"{path} uses the header {middleware.header} as a username: it logs in "
                "any user that a certificate names, mapped or not.",
                hint=(
                    f'Remove "{path}" from MIDDLEWARE: the client certificate '
                    "middleware replaces it."
                ),
                id=IDS["remote_user"],
            )


@check_of_settings()
def check_database_router() -> Messages:
    """Are the mappings in the users' database, so that one query can join them?"""
    try:
        # For writing: reads may be distributed over replicas at random.
        users = router.db_for_write(get_user_model())
        elsewhere = {
            model._meta.label: alias
            for model in (CertificateMapping, CertificateAuthority)
            if (alias := router.db_for_write(model)) != users
        }
    except Exception:  # noqa: BLE001 - a router or user model that is broken
        # Then nothing in the project works, and Django reports why.
        return
    for label, alias in elsewhere.items():
        yield Error(
            f"The router sends {label} to the database “{alias}”, and the users to "
            f"“{users}”: one query has to reach both.",
            hint=(
                "Make db_for_read, db_for_write and allow_migrate of your router send "
                f"the app django_clientcert to “{users}”."
            ),
            id=IDS["database_router"],
        )
