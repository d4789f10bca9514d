"""Fetches of a token that do not end in time."""

import asyncio
import threading
from contextlib import suppress

import pytest

from stream_rnn.kafka import tokens as tokens_module
from stream_rnn.kafka.tokens import (
    CachedTokens,
    Token,
    TokenError,
)
from tests.unit.test_tokens import Clock


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(tokens_module, "PAUSES_S", (0.01, 0.01))


async def test_a_token_that_does_not_come_is_explained(monkeypatch):
    """By the last failure, where a caller's deadline would only name its seconds."""
    monkeypatch.setattr(tokens_module, "TOKEN_WITHIN_S", 0.2)
    failed, may_end = threading.Event(), threading.Event()

    def fetch():
        if failed.is_set():
            may_end.wait(60)
        failed.set()
        raise TokenError("it answers 503")

    provider = CachedTokens(fetch, source="http://h/t")
    with pytest.raises(TokenError, match=r"no token from http://h/t within 0.2 s \(.*503\)"):
        await provider.token()
    may_end.set()


async def give_up(fetch, clock, begun):
    """Return a provider whose first fetch hangs and whose second one has served, and the first."""
    provider = CachedTokens(fetch, clock=clock)
    first = asyncio.create_task(provider.token())
    while not begun:
        await asyncio.sleep(0.01)
    clock.now_s += tokens_module.ABANDON_S
    assert await provider.token() == "new"
    return provider, first


async def test_a_fetch_that_does_not_end_is_given_up():
    """The next connection fetches again, and a late answer of the first replaces nothing."""
    clock, may_answer, begun = Clock(), threading.Event(), []

    def fetch():
        begun.append(len(begun))
        if begun[-1] == 0:
            may_answer.wait(60)
            return Token("old", 1000)
        return Token("new", 1000)

    provider, first = await give_up(fetch, clock, begun)
    may_answer.set()
    assert await first == "old"
    assert await provider.token() == "new"


async def test_a_fetch_that_was_given_up_explains_no_later_one(monkeypatch):
    """Its failure comes when another fetch has succeeded, and it does not try again."""
    monkeypatch.setattr(tokens_module, "TOKEN_WITHIN_S", 1000.0)  # the late one may try again
    clock, begun = Clock(), []
    may_fail, hangs, may_end = threading.Event(), threading.Event(), threading.Event()

    def fetch():
        begun.append(len(begun))
        if begun[-1] == 0:
            may_fail.wait(60)
            raise TokenError("it answers late")
        if hangs.is_set():
            may_end.wait(60)
        return Token("new", 10)

    provider, first = await give_up(fetch, clock, begun)
    may_fail.set()
    with suppress(TokenError):
        await first
    assert len(begun) == 2
    hangs.set()
    clock.now_s += 9
    third = asyncio.create_task(provider.token())
    while len(begun) < 3:
        await asyncio.sleep(0.01)
    assert "late" not in str(provider.delay(1))
    may_end.set()
    assert await third == "new"
