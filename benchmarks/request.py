"""Measure an authenticated request, relative to Django's session.

    python -m benchmarks.request [--rounds N] [--mappings N] [--database NAME]

Compares this package, in each of its modes, with what else authenticates a request:
Django's sessions, and, if they are installed, the tokens of Django REST framework,
django-ssl-auth and django-tls-certificate-auth. What a view costs that looks at
nothing, behind Django's own middleware, is subtracted; the rest is divided by that of
a session in the database. The last lines are about a header alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import measuring
from .project import Project, configure, request, stack

DJANGO = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
OWN = "django_clientcert.middleware.ClientCertMiddleware"
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
SESSION = "session in the database"


def sessions(project: Project) -> Iterator[tuple[str, measuring.Run]]:
    """Yield requests with Django's sessions."""
    from django.test import Client, override_settings

    for name, engine in ((SESSION, "db"), ("session in a cookie", "signed_cookies")):
        engine = f"django.contrib.sessions.backends.{engine}"
        with override_settings(SESSION_ENGINE=engine, MIDDLEWARE=DJANGO):
            client = Client()
            client.force_login(project.user, backend=MODEL_BACKEND)
            handler = stack()
        yield name, request(handler, "/who/", cookies=client.cookies)


def others(project: Project) -> Iterator[tuple[str, measuring.Run]]:
    """Yield requests with other packages, as far as they are installed."""
    if importlib.util.find_spec("rest_framework"):
        from rest_framework.authtoken.models import Token

        token, _ = Token.objects.get_or_create(user=project.user)
        yield (
            "token (Django REST framework)",
            request(
                stack(MIDDLEWARE=DJANGO),
                "/token/",
                HTTP_AUTHORIZATION=f"Token {token.key}",
            ),
        )
    if importlib.util.find_spec("django_ssl_auth"):
        handler = stack(
            MIDDLEWARE=[*DJANGO, "django_ssl_auth.SSLClientAuthMiddleware"],
        )
        yield (
            "django-ssl-auth",
            request(
                handler,
                "/who/",
                HTTP_X_SSL_AUTHENTICATED="SUCCESS",
                HTTP_X_SSL_USER_DN="CN=alice",
                HTTP_X_REST_API="1",
                **{"wsgi.url_scheme": "https"},
            ),
        )
    if importlib.util.find_spec("django_tls_certificate_auth"):
        yield (
            "django-tls-certificate-auth (backend)",
            request(
                stack(MIDDLEWARE=DJANGO),
                "/backend/",
                HTTP_X_CLIENT_CERT_VALID="SUCCESS",
                HTTP_X_CLIENT_CERT_DN="CN=alice",
            ),
        )


def own(project: Project) -> Iterator[tuple[str, measuring.Run]]:
    """Yield requests with this package, in each of its modes."""
    from django_clientcert.testing import proxy_meta

    handler = stack(MIDDLEWARE=[*DJANGO, OWN])
    pin = proxy_meta(project.pinned.der)
    unverified = {"verdict": "FAILED:unable"}
    yield "certificate: pin", request(handler, "/who/", **pin)
    yield (
        "certificate: subject, path validated",
        request(handler, "/who/", **proxy_meta(project.named.der, **unverified)),
    )
    yield (
        "certificate: rule of an authority",
        request(handler, "/who/", **proxy_meta(project.ruled.der, **unverified)),
    )
    yield (
        "certificate: stranger, refused",
        request(
            handler,
            "/why/",
            expected=b"unmapped",
            **proxy_meta(project.stranger.der),
        ),
    )
    yield (
        "certificate: nobody asks for it",
        request(handler, "/nothing/", expected=b"ok", **pin),
    )


def cold(project: Project) -> dict[str, measuring.Run]:
    """Return requests of which each has another certificate, new to the process."""
    from django_clientcert.testing import proxy_meta
    from django_clientcert.x509.paths import MAX_REMEMBERED_PATHS

    different = [
        proxy_meta(one.der, verdict="FAILED:unable")
        for one in project.strangers(MAX_REMEMBERED_PATHS + 100)
    ]
    values = {
        name: [meta[name] for meta in different]
        if name.startswith("HTTP_SSL")
        else value
        for name, value in different[0].items()
    }
    handler = stack(MIDDLEWARE=[*DJANGO, OWN])
    return {"certificate: each one different": request(handler, "/who/", **values)}


def kept(project: Project) -> dict[str, measuring.Run]:
    """Return requests whose decision is kept."""
    from django_clientcert.testing import proxy_meta

    handler = stack(MIDDLEWARE=[*DJANGO, OWN])
    run = request(handler, "/who/", **proxy_meta(project.pinned.der))
    return {"certificate: pin, decision kept": run}


def headers(project: Project) -> dict[str, measuring.Run]:
    """Return the ways from a header to a fingerprint, without any cache."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    from django_clientcert.testing import proxy_headers
    from django_clientcert.wire import DECODERS
    from django_clientcert.x509.certificates import ClientCertificate

    value = proxy_headers(project.pinned.der)["ssl-client-cert"]

    def usual() -> bytes:
        pem = urllib.parse.unquote(value).encode()
        return x509.load_pem_x509_certificate(pem).fingerprint(SHA256())

    def ours() -> bytes:
        (der,) = DECODERS["escaped_pem"](value)
        return ClientCertificate(der).fingerprint_bytes

    assert usual() == ours()
    return {
        "header: unquote, load_pem, fingerprint": usual,
        "header: this package": ours,
    }


def main() -> None:
    """Measure and print."""
    parser = measuring.arguments(__doc__.splitlines()[0], rounds=40, mappings=10_000)
    options = parser.parse_args()
    measuring.start_database(options, "benchmarks.request")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as at_end:
        configure(Path(folder))
        from django.db import connection
        from django.test import override_settings

        at_end.callback(connection.close)
        project = Project(options.mappings)
        nothing = request(stack(MIDDLEWARE=DJANGO), "/nothing/", expected=b"ok")
        common = {"nothing": nothing, **dict(sessions(project))}
        rows: dict[str, Any] = {}
        for settings, runs in (
            ({}, {**common, **dict(others(project)), **dict(own(project))}),
            ({"CLIENTCERT_LAST_USED_INTERVAL": None}, {**common, **cold(project)}),
            ({"CLIENTCERT_DECISION_SECONDS": 3600}, {**common, **kept(project)}),
        ):
            with override_settings(**settings):
                figures = measuring.measure(runs, options.rounds)
            base = figures["nothing"].median
            session = figures[SESSION].median - base
            for name, figure in figures.items():
                rows.setdefault(name, row(figure, base, session))
        alone = measuring.measure(headers(project), options.rounds)
        usual = next(iter(alone.values())).median
        for name, figure in alone.items():
            rows[name] = {
                "µs": round(figure.median, 1),
                "of the usual": round(figure.median / usual, 3),
            }
        title = f"One request, {options.mappings:,} mappings"
        measuring.show(title, rows, options, chart="net, of a session")


def row(figure: measuring.Figure, base: float, session: float) -> dict[str, Any]:
    """Return what is shown of a request."""
    return {
        "µs": round(figure.median, 1),
        "net, of a session": round((figure.median - base) / session, 3),
        "from": round((figure.lower - base) / session, 3),
        "to": round((figure.upper - base) / session, 3),
    }


if __name__ == "__main__":
    main()
