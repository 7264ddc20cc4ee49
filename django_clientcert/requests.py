"""What the middleware adds to a request: certificate and decision, both lazy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from copy import deepcopy
from functools import partial
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, Protocol

from django.contrib.auth.models import AnonymousUser
from django.db import connections
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from .evaluation import Decision
from .evaluation.lookup import find_alias
from .evaluation.peer import peer_of
from .evaluation.presented import strip_headers, strip_secret
from .exceptions import Reason
from .signals import client_cert_accepted, client_cert_refused
from .x509.certificates import ClientCertificate

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

logger = logging.getLogger("django_clientcert")

_STATE = "_client_cert_state"
_CACHE = "_client_cert_cache"


class Decider(Protocol):
    """Makes the decision: a ``ClientCertBackend``."""

    def decide(self, request: HttpRequest) -> Decision: ...

    async def adecide(self, request: HttpRequest) -> Decision: ...


class ClientCertRequest(HttpRequest):
    """A request after ``ClientCertMiddleware``; use it to annotate views."""

    @property
    def client_cert(self) -> ClientCertificate | None:
        """The certificate that the peer proved possession of, or None. No query."""
        return _state(self).certificate

    @property
    def client_cert_decision(self) -> Decision:
        """Which user the certificate authenticates, and why. Usually one query."""
        return _state(self).decide()

    async def aclient_cert_decision(self) -> Decision:
        """See client_cert_decision."""
        return await _state(self).adecide()

    def __copy__(self) -> ClientCertRequest:
        """Return a request that shares everything, the decision too."""
        copied: ClientCertRequest = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> ClientCertRequest:
        """Return a copy with the same decision."""
        copied = memo[id(self)] = object.__new__(type(self))
        copied.__dict__.update(deepcopy(_portable(self), memo))
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle the original request, with the user that it has now.

        Without certificate and decision: they are of this process and this moment.
        """
        fields = _portable(self)
        for name in (_STATE, _CACHE):
            fields.pop(name, None)
        if "auser" in fields:
            fields["auser"] = partial(_get_user, fields["user"])
        return _new_request, (type(self).__mro__[2],), fields

    @property
    def _cache_update_cache(self) -> bool:
        """Whether Django's cache may keep the response.

        ``@cache_page`` keeps it before the middleware can say what it depends on,
        so a response that was made with a look at a certificate is never kept.
        """
        wanted = self.__dict__.get(_CACHE)
        if wanted is None:
            raise AttributeError("_cache_update_cache")
        state = _state(self)
        looked = state.was_looked_at and state.presented.has_certificate
        return bool(wanted) and not looked

    @_cache_update_cache.setter
    def _cache_update_cache(self, wanted: bool) -> None:
        self.__dict__[_CACHE] = wanted


def _portable(request: HttpRequest) -> dict[str, Any]:
    """Return the attributes of *request* without those that Django never copies."""
    left_out = {"resolver_match", "_stream"}
    return {key: value for key, value in vars(request).items() if key not in left_out}


def _new_request(original: type[HttpRequest]) -> HttpRequest:
    """Return a request without attributes, which ``pickle`` fills."""
    return original.__new__(original)


async def _get_user(user: Any) -> Any:
    """Return *user*: ``auser()`` of a request that was pickled."""
    return user


class RequestState:
    """Decides once for one request, when somebody asks.

    Threads wait for each other, and so do tasks. A thread and a task do not, because
    each may need the other to go on: what is decided first counts for both.
    """

    def __init__(self, request: HttpRequest, decider: Decider) -> None:
        self.request = request
        self.decider = decider
        self.peer = peer_of(request)
        self.presented = self.peer.presented
        self.refused_at_gate = (
            self.presented.anything and self.peer.gate_refusal is not None
        )
        self.decision: Decision | None = None
        # What the request got; another middleware may replace it
        self.user: object = None
        self._was_read = False
        self._deciding = RLock()
        self._deciding_in: dict[asyncio.AbstractEventLoop, asyncio.Lock] = {}
        self._deciding_task: asyncio.Task[Any] | None = None
        self._settling = Lock()

    def __deepcopy__(self, memo: object) -> RequestState:
        """Return the same state: a copy of the request has the same decision."""
        return self

    @property
    def certificate(self) -> ClientCertificate | None:
        """The certificate that the peer proved possession of, without a query."""
        if self.decision is not None:
            return self.decision.certificate
        self._was_read = True
        return self.peer.certificate

    @property
    def host(self) -> str:
        """The host name of the request, lower case, without port; "" if invalid."""
        return self.peer.host

    @property
    def must_be_reported(self) -> bool:
        """Whether a gate refused a certificate: reported even if nobody asks."""
        return self.refused_at_gate and self.presented.has_certificate

    @property
    def was_looked_at(self) -> bool:
        """Whether anybody has asked for the certificate or the decision."""
        return self.decision is not None or self._was_read

    @property
    def is_in_transaction(self) -> bool:
        """Whether the view will decide in the transaction of ``ATOMIC_REQUESTS``."""
        database = connections.settings[find_alias()]
        return self._needs_backend and bool(database["ATOMIC_REQUESTS"])

    @property
    def _needs_backend(self) -> bool:
        """Whether there is anything to decide.

        After a gate has refused, the headers are gone from the request, so the
        backend would see no certificate at all.
        """
        return self.presented.has_certificate and not self.refused_at_gate

    def decide(self) -> Decision:
        """Return the decision; the first call makes it, reports and signals it."""
        if (decision := self.decision) is not None:
            return decision
        with self._deciding:
            if (decision := self.decision) is not None:
                return decision
            decision, signal, arguments = self._settle(
                self.decider.decide(self.request)
                if self._needs_backend
                else self.peer.decision()
            )
        if signal is not None:
            _log_failures(signal.send_robust(sender=type(self), **arguments))
        return decision

    async def adecide(self) -> Decision:
        """See decide()."""
        if (decision := self.decision) is not None:
            return decision
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        lock = self._deciding_in.setdefault(loop, asyncio.Lock())
        if lock.locked() and self._deciding_task is task:
            raise RuntimeError("adecide() must not ask for the user it decides on.")
        async with lock:
            self._deciding_task = task
            if (decision := self.decision) is not None:
                return decision
            decision, signal, arguments = self._settle(
                await self.decider.adecide(self.request)
                if self._needs_backend
                else self.peer.decision()
            )
        if signal is not None:
            _log_failures(await signal.asend_robust(sender=type(self), **arguments))
        return decision

    def _settle(self, decision: Decision) -> tuple[Decision, Any, dict[str, Any]]:
        """Return what was decided first, and the signal to send, with its arguments."""
        with self._settling:
            if self.decision is not None:
                return self.decision, None, {}
            self.decision = decision
        return decision, *self._report(decision)

    def _report(self, decision: Decision) -> tuple[Any, dict[str, Any]]:
        """Log a refusal; return the signal to send, with its arguments."""
        if decision.accepted:
            if not client_cert_accepted.has_listeners(type(self)):
                return None, {}
            return client_cert_accepted, {
                "request": self.request,
                "certificate": decision.certificate,
                "mapping": decision.mapping,
                "user": decision.user,
            }
        if decision.reason is Reason.NO_CERTIFICATE and not decision.detail:
            return None, {}
        certificate = decision.certificate
        if self.presented.other_header:
            if decision.detail in _told:
                return None, {}
            _told.add(decision.detail)
        logger.warning(
            "client certificate refused: reason=%s fingerprint=%s detail=%s",
            decision.reason,
            certificate.short_fingerprint if certificate else "-",
            decision.detail or "-",
        )
        if decision.reason is Reason.NO_CERTIFICATE:
            return None, {}
        return client_cert_refused, {
            "request": self.request,
            "certificate": certificate,
            "reason": decision.reason,
        }


# What was logged about requests without a certificate whose headers belong to another
# preset: anyone may send such headers, so each text is logged once.
_told: set[str] = set()


def _log_failures(results: list[tuple[Any, Any]]) -> None:
    """Log receivers that raised: they must not change what was decided."""
    for receiver, result in results:
        if isinstance(result, Exception):
            logger.error("a signal receiver failed: %r", receiver, exc_info=result)


def get_state(request: HttpRequest | None) -> RequestState | None:
    """Return what ``attach()`` left on *request*, or None.

    Frameworks such as Django REST framework wrap a request in ``_request``.
    """
    if request is None:
        return None
    inner: HttpRequest = request.__dict__.get("_request", request)
    state: RequestState | None = inner.__dict__.get(_STATE)
    return state


def _state(request: HttpRequest) -> RequestState:
    state: RequestState = request.__dict__[_STATE]
    return state


# WSGIRequest, ASGIRequest and what a project puts in their place
_REQUEST_CLASSES: dict[type[HttpRequest], type[HttpRequest]] = {}


def _request_class(original: type[HttpRequest]) -> type[HttpRequest]:
    """Return *original* with the properties above.

    Properties of the class, because a lazy object that wraps None is not None.
    """
    if original not in _REQUEST_CLASSES:
        _REQUEST_CLASSES[original] = type(
            original.__name__,
            (ClientCertRequest, original),
            {"__module__": original.__module__, "__doc__": original.__doc__},
        )
    return _REQUEST_CLASSES[original]


def attach(request: HttpRequest, decider: Decider) -> RequestState:
    """Give *request* its lazy certificate, decision and user; close the gates.

    Returns:
        The state, for the end of the request.
    """
    state = RequestState(request, decider)
    request.__dict__[_STATE] = state
    strip_secret(request, state.peer.settings)
    if not isinstance(request, ClientCertRequest):
        request.__class__ = _request_class(type(request))
    if state.refused_at_gate:
        strip_headers(request, state.presented.proxy)
    elif state.presented.has_certificate:
        _attach_user(request, state)
    return state


def _attach_user(request: HttpRequest, state: RequestState) -> None:
    """Let an accepted certificate win over the session's user."""
    # Not "or": the truth of a lazy user would load it from the session.
    previous = getattr(request, "user", AnonymousUser())
    previous_auser: Callable[[], Awaitable[Any]] | None = getattr(
        request, "auser", None
    )

    def user() -> AbstractBaseUser | AnonymousUser:
        decision = state.decide()
        return previous if decision.user is None else decision.user

    async def auser() -> AbstractBaseUser | AnonymousUser:
        decision = await state.adecide()
        if decision.user is not None:
            return decision.user
        return previous if previous_auser is None else await previous_auser()

    state.user = SimpleLazyObject(user)
    request.user = state.user  # type: ignore[assignment]
    request.auser = auser  # type: ignore[assignment]
