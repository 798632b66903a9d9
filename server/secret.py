"""A secret whose text and repr show nothing, so that neither logs nor tracebacks can."""

from __future__ import annotations


class Secret:
    """Holds a secret; only `reveal` gives it away.

    >>> print(Secret("abc"), [Secret("abc")])
    <secret> [Secret(<hidden>)]
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __str__(self) -> str:
        return "<secret>"

    def __repr__(self) -> str:
        return "Secret(<hidden>)"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")
