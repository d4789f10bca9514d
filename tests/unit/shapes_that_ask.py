"""Logs for which ``spec init`` must ask: two answers are about as likely."""

from tests.unit.shape import ROWS, Shape, csv_of, epoch


def asking_shapes(draw, at):
    """Return the shapes of this module, in order."""
    return [*_keys_and_times(draw, at), *_formats_and_targets(draw)]


def _keys_and_times(draw, at):
    yield Shape(
        "sessions.csv",
        csv_of(
            [
                {
                    "user_id": f"u{i // 8 % 9}",
                    "session_id": f"s{i // 8}",
                    "ts": at[i],
                    "action": draw.choice("ab"),
                }
                for i in range(ROWS)
            ]
        ),
        asks="--key",
        says=("--key user_id", "--key session_id"),
    )
    yield Shape(
        "no-entity.csv",
        csv_of(
            [
                {"alpha": draw.choice("abcdefgh"), "at": at[i], "beta": draw.choice("uvwxyz")}
                for i in range(ROWS)
            ]
        ),
        asks="--key",
        says=("--key alpha", "--key beta", "history of a single thing"),
    )
    yield Shape(
        "two-times.csv",
        csv_of(
            [
                {
                    "case": f"c{i % 20}",
                    "start_time": at[i],
                    "wait_time": at[i] + draw.randrange(10**5),
                    "activity": draw.choice("ab"),
                }
                for i in range(ROWS)
            ]
        ),
        asks="--time",
        says=("--time start_time", "--time wait_time"),
    )


def _formats_and_targets(draw):
    yield Shape(
        "day-or-month.csv",
        csv_of(
            [
                {
                    "device": f"d{i % 5}",
                    "date": f"{draw.randrange(1, 13):02}/{draw.randrange(1, 13):02}/2024 10:00",
                    "value": draw.random(),
                }
                for i in range(ROWS)
            ]
        ),
        asks="--time-format",
        says=("--time-format '%d/%m/%Y %H:%M'", "--time-format '%m/%d/%Y %H:%M'"),
    )
    yield Shape(
        "many-numbers.csv",
        csv_of(
            [
                {"device": f"d{i % 5}", "at": epoch(i)}
                | {name: round(draw.gauss(5, 1), 3) for name in ("p", "q", "r")}
                for i in range(ROWS)
            ]
        ),
        asks="--target",
        says=("--target p", "--target q", "--of label"),
    )
