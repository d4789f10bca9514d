"""Reads published outputs again: those that are compared by value, and those that become examples."""

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing

from stream_rnn.audit.comparison import Comparison
from stream_rnn.audit.dead_letters import DeadLetters
from stream_rnn.audit.differences import differences, printable_bytes
from stream_rnn.audit.findings import PendingExample, ValueComparison
from stream_rnn.audit.framed_values import in_json
from stream_rnn.audit.published_predictions import PublishedPredictions
from stream_rnn.audit.result import AuditResult, Finding, is_close
from stream_rnn.keys import describe_key
from stream_rnn.model.heads import Multiclass
from stream_rnn.model.network import Model
from stream_rnn.predictions.decoder import as_json

VALUE_COMPARISONS_MAX = 1000  # in one read
SAME_COPIES = "the same, but another copy differs"
SAME_STEPS = (
    "the same, but these steps are impossible: the key's other predictions show that its memory "
    "began before the range"
)


class SecondLook:
    """Reads outputs of one partition again.

    Args:
        published: Published predictions.
        dead_letters: Published dead letters.
        model: Bundle of the fold.
        result: Result to add examples to.
        examples: Number of examples of each kind.
    """

    def __init__(
        self,
        published: PublishedPredictions,
        dead_letters: DeadLetters,
        model: Model,
        result: AuditResult,
        examples: int,
    ) -> None:
        self._published, self._dead_letters = published, dead_letters
        self._result, self._examples = result, examples
        self._decoder = published.decoder
        heads = (head for head in model.spec.heads if isinstance(head, Multiclass))
        self._labels = {head.name: frozenset(head.labels) for head in heads}
        self._example_counts: Counter[str] = Counter()

    async def run(self, comparison: Comparison) -> None:
        """Read again the outputs that the comparison needs for its values and examples."""
        pending = comparison.value_comparisons
        for first in range(0, len(pending), VALUE_COMPARISONS_MAX):
            await self._compare_values(comparison, pending[first : first + VALUE_COMPARISONS_MAX])
        pending.clear()
        await self._compare_dead_letters(comparison)
        for example in comparison.findings.pending:
            await self._add_example(example)
        comparison.findings.pending.clear()

    async def _compare_values(
        self, comparison: Comparison, pairs: Sequence[ValueComparison]
    ) -> None:
        values = await self._published.values(
            output_offset for pair in pairs for output_offset in pair.output_offsets
        )
        self._result.other_numerics += len(pairs)
        values = {place: as_json(one, self._decoder) or b"" for place, one in values.items()}
        for pair in pairs:
            replayed = as_json(pair.message.value, self._decoder)
            expected = replayed if pair.has_same_memory else values.get(pair.output_offsets[0])
            for output_offset in pair.output_offsets:
                value = values.get(output_offset)
                if not is_close(value or b"", expected or b"", self._labels):
                    comparison.add_unequal(pair, output_offset, "different")
                    break

    async def _compare_dead_letters(self, comparison: Comparison) -> None:
        """Compare copies of dead letters that contain different shares of the same record."""
        pairs = comparison.letter_comparisons
        expected = {offset: pair.message for pair in pairs for offset in pair.output_offsets}
        unequal = set(expected)
        async with aclosing(self._dead_letters.records(expected)) as found:
            async for record in found:
                if not differences(record, expected[record.offset], is_dead_letter=True):
                    unequal.discard(record.offset)
        for pair in pairs:
            first = next((offset for offset in pair.output_offsets if offset in unequal), None)
            if first is not None:
                comparison.add_unequal(pair, first, "dead_letters_different")
        pairs.clear()

    async def _add_example(self, example: PendingExample) -> None:
        """Add an example to the result, unless the result has enough of its kind."""
        if self._example_counts[example.kind] >= self._examples:
            return
        self._example_counts[example.kind] += 1
        key = "" if example.key is None else describe_key(example.key)
        published, replayed, parts = await self._describe_sides(example)
        place = example.kind, self._published.owner.partition, example.offset
        finding = Finding(*place, key=key, published=published, replayed=replayed, parts=parts)
        self._result.examples.append(finding)

    async def _describe_sides(
        self, example: PendingExample
    ) -> tuple[str | None, str | None, tuple[str, ...]]:
        """Return the published output, the expected one, and the names of the parts that differ."""
        is_dead_letter = example.kind.startswith("dead_letters")
        output = self._dead_letters if is_dead_letter else self._published
        reads = [await output.record(offset) for offset in example.output_offsets]
        records = [record for record in reads if record]
        if not is_dead_letter:
            example, records = in_json(self._decoder, example, records)
        first = records[0].value if records else example.published
        if example.expected is None or not records:
            expected = example.expected.value if example.expected else example.replayed
            return printable_bytes(first), printable_bytes(expected), ()
        for record in records:
            if parts := differences(record, example.expected, is_dead_letter=is_dead_letter):
                published = "; ".join(f"{part.name} {part.published}" for part in parts)
                replayed = "; ".join(f"{part.name} {part.replayed}" for part in parts)
                return published, replayed, tuple(part.name.split()[0] for part in parts)
        if output.is_unlike(example.offset):
            return printable_bytes(first), SAME_COPIES, ("copies",)
        return printable_bytes(first), SAME_STEPS, ("steps",)
