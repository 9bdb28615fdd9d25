"""What every part of the lab has in common: leaving its ``with`` block closes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """A context manager for what has a ``close``, also when the test failed."""

    @abstractmethod
    def close(self) -> None:
        """End what was started; bounded, and harmless the second time."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
