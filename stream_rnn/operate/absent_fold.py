"""The reason why Redis has nothing of a fold: settings of another fold, or of another app."""

import asyncio

from stream_rnn.fold.fold_id import FOLD_SETTINGS
from stream_rnn.operate.open_fold import Fold


async def explain_absent_fold(fold: Fold) -> str:
    """Return why this is not the fold that the workers of the app fold; empty if it is.

    The metadata of a group offset name the fold that has committed it.
    """
    settings, places = fold.settings, fold.places
    offsets = await asyncio.gather(*(place.log.group_offset() for place in places))
    others = sorted({o.fold_id for o in offsets if o and o.fold_id} - {fold.identity})
    if others:
        folds = f"fold{'s'[: len(others) > 1]} {', '.join(others)}"
        return (
            f"app {settings.app} folds {settings.source} as {folds}, and these settings are of "
            f"fold {fold.identity}; compare with those of the workers: {_fold_settings(fold)}"
        )
    stored = await asyncio.gather(*(place.store.read() for place in places))
    if any(position.position is not None for position in stored):
        return ""
    if not any(offsets):
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
    names = (*FOLD_SETTINGS, *["event_year_max"] * (settings.event_year_max is not None))
    values = [f"{name}={getattr(settings, name)}" for name in names]
    return f"bundle={settings.bundle}, {', '.join(values)}"
