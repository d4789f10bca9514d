"""A source that a cut-over can pause, also while nothing arrives."""

from stream_rnn.fold.source import Fetch
from stream_rnn.rollout.pausable_source import PausableSource


class QuietSource:
    """A source without records, in which a roll-out pauses the partition during the first wait."""

    def __init__(self) -> None:
        self.pausable = PausableSource(self)

    async def seek(self, position: int) -> None:
        """Do nothing."""

    async def take(self, timeout_s: float) -> Fetch:
        """Return no records, as after the wait."""
        assert timeout_s > 0
        self.pausable.is_pausing = True
        return Fetch([], 0)


async def test_a_wait_that_began_before_the_roll_out_is_paused():
    """A partition without records does not wait for its idle check, which is a minute."""
    source = QuietSource()
    assert await source.pausable.take(60) is None
    assert not source.pausable.has_ended
