"""A bound of a request's size that shrinks when a request fails, and grows again with success."""

from dataclasses import dataclass, field

PATIENCE_FIRST, PATIENCE_LAST = 64, 4096


@dataclass(slots=True)
class AdaptiveBound:
    """A bound that halves, and doubles after enough successes at the bound.

    Each failure doubles the number of successes that it takes to grow, so that a limit that stays is
    tried seldom.

    Args:
        largest: Largest value, which is also the first.

    Attributes:
        value: Present value.
    """

    largest: int
    value: int = field(init=False)
    _successes: int = 0
    _patience: int = PATIENCE_FIRST // 2

    def __post_init__(self) -> None:
        self.value = self.largest

    def shrink(self, size: int, *, is_certain: bool = False) -> None:
        """Halve the smaller of the value and ``size``, of which a request has failed.

        Args:
            size: Size of the request.
            is_certain: Whether the size is the cause for certain; the bound then never grows.
        """
        self.value = max(1, min(self.value, size) // 2)
        self._successes, self._patience = 0, min(2 * self._patience, PATIENCE_LAST)
        if is_certain:
            self.largest = self.value

    def note_success(self, size: int) -> bool:
        """Count a request that succeeded; return whether the bound has grown."""
        if self.value == self.largest or size < self.value:
            return False
        self._successes += 1
        if self._successes < self._patience:
            return False
        self._successes, self.value = 0, min(self.largest, 2 * self.value)
        return True
