"""The progress bar of long work."""

from __future__ import annotations

from typing import Any


class _NoBar:
    """A bar that nobody sees."""

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, count: int = 1) -> None:
        """Further by so much."""

    def refresh(self) -> None:
        """Show what has changed."""

    def set_description(self, text: str, refresh: bool = True) -> None:
        """What is being done."""


def progress_bar(total: int, unit: str, shown: bool, done: int = 0, *, title: str | None = None) -> Any:
    """Context manager with ``update(n)``.

    Silent unless ``shown``, where stderr is no terminal, and where tqdm is not installed.

    Parameters
    ----------
    total, done : int
        Work in all, and done already.
    unit : str
        What is counted, in the plural.
    shown : bool
    title : str, optional
        What is being done, before the bar.

    Examples
    --------
    >>> with progress_bar(2, "contexts", shown=False) as bar:
    ...     bar.update(2)
    """
    try:
        from tqdm import tqdm
    except ImportError:  # it comes with the models, and nothing depends on it
        return _NoBar()
    # None: tqdm shows the bar on a terminal only
    return tqdm(total=total, unit=unit, disable=None if shown else True, initial=done, desc=title)
