"""What libraries log that is no failure, or is one that the worker has logged."""

import logging

import pytest
from aiokafka.errors import InvalidProducerIdMapping, ProducerFenced

from stream_rnn.cli.shared.log_format import configure_log, drop_repetitions

AWAY = "Group Coordinator Request failed: [Error 15] GroupCoordinatorNotAvailableError"


@pytest.fixture
def said(capsys):
    """Return what a call logs on standard error."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    libraries = {name: logging.getLogger(name).level for name in ("aiokafka", "faust", "mode")}

    def log(name, text, error=None, *, has_failed=False):
        configure_log("info", "text")
        drop_repetitions(lambda: has_failed)
        logging.getLogger(name).error(text, exc_info=error)
        return text in capsys.readouterr().err

    yield log
    root.handlers[:] = before
    root.setLevel(level)
    for name, was in libraries.items():
        logging.getLogger(name).setLevel(was)


@pytest.mark.parametrize(
    ("name", "text", "error", "is_said"),
    [
        ("aiokafka.consumer.group_coordinator", AWAY, None, False),
        ("aiokafka.consumer.group_coordinator", "Heartbeat failed", None, True),
        ("aiokafka.producer.sender", "Unexpected error", InvalidProducerIdMapping(), False),
        ("aiokafka.producer.sender", "Unexpected error", ProducerFenced(), True),
        ("stream_rnn.worker", AWAY, None, True),
    ],
)
def test_only_what_passes_by_itself_is_left_out(said, name, text, error, is_said):
    """An alert on ERROR must not fire for a cold cluster or a quiet week."""
    assert said(name, text, error) == is_said


@pytest.mark.parametrize(("name", "is_said"), [("faust.app", False), ("stream_rnn.fold", True)])
def test_after_a_failure_of_ours_only_we_are_heard(said, name, is_said):
    """One clear line, and no trace of Faust's after it."""
    assert said(name, "Crashed", has_failed=True) == is_said
