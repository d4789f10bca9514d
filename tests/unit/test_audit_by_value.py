"""The audit compares outputs that were computed with other numerics by value."""

import orjson
import pytest

from stream_rnn.audit.result import is_close
from tests.audited import faults
from tests.memory_topics import offset_of, with_header

LABELS = {"next": {"A", "B", "C", "D"}}


def changed(message, **parts):
    """Return a prediction with other numerics and other outputs of its classes."""
    content = orjson.loads(message.value)
    content["numerics"] = "deadbeef"
    content["outputs"]["next"] |= parts
    return message._replace(value=orjson.dumps(content))


def of_classes(top, **parts) -> bytes:
    """Return a prediction of classes."""
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
    """Each class of ``top`` has its probability, and the class is the most probable one."""
    top, parts, is_right = CLOSE[name]
    right = of_classes([["A", 0.6], ["B", 0.3]])
    assert is_close(of_classes(top, **parts), right, LABELS) is is_right


def test_near_ties_may_turn():
    """If probabilities are equal except for last digits, either class may come first."""
    right = of_classes([["A", 0.4001], ["B", 0.3999]])
    assert is_close(of_classes([["B", 0.4], ["A", 0.4]]), right, LABELS)
    assert not is_close(of_classes([["C", 0.4], ["A", 0.4]]), right, LABELS)
    right = of_classes([["A", 0.4008], ["B", 0.3992]])  # each is near, but this is no tie
    assert not is_close(of_classes([["B", 0.4], ["A", 0.4]]), right, LABELS)
    right = of_classes([["A", 0.4], ["B", 0.2001]])  # C may have 0.2
    assert is_close(of_classes([["A", 0.4], ["C", 0.2]]), right, LABELS)
    assert not is_close(of_classes([["A", 0.4], ["ZZZ", 0.2]]), right, LABELS)
    right = of_classes([["A", 0.4]])
    assert is_close(of_classes([["C", 0.4]]), right, LABELS)
    right = of_classes([["A", 0.7]])  # no other one can be as likely
    assert not is_close(of_classes([["C", 0.7]]), right, LABELS)


def test_a_number_is_no_truth_value():
    """JSON distinguishes numbers from booleans, and ``numerics`` is a text."""
    one, two = (
        orjson.dumps({"numerics": "n", "outputs": {"big": {"probability": value}}})
        for value in (1.0, True)
    )
    assert is_close(one, one)
    assert not is_close(two, one)
    assert not is_close(one.replace(b'"n"', b"7"), one)


@pytest.mark.parametrize("is_turned", [False, True])
async def test_a_class_after_a_change_of_build_is_compared(folded, is_turned):
    """ZZZ is no class of the head, and the least probable class is not the predicted one."""
    top = orjson.loads(folded.predictions[40].value)["outputs"]["next"]["top"]
    names = [label for label, _ in top][::-1] if is_turned else ["ZZZ", *(n for n, _ in top[1:])]
    top = [[name, value] for name, (_, value) in zip(names, top, strict=True)]
    folded.predictions[40] = changed(folded.predictions[40], **{"class": names[0], "top": top})
    result = await folded.audit()
    assert faults(result) == {"different": 1}
    assert result.examples[0].offset == offset_of(folded.predictions[40])
    assert not result.is_fine("at_least_once")


# Copies of another machine


def wrong_copy(message, **changes):
    """Return a copy with other numerics and a wrong probability."""
    content = orjson.loads(message.value)
    content |= {"numerics": "deadbeef"} | changes
    for output in content["outputs"].values():
        if "probability" in output:
            output["probability"] = 0.99999
    return message._replace(value=orjson.dumps(content))


@pytest.mark.parametrize("at", [40, 41])
async def test_a_copy_of_another_machine_is_held_against_the_replay(folded, at):
    """The values of every copy must be close to the replay's, in whatever order they come."""
    folded.predictions.insert(at, wrong_copy(folded.predictions[40]))
    result = await folded.audit()
    assert faults(result) == {"duplicated": 1, "different": 1}
    assert not result.is_fine("at_least_once")
    assert b"0.99999" in result.examples[0].published.encode()
    folded.predictions.append(changed(folded.predictions[39]))
    result = await folded.audit()
    assert faults(result) == {"duplicated": 2, "different": 1}


async def test_a_third_copy_is_compared(folded):
    """Two copies with close values do not hide a wrong third one."""
    right = folded.predictions[40]
    folded.predictions += [changed(right), wrong_copy(right), changed(right)]
    assert faults(await folded.audit()) == {"duplicated": 3, "different": 1}
    folded.predictions[-2] = wrong_copy(right, steps=9999)
    assert faults(await folded.audit()) == {"duplicated": 3, "different": 1}


async def test_copies_of_a_memory_that_began_before_are_held_against_each_other(folded):
    """The replay has no right value, but copies that differ cannot both be right."""
    at = next(n for n, m in enumerate(folded.predictions) if offset_of(m) >= 100)
    right = folded.predictions[at]
    assert (await folded.audit(first="100")).why_not_comparable["began_before"] > 0
    folded.predictions.append(changed(right))
    assert faults(await folded.audit(first="100")) == {"duplicated": 1}
    folded.predictions[-1] = wrong_copy(right)
    assert faults(await folded.audit(first="100")) == {"duplicated": 1, "different": 1}


@pytest.mark.parametrize(("name", "limit"), [("COPIES_MAX", 1), ("COPIES_OF_ONE_MAX", 1)])
async def test_copies_that_are_not_compared_are_a_problem(folded, monkeypatch, name, limit):
    """Copies beyond the memory limits are reported."""
    monkeypatch.setattr(f"stream_rnn.audit.published_predictions.{name}", limit)
    right = folded.predictions[40]
    folded.predictions += [changed(right), changed(right)]  # the same bytes are read once
    assert (await folded.audit()).is_fine("at_least_once")
    folded.predictions.append(wrong_copy(right))
    result = await folded.audit()
    assert faults(result) == {"duplicated": 3}
    assert "1 copies that were computed with other numerics" in result.problems[0]
    assert not result.is_fine("at_least_once")


# Origins


@pytest.mark.parametrize("text", [b"-7", b"9999999", b"+0", b"00"])
async def test_an_origin_that_cannot_be_is_a_difference(folded, text):
    """The origin lies before the log or behind the record, or is not in canonical form."""
    folded.predictions[40] = with_header(folded.predictions[40], "sr-origin", text)
    result = await folded.audit()
    assert faults(result) == {"different": 1}
    assert result.examples[0].parts == ("headers",)
    assert result.examples[0].published == f"headers sr-origin={text.decode()}"


async def test_a_second_copys_origin_is_looked_at(folded):
    """The origin of a second copy is checked even if that of the first is right."""
    folded.predictions.append(with_header(folded.predictions[40], "sr-origin", b"-7"))
    result = await folded.audit()
    assert faults(result) == {"duplicated": 1, "different": 1}
    assert next(e for e in result.examples if e.kind == "different").parts == ("headers",)


async def test_no_origin_of_a_log_can_be(folded):
    """All predictions differ, even if they agree on the impossible origin."""
    made = folded.predictions
    folded.predictions = [with_header(m, "sr-origin", b"-10") for m in made]
    assert faults(await folded.audit()) == {"different": len(made)}


# Other folds


def said(message, **changes):
    """Return a prediction with other fields."""
    return message._replace(value=orjson.dumps(orjson.loads(message.value) | changes))


def without(message, name):
    """Return a prediction without a field."""
    content = orjson.loads(message.value)
    del content[name]
    return message._replace(value=orjson.dumps(content))


OTHERS = {
    "rubbish": lambda m: m._replace(value=b"\xff rubbish"),
    "no value": lambda m: m._replace(value=None),
    "no object": lambda m: m._replace(value=b"[1]"),
    "another key": lambda m: m._replace(key=b"z"),
    "another key, wholly": lambda m: said(m._replace(key=b"z"), key="z"),
    "no key": lambda m: m._replace(key=None),
    "another timestamp": lambda m: m._replace(timestamp=1),
    "another source": lambda m: said(m, source={"topic": "events", "partition": 0, "offset": 1}),
    "another key within": lambda m: said(m, key="z"),
    "a key in both ways": lambda m: said(m, key_base64="YQ=="),
    "no outputs": lambda m: without(m, "outputs"),
    "outputs of nothing": lambda m: said(m, outputs={"next": 7}),
    "no steps": lambda m: without(m, "steps"),
    "steps that cannot be": lambda m: said(m, steps=0),
    "cold where it is not": lambda m: said(m, steps=1, cold=False),
    "no event time": lambda m: without(m, "event_time_ms"),
    "no numerics": lambda m: without(m, "numerics"),
    "no format": lambda m: without(m, "format"),
    "an origin that cannot be": lambda m: with_header(m, "sr-origin", b"-7"),
}


@pytest.mark.parametrize("name", OTHERS)
async def test_what_another_fold_says_of_a_record_is_checked(folded, name):
    """A prediction of another fold must name its own record; its outputs are not compared."""
    message = with_header(folded.predictions[40], "sr-fold", b"f" * 12)
    folded.predictions[40] = message
    result = await folded.audit()
    assert result.is_fine("exactly_once")
    assert result.counts["not_comparable"] == 1
    folded.predictions[40] = OTHERS[name](message)
    result = await folded.audit()
    assert faults(result) == {"different": 1}
    assert result.examples[0].offset == offset_of(message)
    folded.predictions[40] = message
    folded.predictions.append(OTHERS[name](message))  # a copy of it
    result = await folded.audit()
    assert result.counts["different"] == 1
    assert not result.is_fine("at_least_once")


async def test_another_folds_own_model_is_not_compared(folded):
    """Outputs, steps, event times and a later format depend on the other fold's bundle."""
    message = with_header(folded.predictions[40], "sr-fold", b"f" * 12)
    own = {"outputs": {}, "steps": 999, "cold": False, "event_time_ms": -1, "model": "other"}
    for one in (said(message, **own), message._replace(value=b'{"format":2}')):
        folded.predictions[40] = one
        assert (await folded.audit()).is_fine("exactly_once")
    folded.predictions[40] = message._replace(value=b'{"format":2}', key=b"z")
    assert faults(await folded.audit()) == {"different": 1}
