"""One partition's outputs held against a replay: pure, offset by offset.

What it finds it counts at once; what needs the bytes that were published is handed on: findings
of which examples are shown, and predictions that are compared by value.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_rnn.audit.absent import Absent
from stream_rnn.audit.contents import content_of, digest_of, frame_of
from stream_rnn.audit.dead_letter_table import Letter
from stream_rnn.audit.dead_letters import DeadLetters, as_cut
from stream_rnn.audit.examples import Near, Telling
from stream_rnn.audit.memories import Memories, Verdict
from stream_rnn.audit.published import (
    BROKER_TIME,
    COLD_IS_FALSE,
    NO_ORIGIN,
    NOT_CHOSEN,
    ORIGIN_IS_FALSE,
    OUT_OF_ORDER,
    UNLIKE,
    Published,
)
from stream_rnn.audit.result import Audit, Choice
from stream_rnn.audit.segments import Segment, owners
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.output_batches import Message

NOT_FINITE = "step_not_finite"


class Comparison:
    """Compares one partition.

    Args:
        published: the predictions.
        dead: the dead letters.
        choice: which keys.
        found: where findings are counted.
        ttl_ms: ``state_ttl``, if there is one.

    Attributes:
        owner: (N,) whose each offset is; see :func:`owners`.
        telling: findings that may be shown.
        nearly: what is to be compared by value.
        unsure: dead letters of which copies are to be compared.
        absent: predictions that were not found yet.
        absent_dead: dead letters that were not found yet.
    """

    def __init__(
        self,
        published: Published,
        dead: DeadLetters,
        choice: Choice,
        found: Audit,
        ttl_ms: float | None,
    ) -> None:
        self._published, self._dead, self._choice, self._found = published, dead, choice, found
        self._ttl_ms = ttl_ms
        count = published.end - published.start
        self._seen: NDArray[np.bool_] = np.zeros(count, bool)
        self._held: NDArray[np.bool_] = np.zeros(count, bool)  # a record of a key and a value
        self._letters_seen: NDArray[np.bool_] = np.zeros(count, bool)
        self._least = published.end
        self._begins: dict[bytes, int] = {}
        self._memories: Memories | None = None
        self._segment = Segment(0, published.start, published.end, None)
        self.owner = owners(published.origin)
        self._outputs: NDArray[np.int64] = np.zeros(0, np.int64)
        self.telling = Telling(found, choice.examples)
        self.nearly: list[Near] = []
        self.unsure: list[Near] = []
        self.absent, self.absent_dead = Absent(), Absent()

    def begin(self, segment: Segment) -> None:
        """Begin a segment: what follows is the replay's from its begin on."""
        self._segment = segment
        self._least = min(self._least, segment.begin)
        self._begins.clear()
        published = self._published
        published.note_foreign()
        self._outputs = np.flatnonzero((published.count > 0) | (published.other_fold_count > 0))
        is_part = segment.before is None or segment.before > 0
        before = segment.begin if segment.before is None else segment.before
        self._memories = Memories(before, self._ttl_ms) if is_part else None

    def take(
        self,
        records: Sequence[Record],
        predictions: Sequence[Message],
        dead_letters: Sequence[Message],
    ) -> None:
        """Compare what the replay made of the next records with what production did."""
        items: list[tuple[int, bytes | None, Message | None]] = [
            (offset, key, None) for offset, key in self._forgets(records)
        ]
        dead = {_offset(message) for message in dead_letters}
        items += [(_offset(m), m.key, m) for m in (*predictions, *dead_letters)]
        for offset, key, message in sorted(items, key=lambda item: item[0]):
            if message is None:
                if self._memories is not None and key is not None:
                    self._memories.forget(key)
            elif offset not in dead:
                self._take_prediction(offset, message)
            elif self._choice.takes(key) and self._is_own(offset):
                self._take_dead(offset, message)

    def _forgets(self, records: Sequence[Record]) -> list[tuple[int, bytes]]:
        """Return the forgets among records, and note where events can be."""
        found = []
        for record in records:
            if record.key is None:
                continue
            if record.value is None:
                found.append((record.offset, record.key))
            else:
                self._held[record.offset - self._published.start] = True
                self._check_others(record)
        return found

    def _check_others(self, record: Record) -> None:
        """Hold what other folds say of a record against it."""
        offset, false = record.offset, self._published.of_others.false_of(record)
        if false is not None and self._choice.takes(record.key) and self._is_own(offset):
            self.telling.tell("different", offset, record.key, places=(false,))

    def _is_own(self, offset: int) -> bool:
        if self._segment.number == NO_ORIGIN:
            return True
        return int(self.owner[offset - self._published.start]) == self._segment.number

    def _take_prediction(self, offset: int, message: Message) -> None:
        content = content_of(message.value)
        time_ms, replayed = int(content["event_time_ms"]), int(content["steps"])
        if self._memories is not None:
            self._memories.pass_time(time_ms)
        key = message.key or b""
        if not self._choice.takes(key):
            return
        if replayed == 1:
            self._begins[key] = offset
        if not self._is_own(offset):
            if self._memories is not None:
                self._memories.unseen(key, replayed, time_ms)
            return
        published, at = self._published, offset - self._published.start
        self._seen[at] = True
        if not published.count[at]:
            self._miss(offset, message, replayed, time_ms)
            return
        verdict = Verdict.SAME
        if self._memories is not None:
            verdict = self._memories.judge(key, replayed, int(published.steps[at]), time_ms)
        self._compare(offset, message, verdict, self._begins.get(key), content)

    def _compare(
        self,
        offset: int,
        message: Message,
        verdict: Verdict,
        begin: int | None,
        content: dict[str, object],
    ) -> None:
        """Compare a prediction that is there."""
        published, at = self._published, offset - self._published.start
        flags = int(published.flags[at])
        timestamp = None if flags & BROKER_TIME else message.timestamp
        frame = frame_of(content, message.key, timestamp, message.headers)
        is_wrong = verdict is Verdict.WRONG or flags & (UNLIKE | COLD_IS_FALSE | ORIGIN_IS_FALSE)
        is_wrong = is_wrong or int(published.frame[at]) != frame
        first, copies = int(published.place[at]), tuple(published.copies.get(offset, {}).values())
        if verdict is Verdict.APART and not is_wrong:
            self._found.leave_out("began_before")
            if copies:
                self.nearly.append(Near(offset, message, (first, *copies), is_known=False))
            return
        self._found.counts["compared"] += 1
        is_same = int(published.digest[at]) == digest_of(message.value)
        if is_wrong or not (is_same or published.is_mixed(begin, offset)):
            self._tell_different(offset, message.key, message)
        elif copies or not is_same:
            self.nearly.append(Near(offset, message, copies if is_same else (first, *copies)))

    def _miss(self, offset: int, message: Message, replayed: int, time_ms: int) -> None:
        """Say of an event without a prediction of this fold why that is."""
        published, key = self._published, message.key or b""
        letter, memories = self._dead.letters.get(offset), self._memories
        if letter and letter.code == NOT_FINITE and memories and memories.may_differ(key):
            memories.skipped(key)
            self._letters_seen[offset - published.start] = True
            self._found.leave_out("began_before")
            return
        if memories is not None:
            memories.unseen(key, replayed, time_ms)
        if self._is_answered_by_others(offset):
            self._found.leave_out("other_fold")
        elif published.first_kept is None or offset < published.first_kept:
            self._found.leave_out("removed")
        else:
            self.absent.put(offset, message, self._begins.get(key))
            while (beyond := self.absent.beyond()) is not None:
                self.tell_missing(beyond)

    def _is_answered_by_others(self, offset: int) -> bool:
        """Tell whether another fold has an output for an event.

        Without a transaction a dead letter names no fold: it is of one that stands beside it.
        """
        at, letter = offset - self._published.start, self._dead.letters.get(offset)
        if self._published.other_fold_count[at] or self._dead.is_of_others(offset):
            return True
        return letter is not None and not letter.is_named and self._is_beside_others(at)

    def _is_beside_others(self, at: int) -> bool:
        after = int(np.searchsorted(self._outputs, at))
        beside = self._outputs[max(0, after - 1) : after + 1]
        return bool((self._published.other_fold_count[beside] > 0).any())

    def _take_dead(self, offset: int, message: Message) -> None:
        code, key = dict(message.headers)["sr-error"].decode(), message.key or b""
        at, memories = offset - self._published.start, self._memories
        self._found.counts["dead_letters"] += 1
        letter = self._dead.letters.get(offset)
        if code == NOT_FINITE and memories is not None:
            if letter is None and self._published.count[at]:
                steps = int(self._published.steps[at])
                verdict = memories.judge(key, 0, steps, 0)
                memories.skipped(key)
                self._seen[at] = True
                if verdict is Verdict.APART:
                    self._found.leave_out("began_before")
                else:
                    self._tell_different(offset, key, None)
                return
            memories.skipped(key)
        self._letters_seen[at] = True
        if letter is None:
            self._miss_dead(offset, message)
        else:
            self.compare_dead(offset, message)

    def compare_dead(self, offset: int, message: Message) -> None:
        """Compare a dead letter that is there."""
        letter, at = self._dead.letters[offset], offset - self._published.start
        is_like = letter.says(as_cut(message, letter)) and not letter.is_unlike
        if not (is_like or letter.is_named) and self._is_beside_others(at):
            self._found.leave_out("other_fold")
            return
        self._found.letters_compared += 1
        if is_like and (copies := self._dead.copies.get(offset)):
            self.unsure.append(Near(offset, message, tuple(copies.values())))
        if not is_like:
            kind, places = "dead_letters_different", self._dead.places_of(offset)
            self.telling.tell(kind, offset, message.key, places=places, expected=message)

    def _miss_dead(self, offset: int, message: Message) -> None:
        at, kept = offset - self._published.start, self._dead.first_kept
        if self._published.other_fold_count[at] or self._dead.is_of_others(offset):
            self._found.leave_out("other_fold")
        elif kept is None or offset < kept:
            self._found.leave_out("removed")
        else:
            self.absent_dead.put(offset, message)
            while (beyond := self.absent_dead.beyond()) is not None:
                self.tell_missing_dead(beyond)

    def finish(self) -> None:
        """Find what should not be there: after all segments."""
        published, start = self._published, self._published.start
        is_chosen = (published.flags & NOT_CHOSEN) == 0
        nothing = (published.other_fold_count > 0) & ~self._held
        nothing[: self._least - start] = False
        unexpected = ((published.count > 0) & ~self._seen) | nothing
        for at in np.flatnonzero(unexpected & is_chosen):
            places = published.places_of(start + int(at))
            self.telling.tell("unexpected", start + int(at), places=places)
        is_repeated = (published.count.astype(np.uint32) + published.other_fold_count) > 1
        for at in np.flatnonzero(self._seen & is_repeated):
            repeated = int(published.count[at]) + int(published.other_fold_count[at]) - 1
            self.telling.tell("duplicated", start + int(at), count=repeated)
        for at in np.flatnonzero((published.flags & OUT_OF_ORDER > 0) & is_chosen):
            self.telling.tell("out_of_order", start + int(at))
        for offset, letter in self._dead.letters.items():
            self._finish_letter(offset, letter)

    def _finish_letter(self, offset: int, letter: Letter) -> None:
        is_seen = self._letters_seen[offset - self._published.start]
        if not (letter.is_chosen or is_seen):
            return
        if repeated := letter.count - 1 + self._dead.is_of_others(offset):
            self.telling.tell("dead_letters_duplicated", offset, count=repeated)
        is_of_others = offset < self._least or self._is_answered_by_others(offset)
        if is_seen or (is_of_others and not letter.is_named):
            return
        self.telling.tell("dead_letters_unexpected", offset, None, None, letter.code.encode())

    def arrived(self) -> None:
        """Compare what seemed to be missing and has been read meanwhile."""
        published = self._published
        for offset in [o for o in self.absent if published.count[o - published.start]]:
            message, begin = self.absent.pop(offset)
            content = content_of(message.value)
            steps = int(published.steps[offset - published.start])
            is_same = self._memories is None or steps == content["steps"]
            verdict = Verdict.SAME if is_same else Verdict.APART
            self._compare(offset, message, verdict, begin, content)
        for offset in [o for o in self.absent_dead if o in self._dead.letters]:
            message, _ = self.absent_dead.pop(offset)
            self.compare_dead(offset, message)

    def may_arrive(self) -> bool:
        """Tell whether something is missing behind all that is there: it may be late."""
        late = any(offset > self._published.last for offset in self.absent)
        return late or any(offset > self._dead.last for offset in self.absent_dead)

    def tell_missing(self, offset: int) -> None:
        """Say that a prediction is missing."""
        message, _ = self.absent.pop(offset)
        self.telling.tell("missing", offset, message.key, message.value)

    def tell_missing_dead(self, offset: int) -> None:
        """Say that a dead letter is missing."""
        message, _ = self.absent_dead.pop(offset)
        code = dict(message.headers)["sr-error"]
        self.telling.tell("dead_letters_missing", offset, message.key, code)

    def tell_not_near(self, near: Near, place: int, kind: str = "different") -> None:
        """Say that an output differs by value, too."""
        expected, key = near.message if near.is_known else None, near.message.key
        self.telling.tell(kind, near.offset, key, places=(place,), expected=expected)

    def _tell_different(self, offset: int, key: bytes | None, expected: Message | None) -> None:
        places = self._published.places_of(offset)
        self.telling.tell("different", offset, key, places=places, expected=expected)


def _offset(message: Message) -> int:
    return int(dict(message.headers)["sr-offset"])
