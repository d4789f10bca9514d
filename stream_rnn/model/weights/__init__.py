"""Weights of networks that were trained elsewhere: read from a file, matched, checked, built.

    files.py       which reader takes a file; its bounds
    torch_file.py  safetensors_file.py  onnx_file.py  keras_file.py    the readers
    separate.py    a reader in a process of its own: HDF5, which a damaged file makes loop or crash
    match.py  matched.py    which tensor is which part of the network
    inputs.py      the order of the inputs of the recurrent layer
    scalings.py    the scalings that the spec must state
    build.py       the model
    reference.py   compare.py  causes.py    the outputs of the network's own code, and what differs

A reader runs no code from a file, and gives tensors under torch's names, in torch's layout.
"""
