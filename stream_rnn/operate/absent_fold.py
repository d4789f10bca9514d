"""The reason why Redis has nothing of a fold: settings of another fold, or of another app."""

from dataclasses import dataclass

from stream_rnn.errors import ConfigError, StreamRNNError, UnavailableError
from stream_rnn.fold.concurrent_calls import gather_or_cancel
from stream_rnn.fold.fold_id import FOLD_SETTINGS
from stream_rnn.operate.open_fold import Fold


@dataclass(frozen=True, slots=True)
class Absence:
    """Why the workers of an app do not fold, or not yet, what some settings name.

    Attributes:
        text: Description, with the remedy.
        is_passing: Whether workers are changing to this fold, so that it ends by itself.
    """

    text: str
    is_passing: bool = False


async def explain_absent_fold(fold: Fold) -> str:
    """Return why this is not the fold that the workers of the app fold; empty if it is."""
    absence = await find_absence(fold)
    return "" if absence is None else absence.text


async def find_absence(fold: Fold) -> Absence | None:
    """Return why this is not the fold that the workers of the app fold; ``None`` if it is.

    The metadata of a group offset name the fold that has committed it.  A worker with a new bundle
    writes its own name there when it takes a partition over, one after another.
    """
    settings, places = fold.settings, fold.places
    offsets = await gather_or_cancel(place.log.group_offset() for place in places)
    stored = await gather_or_cancel(place.store.read() for place in places)
    positions = [state.position for state in stored]
    # A fold that has taken an offset over has its position there, and writes its own name next.
    names = [
        fold.identity if position is not None and position >= offset.offset else offset.fold_id
        for offset, position in zip(offsets, positions, strict=True)
        if offset and offset.fold_id
    ]
    others = sorted({*names} - {fold.identity})
    if others:
        folds = f"fold{'s'[: len(others) > 1]} {', '.join(others)}"
        if count := names.count(fold.identity):
            return Absence(
                f"workers of app {settings.app} are changing {settings.source} from {folds} to fold "
                f"{fold.identity}, of these settings: {count} of {len(places)} partitions are of it; "
                "try again when the workers have begun all partitions (stream-rnn state show)",
                is_passing=True,
            )
        if number := max(one.number for one in offsets if one and one.fold_id in others):
            return Absence(
                f"a roll-out has put {folds} in charge of {settings.source}, by cut-over {number}, "
                f"and these settings are of fold {fold.identity}: give the bundle in charge as "
                "--bundle, which workers load from Redis whatever their own bundle is, and the "
                f"settings of the workers instead of: {_fold_settings(fold)}"
            )
        return Absence(
            f"app {settings.app} folds {settings.source} as {folds}, and these settings are of "
            f"fold {fold.identity}; compare with those of the workers: {_fold_settings(fold)}. If "
            "workers with these settings start just now, try again"
        )
    if any(position is not None for position in positions):
        return None
    return Absence(_explain_absent_position(fold, has_offset=any(offsets)))


async def absence_error(fold: Fold, what: str) -> StreamRNNError:
    """Return the error of a verb that has found nothing of a fold.

    Args:
        fold: The fold.
        what: What the verb cannot do, for the message.
    """
    absence = await find_absence(fold)
    if absence is None:
        return ConfigError(f"{what} yet: no partition that was found has a position")
    kind = UnavailableError if absence.is_passing else ConfigError
    return kind(f"{what}: {absence.text}")


def _explain_absent_position(fold: Fold, *, has_offset: bool) -> str:
    settings = fold.settings
    if not has_offset:
        return (
            f"app {settings.app} has folded nothing of {settings.source}: Kafka has no offset of "
            "the group, and Redis no position; check --app, --source, --bootstrap-servers and "
            "--redis-url, or STREAM_RNN_ and the name"
        )
    return (
        f"Redis has no position of app {settings.app}, source {settings.source}, fold "
        f"{fold.identity}; check that --redis-url is that of the workers. If it is, Redis has lost "
        "its data, and a worker builds the states again when it starts"
    )


def _fold_settings(fold: Fold) -> str:
    """Return the settings on which the id of a fold depends, with their values."""
    settings = fold.settings
    names = (*FOLD_SETTINGS, "event_year_max", "predictions_format")
    values = [f"{name}={getattr(settings, name)}" for name in names]
    registry = "set" if settings.reads_frames else "not set"
    return f"bundle={settings.bundle}, {', '.join(values)}, schema_registry_url {registry}"
