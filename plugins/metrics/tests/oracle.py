"""pytorch-fid 0.3.0 as an oracle, where its import fails beside the CPU build of torch."""

from typing import Any

import torch
from torch import Tensor

_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):  # torchvision's CUDA build describes them, and finds none
    if not hasattr(torch.ops.torchvision, _name):
        _LIBRARY.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def pytorch_fid_network(state: dict[str, Tensor]) -> Any:
    """Its InceptionV3 for pool3 features, with these weights."""
    from pytorch_fid import inception

    before = inception.load_state_dict_from_url
    inception.load_state_dict_from_url = lambda *args, **kwargs: state
    try:
        return inception.InceptionV3([3]).eval()
    finally:
        inception.load_state_dict_from_url = before
