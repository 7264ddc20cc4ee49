"""The authentication backend: asks for a decision, and hands out its user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import get_backends
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from .conf import conf
from .evaluation import Decision, aevaluate, evaluate
from .evaluation.presented import Presented, get_host, read_request
from .requests import RequestState, get_state
from .x509.certificates import ClientCertificate

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


class ClientCertBackend(ModelBackend):
    """Authenticates by client certificate; permissions are ``ModelBackend``'s.

    Subclass it and override ``user_can_authenticate()`` or ``decide()`` to change
    who may come in. The middleware asks the first subclass that it finds in
    ``AUTHENTICATION_BACKENDS``.
    """

    def decide(self, request: HttpRequest) -> Decision:
        """Return the decision on the certificate that *request* presents."""
        presented, host = _read(request)
        return evaluate(
            presented,
            host=host,
            can_authenticate=self.user_can_authenticate,
            create_users=True,
        )

    async def adecide(self, request: HttpRequest) -> Decision:
        """See decide()."""
        presented, host = _read(request)
        return await aevaluate(
            presented,
            host=host,
            can_authenticate=self.user_can_authenticate,
            create_users=True,
        )

    def authenticate(  # type: ignore[override]
        self, request: HttpRequest | None, *, client_cert: ClientCertificate | None
    ) -> AbstractBaseUser | None:
        """Return the user of *client_cert*, or None: for an explicit login.

        The caller vouches that the client has proven possession: pass
        ``request.client_cert``. Where the middleware has decided on that
        certificate already, its decision stands; otherwise the path to an
        authority is validated here, whatever the proxy said.
        """
        if client_cert is None:
            return None
        state = _state_of(request, client_cert)
        if state is not None:
            return state.decide().user
        return evaluate(
            _vouched(client_cert),
            host=_host_of(request),
            can_authenticate=self.user_can_authenticate,
            create_users=True,
        ).user

    async def aauthenticate(  # type: ignore[override]
        self, request: HttpRequest | None, *, client_cert: ClientCertificate | None
    ) -> AbstractBaseUser | None:
        """See authenticate()."""
        if client_cert is None:
            return None
        state = _state_of(request, client_cert)
        if state is not None:
            return (await state.adecide()).user
        decision = await aevaluate(
            _vouched(client_cert),
            host=_host_of(request),
            can_authenticate=self.user_can_authenticate,
            create_users=True,
        )
        return decision.user


def find_backend() -> ClientCertBackend:
    """Return the first ``ClientCertBackend`` of ``AUTHENTICATION_BACKENDS``.

    Raises:
        ImproperlyConfigured: there is none.
    """
    for backend in get_backends():
        if isinstance(backend, ClientCertBackend):
            return backend
    raise ImproperlyConfigured(
        "Put 'django_clientcert.backends.ClientCertBackend' into "
        "AUTHENTICATION_BACKENDS."
    )


def _read(request: HttpRequest) -> tuple[Presented, str]:
    """Return what *request* presents, and its host; the middleware read it before."""
    state = get_state(request)
    if state is not None:
        return state.presented, state.host
    return read_request(request), get_host(request)


def _vouched(certificate: ClientCertificate) -> Presented:
    return Presented(conf.CLIENTCERT_PROXY, certificates=(certificate.der,))


def _host_of(request: HttpRequest | None) -> str:
    return "" if request is None else get_host(request)


def _state_of(
    request: HttpRequest | None, certificate: ClientCertificate
) -> RequestState | None:
    """Return what the middleware keeps, if it speaks of this very certificate."""
    state = get_state(request)
    return state if state is not None and state.certificate == certificate else None
