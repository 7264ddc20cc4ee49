"""The middleware: gates at once, everything else when somebody asks."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.html import format_html

from . import probing
from .backends import find_backend
from .conf import NAMES, conf
from .decorators import ClientCertRequired
from .evaluation import Decision
from .inbox import find_unrecorded_refusal, forget, record_refusal
from .models import CertificateMapping, SeenCertificate
from .requests import RequestState, attach

logger = logging.getLogger("django_clientcert")


class ClientCertMiddleware:
    """Sets ``client_cert``, ``client_cert_decision`` and the user of a request.

    It stands behind ``AuthenticationMiddleware``. Nothing is written to a session,
    and ``authenticate()`` is not called: that would count every stranger's
    certificate as a failed login.
    """

    sync_capable = True
    async_capable = True

    def __init__(
        self,
        get_response: Callable[[HttpRequest], HttpResponseBase]
        | Callable[[HttpRequest], Awaitable[HttpResponseBase]],
    ) -> None:
        self.get_response: Callable[[HttpRequest], Any] = get_response
        self.backend = find_backend()
        for name in NAMES:
            getattr(conf, name)  # a setting that cannot be used stops the server here
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(
        self, request: HttpRequest
    ) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Handle a request."""
        if self.is_async:
            return self.__acall__(request)
        question = probing.read_question(request)
        state = attach(request, self.backend)
        if question is not None and probing.take(question):
            return probing.answer(question, state.presented, state.host)
        if state.must_be_reported:
            state.decide()  # no query: a gate says it all
        response: HttpResponseBase = self.get_response(request)
        if (use := find_unrecorded_use(state)) is not None:
            record_use(use)
        if (refusal := find_unrecorded_refusal(state)) is not None:
            record_refusal(*refusal)
        return finish(response, state)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """See __call__()."""
        question = probing.read_question(request)
        state = attach(request, self.backend)
        if question is not None and await sync_to_async(probing.take)(question):
            return probing.answer(question, state.presented, state.host)
        if state.must_be_reported:
            await state.adecide()
        response: HttpResponseBase = await self.get_response(request)
        if (use := find_unrecorded_use(state)) is not None:
            await sync_to_async(record_use)(use)
        if (refusal := find_unrecorded_refusal(state)) is not None:
            await sync_to_async(record_refusal)(*refusal)
        return finish(response, state)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Say why, under DEBUG only; otherwise leave it to ``handler403``."""
        if not isinstance(exception, ClientCertRequired) or not settings.DEBUG:
            return None
        return HttpResponseForbidden(
            format_html(
                "<!doctype html><html lang=en><title>403 Forbidden</title>"
                "<h1>403 Forbidden</h1><p>This page needs a client certificate. "
                "Reason: <code>{}</code></p><p>{}</p>"
                "<p>You see this because <code>DEBUG</code> is on.</p>",
                exception.reason,
                exception.detail,
            )
        )


class Use(NamedTuple):
    """What has to be written down of an accepted certificate."""

    decision: Decision
    host: str
    at: dt.datetime
    # Whether the mapping, and the certificate, were last written down long ago
    mapping_is_due: bool
    certificate_is_due: bool


def find_unrecorded_use(state: RequestState) -> Use | None:
    """Return what has to be written down now, if anything. No I/O."""
    interval = conf.CLIENTCERT_LAST_USED_INTERVAL
    if interval is None or not state.is_decided:
        return None
    decision = state.decide()  # decided: this only hands it out
    if not decision.accepted:
        return None
    now = timezone.now()

    def is_due(last: dt.datetime | None) -> bool:
        return last is None or last <= now - interval

    mapping = decision.mapping
    use = Use(
        decision,
        state.host,
        now,
        mapping is not None and is_due(mapping.last_used_at),
        conf.CLIENTCERT_SEEN_SIZE > 0 and is_due(decision.last_seen_at),
    )
    return use if use.mapping_is_due or use.certificate_is_due else None


def record_use(use: Use) -> None:
    """Write down that a certificate was used. Never fails a request."""
    mapping, certificate = use.decision.mapping, use.decision.certificate
    try:
        if mapping is not None and use.mapping_is_due:
            CertificateMapping.objects.record_use(mapping)
        if certificate is not None and use.certificate_is_due:
            SeenCertificate.record(
                certificate,
                user=use.decision.user,
                mapping=mapping,
                authority=use.decision.authority,
                host=use.host,
                size=conf.CLIENTCERT_SEEN_SIZE,
                at=use.at,
            )
        if certificate is not None and use.decision.last_seen_at is None:
            forget(certificate)
    except DatabaseError as error:
        logger.warning(
            "last use of %s not written: %s",
            "a certificate" if mapping is None else f"mapping {mapping.pk}",
            type(error).__name__,
        )


def finish(response: HttpResponseBase, state: RequestState) -> HttpResponseBase:
    """Tell caches that the response depends on the certificate (RFC 9440, 2.4).

    Every header that is read counts: a cache that looked at the certificate's
    alone would answer a request whose other headers give it away as stolen. A
    cache in or before the proxy never sees these headers, so what was made with a
    look at a certificate is private besides.
    """
    proxy = state.presented.proxy
    if proxy.is_header:
        patch_vary_headers(response, proxy.names)
    if state.was_looked_at and state.presented.has_certificate:
        patch_cache_control(response, private=True)
    return response
