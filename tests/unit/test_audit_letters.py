"""The audit finds dead letters that are wrong or duplicated, whatever they name and contain."""

import pytest

from stream_rnn.audit import dead_letters as letters
from stream_rnn.fold.dead_letters import HEADER_BYTES_MAX
from stream_rnn.testing import record
from tests.audited import BEGIN_MS, faults, records_of, settings_of
from tests.memory_topics import Folded, fold, with_header

NAMES = ("sr-app", "sr-fold", "sr-origin")
TWICE, DIFFERENT = "dead_letters_duplicated", "dead_letters_different"


def without(message, *names):
    """Return a dead letter without some headers."""
    return message._replace(headers=[h for h in message.headers if h[0] not in names])


def put(made, at, message):
    """Replace a dead letter."""
    made.letters[at] = message


def header(made, name, text, at=3):
    """Change a header of a dead letter."""
    put(made, at, with_header(made.letters[at], name, text))


PLANTS = {
    "a copy without names": (lambda m: m.letters.append(without(m.letters[3], *NAMES)), {TWICE: 1}),
    "a copy without names, before it": (
        lambda m: m.letters.insert(0, without(m.letters[3], *NAMES)),
        {TWICE: 1},
    ),
    "three copies without names": (
        lambda m: m.letters.extend([without(m.letters[3], *NAMES)] * 3),
        {TWICE: 3},
    ),
    "another value without names": (
        lambda m: m.letters.append(without(m.letters[3], *NAMES)._replace(value=b"other")),
        {TWICE: 1, DIFFERENT: 1},
    ),
    "a copy without the app": (
        lambda m: m.letters.append(without(m.letters[3], "sr-app")),
        {TWICE: 1, DIFFERENT: 1},
    ),
    "without the app": (lambda m: put(m, 3, without(m.letters[3], "sr-app")), {DIFFERENT: 1}),
    "without the origin": (lambda m: put(m, 3, without(m.letters[3], "sr-origin")), {DIFFERENT: 1}),
    "without any name, as without a transaction": (
        lambda m: put(m, 3, without(m.letters[3], *NAMES)),
        {},
    ),
    "a copy of another fold": (
        lambda m: m.letters.append(with_header(m.letters[3], "sr-fold", b"f" * 12)),
        {TWICE: 1},
    ),
    "a negative origin": (lambda m: header(m, "sr-origin", b"-5"), {DIFFERENT: 1}),
    "an origin behind the record": (lambda m: header(m, "sr-origin", b"9999999"), {DIFFERENT: 1}),
    "an origin that is no number": (lambda m: header(m, "sr-origin", b"x"), {DIFFERENT: 1}),
    "an origin in other words": (lambda m: header(m, "sr-origin", b"+0"), {DIFFERENT: 1}),
    "a second copy's origin": (
        lambda m: m.letters.append(with_header(m.letters[3], "sr-origin", b"-5")),
        {TWICE: 1, DIFFERENT: 1},
    ),
    "a cut that no worker makes": (lambda m: header(m, "sr-truncated", b"1"), {DIFFERENT: 1}),
    "nothing was cut": (lambda m: header(m, "sr-truncated", b"value"), {DIFFERENT: 1}),
    "no key was cut": (lambda m: header(m, "sr-truncated", b"key"), {DIFFERENT: 1}),
    "no headers were cut": (lambda m: header(m, "sr-truncated", b"headers"), {DIFFERENT: 1}),
    "rubbish that is called cut": (
        lambda m: put(
            m,
            3,
            with_header(m.letters[3], "sr-truncated", b"key,value")._replace(key=b"?", value=b"?"),
        ),
        {DIFFERENT: 1},
    ),
    "a value that is called cut": (
        lambda m: put(
            m, 3, with_header(m.letters[3], "sr-truncated", b"value")._replace(value=b"not k")
        ),
        {DIFFERENT: 1},
    ),
    "a cut copy": (
        lambda m: m.letters.append(
            with_header(m.letters[3], "sr-truncated", b"value")._replace(
                value=m.letters[3].value[:2]
            )
        ),
        {TWICE: 1},
    ),
    "a cut copy of another value": (
        lambda m: m.letters.append(
            with_header(m.letters[3], "sr-truncated", b"value")._replace(value=b"?!")
        ),
        {TWICE: 1, DIFFERENT: 1},
    ),
    "another reason": (lambda m: header(m, "sr-reason", b"said by another version"), {}),
}


@pytest.mark.parametrize("name", PLANTS)
async def test_what_is_planted_is_found(folded, name):
    """The planted fault is counted, no other is, and an example shows it."""
    plant, figures = PLANTS[name]
    plant(folded)
    result = await folded.audit()
    assert faults(result) == figures
    assert result.is_fine("exactly_once") is (not figures)
    assert {example.kind for example in result.examples} == set(figures)
    assert all(example.parts for example in result.examples if example.kind == DIFFERENT)


def long_records():
    """Return records, some of which have long keys, values and headers."""
    result = records_of()
    for offset in range(5, 240, 30):
        for number, (size, headers) in enumerate([(3000, 0), (10, 900), (3000, 900)]):
            at, more = offset + number, [("h", b"h" * headers)] if headers else []
            bad = record(at, b"k" * size, b"no JSON " * 400, BEGIN_MS + 1000 * at)
            result[at] = bad._replace(headers=more)
    huge = record(238, b"a", b"no JSON", BEGIN_MS + 238_000)
    result[238] = huge._replace(headers=[("h", b"h" * (HEADER_BYTES_MAX + 1))])
    return result


@pytest.fixture(scope="module")
def cut_by(model):
    """Return the output of a worker that cuts the records in its dead letters."""

    async def made(**changed):
        settings = settings_of(key_bytes_max=5000, **changed)
        return Folded(model, settings, await fold(model, settings, long_records()))

    return made


SMALL = {"dead_letter_bytes_max": 1024, "output_batch_bytes_max": 1 << 20}


@pytest.mark.parametrize("bytes_max", [1024, 1100, 1 << 20])
async def test_how_much_was_kept_is_the_workers_own(cut_by, bytes_max):
    """The audit does not know the worker's limits, and compares the part that is there."""
    made = await cut_by(**SMALL)
    said = [dict(m.headers)["sr-truncated"] for m in made.letters]
    assert {b"", b"value", b"key,value", b"headers"} <= set(said)
    result = await made.audit(dead_letter_bytes_max=bytes_max)
    assert faults(result) == {}
    assert result.is_fine("exactly_once")
    assert result.dead_letters_compared == len(made.letters)


CUTS = {
    "a key": lambda m: m._replace(key=b"?" + m.key[1:]),
    "a value": lambda m: m._replace(value=m.value[:-1] + b"?"),
    "a size": lambda m: with_header(m, "sr-size", b"7"),
    "a whole key": lambda m: with_header(m, "sr-truncated", b"value"),
    "a key that is longer": lambda m: m._replace(key=b"k" * 3001),
    "a value that is gone": lambda m: m._replace(value=None),
}


@pytest.mark.parametrize("name", CUTS)
async def test_what_is_kept_of_a_cut_record_is_compared(cut_by, name):
    """Key, beginning of the value and true size are compared."""
    made = await cut_by(**SMALL)
    is_cut = (dict(m.headers)["sr-truncated"] == b"key,value" for m in made.letters)
    at = list(is_cut).index(True)
    made.letters[at] = CUTS[name](made.letters[at])
    assert faults(await made.audit()) == {DIFFERENT: 1}


async def test_headers_are_there_or_cut(cut_by):
    """Headers are cut as a whole, and must be cut beyond the limit of every worker."""
    made = await cut_by(**SMALL)
    at = next(n for n, m in enumerate(made.letters) if ("h", b"h" * 900) in m.headers)
    whole = made.letters[at]
    made.letters[at] = without(whole, "h")
    assert faults(await made.audit()) == {DIFFERENT: 1}
    said = dict(whole.headers)["sr-truncated"]
    cut = with_header(
        without(whole, "h"), "sr-truncated", b",".join(filter(None, [said, b"headers"]))
    )
    made.letters[at] = cut
    assert (await made.audit()).is_fine("exactly_once")
    made.letters[at] = with_header(whole, "sr-truncated", dict(cut.headers)["sr-truncated"])
    assert faults(await made.audit()) == {DIFFERENT: 1}
    made.letters[at] = whole
    last = next(
        n for n, m in enumerate(made.letters) if dict(m.headers)["sr-truncated"] == b"headers"
    )
    made.letters[last] = with_header(made.letters[last], "sr-truncated", b"")
    assert faults(await made.audit()) == {DIFFERENT: 1}


async def test_two_settings_of_one_worker_are_a_repeat_and_no_difference(cut_by, monkeypatch):
    """In ``at_least_once``, a worker may restart with another limit and repeat outputs."""
    small, large = [
        await cut_by(delivery="at_least_once", dead_letter_bytes_max=size) for size in (1024, 1100)
    ]
    count = len(small.letters)
    small.letters += large.letters
    result = await small.audit()
    assert faults(result) == {TWICE: count}
    assert result.is_fine("at_least_once")
    monkeypatch.setattr(letters, "COPIES_MAX", 1)  # of more nobody can say that they are right
    assert not (await small.audit()).is_fine("at_least_once")
    monkeypatch.undo()
    at = next(n for n, m in enumerate(large.letters) if len(m.value) == 1100)
    wrong_copy = large.letters[at]._replace(value=b"?" * 1100)
    small.letters[count + at] = wrong_copy
    result = await small.audit()
    assert faults(result) == {TWICE: count, DIFFERENT: 1}
    assert next(e for e in result.examples if e.kind == DIFFERENT).parts == ("value",)
