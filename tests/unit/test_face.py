"""The public names of the package, in every order of imports."""

import doctest
import inspect
import itertools
import pickle  # noqa: TID251  # process pools pickle functions by name
import pydoc
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
assert type({0}).__name__ == "function" and stream_rnn.{0} is {0}
import stream_rnn.{0}.{1} as inner
assert stream_rnn.{0}.{1} is inner is sys.modules["stream_rnn.{0}.{1}"]
from stream_rnn.{0} import {1}
assert {1} is inner
"""


@pytest.mark.parametrize("name", ["replay", "trace"])
@pytest.mark.parametrize(
    "order", list(itertools.permutations([ROOM_FIRST, INNER_FIRST, NAME_FIRST])), ids="-".join
)
def test_a_room_is_a_function_in_every_order_of_imports(name, order):
    """The name is the function, and the modules of the room can be imported in every form."""
    code = "\n".join([*order, CHECK]).format(name, INNER[name])
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)


@pytest.mark.parametrize("name", ["replay", "trace"])
def test_a_function_with_the_name_of_a_room_is_an_ordinary_function(name):
    """For ``help``, ``pickle`` and ``doctest``, which a module that can be called is not."""
    function = getattr(stream_rnn, name)
    shown = pydoc.plain(pydoc.render_doc(function))
    assert f"{name}(\n    log: " in shown
    assert "Example:" in shown
    assert pickle.loads(pickle.dumps(function)) is function
    assert doctest.DocTestFinder().find(function)[0].examples


def test_the_function_in_a_room_is_still_there():
    """``stream_rnn.replay.replay`` was public before ``stream_rnn.replay`` was a function."""
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
    if name == "compare_rollout":
        parameters = inspect.signature(found).parameters
        assert {"source", "app", "threshold", "labels", "settings"} <= set(parameters)
    if name == "train":
        assert inspect.signature(found).parameters["epochs"].default == 12


def test_what_is_not_there_is_said():
    """As of every module."""
    with pytest.raises(AttributeError, match="module 'stream_rnn' has no attribute 'traces'"):
        stream_rnn.traces  # noqa: B018  # looked up
