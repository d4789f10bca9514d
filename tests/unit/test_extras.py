"""What each extra installs: the tables of ``stream_rnn/extras.py``, and what is said without one."""

import sys

import pytest

import stream_rnn
from stream_rnn.errors import MissingExtraError, Reaction
from stream_rnn.extras import MODULES, explain


@pytest.fixture
def base(monkeypatch):
    """Make this process find no module that an extra installs."""
    for name in [name for name in sys.modules if name.startswith("stream_rnn.")]:
        if name not in ("stream_rnn.errors", "stream_rnn.extras"):
            monkeypatch.delitem(sys.modules, name)
    for names in MODULES.values():
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("base")
def test_a_public_name_names_its_extra():
    """The error is an ImportError, so that code may do without what is not installed."""
    with pytest.raises(ImportError, match=r"^StreamRNN needs .*'stream-rnn\[worker\]'$") as error:
        from stream_rnn import StreamRNN  # noqa: F401
    assert isinstance(error.value, MissingExtraError)
    assert error.value.reaction is Reaction.STOP
    assert stream_rnn.PredictionReader.__module__ == "stream_rnn.predictions.reader"


@pytest.mark.parametrize(
    ("module", "what", "extra"),
    [
        ("faust.types", "worker", "worker"),
        ("numpy", "train", "train"),  # worker installs it, and is not enough
        ("polars", "replay", "train"),  # a topic takes less than a file
        ("optuna", "train", "search"),
        ("numpy", "local", "demo"),
        ("numpy", "a name that no table has", "worker"),
    ],
)
def test_the_extra_that_is_named_is_enough(module, what, extra):
    """It includes every other one that has to do with the error."""
    with pytest.raises(MissingExtraError) as error:
        explain(ModuleNotFoundError(name=module), what)
    (top, _, _) = module.partition(".")
    assert str(error.value) == (
        f"{what} needs {top}, which is not installed: pip install 'stream-rnn[{extra}]'"
    )


@pytest.mark.parametrize("name", ["stream_rnn.nowhere", "aiokafka", None])
def test_a_module_that_no_extra_installs_is_a_bug(name):
    """Its traceback is needed."""
    explain(ModuleNotFoundError(name=name), "worker")
