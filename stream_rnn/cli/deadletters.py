"""``stream-rnn deadletters``: what was skipped, why, and putting it back."""

import asyncio
import base64
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import click
import orjson
from rich.console import Console

from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.cli.shared.tables import output, show_text
from stream_rnn.fold.reasons import REASONS
from stream_rnn.keys import describe_key, shorten
from stream_rnn.operate.dead_letters import DeadLetter, Wanted, read
from stream_rnn.operate.retry_dead_letters import Choice, Retry
from stream_rnn.settings import FoldSettings, Settings
from stream_rnn.text import visible

SHOWN = 160


def list_(
    settings: Settings,
    reasons: tuple[str, ...],
    partition: int | None,
    examples: int,
    as_json: bool,
) -> None:
    """Count dead letters by reason, with examples."""
    counts: Counter[str] = Counter()
    put_back = 0
    shown: dict[str, list[DeadLetter]] = {}

    def count_note(_place: str) -> None:
        nonlocal put_back
        put_back += 1  # there is one note of each

    async def run() -> None:
        async for letter in read(settings, Wanted(frozenset(reasons), partition), count_note):
            counts[letter.error] += 1
            if as_json:
                sys.stdout.write(orjson.dumps(_as_json(letter)).decode() + "\n")
            elif len(shown.setdefault(letter.error, [])) < examples:
                shown[letter.error].append(letter)

    asyncio.run(run())
    if not as_json:
        _print(counts, shown)
        if put_back and not reasons:  # a note has no reason
            print(f"{put_back:>9,}  were put back")


def show(settings: Settings, partition: int, offset: int, as_json: bool) -> int:
    """Show the dead letter of the source record at PARTITION OFFSET, value and headers too."""

    async def run() -> list[DeadLetter]:
        wanted = Wanted(partition=partition, first=offset, last=offset)
        return [letter async for letter in read(settings, wanted)]

    found = asyncio.run(run())
    for letter in found:
        whole = _as_json(letter, whole=True)
        if as_json:
            sys.stdout.write(orjson.dumps(whole).decode() + "\n")
        else:
            for name, value in whole.items():
                print(f"{name:10} {visible(str(value))}")
    if not found and not as_json:
        print(f"no dead letter of partition {partition}, offset {offset}")
    return 0 if found else 1


def retry(
    settings: FoldSettings,
    reasons: tuple[str, ...],
    partition: int | None,
    first: int | None,
    last: int | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Put skipped records back into the source, after what was wrong was mended."""
    wanted = Wanted(frozenset(reasons), partition, first, last)
    console = Console(stderr=True)

    one, offsets = Retry(settings, wanted), dict[int, tuple[int, int]]()
    # The question is asked between two runs: Ctrl-C would not reach it inside of one.
    with asyncio.Runner() as runner:
        runner.run(one.open())
        try:
            choice = runner.run(one.choose())
            if not as_json:
                _tell(choice)
            if choice.count:
                if not (yes or as_json):
                    question = f"put {choice.count} records back into {settings.source}, with new offsets?"  # fmt: skip
                    click.confirm(question, abort=True, err=True)
                with RecordBars(console) as bars:
                    offsets = runner.run(one.put_back(choice, lambda n: bars("put back", n)))
        finally:
            runner.run(one.close())
    if as_json:
        found = {"put_back": choice.count, "cut": choice.cut, "empty": choice.empty}
        found["already"] = choice.already
        ends = {str(p): list(pair) for p, pair in sorted(offsets.items())}
        print(orjson.dumps({**found, "of_another_source": choice.others, "offsets": ends}).decode())
    elif offsets:
        print(f"{choice.count} records put back into {settings.source}, behind what was there:")
        for number, (least, most) in sorted(offsets.items()):
            print(f"  partition {number}: new offsets from {least} to {most}")
    return 1 if choice.cut or choice.empty else 0


def _tell(choice: Choice) -> None:
    print(f"{choice.count} records can be put back, {choice.cut} were cut when they were skipped")
    if choice.already:
        print(f"{choice.already} were put back before")
    if choice.empty:
        print(f"{choice.empty} have neither key nor value: Kafka takes no such record")
    if choice.others:
        print(f"{choice.others} are of another source, and are left")


def _print(counts: Counter[str], shown: dict[str, list[DeadLetter]]) -> None:
    if not counts:
        print("no dead letters")
        return
    console, indent = output(), " " * 11
    for error, count in counts.most_common():
        reason = REASONS.get(error, "of another version")
        show_text(console, f"{count:>9,}  {visible(error)}: {reason}", indent)
        for letter in shown.get(error) or []:
            _, partition, offset = letter.source
            place = f"{indent}partition {partition} offset {offset}  {_time(letter)}  key {shorten(_key(letter))}"  # fmt: skip
            show_text(console, place, indent)
            show_text(console, indent + shorten(visible(letter.reason), SHOWN), indent)


def _as_json(letter: DeadLetter, *, whole: bool = False) -> dict[str, Any]:
    topic, partition, offset = letter.source
    found: dict[str, Any] = {
        "error": letter.error,
        "reason": letter.reason,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "time": _time(letter),
        "key": _key(letter),
        "size": letter.size,
        "truncated": letter.truncated,
        "retry_of": letter.retried,
    }
    if whole:
        found["value"] = None if letter.value is None else _text(letter.value)
        found["headers"] = {name: _text(value or b"") for name, value in letter.headers}
    return found


def _key(letter: DeadLetter) -> str:
    return "-" if letter.key is None else describe_key(letter.key)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(value).decode()


def _time(letter: DeadLetter) -> str:
    if letter.timestamp < 0:
        return "-"
    try:
        return datetime.fromtimestamp(letter.timestamp / 1000, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return str(letter.timestamp)
