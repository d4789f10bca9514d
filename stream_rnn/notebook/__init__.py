"""Training, evaluation and replay as Python functions, for notebooks and scripts.

    spec.py      propose_spec, load_spec
    train.py     train
    evaluate.py  evaluate
    compare.py   compare
    trace.py     trace
    replay.py    replay
    rollout.py   compare_rollout

``options.py`` and ``signatures.py`` generate their keywords and what ``help`` shows of them.

Import them from the package: ``from stream_rnn import train``.  The commands of the same names,
such as ``stream-rnn train``, call these functions.
"""
