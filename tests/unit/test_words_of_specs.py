"""Messages about specs in the words of TOML and of files, rather than in those of Python."""

import pytest

from stream_rnn.errors import ConfigError
from tests.unit.spec_command import run, write_lines
from tests.unit.test_filtered_records import SPEC


def refused(directory, event):
    """Return the message about a table ``[event]``."""
    spec = directory / "spec.toml"
    spec.write_text(SPEC.format(event=event))
    return run_error(spec)


def run_error(*arguments):
    """Return the message of the error that ``spec check`` ends with."""
    with pytest.raises(ConfigError) as caught:
        run("check", *arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ('only = [{path = "type", in = "sensor"}]', 'an array, such as ["sensor"]'),
        ('only = {path = "type", in = ["a"]}', 'such as [{path = "type", in = ["sensor"]}]'),
        ('only = ["type"]', 'a table, such as {path = "type", in = ["sensor"]}'),
        ('forget_when = "d"', 'a table, such as {path = "op", equals = "d"}'),
    ],
)
def test_a_wrong_shape_is_named_in_the_words_of_toml(tmp_path, event, says):
    """An example shows what the value should be."""
    message = refused(tmp_path, event)
    assert says in message
    assert not any(word in message for word in ("tuple", "dictionary", "instance"))


def test_a_file_that_is_no_spec_is_named_without_exceptions_of_python(tmp_path):
    """A missing file, a directory, and a log in the place of the spec."""
    log = write_lines(tmp_path / "log.jsonl", [{"v": 1}])
    for path in (tmp_path / "absent.toml", tmp_path, log):
        message = run_error(path)
        assert "Error" not in message
        assert "Errno" not in message
    assert "it is no TOML" in message
    assert "the spec stands before the log" in message


def test_an_index_in_brackets_is_explained(tmp_path):
    """No path reads an element of an array, however it is written."""
    spec = tmp_path / "spec.toml"
    spec.write_text(
        SPEC.format(event='key = ["id"]').replace('path = "v"', "path = 'sensors[0].v'")
    )
    rows = [{"id": "a", "sensors": [{"v": i}]} for i in range(9)]
    said = run("check", spec, write_lines(tmp_path / "log.jsonl", rows))
    assert "for sensors is an array, of which no path reads an element" in " ".join(said.split())
