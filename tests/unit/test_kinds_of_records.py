"""What ``spec init`` filters of a log with several kinds of records."""

import json

import pytest

from stream_rnn import propose_spec
from stream_rnn.errors import ConfigError

ROWS = 400


def write(tmp_path, rows):
    """Write lines of JSON; return the path."""
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def reading(number, **others):
    """Return a reading of a device."""
    row = {"type": "reading", "device": f"d{number % 7}", "at": 1_767_225_600 + 60 * number}
    return row | {"temp": round(20 + number * 0.7 % 5, 1)} | others


def some_customers(tmp_path):
    """Readings of devices, of which every tenth is a maintenance for a customer."""
    rows = [reading(i) for i in range(ROWS)]
    rows[::10] = [row | {"type": "maintenance", "customer_id": "c1"} for row in rows[::10]]
    return write(tmp_path, rows)


@pytest.mark.parametrize("options", [{}, {"key": ("device",)}])
def test_a_field_that_is_not_part_of_the_key_filters_nothing(tmp_path, options):
    """Also if it names another entity, which some kinds of records have."""
    proposed = propose_spec(some_customers(tmp_path), **options)
    assert proposed.spec.event.key == ("device",)
    assert not proposed.spec.event.only
    assert "2 kinds of records with different fields" in proposed.toml


def test_the_given_key_filters_the_kinds_that_lack_it(tmp_path):
    """The number of rows is named, for it may be most of the log."""
    proposed = propose_spec(some_customers(tmp_path), key=("customer_id",))
    assert [(c.path, list(c.values)) for c in proposed.spec.event.only] == [
        ("type", ["maintenance"])
    ]
    text = proposed.toml.replace("\n# ", " ")
    assert "Only those that have customer_id are events; the other 360 rows are filtered." in text


def test_a_unit_in_cloud_events_filters_nothing(tmp_path):
    """The unit of a measurement is no entity."""
    rows = [
        {
            "specversion": "1.0",
            "id": str(i),
            "source": f"/d{i % 7}",
            "type": "t" if i % 3 else "p",
            "data": {"device": f"d{i % 7}", "v": i * 0.7 % 5} | ({"unit": "C"} if i % 3 else {}),
        }
        for i in range(ROWS)
    ]
    proposed = propose_spec(write(tmp_path, rows), key=("data.device",))
    assert not proposed.spec.event.only


def test_kinds_with_different_entities_are_asked_about(tmp_path):
    """The question counts all rows of the log."""
    rows = [
        reading(i)
        if i % 2
        else {
            "type": "order",
            "customer_id": f"c{i % 10}",
            "at": 1_767_225_600 + 60 * i,
            "n": i % 4,
        }
        for i in range(ROWS)
    ]
    with pytest.raises(ConfigError) as caught:
        propose_spec(write(tmp_path, rows))
    message = str(caught.value)
    assert "--key device" in message
    assert "--key customer_id" in message
    assert f"The log has {ROWS} rows." in message


def test_the_best_of_the_fields_that_name_entities_decides_which_kinds_are_events(tmp_path):
    """A field of a part of these kinds is no rival."""
    rows = [
        reading(i) if i % 3 else {"type": "audit", "at": 1_767_225_600 + 60 * i}
        for i in range(ROWS)
    ]
    rows[1::9] = [row | {"type": "visit", "customer_id": "c1"} for row in rows[1::9]]
    proposed = propose_spec(write(tmp_path, rows))
    assert proposed.spec.event.key == ("device",)
    assert list(proposed.spec.event.only[0].values) == ["reading", "visit"]
