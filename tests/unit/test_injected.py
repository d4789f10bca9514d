"""Faults that a worker brings upon itself, and that every call of a server has a point after it."""

import ast
import inspect
import itertools

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.fold import processor, publisher
from stream_rnn.fold import recovery_facts as facts
from stream_rnn.fold.crash_points import Point, no_op
from stream_rnn.rollout import partition
from stream_rnn.worker.fault_injection import EXIT_STATUS, VARIABLE, faults_from_environment

# What leaves the process, by the attribute that the call goes through.
SERVERS = {"log", "store", "publisher", "_producer", "producer", "_sweep"}


def passes(text, points):
    happened = []
    at_crash_point = faults_from_environment(
        {VARIABLE: text}, happened.append, lambda s: happened.append(f"{s}s")
    )
    for point in points:
        at_crash_point(point)
    return happened


def test_the_process_ends_at_the_nth_pass_and_only_there():
    """Passes of other points do not count."""
    walk = [Point.LOADED, Point.PUBLISHED, Point.LOADED, Point.PUBLISHED, Point.PUBLISHED]
    assert passes("published 2 exit", walk[:3]) == []
    assert passes("published 2 exit", walk) == [EXIT_STATUS]


def test_a_fault_can_block_instead_and_several_can_be_named():
    """They happen in the order of the points."""
    walk = [Point.LOADED, Point.PUBLISHED]
    assert passes("published 1 exit, loaded 1 block=2.5", walk) == ["2.5s", EXIT_STATUS]


def test_without_the_variable_nothing_is_in_the_way():
    """Not even a dictionary is looked up at a point."""
    assert faults_from_environment({}) is no_op


@pytest.mark.parametrize(
    "text", ["published", "nowhere 1 exit", "published 0 exit", "published 1 block", "published x exit"]
)  # fmt: skip
def test_an_impossible_fault_is_refused(text):
    """The message names the variable and the points that there are."""
    with pytest.raises(ConfigError, match=f"{VARIABLE}.*first-position-written"):
        faults_from_environment({VARIABLE: text})


def test_every_point_is_passed_somewhere():
    """A point that nobody passes would be a crash test that crashes nothing."""
    source = "".join(
        inspect.getsource(module) for module in (processor, facts, publisher, partition)
    )
    assert [
        point.name for point in Point if f"at_crash_point(Point.{point.name})" not in source
    ] == []


@pytest.mark.parametrize(
    "module", [processor, facts, publisher, partition], ids=lambda m: m.__name__
)
def test_between_two_calls_of_a_server_there_is_a_point(module):
    """A new call to Redis or Kafka without a crash test is found here."""
    found = [
        f"{function.name}: line {call}"
        for function in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(function, ast.AsyncFunctionDef)
        for call in _calls_without_a_point_between(function)
    ]
    assert found == []


def _calls_without_a_point_between(function):
    """Return the lines of calls that follow another one without a point in between."""
    marks = []
    for node in ast.walk(function):
        if isinstance(node, ast.Await) and _goes_to_a_server(node.value):
            marks.append((node.lineno, node.col_offset, "call"))
        elif isinstance(node, ast.Call) and _name(node.func).endswith("at_crash_point"):
            marks.append((node.lineno, node.col_offset, "point"))
        elif isinstance(node, ast.Return):
            marks.append((node.end_lineno, node.end_col_offset, "return"))
    marks.sort()
    pairs = itertools.pairwise(marks)
    return [later[0] for earlier, later in pairs if earlier[2] == later[2] == "call"]


def _goes_to_a_server(call):
    return any(
        isinstance(node, ast.Attribute) and _name(node.value) in SERVERS for node in ast.walk(call)
    )


def _name(node):
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
