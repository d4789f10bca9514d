"""``stream-rnn deadletters``: skipped records, why they were skipped, and how to put them back."""

import asyncio
import base64
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from stream_rnn.cli.shared.confirmation import confirm
from stream_rnn.cli.shared.printing import output_console, print_json, print_text
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.fold.skip_reasons import SKIP_REASONS
from stream_rnn.keys import describe_key, shorten
from stream_rnn.operate.dead_letters import DeadLetter, DeadLetterFilter, read_dead_letters
from stream_rnn.operate.local_times import TIME_AHEAD, LocalTimes
from stream_rnn.operate.retry_dead_letters import Retry, RetrySelection
from stream_rnn.settings import FoldSettings, Settings
from stream_rnn.text import visible

REASON_CHARS_MAX = 160


@dataclass(slots=True)
class _Summary:
    """Counts of dead letters by reason, with the first of each."""

    examples: int
    counts: Counter[str] = field(default_factory=Counter)
    letters: dict[str, list[DeadLetter]] = field(default_factory=dict)
    local_times: LocalTimes = field(default_factory=LocalTimes)

    def add(self, letter: DeadLetter) -> None:
        """Count a dead letter."""
        self.counts[letter.error] += 1
        if letter.error == TIME_AHEAD:
            self.local_times.add(letter.reason, letter.timestamp)
        if len(self.letters.setdefault(letter.error, [])) < self.examples:
            self.letters[letter.error].append(letter)


def list_(
    settings: Settings,
    reasons: tuple[str, ...],
    partition: int | None,
    examples: int,
    as_json: bool,
) -> None:
    """Count dead letters by reason, with examples."""
    summary = _Summary(examples)
    put_back = 0

    def count_note(_place: str) -> None:
        nonlocal put_back
        put_back += 1  # every record that was put back has one note

    async def count() -> None:
        wanted = DeadLetterFilter(frozenset(reasons), partition)
        async with aclosing(read_dead_letters(settings, wanted, count_note)) as letters:
            async for letter in letters:
                summary.add(letter)
                if as_json:
                    print_json(_as_json(letter))

    asyncio.run(count())
    if not as_json:
        _print(summary)
        if put_back and not reasons:  # a note has no reason
            print(f"{put_back:>9,}  put back into the source")


def show(settings: Settings, partition: int, offset: int, as_json: bool) -> int:
    """Show the dead letter of one source record, with value and headers."""

    async def find() -> list[DeadLetter]:
        wanted = DeadLetterFilter(partition=partition, first=offset, last=offset)
        async with aclosing(read_dead_letters(settings, wanted)) as letters:
            return [letter async for letter in letters]

    letters = asyncio.run(find())
    for letter in letters:
        fields = _as_json(letter) | _content(letter)
        if as_json:
            print_json(fields)
        else:
            for name, value in fields.items():
                print(f"{name:10} {visible(str(value))}")
    if not letters and not as_json:
        print(f"source partition {partition} offset {offset} has no dead letter")
    return 0 if letters else 1


def retry(
    settings: FoldSettings,
    reasons: tuple[str, ...],
    partition: int | None,
    first: int | None,
    last: int | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Put skipped records back into the source after their cause is fixed."""
    wanted = DeadLetterFilter(frozenset(reasons), partition, first, last)
    retrying, offsets = Retry(settings, wanted), dict[int, tuple[int, int]]()
    # The confirmation is between two runs of the loop: inside of one, Ctrl-C would not end it.
    with asyncio.Runner() as runner:
        runner.run(retrying.open())
        try:
            choice = runner.run(retrying.select())
            if not as_json:
                _print_choice(choice)
            if choice.count:
                if not (yes or as_json):
                    question = f"put {choice.count} records back into {settings.source}, with new offsets?"  # fmt: skip
                    confirm(question)
                with RecordBars() as bars:
                    offsets = runner.run(retrying.put_back(choice, lambda n: bars("put back", n)))
        finally:
            runner.run(retrying.close())
    if as_json:
        print_json(
            {
                "put_back": choice.count,
                "cut": choice.truncated,
                "empty": choice.empty,
                "already": choice.already_retried,
                "of_another_source": choice.other_source,
                "offsets": {str(number): list(ends) for number, ends in sorted(offsets.items())},
            }
        )
    elif offsets:
        print(f"{choice.count} records put back into {settings.source}")
        for number, (first_offset, last_offset) in sorted(offsets.items()):
            print(f"  partition {number}: new offsets {first_offset} to {last_offset}")
    return 1 if choice.truncated or choice.empty else 0


def _print_choice(choice: RetrySelection) -> None:
    print(f"{choice.count} records can be put back")
    if choice.truncated:
        print(f"{choice.truncated} records cannot: their dead letters contain only a part of them")
    if choice.empty:
        print(f"{choice.empty} records cannot: without key and value, Kafka accepts no record")
    if choice.already_retried:
        print(f"{choice.already_retried} records were put back before")
    if choice.other_source:
        print(f"{choice.other_source} records belong to another source, and are not put back")


def _print(summary: _Summary) -> None:
    if not summary.counts:
        print("no dead letters")
        return
    console, indent = output_console(), " " * 11
    for error, count in summary.counts.most_common():
        reason = SKIP_REASONS.get(error, "a reason of another version")
        print_text(console, f"{count:>9,}  {visible(error)}: {reason}", indent)
        if error == TIME_AHEAD and (hint := summary.local_times.hint()):
            print_text(console, f"{indent}all of them {hint}", indent)
        for letter in summary.letters[error]:
            _, partition, offset = letter.source
            place = f"{indent}partition {partition} offset {offset}  {_time(letter)}  key {shorten(_key(letter))}"  # fmt: skip
            print_text(console, place, indent)
            print_text(console, indent + shorten(visible(letter.reason), REASON_CHARS_MAX), indent)


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    topic, partition, offset = letter.source
    return {
        "error": letter.error,
        "reason": letter.reason,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "time": _time(letter),
        "key": _key(letter),
        "size": letter.size,
        "truncated": letter.truncated,
        "retry_of": letter.retry_of,
    }


def _content(letter: DeadLetter) -> dict[str, Any]:
    return {
        "value": None if letter.value is None else _text(letter.value),
        "headers": {name: _text(value or b"") for name, value in letter.headers},
    }


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
