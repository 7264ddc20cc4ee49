"""``@client_cert_required``: a view for mapped client certificates only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar, cast, overload

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest

from .evaluation import Decision
from .exceptions import Reason
from .requests import RequestState, get_state

logger = logging.getLogger("django_clientcert")

View = TypeVar("View", bound=Callable[..., Any])


class ClientCertRequired(PermissionDenied):
    """The view requires a client certificate, and none was accepted.

    Django answers 403 through the project's ``handler403``; the middleware answers 503
    if the reason is ``trust_unavailable``. The text is empty, so nothing of the reason
    can reach the page; ``reason`` is for the log.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__()
        self.reason = reason
        self.detail = detail


@overload
def client_cert_required(view: View) -> View: ...


@overload
def client_cert_required(
    *, authority: str | Iterable[str] | None = None
) -> Callable[[View], View]: ...


def client_cert_required(
    view: View | None = None, *, authority: str | Iterable[str] | None = None
) -> View | Callable[[View], View]:
    """Restrict a view to requests with an accepted client certificate.

    Works bare and with arguments, on sync and async views. If *authority* names
    certificate authorities, one of them must have vouched for the certificate, by a
    mapping or by its rule; a pin without an authority is refused then.

    Raises (in the view):
        PermissionDenied: no certificate, or a refused one; or ``request.user`` is not
            the user whom the certificate authenticates.
        ImproperlyConfigured: ``ClientCertMiddleware`` is not installed.
    """
    names = (
        None
        if authority is None
        else frozenset({authority} if isinstance(authority, str) else authority)
    )

    def decorate(view: View) -> View:
        if iscoroutinefunction(view):

            @wraps(view)
            async def awrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                state = require_state(request)
                decision = await state.adecide()
                check_decision(decision, names)
                user = getattr(request, "user", None)
                if user is not state.user:  # to compare it may need the database
                    await sync_to_async(check_user)(user, decision)
                check_user(await request.auser(), decision)
                return await view(request, *args, **kwargs)

            return cast(View, awrapper)

        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            decision = require_state(request).decide()
            check_decision(decision, names)
            check_user(getattr(request, "user", None), decision)
            return view(request, *args, **kwargs)

        return cast(View, wrapper)

    return decorate if view is None else decorate(view)


def require_state(request: HttpRequest) -> RequestState:
    """Return the state that the middleware attached to *request*.

    Raises:
        ImproperlyConfigured: the middleware is not installed.
    """
    state = get_state(request)
    if state is None:
        raise ImproperlyConfigured(
            "Put 'django_clientcert.middleware.ClientCertMiddleware' into MIDDLEWARE, "
            "after 'django.contrib.auth.middleware.AuthenticationMiddleware'."
        )
    return state


def check_decision(decision: Decision, authorities: frozenset[str] | None) -> None:
    """Raise unless *decision* accepts the request.

    Raises:
        ClientCertRequired: the request is refused.
    """
    if not decision.accepted:
        if decision.reason is Reason.NO_CERTIFICATE:
            # Other refusals were logged when they were decided.
            logger.info("client certificate required: reason=%s", decision.reason)
        raise ClientCertRequired(
            decision.reason or Reason.NO_CERTIFICATE, decision.detail
        )
    if authorities is None:
        return
    given = decision.authority
    if given is None or given.name not in authorities:
        raise _refuse(Reason.UNTRUSTED_ISSUER, "the view requires another authority")


def check_user(user: Any, decision: Decision) -> None:
    """Raise unless *user*, whom the view sees, is the one of *decision*.

    Raises:
        ClientCertRequired: the request is refused.
    """
    if user != decision.user:
        raise _refuse(
            Reason.AMBIGUOUS_MAPPING,
            "request.user is not the user of the certificate: another middleware, such "
            "as AuthenticationMiddleware, has set it after ClientCertMiddleware",
        )


def _refuse(reason: Reason, detail: str) -> ClientCertRequired:
    """Log that the view refuses an accepted certificate; return the exception."""
    logger.warning("client certificate refused: reason=%s detail=%s", reason, detail)
    return ClientCertRequired(reason, detail)
