"""The public names of the package, in every order of imports."""

import inspect
import itertools
import subprocess
import sys

import pytest

import stream_rnn

ROOM_FIRST = "import stream_rnn.{0}"
INNER_FIRST = "from stream_rnn.{0}.{1} import __doc__"
NAME_FIRST = "from stream_rnn import {0}"
INNER = {"replay": "ctrl_c", "trace": "palette"}
CHECK = """
import sys
import stream_rnn
from stream_rnn import {0}
assert callable({0}) and callable(stream_rnn.{0})
assert stream_rnn.{0} is {0} is sys.modules["stream_rnn.{0}"]
import stream_rnn.{0}.{1} as inner
assert stream_rnn.{0}.{1} is inner
"""


@pytest.mark.parametrize("name", ["replay", "trace"])
@pytest.mark.parametrize(
    "order", list(itertools.permutations([ROOM_FIRST, INNER_FIRST, NAME_FIRST])), ids="-".join
)
def test_a_room_is_a_function_in_every_order_of_imports(name, order):
    """Python binds a room to the package when it is imported, whoever imports it first."""
    code = "\n".join([*order, CHECK]).format(name, INNER[name])
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)


def test_the_function_in_a_room_is_still_there():
    """``stream_rnn.replay.replay`` was public before the room could be called."""
    from stream_rnn.replay import replay

    assert inspect.isgeneratorfunction(replay)


@pytest.mark.parametrize("name", sorted(set(stream_rnn.__all__)))
def test_every_public_name_is_there(name):
    """And the functions of the notebook show their keywords."""
    found = getattr(stream_rnn, name)
    if name in ("train", "evaluate", "compare", "trace", "replay"):
        parameters = inspect.signature(found).parameters
        assert {"log", "partitions", "state_ttl", "settings"} <= set(parameters)
        assert "options" not in parameters
    if name == "train":
        assert inspect.signature(found).parameters["epochs"].default == 12


def test_what_is_not_there_is_said():
    """As of every module."""
    with pytest.raises(AttributeError, match="module 'stream_rnn' has no attribute 'traces'"):
        stream_rnn.traces  # noqa: B018  # looked up
