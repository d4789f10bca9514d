"""What another kind of machine computed is held against the replay by value, and all of it is."""

import orjson
import pytest

from stream_rnn.replay.findings import is_close
from tests.memory_topics import offset_of
from tests.unit.test_audit import folded, model, settings_of, worked, wrong  # noqa: F401

LABELS = {"next": {"A", "B", "C", "D"}}


def changed(message, **parts):
    """Return a prediction of another machine, with other outputs of its classes."""
    content = orjson.loads(message.value)
    content["numerics"] = "deadbeef"
    content["outputs"]["next"] |= parts
    return message._replace(value=orjson.dumps(content))


def of_classes(top, **parts) -> bytes:
    """Return a prediction that names classes."""
    first = {"class": top[0][0], "probability": top[0][1], "top": top}
    return orjson.dumps({"numerics": "n", "outputs": {"next": first | parts}})


CLOSE = {
    "the same": ([["A", 0.6], ["B", 0.3]], {}, True),
    "other last digits": ([["A", 0.6004], ["B", 0.2996]], {}, True),
    "another probability": ([["A", 0.61], ["B", 0.3]], {}, False),
    "another class in the second place": ([["A", 0.6], ["C", 0.3]], {}, False),
    "a class that the head has not": ([["ZZZ", 0.6], ["B", 0.3]], {}, False),
    "the classes turned": ([["B", 0.6], ["A", 0.3]], {}, False),
    "no second class": ([["A", 0.6]], {}, False),
    "a class twice": ([["A", 0.6], ["A", 0.3]], {}, False),
    "a class beside the likeliest": ([["A", 0.6], ["B", 0.3]], {"class": "B"}, False),
    "a probability of its own": ([["A", 0.6], ["B", 0.3]], {"probability": 0.6001}, False),
    "one part more": ([["A", 0.6], ["B", 0.3]], {"more": 1}, False),
    "a word for a number": ([["A", "0.6"], ["B", 0.3]], {}, False),
    "no list": ([["A", 0.6], "B"], {}, False),
}


@pytest.mark.parametrize("name", CLOSE)
def test_classes_are_compared(name):
    """Each class of ``top`` has its probability, and the class is the likeliest of them."""
    top, parts, is_right = CLOSE[name]
    right = of_classes([["A", 0.6], ["B", 0.3]])
    assert is_close(of_classes(top, **parts), right, LABELS) is is_right


def test_near_ties_may_turn():
    """Where probabilities are the same but for last digits, either class may come first."""
    right = of_classes([["A", 0.4001], ["B", 0.3999]])
    assert is_close(of_classes([["B", 0.4], ["A", 0.4]]), right, LABELS)
    assert not is_close(of_classes([["C", 0.4], ["A", 0.4]]), right, LABELS)
    right = of_classes([["A", 0.4], ["B", 0.2001]])  # C may have 0.2
    assert is_close(of_classes([["A", 0.4], ["C", 0.2]]), right, LABELS)
    assert not is_close(of_classes([["A", 0.4], ["ZZZ", 0.2]]), right, LABELS)
    right = of_classes([["A", 0.4]])
    assert is_close(of_classes([["C", 0.4]]), right, LABELS)
    right = of_classes([["A", 0.7]])  # no other one can be as likely
    assert not is_close(of_classes([["C", 0.7]]), right, LABELS)


def test_a_number_is_no_truth_value():
    """JSON tells them apart, and ``numerics`` is a word."""
    one, two = (
        orjson.dumps({"numerics": "n", "outputs": {"big": {"probability": value}}})
        for value in (1.0, True)
    )
    assert is_close(one, one)
    assert not is_close(two, one)
    assert not is_close(one.replace(b'"n"', b"7"), one)


@pytest.mark.parametrize("is_turned", [False, True])
async def test_a_class_after_a_change_of_build_is_compared(folded, is_turned):  # noqa: F811
    """Nobody knows ZZZ, and the least likely class of the replay is no class of its."""
    top = orjson.loads(folded.predictions[40].value)["outputs"]["next"]["top"]
    names = [label for label, _ in top][::-1] if is_turned else ["ZZZ", *(n for n, _ in top[1:])]
    top = [[name, value] for name, (_, value) in zip(names, top, strict=True)]
    folded.predictions[40] = changed(folded.predictions[40], **{"class": names[0], "top": top})
    found = await folded.audit()
    assert wrong(found) == {"different": 1}
    assert found.examples[0].offset == offset_of(folded.predictions[40])
    assert not found.is_fine("at_least_once")
