"""The layer table: what runs, in which order, with how many numbers."""

import torch
from torch import Tensor, nn

from ganctl.summary import layer_table, totals, training_bytes


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(torch.ones(2))
        self.linear = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.norm(self.linear(x))
        return y * self.scale[0], y


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(4, 2, bias=False))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        out: Tensor = self.head(self.block(x)[0])
        return out


def test_rows_come_in_order_of_execution_with_shapes_and_counts() -> None:
    rows = layer_table(Net().eval(), torch.zeros(5, 3), None)
    assert [(r.module, r.kind, r.parameters, r.buffers, r.shape) for r in rows] == [
        ("block.linear", "Linear", 16, 0, (5, 4)),
        ("block.norm", "BatchNorm1d", 8, 9, (5, 4)),
        ("block", "Block", 2, 0, (5, 4)),
        ("head.0", "ReLU", 0, 0, (5, 4)),
        ("head.1", "Linear", 8, 0, (5, 2)),
    ]
    assert {r.dtype for r in rows} == {"float32"}


def test_the_rows_add_up_to_the_totals() -> None:
    net = Net()
    rows = layer_table(net.eval(), torch.zeros(1, 3))
    assert (sum(r.parameters for r in rows), sum(r.buffers for r in rows)) == totals(net)
    assert totals(net) == (34, 9)


def test_shared_parameters_are_counted_once() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    assert totals(net) == (16 + 4 + 4, 0)


def test_nothing_is_computed_on_meta_tensors() -> None:
    with torch.device("meta"):
        net = nn.Linear(100_000, 100_000)  # 40 GB
        rows = layer_table(net, torch.zeros(1, 100_000))
    assert rows[0].shape == (1, 100_000)
    assert rows[0].module == "(itself)"
    assert rows[0].parameters == 100_000 * 100_001


def test_the_network_is_left_as_it_was() -> None:
    net = Net().eval()
    layer_table(net, torch.zeros(1, 3))
    assert all(not module._forward_hooks for module in net.modules())
    assert all(p.grad is None for p in net.parameters())


def test_memory_grows_with_rows_and_with_the_average() -> None:
    networks: dict[str, nn.Module] = {"generator": Net(), "discriminator": Net()}
    tables = {name: layer_table(n.eval(), torch.zeros(1, 3)) for name, n in networks.items()}
    one = training_bytes(tables, networks, rows=1, ema=False)
    numbers_per_row = 4 + 4 + 4 + 4 + 2
    weights = 2 * (4 * 34 + 9)
    assert one == 4 * (weights + 3 * numbers_per_row)
    assert training_bytes(tables, networks, 11, False) - one == 4 * 3 * 10 * numbers_per_row
    assert training_bytes(tables, networks, 1, True) - one == 4 * 34
