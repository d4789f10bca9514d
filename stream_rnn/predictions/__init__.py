"""What readers get: the schema of a prediction and the once-only reader.

Start with ``schema.py``; ``reader.py`` yields each prediction once; ``writer.py`` is the other side.
"""

from stream_rnn.predictions.reader import PredictionReader
from stream_rnn.predictions.schema import Prediction

__all__ = ["Prediction", "PredictionReader"]
