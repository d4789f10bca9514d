"""Predictions: their schema, the reader that yields each of them once, and the worker's writer.

Begin with ``schema.py``, then read ``reader.py``; ``writer.py`` is the side of the worker.
"""

from stream_rnn.predictions.frames import batches, to_polars
from stream_rnn.predictions.reader import PredictionReader
from stream_rnn.predictions.schema import Prediction

__all__ = ["Prediction", "PredictionReader", "batches", "to_polars"]
