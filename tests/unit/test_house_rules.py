"""House rules that no linter knows: directions of imports, purity, sizes, broad handlers, paths.

Each rule is a function from source text to what breaks it; each is shown to find a breach.
"""

import pytest

from tests.house_rooms import MAY_IMPORT, room_of, wrong_directions
from tests.house_rules import (
    BROAD_HANDLERS,
    FUNCTION_LINES_MAX,
    LINES_MAX,
    PACKAGE,
    SHARE_MAX,
    SLASH,
    VAGUE_NAMES,
    WEIGHTS_ONLY,
    bare_exceptions,
    bare_stops,
    broad_handlers,
    creating_clients,
    impurities,
    long_functions,
    machine_paths,
    modules,
    pickles,
    positional_fields,
    relative,
    texts,
    unclosed_readers,
    untold_tasks,
)


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_imports_go_one_way(path):
    """What is below knows nothing of what is above; imports inside of functions count."""
    assert wrong_directions(room_of(path), path.read_text(encoding="utf-8")) == []


def test_the_rooms_have_an_order():
    """Each may import rooms that stand before it in the table, so there is no circle."""
    rooms = list(MAY_IMPORT)
    for number, room in enumerate(rooms):
        below = {name.partition(".")[0] for name in MAY_IMPORT[room]}
        assert below <= {*rooms[: number + 1]}, room
    assert {room_of(path) for path in modules()} == set(rooms)


def test_no_room_has_most_of_the_lines():
    """A folder that does six jobs is split before it is one."""
    lines = dict.fromkeys(MAY_IMPORT, 0)
    for path in modules():
        lines[room_of(path)] += len(path.read_text(encoding="utf-8").splitlines())
    limit = SHARE_MAX * sum(lines.values())
    assert {room: count for room, count in lines.items() if count > limit} == {}


@pytest.mark.parametrize("path", sorted((PACKAGE / "model").rglob("*.py")), ids=relative)
def test_the_model_is_pure(path):
    """No asyncio, Redis, Kafka, clock or chance."""
    assert impurities(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_nothing_is_pickled(path):
    """States and bundles are data."""
    assert pickles(path.read_text(encoding="utf-8"), relative(path)) == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_files_and_functions_are_short(path):
    """The limits hold for everybody."""
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LINES_MAX
    assert long_functions(source) == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_everything_is_caught_in_known_places_only(path):
    """A broad handler hides bugs; each has its reason in this file."""
    found = broad_handlers(path.read_text(encoding="utf-8"))
    assert not found or relative(path) in BROAD_HANDLERS


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_clients_of_kafka_come_from_where_they_never_create_a_topic(path):
    """A broker with auto-creation makes a topic for whoever asks for it by name."""
    found = creating_clients(path.read_text(encoding="utf-8"))
    assert found == [] or relative(path) == "kafka/clients.py"


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_every_client_of_kafka_is_stopped_within_a_deadline(path):
    """One whose broker is away waits for it, a producer without end."""
    found = bare_stops(path.read_text(encoding="utf-8"))
    assert found == [] or relative(path) == "kafka/clients.py"


@pytest.mark.parametrize("place", BROAD_HANDLERS)
def test_an_exception_to_the_rule_is_still_needed(place):
    """Else it is to be deleted."""
    assert broad_handlers((PACKAGE / place).read_text(encoding="utf-8"))


@pytest.mark.parametrize("part", ["worker", "operate", "fold", "predictions"])
def test_the_end_of_every_task_is_told(part):
    """Of what runs for long: a task that nobody awaits may end and nobody notices."""
    for path in (PACKAGE / part).rglob("*.py"):
        assert untold_tasks(path.read_text(encoding="utf-8")) == [], relative(path)


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_a_reader_of_kafka_is_closed_where_it_is_read(path):
    """Also if what is done with its records raises."""
    assert unclosed_readers(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_a_foreign_exception_is_cited_by_its_reason(path):
    """No message ends in an empty reason."""
    assert bare_exceptions(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_a_dataclass_of_many_fields_is_built_by_keyword(path):
    """Two numbers in the wrong order look right."""
    assert positional_fields(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_names_say_something(path):
    """A module is named after its job."""
    assert not {*path.relative_to(PACKAGE).with_suffix("").parts} & VAGUE_NAMES


def test_no_file_holds_a_path_of_a_machine():
    """What is shipped works anywhere."""
    found = {relative(path): machine_paths(path.read_text(encoding="utf-8")) for path in texts()}
    assert {place: paths for place, paths in found.items() if paths} == {}


@pytest.mark.parametrize(
    ("rule", "breach"),
    [
        (lambda source: wrong_directions("fold", source), "from stream_rnn.worker import plugin"),
        (
            lambda source: wrong_directions("model", source),
            "def f():\n    import stream_rnn.kafka.connection",
        ),
        (
            lambda source: wrong_directions("fold", source),
            "from stream_rnn.predictions.reader import PredictionReader",
        ),
        (
            lambda source: wrong_directions("fold", source),
            "from stream_rnn.predictions import PredictionReader",
        ),
        (lambda source: wrong_directions("worker", source), "from stream_rnn import cli"),
        (lambda source: wrong_directions("errors", source), "from stream_rnn import __version__"),
        (impurities, "def f():\n    from time import monotonic"),
        (impurities, "import asyncio.locks"),
        (pickles, "import pickle"),
        (pickles, "import torch\nmodel = torch.load('x')"),
        (
            lambda source: pickles(source, WEIGHTS_ONLY),
            "torch.load('x', weights_only=True)\ntorch.load('x', weights_only=False)",
        ),
        (lambda source: pickles(source, WEIGHTS_ONLY), "from pickle import loads"),
        (long_functions, "def f():\n" + "    pass\n" * FUNCTION_LINES_MAX),
        (broad_handlers, "try:\n    pass\nexcept Exception:\n    pass"),
        (broad_handlers, "try:\n    pass\nexcept:\n    pass"),
        (broad_handlers, "try:\n    pass\nexcept (ValueError, BaseException) as e:\n    raise e"),
        (broad_handlers, "with contextlib.suppress(Exception):\n    pass"),
        (untold_tasks, "def f():\n    asyncio.create_task(work())"),
        (unclosed_readers, "async def f():\n    async for r in log.batches(x):\n        pass"),
        (bare_exceptions, "try:\n    pass\nexcept OSError as error:\n    raise X(f'no: {error}')"),
        (
            bare_exceptions,
            "try:\n    pass\nexcept OSError as error:\n    raise X(f'no: {error.strerror or error}')",
        ),
        (
            bare_exceptions,
            "try:\n    pass\nexcept OSError as error:\n    raise X(f'{type(error).__name__}')",
        ),
        (
            bare_exceptions,
            "try:\n    pass\nexcept OSError as error:\n    logger.info('no: %s', error)",
        ),
        (bare_exceptions, "try:\n    pass\nexcept OSError as error:\n    say(str(error))"),
        (creating_clients, "aiokafka.AIOKafkaConsumer(group_id=None)"),
        (bare_stops, "one = new_producer()\nasync def f():\n    await one.stop()"),
        (bare_stops, "self._one = self._new_consumer()\nclose(self._one.stop)"),
        (bare_stops, "self._one: AIOKafkaProducer\nawait self._one.stop()"),
        (bare_stops, "async def f(admin: CheckedAdminClient):\n    await admin.close()"),
        (
            bare_stops,
            "async def f():\n    async with kafka_clients.new_admin() as admin:\n        x()",
        ),
        (bare_stops, "one = new_producer()\nasync def f():\n    async with one:\n        x()"),
        (positional_fields, "from stream_rnn.fold.recovery import Start\nStart(4, 1, 1, 1)"),
        (
            positional_fields,
            "@dataclass(frozen=True)\nclass A:\n"
            + "".join(f"    a{i}: int\n" for i in range(6))
            + "A(1, 2, 3, *more)",
        ),
        (machine_paths, f"path = '{SLASH}root/x'"),
        (machine_paths, f"see {SLASH}tmp/x"),
    ],
)
def test_each_rule_finds_a_breach(rule, breach):
    """A rule that cannot fail is no rule."""
    assert rule(breach)


@pytest.mark.parametrize(
    ("rule", "fine"),
    [
        (
            lambda source: wrong_directions("fold", source),
            "from stream_rnn.predictions.writer import PredictionWriter",
        ),
        (lambda source: wrong_directions("model", source), "from stream_rnn.errors import X"),
        (long_functions, "def f():\n" + "    pass\n" * (FUNCTION_LINES_MAX - 1)),
        (broad_handlers, "try:\n    pass\nexcept BaseException:\n    x()\n    raise"),
        (
            bare_exceptions,
            "try:\n    pass\nexcept OSError as error:\n    raise X(f'no: {reason(error)}')",
        ),
        (
            bare_exceptions,
            "from stream_rnn.errors import X\ntry:\n    f()\nexcept X as e:\n    logger.info('%s', e)",
        ),
        (
            bare_stops,
            "one = new_producer()\nawait stop_producer(one, 1)\nself.close()\nfile.close()",
        ),
        (bare_stops, "async with self._producer.transaction():\n    x()"),
        (positional_fields, "from stream_rnn.fold.recovery import Start\nStart(4, 1, 1, lost=1)"),
        (positional_fields, "from stream_rnn.keys import Start\nStart(4, 1, 1, 1)"),
        (machine_paths, "from tests/work/x and $TMPDIR/tmp/x"),
    ],
)
def test_no_rule_finds_a_breach_where_there_is_none(rule, fine):
    """A rule that always fails is switched off soon."""
    assert not rule(fine)
