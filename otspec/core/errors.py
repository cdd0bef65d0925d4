"""Every error otspec raises on purpose: each names the argument, the value and the fix.

All of them derive from `OtspecError`; those that report a bad argument are also `ValueError`, so
code that catches the built-in class keeps working.
"""


class OtspecError(Exception):
    """Base of all errors that otspec raises on purpose."""


class NotALaw(OtspecError, ValueError):
    """An array that should hold probability laws does not."""


class ShapeMismatch(OtspecError, ValueError):
    """Two arguments whose shapes, vocabularies, dtypes or devices do not fit together."""


class SchemeMismatch(OtspecError, ValueError):
    """A verifier was asked to verify drafts drawn in a way it is not proved for."""


class BadArgument(OtspecError, ValueError):
    """An argument outside its range; the message names it, its value and the range."""


class UnknownName(OtspecError, KeyError):
    """A name that no registry holds; the message lists the names it does hold."""

    def __str__(self) -> str:
        """Return the message as written (KeyError would print its repr)."""
        return str(self.args[0]) if self.args else ""


class TooLarge(OtspecError):
    """Work that would not fit, refused before anything is allocated.

    Attributes
    ----------
    estimate : float
        Size of the refused work, in the unit that the message names.
    """

    def __init__(self, message: str, estimate: float) -> None:
        super().__init__(message)
        self.estimate = estimate

    def __reduce__(self) -> tuple[type, tuple[str, float]]:
        """Both arguments, so that a worker process can hand the error back."""
        return type(self), (str(self), self.estimate)


class NotCertified(OtspecError):
    """The two sides of a bound did not meet.

    Attributes
    ----------
    gap : float
        Distance between the certified upper and lower end.
    """

    def __init__(self, message: str, gap: float) -> None:
        super().__init__(message)
        self.gap = gap

    def __reduce__(self) -> tuple[type, tuple[str, float]]:
        """Both arguments, so that a worker process can hand the error back."""
        return type(self), (str(self), self.gap)


class BadFile(OtspecError, ValueError):
    """A trace, a model folder or an output folder that cannot be used as it is."""


class VersionWarning(UserWarning):
    """A result that was kept comes from another major version of a library than the one installed."""


class WorkFailed(OtspecError, RuntimeError):
    """A unit of work failed on an executor, or the executor itself; what was finished is kept."""


class MissingExtra(OtspecError, ImportError):
    """An optional dependency is missing; the message gives the pip command."""
