"""AdamW without the import of torch's compiler.

Methods of torch's optimizers are wrapped so that torch.compile treats them well.  The wrappers
import the compiler at their first call, which takes seconds and 150 MB.  Training here is never
compiled, so it calls the methods inside of the wrappers, which compute the same bits.
"""

from inspect import unwrap
from typing import TYPE_CHECKING

import torch
from torch.optim import AdamW as TorchAdamW

if TYPE_CHECKING:
    AdamW = TorchAdamW
else:

    class AdamW(TorchAdamW):
        """torch's AdamW (Loshchilov and Hutter 2019), which is never compiled."""

        add_param_group = unwrap(TorchAdamW.add_param_group)
        zero_grad = unwrap(TorchAdamW.zero_grad)
        state_dict = unwrap(TorchAdamW.state_dict)
        load_state_dict = unwrap(TorchAdamW.load_state_dict)
        step = torch.no_grad()(unwrap(TorchAdamW.step))
