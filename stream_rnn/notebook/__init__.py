"""The verbs of training and judging as Python functions, for notebooks and scripts.

    spec.py      propose_spec, load_spec
    train.py     train
    evaluate.py  evaluate
    compare.py   compare
    trace.py     trace
    replay.py    replay

They are names of ``stream_rnn`` itself: ``from stream_rnn import train``.  ``stream-rnn train`` and
its sisters call them too.
"""
