"""System checks: one function for each question, with what to type in the hint.

None raises and none opens a socket. Only those with ``Tags.database`` look into the
database: ``manage.py check --database default``.
"""

from __future__ import annotations

import datetime as dt
import difflib
import importlib.util
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from ipaddress import collapse_addresses
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import (
    AuthenticationMiddleware,
    RemoteUserMiddleware,
)
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import (
    FieldDoesNotExist,
    ImproperlyConfigured,
    ValidationError,
)
from django.db import DatabaseError, router, transaction
from django.utils import timezone
from django.utils.connection import ConnectionDoesNotExist
from django.utils.module_loading import import_string

from .backends import ClientCertBackend
from .certificates import ClientCertificate
from .conf import NAMES, Network, conf
from .escaping import visible_once
from .exceptions import ClientCertError
from .identities import Kind
from .models import CertificateAuthority, CertificateMapping, name_key
from .models.derived import derive_state
from .models.rules import is_unique_user_field
from .proxies import INGRESS_NGINX, Proxy
from .verification import PathValidator

IDS = {
    "middleware_missing": "clientcert.E001",
    "middleware_order": "clientcert.E002",
    "backend_missing": "clientcert.E003",
    "trusted_proxies_unset": "clientcert.E004",
    "trusted_proxies_everybody": "clientcert.E005",
    "setting_unknown": "clientcert.E006",
    "setting_unusable": "clientcert.E007",
    "proxy_does_not_verify": "clientcert.E008",
    "remote_user": "clientcert.E009",
    "database_router": "clientcert.E010",
    # check --database
    "name_without_authority": "clientcert.E011",
    "authority_unusable": "clientcert.E012",
    "anchor_expired": "clientcert.W020",
    "inactive_users": "clientcert.W021",
    "list_stale": "clientcert.W022",
    "list_expiring": "clientcert.W023",
    "mapping_unreachable": "clientcert.W024",
    "revocation_state": "clientcert.E013",
    "rule_unusable": "clientcert.E014",
    "rule_field_not_unique": "clientcert.W025",
    "rule_allows_privileged": "clientcert.W026",
    # check --deploy
    "insecure_transport": "clientcert.W030",
    "every_host": "clientcert.W031",
    "wide_network": "clientcert.W032",
    "secure_unknown": "clientcert.W033",
    "header_size": "clientcert.W034",
    "underscores": "clientcert.W035",
}

# What may be written; the tests read every one of them.
EXAMPLES = {
    "CLIENTCERT_PROXY": '"ingress-nginx"',
    "CLIENTCERT_TRUSTED_PROXIES": '["10.42.0.0/16"]',
    "CLIENTCERT_PROXY_VERIFIES": "False",
    "CLIENTCERT_HOSTS": '["api.example.com"]',
    "CLIENTCERT_PROXY_SECRET": '("X-Proxy-Secret", ["new secret", "old secret"])',
    "CLIENTCERT_REQUIRE_SECURE": "True",
    "CLIENTCERT_MAX_HEADER_BYTES": "16384",
    "CLIENTCERT_LAST_USED_INTERVAL": "900",
    "CLIENTCERT_INBOX_SIZE": "1000",
    "CLIENTCERT_SEEN_SIZE": "10000",
}

MIDDLEWARE = "django_clientcert.middleware.ClientCertMiddleware"
BACKEND = "django_clientcert.backends.ClientCertBackend"

MAX_LISTED = 10

# Mappings of each authority whose certificates are looked at: enough to see that a
# bundle was replaced by a wrong one, whatever their number.
_MAX_LOOKED_AT = 1000

# The last fifth of a list's time is when the next one should be there.
_LAST_PART = 0.2

_PREFIX = "CLIENTCERT_"

# Wider than a whole private network, such as 10.0.0.0/8 or fd00::/8
_WIDE = {4: 8, 6: 8}

# gunicorn's limit_request_field_size
_GUNICORN_BYTES = 8190

Messages = list[CheckMessage]


# --- middleware and backend ------------------------------------------------------


@register(Tags.security)
def check_middleware_is_there(app_configs: Any, **kwargs: Any) -> Messages:
    """Is the middleware, or a subclass, in MIDDLEWARE?"""
    if _find_subclass(_dotted_paths("MIDDLEWARE"), _import(MIDDLEWARE)) is not None:
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
    paths = _dotted_paths("MIDDLEWARE")
    ours = _find_subclass(paths, _import(MIDDLEWARE))
    django = _find_subclass(paths, AuthenticationMiddleware)
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
    paths = _dotted_paths("AUTHENTICATION_BACKENDS")
    if _find_subclass(paths, ClientCertBackend) is not None:
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
    proxy = _usable("CLIENTCERT_PROXY")
    if proxy is None:
        return []
    ours = {proxy.meta_key(name) for name in proxy.names}
    found = []
    for path in _dotted_paths("MIDDLEWARE"):
        middleware = _import(path)
        if not _is_subclass(middleware, RemoteUserMiddleware):
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


# --- settings --------------------------------------------------------------------


@register(Tags.security)
def check_trusted_proxies_are_set(app_configs: Any, **kwargs: Any) -> Messages:
    """Is anybody trusted to speak for a client?"""
    trusted = _usable("CLIENTCERT_TRUSTED_PROXIES")
    if trusted is None or trusted:
        return []
    return [
        Error(
            "CLIENTCERT_TRUSTED_PROXIES is not set: every client certificate is "
            "refused.",
            hint=(
                "List the networks that your proxy connects from: "
                'CLIENTCERT_TRUSTED_PROXIES = ["10.42.0.0/16"], or ["unix"] for a '
                "Unix socket."
            ),
            id=IDS["trusted_proxies_unset"],
        )
    ]


@register(Tags.security)
def check_trusted_proxies_are_not_everybody(
    app_configs: Any, **kwargs: Any
) -> Messages:
    """Is not everybody trusted to speak for a client?"""
    everything = [one for one in _trusted_networks() if one.prefixlen == 0]
    if not everything:
        return []
    return [
        Error(
            "CLIENTCERT_TRUSTED_PROXIES covers every address "
            f"({', '.join(map(str, everything))}): whoever reaches the application "
            "can claim to be anybody.",
            hint=(
                "List only the networks that your proxy connects from: "
                'CLIENTCERT_TRUSTED_PROXIES = ["10.42.0.0/16"].'
            ),
            id=IDS["trusted_proxies_everybody"],
        )
    ]


@register(Tags.security)
def check_settings_are_known(app_configs: Any, **kwargs: Any) -> Messages:
    """Is every CLIENTCERT_ setting one that exists?"""
    unknown = [
        name for name in dir(settings) if name.startswith(_PREFIX) and name not in NAMES
    ]
    return [
        Error(
            f"There is no setting {name}: it has no effect.",
            hint=_suggest(name),
            id=IDS["setting_unknown"],
        )
        for name in unknown
    ]


def _suggest(name: str) -> str:
    # Without the prefix, which would make any two of them alike
    known = {one.removeprefix(_PREFIX): one for one in NAMES}
    for close in difflib.get_close_matches(name.removeprefix(_PREFIX), known, n=1):
        return f"Did you mean {known[close]}? Otherwise remove it."
    return f"Remove it. There are: {', '.join(sorted(NAMES))}."


@register(Tags.security)
def check_settings_are_usable(app_configs: Any, **kwargs: Any) -> Messages:
    """Can every setting be used? An empty value never switches anything off."""
    problems: dict[str, str] = {}
    for name in NAMES:
        try:
            getattr(conf, name)
        except ImproperlyConfigured as error:
            # One setting can be the default of another: say it once.
            problems.setdefault(str(error), name)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is said
            # Not its text: the setting may be a secret.
            problems.setdefault(
                f"{name} has a value that cannot be used ({type(error).__name__}).",
                name,
            )
    return [
        Error(problem, hint=_how_to_write(name), id=IDS["setting_unusable"])
        for problem, name in problems.items()
    ]


def _how_to_write(name: str) -> str:
    hint = f"Write {name} = {EXAMPLES[name]}"
    # Without this one, nobody is trusted.
    has_default = name != "CLIENTCERT_TRUSTED_PROXIES"
    return f"{hint}, or leave it out for the default." if has_default else f"{hint}."


@register(Tags.security)
def check_proxy_verifies(app_configs: Any, **kwargs: Any) -> Messages:
    """Does a proxy that is said to validate the path really do so?"""
    proxy = _usable("CLIENTCERT_PROXY")
    if proxy is None or proxy.verifies or not _usable("CLIENTCERT_PROXY_VERIFIES"):
        return []
    return [
        Error(
            "CLIENTCERT_PROXY_VERIFIES is True, but the proxy in CLIENTCERT_PROXY "
            f"({proxy.name}) does not validate the path of a certificate.",
            hint=(
                "Remove CLIENTCERT_PROXY_VERIFIES: the path is then validated here, "
                "for every mapping that names an authority."
            ),
            id=IDS["proxy_does_not_verify"],
        )
    ]


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


# --- check --database ------------------------------------------------------------


@register(Tags.database)
def check_names_have_authorities(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Does every mapping by name say who must have issued the certificate?"""

    def look(alias: str) -> Messages:
        weak = CertificateMapping.objects.using(alias).filter(authority=None)
        weak = weak.exclude(kind__in=[kind.value for kind in Kind if kind.is_pin])
        # One more than is shown, so that the rest is only counted if there is one.
        ids = list(weak.order_by("pk").values_list("pk", flat=True)[: MAX_LISTED + 1])
        if not ids:
            return []
        more = weak.count() - MAX_LISTED if len(ids) > MAX_LISTED else 0
        return [
            Error(
                f"Mappings by name without an authority, in the database “{alias}”: "
                f"{_list([str(one) for one in ids], more)}. Any CA could put such a "
                "name into a certificate, so they match nobody.",
                hint=(
                    "Choose the authority of each in the admin, or delete it and type "
                    "manage.py clientcert trust FILE --user NAME --kind KIND "
                    "--authority NAME."
                ),
                id=IDS["name_without_authority"],
            )
        ]

    return _look_into(databases, look)


@register(Tags.database)
def check_authorities_are_usable(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Can every authority's bundle be loaded?"""

    def look(alias: str) -> Messages:
        broken = []
        for authority in _authorities(alias):
            try:
                authority.validator()
            except ClientCertError as error:
                broken.append(f"{_label(authority)}: {visible_once(str(error))}")
        if not broken:
            return []
        return [
            Error(
                f"Authorities that cannot be used, in the database “{alias}”: "
                f"{_list(broken)} Whoever depends on them is refused.",
                hint=_REPLACE_BUNDLE,
                id=IDS["authority_unusable"],
            )
        ]

    return _look_into(databases, look)


@register(Tags.database)
def check_anchors_are_valid(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Is every trust anchor still valid?"""

    def look(alias: str) -> Messages:
        now = timezone.now()
        mappings = CertificateMapping.objects.using(alias)
        expired = []
        for authority in _authorities(alias):
            try:
                ended = [
                    f"{anchor.subject} ended on {anchor.not_after:%Y-%m-%d}"
                    for anchor in authority.trust().anchors
                    if anchor.not_after < now
                ]
            except ClientCertError:
                continue  # check_authorities_are_usable() speaks of it
            if ended:
                count = mappings.filter(authority=authority).count()
                listed = ", ".join(ended)
                expired.append(f"{_label(authority)}, {count} mappings: {listed}")
        if not expired:
            return []
        return [
            Warning(
                f"Anchors that have expired, in the database “{alias}”: "
                f"{_list(expired)}. What they issued is refused.",
                hint=_REPLACE_BUNDLE,
                id=IDS["anchor_expired"],
            )
        ]

    return _look_into(databases, look)


@register(Tags.database)
def check_mappings_can_be_reached(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Did each mapping's authority issue the certificate that it was made from?"""

    def look(alias: str) -> Messages:
        unreachable = []
        for authority in _authorities(alias):
            try:
                validator = authority.validator()
            except ClientCertError:
                continue  # check_authorities_are_usable() speaks of it
            count = Counter(
                mapping.kind
                for mapping in _with_certificates(alias, authority)
                if not _can_be_reached(mapping, validator)
            )
            if count:
                kinds = ", ".join(f"{count[kind]} {kind}" for kind in sorted(count))
                unreachable.append(f"{_label(authority)}: {kinds}")
        if not unreachable:
            return []
        return [
            Warning(
                "Mappings whose certificate their authority did not issue, in the "
                f"database “{alias}”: {_list(unreachable)}. Nobody is let in through "
                "them with it.",
                hint=(
                    "If the bundle was replaced, add the CA that issued them too: "
                    "manage.py clientcert authority add BUNDLE --name NAME --replace, "
                    "with old and new CAs in BUNDLE. manage.py clientcert explain FILE "
                    "tells of one certificate."
                ),
                id=IDS["mapping_unreachable"],
            )
        ]

    return _look_into(databases, look)


def _with_certificates(
    alias: str, authority: CertificateAuthority
) -> Iterable[CertificateMapping]:
    """Return the newest mappings in force that were made from a valid certificate."""
    now = timezone.now()
    rows = CertificateMapping.objects.using(alias).filter(
        authority=authority, certificate__isnull=False, certificate_not_after__gt=now
    )
    return (
        rows.exclude(state=CertificateMapping.State.DISABLED)
        .exclude(valid_until__lte=now)
        .order_by("-pk")
        .only("kind", "certificate")[:_MAX_LOOKED_AT]
    )


def _can_be_reached(mapping: CertificateMapping, validator: PathValidator) -> bool:
    """Tell whether the CA issued the certificate, or one that was let in lately.

    A name goes on with the certificates of the next CA; what it was made from stays.
    """
    certificate = mapping.client_certificate()
    if certificate is not None and _is_issued_by(validator, certificate):
        return True
    return any(
        _is_issued_by(validator, one.client_certificate())
        for one in mapping.seen_certificates.all()
    )


def _is_issued_by(validator: PathValidator, certificate: ClientCertificate) -> bool:
    try:
        return bool(validator.issuers_of(certificate))
    except ClientCertError:
        return False


@register(Tags.database)
def check_lists_are_current(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Does every authority have the revocation lists that its policy asks for?"""

    def look(alias: str) -> Messages:
        now = timezone.now()
        stale, expiring = [], []
        authorities = CertificateAuthority.objects.using(alias)
        for authority in authorities.exclude(revocation_policy="off"):
            rows = list(authority.revocation_lists.all())
            if authority.revocation_policy == "required":
                names = {row.list_info().issuer_name for row in rows}
                stale += [
                    f"{_label(authority)}: none of {subject} is loaded"
                    for subject in _cas_without_list(authority, names, now)
                ]
            for row in rows:
                info = row.list_info()
                end = info.expires()
                if end < now:
                    stale.append(f"{_label(authority)}: {row}")
                elif end - now < (end - info.this_update) * _LAST_PART:
                    expiring.append(f"{_label(authority)}: {row}")
        said: Messages = []
        if stale:
            said.append(
                Warning(
                    "Revocation lists that are stale or missing, in the database "
                    f"“{alias}”: {_list(stale)}. Under the policy “required”, "
                    "whoever depends on them is refused.",
                    hint=_FETCH_LISTS,
                    id=IDS["list_stale"],
                )
            )
        if expiring:
            said.append(
                Warning(
                    "Revocation lists that will be stale soon, in the database "
                    f"“{alias}”: {_list(expiring)}.",
                    hint=_FETCH_LISTS,
                    id=IDS["list_expiring"],
                )
            )
        return said

    return _look_into(databases, look)


def _cas_without_list(
    authority: CertificateAuthority, names: set[bytes], at: dt.datetime
) -> list[str]:
    """Return the CAs of a bundle, valid at *at*, that issued none of the lists."""
    try:
        return [
            visible_once(one.subject.rfc4514(), 120)
            for one in authority.certificates()
            if one.not_after >= at and name_key(one.subject_der) not in names
        ]
    except ClientCertError:
        return []  # check_authorities_are_usable() speaks of it


@register(Tags.database)
def check_revocations_are_in_force(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Does each authority remember what the lists and revocations say?"""

    def look(alias: str) -> Messages:
        wrong = []
        for authority in CertificateAuthority.objects.using(alias):
            try:
                same = authority.state() == derive_state(authority)
            except ValueError:
                same = False
            if not same:
                wrong.append(_label(authority))
        if not wrong:
            return []
        return [
            Error(
                "Authorities that do not remember all of their revocations, in the "
                f"database “{alias}”: {_list(wrong)}. Their tables were changed past "
                "the models.",
                hint="Save each of these authorities once, in the admin.",
                id=IDS["revocation_state"],
            )
        ]

    return _look_into(databases, look)


@register(Tags.database)
def check_rules_are_usable(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Can every identity rule be read, and does it say no more than it should?"""

    def look(alias: str) -> Messages:
        broken, shared, privileged = [], [], []
        for authority in CertificateAuthority.objects.using(alias).exclude(
            rule_identity=""
        ):
            try:
                authority.clean_rule()
                authority.rule()
            except (ValidationError, ValueError) as error:
                text = "; ".join(getattr(error, "messages", [str(error)]))
                broken.append(f"{_label(authority)}: {visible_once(text)}")
                continue
            if not is_unique_user_field(authority.user_field):
                shared.append(f"{_label(authority)}: {authority.user_field}")
            if authority.rule_allows_privileged:
                privileged.append(_label(authority))
        said: Messages = []
        if broken:
            said.append(
                Error(
                    f"Identity rules that cannot be used, in the database “{alias}”: "
                    f"{_list(broken)} Nobody is let in by them.",
                    hint=(
                        "Set the rule anew: manage.py clientcert authority rule NAME."
                    ),
                    id=IDS["rule_unusable"],
                )
            )
        if shared:
            said.append(
                Warning(
                    "Identity rules that compare with a field of the user that is not "
                    f"unique, in the database “{alias}”: {_list(shared)}. Of two users "
                    "with the same, none is let in, and without an index a request "
                    "reads all users.",
                    hint="Use a field with unique=True, or give this one an index.",
                    id=IDS["rule_field_not_unique"],
                )
            )
        if privileged:
            said.append(
                Warning(
                    "Identity rules that may log in staff and superusers, in the "
                    f"database “{alias}”: {_list(privileged)}. Whoever runs the CA can "
                    "be every administrator.",
                    hint=(
                        "Give administrators mappings of their own, and set the rule "
                        "without --allow-privileged: manage.py clientcert authority "
                        "rule NAME."
                    ),
                    id=IDS["rule_allows_privileged"],
                )
            )
        return said

    return _look_into(databases, look)


@register(Tags.database)
def check_users_are_active(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Does every mapping that is in force name a user who may log in?"""

    def look(alias: str) -> Messages:
        count = (
            CertificateMapping.objects.using(alias)
            .filter(user__is_active=False)
            .exclude(state=CertificateMapping.State.DISABLED)
            .count()
        )
        if not count:
            return []
        return [
            Warning(
                f"Mappings of inactive users that are not disabled, in the database "
                f"“{alias}”: {count}. They come into force again with the user.",
                hint=(
                    "Disable or delete them in the admin: search the certificate "
                    "mappings for the user’s name."
                ),
                id=IDS["inactive_users"],
            )
        ]

    try:
        get_user_model()._meta.get_field("is_active")
    except (FieldDoesNotExist, ImproperlyConfigured):
        return []  # this user model has no such column
    return _look_into(databases, look)


_FETCH_LISTS = (
    "Type manage.py clientcert crl fetch, or crl import FILE; see manage.py clientcert "
    "crl list."
)
_REPLACE_BUNDLE = (
    "Ask the CA for its current certificates and type manage.py clientcert authority "
    "add BUNDLE --name NAME --replace."
)


def _look_into(
    databases: Sequence[str] | None, look: Callable[[str], Messages]
) -> Messages:
    """Return what *look* finds in each of *databases* that has the tables."""
    found: Messages = []
    for alias in databases or ():
        try:
            if router.allow_migrate_model(alias, CertificateMapping):
                # A savepoint: a table that is missing must not spoil the rest.
                with transaction.atomic(using=alias):
                    found += look(alias)
        except (DatabaseError, ImproperlyConfigured, ConnectionDoesNotExist):
            continue  # not migrated, or no database at all: nothing to say here
    return found


def _authorities(alias: str) -> Iterable[CertificateAuthority]:
    return (
        CertificateAuthority.objects.using(alias)
        .only("name", "bundle", "profile")
        .iterator()
    )


def _label(authority: CertificateAuthority) -> str:
    return f"“{authority}” (id {authority.pk})"


def _list(items: Sequence[str], more: int | None = None) -> str:
    """Return the first of *items*, and how many there are besides."""
    more = len(items) - MAX_LISTED if more is None else more
    listed = ", ".join(items[:MAX_LISTED])
    return f"{listed} and {more} more" if more > 0 else listed


# --- check --deploy --------------------------------------------------------------


@register(Tags.security, deploy=True)
def check_transport_is_required(app_configs: Any, **kwargs: Any) -> Messages:
    """Is a certificate refused on a request without TLS?"""
    if _usable("CLIENTCERT_REQUIRE_SECURE") is not False:
        return []
    return [
        Warning(
            "CLIENTCERT_REQUIRE_SECURE is False: on a plain HTTP port of the proxy, "
            "a client may be able to send the headers itself.",
            hint=(
                "Remove CLIENTCERT_REQUIRE_SECURE, and set SECURE_PROXY_SSL_HEADER if "
                "your proxy ends TLS."
            ),
            id=IDS["insecure_transport"],
        )
    ]


@register(Tags.security, deploy=True)
def check_hosts_are_limited(app_configs: Any, **kwargs: Any) -> Messages:
    """Is it known for which hosts an ingress sets the headers?"""
    proxy = _usable("CLIENTCERT_PROXY")
    if (
        proxy is None
        # A custom proxy with the ingress' headers has the ingress' gap.
        or proxy.certificate != INGRESS_NGINX.certificate
        or getattr(settings, "CLIENTCERT_HOSTS", None) is not None
        or "*" not in (settings.ALLOWED_HOSTS or ())
    ):
        return []
    return [
        Warning(
            "CLIENTCERT_HOSTS is not set and ALLOWED_HOSTS has “*”: for a host "
            "without the annotation auth-tls-secret, the ingress lets a client's own "
            "headers pass.",
            hint=(
                "List the hosts that have the annotation: CLIENTCERT_HOSTS = "
                f"{EXAMPLES['CLIENTCERT_HOSTS']}."
            ),
            id=IDS["every_host"],
        )
    ]


@register(Tags.security, deploy=True)
def check_networks_are_narrow(app_configs: Any, **kwargs: Any) -> Messages:
    """Is a very wide trusted network backed by a secret?"""
    wide = [
        one for one in _trusted_networks() if 0 < one.prefixlen < _WIDE[one.version]
    ]
    if not wide or getattr(settings, "CLIENTCERT_PROXY_SECRET", None) is not None:
        return []
    return [
        Warning(
            "CLIENTCERT_TRUSTED_PROXIES covers a very wide network "
            f"({', '.join(map(str, wide))}), and CLIENTCERT_PROXY_SECRET is not set: "
            "everybody in it can claim to be anybody.",
            hint=(
                "List only the networks that your proxy connects from, or let it send "
                'a secret: CLIENTCERT_PROXY_SECRET = ("X-Proxy-Secret", "…").'
            ),
            id=IDS["wide_network"],
        )
    ]


@register(Tags.security, deploy=True)
def check_transport_is_known(app_configs: Any, **kwargs: Any) -> Messages:
    """Can Django know that a request reached the proxy over TLS?"""
    if (
        not _reads_headers()
        or _usable("CLIENTCERT_REQUIRE_SECURE") is not True
        or settings.SECURE_PROXY_SSL_HEADER is not None
    ):
        return []
    return [
        Warning(
            "SECURE_PROXY_SSL_HEADER is not set: unless the server itself says that "
            "a request is secure, every certificate is refused (insecure_transport).",
            hint=(
                'Write SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https"), '
                "if your proxy overwrites X-Forwarded-Proto."
            ),
            id=IDS["secure_unknown"],
        )
    ]


@register(Tags.security, deploy=True)
def check_header_size(app_configs: Any, **kwargs: Any) -> Messages:
    """Does the server take a header as long as the one that is read?"""
    limit = _usable("CLIENTCERT_MAX_HEADER_BYTES")
    if (
        limit is None
        or limit <= _GUNICORN_BYTES
        or not _reads_headers()
        or not _is_installed("gunicorn")
    ):
        return []
    return [
        Warning(
            f"CLIENTCERT_MAX_HEADER_BYTES is {limit}, and gunicorn's "
            f"limit_request_field_size is {_GUNICORN_BYTES} unless you change it: it "
            "refuses a longer certificate, such as a post-quantum one, before Django "
            "sees it.",
            hint=(
                # The name of the header and the line end count there.
                f"Start it with --limit-request-field_size {limit + 256}, or write "
                f"CLIENTCERT_MAX_HEADER_BYTES = {_GUNICORN_BYTES}."
            ),
            id=IDS["header_size"],
        )
    ]


@register(Tags.security, deploy=True)
def check_underscores(app_configs: Any, **kwargs: Any) -> Messages:
    """Does the server keep a header in a second spelling away?"""
    proxy = _usable("CLIENTCERT_PROXY")
    if (
        proxy is None
        or not _reads_headers()
        # Under ASGI, the middleware itself sees every spelling.
        or not getattr(settings, "WSGI_APPLICATION", None)
    ):
        return []
    alias = proxy.certificate.replace("-", "_")
    return [
        Warning(
            f"Under WSGI, {alias} and {proxy.certificate} are one header for Django: "
            "the proxy and the server must drop names with underscores, which cannot "
            "be seen from here.",
            hint=(
                "Keep nginx' underscores_in_headers off (ingress-nginx: "
                "enable-underscores-in-headers: false) and gunicorn, 22 or newer, at "
                'header_map = "drop"; both are the defaults. Then silence it: '
                f'SILENCED_SYSTEM_CHECKS = ["{IDS["underscores"]}"].'
            ),
            id=IDS["underscores"],
        )
    ]


# --- what the questions share ----------------------------------------------------


def _usable(name: str) -> Any:
    """Return a setting's value, or None where it cannot be used.

    check_settings_are_usable() says why it cannot.
    """
    try:
        return getattr(conf, name)
    except Exception:  # noqa: BLE001 - see above
        return None


def _trusted_networks() -> list[Network]:
    """Return the trusted networks, neighbours put together."""
    trusted = _usable("CLIENTCERT_TRUSTED_PROXIES")
    networks = () if trusted is None else trusted.networks
    return [
        *collapse_addresses(one for one in networks if one.version == 4),
        *collapse_addresses(one for one in networks if one.version == 6),
    ]


def _reads_headers() -> bool:
    """Tell whether the certificate comes as a header field."""
    proxy: Proxy | None = _usable("CLIENTCERT_PROXY")
    return proxy is not None and proxy.is_header


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # a module that was put together by hand
        return True


def _dotted_paths(setting: str) -> list[str]:
    """Return the dotted paths in a setting, whatever else it may hold."""
    value = getattr(settings, setting, None)
    return (
        [one for one in value if isinstance(one, str)]
        if isinstance(value, (list, tuple))
        else []
    )


def _import(path: str) -> Any:
    """Return what a dotted path names, or None where it cannot be imported."""
    try:
        return import_string(path)
    except Exception:  # noqa: BLE001 - other people's modules may raise anything
        # Django says so itself when it loads the middleware or the backend.
        return None


def _is_subclass(candidate: Any, parent: Any) -> bool:
    return (
        isinstance(candidate, type)
        and isinstance(parent, type)
        and issubclass(candidate, parent)
    )


def _find_subclass(paths: Sequence[str], parent: Any) -> int | None:
    """Return the index of the first of *paths* that is *parent* or a subclass."""
    for index, path in enumerate(paths):
        if _is_subclass(_import(path), parent):
            return index
    return None
