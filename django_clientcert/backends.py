"""The authentication backend: asks for a decision, and hands out its user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import get_backends
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils import timezone

from .evaluation import Decision
from .evaluation.peer import Peer, peer_of
from .evaluation.presented import get_host, present_certificates
from .evaluation.run import Evaluation
from .requests import RequestState, get_state
from .x509.certificates import ClientCertificate

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


class ClientCertBackend(ModelBackend):
    """Authenticates by client certificate; permissions are ``ModelBackend``'s.

    Subclass it and override ``user_can_authenticate()`` or ``decide()`` to change
    who is authenticated. The middleware uses the first subclass that it finds in
    ``AUTHENTICATION_BACKENDS``.
    """

    def decide(self, request: HttpRequest) -> Decision:
        """Return the decision on the certificate that *request* presents."""
        return self._evaluation(_peer_of(request)).run()

    async def adecide(self, request: HttpRequest) -> Decision:
        """See decide()."""
        usual = type(self).user_can_authenticate is ModelBackend.user_can_authenticate
        return await self._evaluation(_peer_of(request)).arun(is_quick=usual)

    def authenticate(  # type: ignore[override]
        self, request: HttpRequest | None, *, client_cert: ClientCertificate | None
    ) -> AbstractBaseUser | None:
        """Return the user of *client_cert*, or None: for an explicit login.

        The caller vouches that the client has proven possession: pass
        ``request.client_cert``. If the middleware has decided on that certificate
        already, its decision stands; otherwise the path to an authority is validated
        here, whatever the proxy said.
        """
        if client_cert is None:
            return None
        state = _state_of(request, client_cert)
        if state is not None:
            return state.decide().user
        return self._evaluation(_vouched(request, client_cert)).run().user

    async def aauthenticate(  # type: ignore[override]
        self, request: HttpRequest | None, *, client_cert: ClientCertificate | None
    ) -> AbstractBaseUser | None:
        """See authenticate()."""
        if client_cert is None:
            return None
        state = _state_of(request, client_cert)
        if state is not None:
            return (await state.adecide()).user
        return (await self._evaluation(_vouched(request, client_cert)).arun()).user

    def _evaluation(self, peer: Peer) -> Evaluation:
        return Evaluation(
            peer,
            timezone.now(),
            can_authenticate=self.user_can_authenticate,
            create_users=True,
        )


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


def _peer_of(request: HttpRequest) -> Peer:
    """Return the sender of *request*; the middleware has read it already."""
    state = get_state(request)
    return peer_of(request) if state is None else state.peer


def _vouched(request: HttpRequest | None, certificate: ClientCertificate) -> Peer:
    host = "" if request is None else get_host(request)
    return Peer(present_certificates([certificate]), host)


def _state_of(
    request: HttpRequest | None, certificate: ClientCertificate
) -> RequestState | None:
    """Return what the middleware keeps, if it is about this very certificate."""
    state = get_state(request)
    return state if state is not None and state.certificate == certificate else None
