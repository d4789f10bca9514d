"""Predictions of two bundles on the same records, as the workers of a roll-out publish them."""

from dataclasses import dataclass

from stream_rnn.evaluation.fold_comparison import ComparedFolds, common_heads, compare_folds
from stream_rnn.evaluation.fold_targets import targets_of
from stream_rnn.evaluation.rollout_options import RolloutOptions
from stream_rnn.fold.fold_id import fold_id_of
from stream_rnn.fold.output_schema import model_decoder
from stream_rnn.model.network import Model
from stream_rnn.rollout.fold_predictions import JoinedPartition, PartitionPredictions
from stream_rnn.settings import FoldSettings
from stream_rnn.testing import MemoryLog
from stream_rnn.training.targets import make_target_extractor
from tests import memory_topics


@dataclass
class Pair:
    """The old and the new fold of one partition."""

    settings: FoldSettings
    models: tuple[Model, Model]
    logs: tuple[MemoryLog, MemoryLog]

    @classmethod
    async def of(cls, models, records, settings, partition=0) -> "Pair":
        """Fold records with both models, as two workers."""
        logs = [
            await memory_topics.fold(model, settings, records, partition=partition)
            for model in models
        ]
        return cls(settings, tuple(models), tuple(logs))

    @property
    def fold_ids(self):
        """Ids of the folds."""
        return tuple(fold_id_of(model, self.settings) for model in self.models)

    def collector(self, origins=(0, 0), partition=0) -> PartitionPredictions:
        """Return an empty collector."""
        heads, _ = common_heads(self.models)
        by_fold = dict(zip(self.fold_ids, origins, strict=True))
        settings = self.settings
        decoders = dict(zip(self.fold_ids, map(model_decoder, self.models), strict=True))
        place = settings.app, settings.source, partition
        return PartitionPredictions(*place, by_fold, heads, decoders)

    def join(self, **more) -> JoinedPartition:
        """Join all predictions of both folds."""
        found = self.collector(**more)
        for log in self.logs:
            for message in log.predictions:
                found.add(message.value, message.headers)
        return found.join()

    def targets(self, joined, labels=None):
        """Return the targets of the joined events, from the records of their range."""
        heads, _ = common_heads(self.models)
        extractor = make_target_extractor(
            self.models[0], self.settings, labels, joined.partition, None
        )
        records = [r for r in self.logs[0].records if joined.first <= r.offset <= joined.last]
        extractor.add(records)
        return targets_of(heads, joined, extractor)

    def compare(self, joined, **options):
        """Compare the folds on one joined partition."""
        heads, rest = common_heads(self.models)
        folds = ComparedFolds(
            app=self.settings.app,
            source=self.settings.source,
            fold_ids=self.fold_ids,
            models=self.models,
            heads=heads,
            not_compared=rest,
        )
        options = RolloutOptions(**options)
        return compare_folds(folds, [joined], self.targets(joined), options)
