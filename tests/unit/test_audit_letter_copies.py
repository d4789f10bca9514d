"""Copies of dead letters: which are compared, how much memory they take, and letters of two versions."""

import pytest

from stream_rnn.audit import dead_letters as letters
from stream_rnn.audit import missing_outputs
from stream_rnn.audit.result import AuditOptions
from stream_rnn.fold.output_batches import Message
from stream_rnn.testing import record
from tests.audited import BEGIN_MS, faults, records_of, settings_of
from tests.memory_topics import Folded, MemoryTopics, fold, with_header

TWICE, DIFFERENT = "dead_letters_duplicated", "dead_letters_different"


def cuts(message, *sizes):
    """Return copies of a dead letter that contain the given numbers of bytes of its value."""
    cut = with_header(message, "sr-truncated", b"value")
    return [cut._replace(value=message.value[:size]) for size in sizes]


@pytest.mark.parametrize("name", ["COPIES_MAX", "COPIES_OF_ONE_MAX"])
async def test_copies_that_are_not_compared_are_a_problem(folded, monkeypatch, name):
    """Copies beyond the memory limits are reported."""
    monkeypatch.setattr(letters, name, 1)
    right = folded.letters[3]
    folded.letters += cuts(right, 2, 2, 2)  # those that keep the same are read once
    result = await folded.audit()
    assert faults(result) == {TWICE: 3}
    assert result.is_fine("at_least_once")
    folded.letters += cuts(right, 1)
    result = await folded.audit()
    assert faults(result) == {TWICE: 4}
    assert len(result.problems) == 1
    said = (
        "out.dead-letters[0]: 1 copies that contain another share of their record were not compared"
    )
    assert said in result.problems[0]
    assert not result.is_fine("at_least_once")
    others = AuditOptions(keys=frozenset(r.key for r in folded.records) - {right.key})
    assert (await folded.audit(others)).is_fine("at_least_once")  # its copies do not matter


async def test_copies_are_read_by_one_consumer(folded, monkeypatch):
    """Each consumer costs a connection and a login, so one reads all copies."""
    reads, batches = [], MemoryTopics.batches

    def counted(self, tp, first, end):
        reads.append(tp.topic)
        return batches(self, tp, first, end)

    monkeypatch.setattr(MemoryTopics, "batches", counted)
    folded.letters += cuts(folded.letters[3], 0, 1, 2)
    assert faults(await folded.audit()) == {TWICE: 3}
    assert reads.count("out.dead-letters") == 2  # the whole topic, and the copies
    folded.letters[-2] = folded.letters[-2]._replace(value=b"?")
    assert faults(await folded.audit()) == {TWICE: 3, DIFFERENT: 1}


MISSING = {
    "predictions": ("out", "missing"),
    "letters": ("out.dead-letters", "dead_letters_missing"),
}


@pytest.mark.parametrize("name", MISSING)
async def test_what_is_missing_is_bounded_by_bytes(folded, monkeypatch, name):
    """Large outputs count as missing before the ends of the outputs are read again."""
    topic, kind = MISSING[name]
    made = getattr(folded, name)
    folded.late = {topic: list(made)}
    made.clear()
    assert faults(await folded.audit()) == {}
    monkeypatch.setattr(missing_outputs, "MISSING_BYTES_MAX", 1)
    assert faults(await folded.audit())[kind] == len(folded.late[topic])


WEIGHED = {
    "a key": Message(b"k" * 60, None, 0, []),
    "a value": Message(None, b"v" * 60, 0, []),
    "a header's text": Message(None, None, 0, [("h", b"t" * 59)]),
    "a header's name": Message(None, None, 0, [("n" * 60, None)]),
}


@pytest.mark.parametrize("name", WEIGHED)
def test_all_bytes_of_what_is_missing_count_while_it_is_kept(monkeypatch, name):
    """Removed outputs no longer count, and the oldest output is removed first."""
    monkeypatch.setattr(missing_outputs, "MISSING_BYTES_MAX", 150)
    kept, message = missing_outputs.MissingOutputs(), WEIGHED[name]
    kept.add(7, message, 3)
    kept.add(5, message)
    assert kept.first_excess() is None
    kept.add(6, message)
    assert kept.first_excess() == 7
    assert kept.pop(7) == (message, 3)
    assert kept.first_excess() is None
    kept.add(8, message)
    assert kept.first_excess() == 5
    assert kept.pop(5) == (message, None)
    assert list(kept) == [6, 8]


def test_what_is_missing_is_bounded_by_number(monkeypatch):
    """Each output takes more memory than its bytes."""
    monkeypatch.setattr(missing_outputs, "MISSING_MAX", 1)
    kept = missing_outputs.MissingOutputs()
    kept.add(1, Message(None, None, 0, []))
    assert kept.first_excess() is None
    kept.add(2, Message(None, None, 0, []))
    assert kept.first_excess() == 1


@pytest.fixture
async def framed(model):
    """Return the output of a worker, whose last dead letter is that of a framed value."""
    records = records_of()
    records[238] = record(238, b"a", b"\0\0\0\0\7avro", BEGIN_MS + 238_000)
    made = Folded(model, settings_of(), await fold(model, settings_of(), records))
    at = next(n for n, m in enumerate(made.letters) if dict(m.headers)["sr-offset"] == b"238")
    made.letters.append(made.letters.pop(at))
    assert dict(made.letters[-1].headers)["sr-error"] == b"framed"
    return made


def with_code(message, code):
    """Return a dead letter with another code and reason."""
    return with_header(with_header(message, "sr-error", code), "sr-reason", b"the value is ...")


@pytest.mark.parametrize(
    ("code", "figures"),
    [(b"framed", {}), (b"not_json", {}), (b"wrong_schema", {DIFFERENT: 1})],
)
async def test_the_code_of_the_previous_version_is_accepted(framed, code, figures):
    framed.letters[-1] = with_code(framed.letters[-1], code)
    assert faults(await framed.audit()) == figures


async def test_a_later_code_is_not_accepted_for_an_earlier_one(framed):
    at = next(n for n, m in enumerate(framed.letters) if ("sr-error", b"not_json") in m.headers)
    framed.letters[at] = with_code(framed.letters[at], b"framed")
    result = await framed.audit()
    assert faults(result) == {DIFFERENT: 1}
    assert result.examples[0].parts == ("headers",)


@pytest.mark.parametrize("codes", [(b"framed", b"not_json"), (b"not_json", b"framed")])
async def test_copies_of_two_versions_are_a_repeat_and_no_difference(framed, codes):
    """In ``at_least_once``, a deployment may repeat a dead letter; also one that keeps less."""
    first, second = (with_code(framed.letters[-1], code) for code in codes)
    framed.letters[-1:] = [first, second]
    assert faults(await framed.audit()) == {TWICE: 1}
    framed.letters[-1:] = cuts(second, 3)
    result = await framed.audit()
    assert faults(result) == {TWICE: 1}
    assert not result.problems
    framed.letters[-1:] = [with_code(second, b"wrong_schema")]
    assert faults(await framed.audit()) == {TWICE: 1, DIFFERENT: 1}


async def test_a_copy_with_a_later_code_is_a_difference(framed):
    at = next(n for n, m in enumerate(framed.letters) if ("sr-error", b"not_json") in m.headers)
    framed.letters.append(with_code(framed.letters[at], b"framed"))
    assert faults(await framed.audit()) == {TWICE: 1, DIFFERENT: 1}
