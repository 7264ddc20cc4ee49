"""A cache that is bounded by the size of what a client sent."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])


def remember(
    limit: int, weigh: Callable[..., int], *, most: int | None = None
) -> Callable[[_F], _F]:
    """Keep the results of a pure function, *limit* bytes in all.

    *weigh* returns the bytes that the result for some arguments takes. Those that were
    not used for longest go first; what is raised is not kept, nor what takes more than
    *most* bytes. Threads may share it. ``forget()`` of the function empties the cache.
    """

    def decorate(function: _F) -> _F:
        results: OrderedDict[tuple[Any, ...], tuple[int, Any]] = OrderedDict()
        lock = Lock()
        total = 0

        @wraps(function)
        def wrapper(*arguments: Any) -> Any:
            nonlocal total
            with lock:
                if arguments in results:
                    results.move_to_end(arguments)
                    return results[arguments][1]
            result = function(*arguments)
            weight = weigh(*arguments)
            if most is not None and weight > most:
                return result
            with lock:
                if arguments not in results:
                    results[arguments] = weight, result
                    total += weight
                while total > limit:
                    total -= results.popitem(last=False)[1][0]
            return result

        def forget() -> None:
            nonlocal total
            with lock:
                results.clear()
                total = 0

        wrapper.forget = forget  # type: ignore[attr-defined]
        return wrapper  # type: ignore[return-value]

    return decorate
