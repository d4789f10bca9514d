"""``stream-rnn state erase``: make the network forget a key."""

import click

from stream_rnn.cli.shared.confirmation import confirm
from stream_rnn.cli.shared.folds import with_fold
from stream_rnn.cli.shared.printing import print_json
from stream_rnn.cli.state import near_as_json, print_near
from stream_rnn.errors import ConfigError
from stream_rnn.key_spellings import NearKey, format_partitions
from stream_rnn.keys import describe_key, parse_key
from stream_rnn.operate.absent_fold import explain_absent_fold
from stream_rnn.operate.erasure import Erasure, erase_key, require_erasable
from stream_rnn.operate.near_keys import find_near_keys
from stream_rnn.operate.open_fold import Fold
from stream_rnn.settings import FoldSettings


def erase(
    settings: FoldSettings,
    key: str,
    partition: int | None,
    all_partitions: bool,
    within_s: float,
    yes: bool,
    as_json: bool,
) -> int:
    """Make the network forget a key: publish a record with a null value to the source."""
    if all_partitions and partition is not None:
        raise ConfigError("set either --partition or --all-partitions, not both")
    record_key = parse_key(key)
    require_erasable(record_key)
    name = describe_key(record_key)

    async def erase_there(fold: Fold) -> tuple[Erasure, tuple[list[NearKey], str]]:
        places = fold.select(partition)
        is_given = all_partitions or partition is not None
        partitions = [place.partition for place in places] if is_given else None
        erasure = await erase_key(fold, record_key, partitions, within_s)
        has_key = erasure.states or erasure.has_met_something
        if has_key:
            return erasure, ([], "")
        near, note = await find_near_keys(fold, record_key)
        return erasure, (near, await explain_absent_fold(fold) or note)

    if not (yes or as_json):
        confirm(f"forget {name} of {settings.source}?")
    erasure, (near, note) = with_fold(settings, erase_there)
    if as_json:
        print_json(
            {
                "key": name,
                "found": len(erasure.states),
                "unfolded_events": erasure.unfolded,
                "unfolded_elsewhere": erasure.waiting,
                "published": {str(number): at for number, at in erasure.offsets.items()},
                "folded": erasure.is_folded,
                "similar": near_as_json(near),
                "note": note or None,
            }
        )
    else:
        _print(settings, name, erasure, near, within_s)
        if note:
            click.echo(f"note: {note}", err=True)
    return 0 if erasure.has_met_something and erasure.is_folded is not False else 1


def _print(
    settings: FoldSettings, name: str, erasure: Erasure, near: list[NearKey], within_s: float
) -> None:
    source = settings.source
    for number, offset in erasure.offsets.items():
        print(f"forget of {name} published to {source}[{number}] at offset {offset}")
    if not erasure.offsets:
        print(f"no partition of {source} has a state of {name}: nothing was published")
    elif erasure.is_folded is False:
        print(f"not folded within {within_s:g} s: a worker folds the record when it reaches it")
    if erasure.has_met_something:
        _print_end(source, erasure)
    else:
        _print_nothing_met(source, name, erasure, near)


def _print_end(source: str, erasure: Erasure) -> None:
    if left := set(erasure.states) - erasure.offsets.keys():
        print(f"{format_partitions(left)} of {source} still has a state of the key")
    elif erasure.is_folded:
        print("folded: this fold has no state of the key; older folds may have, see --help")
    if erasure.waiting:
        print(
            f"{erasure.waiting} records of other partitions were not folded yet, and may have this "
            "key: look again after they are folded"
        )


def _print_nothing_met(source: str, name: str, erasure: Erasure, near: list[NearKey]) -> None:
    if erasure.offsets and erasure.unfolded is None:
        print("no state was erased; records that were not folded yet may have the key")
    elif erasure.offsets and not erasure.states:
        print(f"nothing was erased: this fold had no state of {name}")
    elif erasure.offsets:
        print(
            f"nothing was erased: {format_partitions(erasure.states)} of {source} has the state of "
            f"{name}, and the record went elsewhere; leave out --partition"
        )
        return
    print_near(near, "")
    if erasure.waiting:
        print(
            f"{erasure.waiting} records are not folded yet, and may have this key: try again after "
            "they are folded, or give --partition or --all-partitions"
        )
    if not erasure.offsets:
        print(
            "records, predictions and dead letters of the key may remain in Kafka until retention "
            "removes them; --all-partitions makes every fold that reads them again forget the key"
        )
