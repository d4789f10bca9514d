"""A coroutine that is run from a script, and from inside of a running event loop."""

import asyncio
import signal
import threading
from itertools import pairwise

import polars as pl
import pytest
import torch

from stream_rnn import propose_spec, replay, train
from stream_rnn.notebook import replay as replay_module
from stream_rnn.notebook import spec as spec_module
from stream_rnn.notebook.example import example_bundle, machines
from stream_rnn.replay.event_loop import run_coroutine
from stream_rnn.replay.frame_rows import RECORDS_PER_BATCH
from stream_rnn.replay.logs import FileLog, Range
from stream_rnn.settings import Settings
from stream_rnn.training import dataset


async def answer(seen):
    """Return a number, and note the thread."""
    await asyncio.sleep(0)
    seen.append(threading.current_thread())
    return 42


def test_without_a_loop_the_coroutine_runs_in_the_thread_of_the_caller():
    """As ``asyncio.run`` does it, which handles Ctrl-C by itself."""
    seen = []
    assert run_coroutine(answer(seen)) == 42
    assert seen == [threading.current_thread()]


async def test_inside_of_a_loop_the_coroutine_has_a_thread_of_its_own():
    """Where ``asyncio.run`` would raise, as in a notebook."""
    seen = []
    assert run_coroutine(answer(seen)) == 42
    assert seen != [threading.current_thread()]
    assert not seen[0].is_alive()


async def test_an_error_is_raised_where_the_caller_is():
    """And the thread ends."""

    async def fail():
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        run_coroutine(fail())


async def test_the_number_of_torch_threads_holds_in_the_thread():
    """``pin_numerics`` is called by the caller, and decides the bits of the fold."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)

    async def count():
        return torch.get_num_threads()

    try:
        assert run_coroutine(count()) == 1
    finally:
        torch.set_num_threads(before)


async def test_ctrl_c_cancels_the_coroutine_and_waits_for_its_end():
    """Files and connections are closed before the caller goes on."""
    events = []

    async def wait():
        try:
            events.append("began")
            await asyncio.sleep(0.2)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            await asyncio.sleep(5)
            events.append("not cancelled")
        finally:
            await asyncio.sleep(0.05)
            events.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        run_coroutine(wait())
    assert events == ["began", "cleaned up"]


SPEC = propose_spec(machines(), target="failed").spec


@pytest.mark.parametrize("kind", ["frame", "csv", "jsonl"])
async def test_reading_a_log_lets_the_loop_run_after_each_batch(kind, tmp_path):
    """Where ``asyncio`` delivers Ctrl-C; without the turns, the delay grows with the log."""
    rows = path = tmp_path / f"log.{kind}"
    frame = pl.concat([machines()] * 100)
    if kind == "frame":
        rows = frame
    else:
        frame.write_csv(path) if kind == "csv" else frame.write_ndjson(path)
    turns, sizes, before = 0, [], []

    async def count_turns():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    await asyncio.sleep(0)
    log = FileLog(rows, SPEC, sort_by_time=False)  # the machines begin again 100 times
    async for records in log.batches(Range(0, 0, None)):
        sizes.append(len(records))
        before.append(turns)
    counting.cancel()
    assert sum(sizes) == len(frame)
    assert len(sizes) >= 2
    assert max(sizes) <= (RECORDS_PER_BATCH if kind != "jsonl" else 30_000)
    assert all(later > earlier for earlier, later in pairwise(before))


def test_the_events_are_computed_outside_of_the_loop(monkeypatch):
    """There, Ctrl-C interrupts at once; in a coroutine, it would wait for the end."""
    concatenate, is_running = dataset.concatenate_events, []

    def concatenate_and_look(parts):
        is_running.append(asyncio._get_running_loop() is not None)
        return concatenate(parts)

    monkeypatch.setattr(dataset, "concatenate_events", concatenate_and_look)
    dataset.read_events(FileLog(machines(), SPEC), SPEC, Settings.build())
    assert is_running == [False]


@pytest.mark.parametrize("of", ["train", "propose_spec", "to_polars", "take"])
async def test_ctrl_c_raises_at_once_in_a_function_inside_of_a_loop(of, monkeypatch, tmp_path):
    """The handler of the loop would act after the function, so it has no turn."""
    handled = []
    before = signal.signal(signal.SIGINT, lambda *_signal: handled.append("by the loop"))

    def press(*_arguments):
        signal.raise_signal(signal.SIGINT)

    calls = {
        "train": lambda: train(machines(), SPEC, tmp_path / "b", on_message=press),
        "propose_spec": lambda: propose_spec(machines()),
        "to_polars": lambda: replay(machines(), example_bundle()).to_polars(),
        "take": lambda: next(replay(Waiting(machines(), SPEC), example_bundle()).values()),
    }

    class Waiting(FileLog):
        async def batches(self, source_range):
            await asyncio.sleep(0.2)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            await asyncio.sleep(0.5)
            async for records in super().batches(source_range):
                yield records

    example_bundle()
    if of == "propose_spec":
        monkeypatch.setattr(spec_module, "propose_for", press)
    if of == "to_polars":
        monkeypatch.setattr(replay_module, "flat_row", press)
    try:
        with pytest.raises(KeyboardInterrupt):
            calls[of]()
        assert handled == []
        press()
        assert handled == ["by the loop"]
    finally:
        signal.signal(signal.SIGINT, before)
