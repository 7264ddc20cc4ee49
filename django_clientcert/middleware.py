"""The middleware: gates immediately, everything else on demand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.html import format_html

from .backends import find_backend
from .conf import NAMES, conf
from .decorators import ClientCertRequired
from .exceptions import Reason
from .probe import endpoint as probe
from .recording.refusals import find_unrecorded_refusal
from .recording.uses import find_unrecorded_use
from .requests import RequestState, attach, get_state

# Seconds after which a client may try again if the mappings cannot be read
RETRY_AFTER = 10


class ClientCertMiddleware:
    """Sets ``client_cert``, ``client_cert_decision`` and the user of a request.

    It comes after ``AuthenticationMiddleware``. Nothing is written to a session,
    and ``authenticate()`` is not called: that would count every unknown
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
        if get_state(request) is not None:  # the middleware is listed twice
            response: HttpResponseBase = self.get_response(request)
            return response
        if self.is_async:
            return self.__acall__(request)
        question = probe.read_question(request)
        state = attach(request, self.backend)
        if question is not None and probe.take(question):
            return probe.answer(question, state.presented, state.host)
        if state.must_be_reported:
            state.decide()  # makes no query
        response = self.get_response(request)
        if not is_decided_later(response, state):
            for record in find_unrecorded(state):
                record()
        return finish(response, state)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        """See __call__()."""
        question = probe.read_question(request)
        state = attach(request, self.backend)
        if question is not None and await sync_to_async(probe.take)(question):
            return probe.answer(question, state.presented, state.host)
        if state.must_be_reported:
            await state.adecide()
        response: HttpResponseBase = await self.get_response(request)
        if not is_decided_later(response, state):
            for record in find_unrecorded(state):
                await sync_to_async(record)()
        return finish(response, state)

    def process_view(self, request: HttpRequest, *view: Any) -> None:
        """Decide before the view's transaction begins, if ``ATOMIC_REQUESTS`` is on.

        That would roll back a user whom a rule has created, and would not see one
        whom another request has created meanwhile.
        """
        state = get_state(request)
        if state is not None and state.is_in_transaction:
            state.decide()

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Answer 503 to an outage; leave everything else to ``handler403``.

        The reason is shown only if DEBUG is on.
        """
        if not isinstance(exception, ClientCertRequired):
            return None
        is_outage = exception.reason is Reason.TRUST_UNAVAILABLE
        if not is_outage and not settings.DEBUG:
            return None
        title = "503 Service Unavailable" if is_outage else "403 Forbidden"
        why = format_html(
            "<p>This page needs a client certificate. Reason: <code>{}</code></p>"
            "<p>{}</p><p>You see this because <code>DEBUG</code> is on.</p>",
            exception.reason,
            exception.detail or _explain_absence(),
        )
        return HttpResponse(
            format_html(
                "<!doctype html><html lang=en><title>{0}</title><h1>{0}</h1>{1}",
                title,
                why if settings.DEBUG else "",
            ),
            status=503 if is_outage else 403,
            headers={"Retry-After": RETRY_AFTER} if is_outage else None,
        )


def _explain_absence() -> str:
    """Return what to look at if there is no certificate, and no sign of one."""
    proxy = conf.CLIENTCERT_PROXY
    return (
        f"The request has no {proxy.certificate}, where CLIENTCERT_PROXY "
        f"(“{proxy.name}”) expects the certificate. “manage.py runserver” has no TLS, "
        "so it never gets one."
    )


def find_unrecorded(state: RequestState) -> list[Callable[[], None]]:
    """Return what records the decision on a request, if it is due. No I/O."""
    records = find_unrecorded_use(state), find_unrecorded_refusal(state)
    return [record for record in records if record is not None]


def is_decided_later(response: HttpResponseBase, state: RequestState) -> bool:
    """Return whether the decision may still be made, while the response is sent."""
    return state.presented.has_certificate and (
        response.streaming or state.decision is None
    )


def finish(response: HttpResponseBase, state: RequestState) -> HttpResponseBase:
    """Tell caches that the response depends on the certificate (RFC 9440, 2.4).

    Every header that is read counts: a cache that compared the certificate's header
    alone would answer a request whose other headers show that it is stolen. A cache
    in or before the proxy never sees these headers, so a response that depends on a
    certificate is also marked as private.
    """
    proxy, headers = state.presented.proxy, response.headers
    # Without such a header, what the two functions do is known, and they take longer.
    if proxy.is_header:
        if "Vary" in headers:
            patch_vary_headers(response, proxy.names)
        else:
            headers["Vary"] = proxy.vary
    if state.presented.has_certificate and (state.was_looked_at or response.streaming):
        if "Cache-Control" in headers:
            patch_cache_control(response, private=True)
        else:
            headers["Cache-Control"] = "private"
    if is_decided_later(response, state):
        close = response.close

        def record_and_close() -> None:
            for record in find_unrecorded(state):
                record()
            close()  # ends the connections to the databases

        response.close = record_and_close  # type: ignore[method-assign]
    return response
