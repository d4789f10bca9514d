"""A Faust plugin: one recurrent-network step per Kafka event, each key's hidden state in Redis.

Where to start reading: a record travels ``worker/transport.py`` -> ``fold/processor.py`` ->
``fold/publisher.py``, and ``fold/recovery.py`` decides where that starts.  What is computed is
``model/model.py``; what readers get is ``predictions/``.

Shape letters, everywhere: B keys in a round, F features, H hidden size, L layers, O outputs,
T time steps.  x is (B, F), y is (B, O), h is (B, L, H), for an LSTM (B, 2, L, H).
"""

from importlib.metadata import version

__version__ = version("stream-rnn")
