"""The exit status of a worker; deploy/README.md describes what an orchestrator does with it."""

from stream_rnn.errors import Reaction

STOPPED, RELEASED = 3, 4


def exit_status_of(failure: BaseException | None) -> int:
    """Return the exit status for a failure: 0 for none, 3 if a person must act, else 4."""
    if failure is None:
        return 0
    reaction = getattr(failure, "reaction", Reaction.STOP)
    return STOPPED if reaction is Reaction.STOP else RELEASED
