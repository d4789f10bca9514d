"""The page of the protocol says what the code does."""

import fnmatch
import inspect
import re
from pathlib import Path

import pytest

import stream_rnn.fold
from stream_rnn.errors import ForgottenError, StateError, TooSlowError
from stream_rnn.fold.fold_id import FOLD_SETTINGS, fold_id
from stream_rnn.fold.publisher import Publisher
from stream_rnn.fold.recovery import Facts, LastOutput, RecoveryOptions, Start, where_to_start
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.store.state import (
    HEADER_BYTES,
    STATE_VERSION,
    STORE_FORMAT,
    TAIL_VERSION,
    StateCodec,
    StoredPosition,
)
from tests.chaos import plan  # noqa: F401  # the kinds register themselves
from tests.chaos.faults import FAULTS

ROOT = Path(__file__).parents[2]
FOLDER = Path(stream_rnn.fold.__file__).parent
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")

OURS, OTHER = "0123456789ab", "ba9876543210"
PLACES = {"log start": 3, "origin": 4, "position": 6, "group offset": 8, "log end": 10}
SCRIPTS = ("commit.lua", "start.lua")


def table(header: str) -> list[list[str]]:
    """Return the cells of the one table whose header begins so."""
    (rows,) = re.findall(
        rf"^\| {re.escape(header)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE
    )
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows.splitlines()]


RECOVERY = {int(row): cells for row, *cells in table("row")}


def facts(position=None, c=None, origin=PLACES["origin"], **more) -> Facts:
    """Build facts in which every place is another offset."""
    stored = (
        StoredPosition() if position is None else StoredPosition(position, origin, partitions=1)
    )
    more = {"stored": stored, "group_offset": c, **more}
    return Facts("t[0]", OURS, PLACES["log start"], PLACES["log end"], **more)


P = PLACES["position"]
C = GroupOffset(PLACES["group offset"], OURS, PLACES["origin"])
EXAMPLES = [
    (1, facts(P, C, source_partitions=2, predictions_partitions=2)),
    (1, facts(P, C, predictions_partitions=2)),
    (1, facts(P, C, is_compacted=True)),
    (2, facts(11, GroupOffset(11, OURS, 4))),
    (2, facts(P, GroupOffset(11, OURS, 4))),
    (2, facts(P, C, anchor_fits=False)),
    (2, facts(P, C, output_fits=False)),
    (4, facts()),
    (5, facts(c=GroupOffset(2, OURS, 0))),
    (5, facts(2, C, origin=0)),
    (6, facts(c=C)),
    (6, facts(c=GroupOffset(7, OURS, 4), last_output=LastOutput(7, OURS, 4, None))),
    (7, facts(c=GroupOffset(8, OURS, 2))),
    (8, facts(c=GroupOffset(8, OTHER, 4))),
    (9, facts(P)),
    (9, facts(P, last_output=LastOutput(7, OURS, 4, None))),
    (10, facts(P, GroupOffset(5, OURS, 4))),
    (10, facts(P, GroupOffset(8))),
    (10, facts(c=GroupOffset(8))),
    (10, facts(c=GroupOffset(8), stored=StoredPosition(P, 4, keys=3, fields=2))),
    (11, facts(P, C)),
    (11, facts(P, GroupOffset(8, OTHER, 0))),
    (11, facts(P, GroupOffset(3), last_output=LastOutput(7, OURS, 4, None))),
]


def place(cell: str, given: Facts) -> int:
    """Return the offset that a cell names."""
    last, known = given.last_output, given.group_offset
    group_offset = max(last.offset + 1 if last else 0, known.offset if known else 0)
    places = {**PLACES, "group offset": group_offset}
    return max(places[name] for name in cell.removeprefix("greater of ").split(" and "))


def test_the_recovery_table_has_every_row_in_its_order():
    """And each of them but the third, which leads to the others, has an example here."""
    assert list(RECOVERY) == list(range(1, 12))
    assert {row for row, _ in EXAMPLES} == {*RECOVERY} - {3}


@pytest.mark.parametrize(("row", "given"), EXAMPLES)
def test_each_row_of_the_recovery_table_is_what_is_decided(row, given):
    """Whether it stops or depends on a setting, where it starts, from where it publishes, what it writes."""
    decision = where_to_start(given, RecoveryOptions())
    accepted = where_to_start(given, RecoveryOptions(on_lost_history="accept"))
    assert decision.row == accepted.row == row
    _, does, starts, publishes, group_offset, first_position = RECOVERY[row]
    assert isinstance(accepted, Start) == (not does.startswith("stops"))
    assert isinstance(decision, Start) == (not re.match("stops|depends", does))
    if not isinstance(accepted, Start):
        assert starts == publishes == group_offset == first_position == ""
        return
    assert accepted.position == place(starts, given)
    assert accepted.publish_from == place(publishes, given)
    is_known = given.group_offset is not None and given.group_offset.offset == accepted.publish_from
    written = {"yes": True, "if Kafka lacks it": not is_known}[group_offset]
    assert (accepted.write_group_offset is not None) == written
    assert accepted.write_first_position == {"yes": True, "no": False}[first_position]


def test_the_setting_that_the_table_names_leads_from_row_10_to_row_8():
    """Only without a position: with one, row 10 stops in any case."""
    assert all("`on_foreign_offset=accept`" in RECOVERY[row][0] for row in (8, 10))
    accept = RecoveryOptions(on_foreign_offset="accept")
    start = where_to_start(facts(c=GroupOffset(8)), accept)
    assert isinstance(start, Start)
    assert (start.row, start.position, start.publish_from) == (8, PLACES["log start"], 8)
    assert where_to_start(facts(P, GroupOffset(8)), accept).row == 10


@pytest.mark.parametrize(
    "stored",
    [
        StoredPosition(P, 4, keys=3, fields=2),
        StoredPosition(P, 4, is_corrupt=True),
        StoredPosition(fields=2),
    ],
)
def test_row_3_leads_to_the_rows_without_a_position(stored):
    """The count differs, a state does not decode, or there are states without a position."""
    assert "disregards the position" in RECOVERY[3][1]
    assert where_to_start(facts(c=C, stored=stored), RecoveryOptions()) == where_to_start(
        facts(c=C), RecoveryOptions()
    )


def test_the_fields_of_a_position_are_those_that_the_scripts_write():
    """Each names the scripts that write it."""
    written = {}
    for name in SCRIPTS:
        text = (FOLDER.parent / "store" / name).read_text(encoding="utf-8")
        (call,) = re.findall(r"'HSET', KEYS\[1\],(.*?)\)\nreturn 'ok'", text, re.DOTALL)
        for field in re.findall(r"'(\w+)', (?:ARGV|''|'0'|string)", call):
            written.setdefault(field, []).append(name)
    rows = table("field of `position`")
    shown = {
        name.strip("`"): [*SCRIPTS] if by == "both scripts" else [by.strip("`")]
        for name, _, by in rows
    }
    assert shown == written
    assert f"`format` | {STORE_FORMAT};" in PAGE


def test_the_bytes_of_a_hidden_state_are_those_of_the_codec():
    """Each field stands where the page says."""
    layout = StateCodec(4)._dtype.fields
    spans = [(at, at + kind.itemsize - 1) for kind, at, *_ in layout.values()]
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in spans[:-1]] + [f"{HEADER_BYTES}-"]
    rows = table("bytes of a hidden state")
    assert [row[0] for row in rows] == shown
    assert rows[0][1] == f"version: {STATE_VERSION}, or {TAIL_VERSION} with a tail"


def test_the_answers_of_a_script_are_those_that_the_page_lists():
    """Of every script there is."""
    shown = {name.strip("`"): re.findall(r"\w+", answers) for name, *_, answers in table("script")}
    scripts = sorted((FOLDER.parent / "store").glob("*.lua"))
    texts = {path.name: path.read_text(encoding="utf-8") for path in scripts}
    seen = texts.pop("seen.lua")  # the beginning of every script that calls its function
    given = {
        name: re.findall(r"return '(\w+)'", seen + text if "refusal()" in text else text)
        for name, text in texts.items()
    }
    assert {name: sorted(one) for name, one in shown.items()} == {
        name: sorted({*one}) for name, one in given.items()
    }


def test_everything_in_the_fold_id_is_named():
    """And nothing else."""
    (section,) = re.findall(r"published bytes:\n\n(.*?)\n\n", PAGE, re.DOTALL)
    content = re.findall(r'^ +"(\w+)": ', inspect.getsource(fold_id), re.MULTILINE)
    content += FOLD_SETTINGS
    assert re.findall(r"`(\w+)`", section) == content


def test_each_error_that_starts_the_producer_again_is_named_where_a_start_is_described():
    """A publish raises it, a start follows it, and the page lists it among the exceptions."""
    pages = {
        ForgottenError: "a producer that Kafka has forgotten",
        TooSlowError: "whose publish took too long",
    }
    assert {e for e in StateError.__subclasses__() if e.restarts_producer} == set(pages)
    (exceptions,) = re.findall(r"The exceptions are (.*?), with that check\.", PAGE)
    for error, named in pages.items():
        assert f":class:`{error.__name__}`" in inspect.getdoc(Publisher.start)
        assert f"    {error.__name__}: " in inspect.getdoc(Publisher.publish)
        assert named in exceptions


def test_the_table_of_faults_names_every_kind_and_no_other():
    """Each kind of fault that the chaos tests have stands in one row, by name or by pattern."""
    (rows,) = re.findall(r"\| kinds \|\n\|[-|]+\n((?:\|.*\n)+)", PAGE)
    cells = [line.split("|")[3] for line in rows.splitlines()]
    named = [name for cell in cells for name in re.findall(r"`([a-z*-]+)`", cell)]
    found = {kind: [n for n in named if fnmatch.fnmatchcase(kind, n)] for kind in FAULTS}
    assert {kind: names for kind, names in found.items() if len(names) != 1} == {}
    assert [n for n in named if not fnmatch.filter(FAULTS, n)] == []


def test_every_test_that_is_named_exists():
    """A rule names the test that shows it."""
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) >= 4
    for path, function in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert not function or f"def {function}(" in source, f"{path}::{function}"


def test_links_lead_to_what_exists():
    """A relative link names a file or a folder of the tree."""
    for target in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (FOLDER / target).exists(), target
