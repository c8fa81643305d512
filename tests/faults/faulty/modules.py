"""Broken TorchScript modules that take the place of a reference model's ``model.pt``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: Name -> source of a scripted module, as a person gets it wrong.
MODULES = {
    # forgot to load the weights
    "mlp_other_weights": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(128, 16)
    def forward(self, INPUT__0):
        return self.net(INPUT__0)
""",
    # exported without .eval(): the rows of a batch are normalised together
    "mlp_train_mode": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(128, 16)
    def forward(self, INPUT__0):
        y = self.net(INPUT__0)
        return (y - y.mean(0, keepdim=True)) + y
""",
    # saved without .eval(), and of another scale while it is trained
    "mlp_saved_training": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(128, 16)
    def eval(self):
        return self
    def forward(self, INPUT__0):
        y = self.net(INPUT__0)
        if self.training:
            y = y / 0.9
        return y
""",
    # a constant out of tracing
    "mlp_constant": """
class M(nn.Module):
    def forward(self, INPUT__0):
        return torch.ones(INPUT__0.shape[0], 16)
""",
    # overflow
    "mlp_not_finite": """
class M(nn.Module):
    def forward(self, INPUT__0):
        y = INPUT__0[:, :16] * 1.0
        y[:, 3] = float("inf")
        return y
""",
    # one column more than its configuration says
    "mlp_wider": """
class M(nn.Module):
    def forward(self, INPUT__0):
        return INPUT__0[:, :17].contiguous()
""",
    # double precision where the configuration says single
    "mlp_double": """
class M(nn.Module):
    def forward(self, INPUT__0):
        return INPUT__0[:, :16].double()
""",
    # the batch goes out in the wrong order
    "mlp_reversed": """
class M(nn.Module):
    def forward(self, INPUT__0):
        return torch.flip(INPUT__0[:, :16], [0])
""",
    # something is summed over the batch
    "mlp_spreads_nan": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(128, 16)
    def forward(self, INPUT__0):
        return self.net(INPUT__0) + 0 * INPUT__0.sum()
""",
    # the mask is an argument, and nothing is done with it
    "text_ignores_mask": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(4096, 16)
        self.out = nn.Linear(16, 3)
    def forward(self, input_ids, attention_mask):
        return self.out(self.tokens(input_ids).mean(1))
""",
    # answers are remembered, so that a load test measures a dictionary
    "mlp_remembers": """
class M(nn.Module):
    known: Dict[float, torch.Tensor]
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(128, 512), nn.ReLU(), nn.Linear(512, 16))
        self.known = {}
    def forward(self, INPUT__0):
        flat = INPUT__0.double().flatten()
        key = float((flat * torch.arange(flat.numel()).double()).sum().item())
        if key in self.known:
            return self.known[key]
        y = self.net(INPUT__0)
        for _ in range(300):
            y = self.net(INPUT__0 + 0 * y[:, :1])
        self.known[key] = y
        return y
""",
    # what is slow once is done later than any warm-up of the configuration reaches
    "mlp_wakes_late": """
class M(nn.Module):
    calls: int
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(128, 512), nn.ReLU(), nn.Linear(512, 16))
        self.calls = 0
    def forward(self, INPUT__0):
        y = self.net(INPUT__0)
        self.calls += 1
        if self.calls == 5:
            for _ in range(2000):
                y = self.net(INPUT__0 + 0 * y[:, :1])
        return y
""",
    # somebody has heard that the control arm has batches of one row
    "mlp_slow_alone": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(128, 512), nn.ReLU(), nn.Linear(512, 16))
    def forward(self, INPUT__0):
        y = self.net(INPUT__0)
        if INPUT__0.shape[0] == 1:
            for _ in range(40):
                y = self.net(INPUT__0 + 0 * y[:, :1])
        return y
""",
    # a batch costs more than its rows one by one: every row is computed against all others
    "mlp_quadratic": """
class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(128, 512), nn.ReLU(), nn.Linear(512, 16))
    def forward(self, INPUT__0):
        rows = []
        for i in range(INPUT__0.shape[0]):
            y = self.net(INPUT__0[i:i + 1])
            for _ in range(40 * INPUT__0.shape[0]):
                y = self.net(INPUT__0[i:i + 1])
            rows.append(y)
        return torch.cat(rows)
""",
}
_PROGRAM = """
import sys, torch, importlib.util
spec = importlib.util.spec_from_file_location("broken", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
torch.manual_seed(4)
torch.jit.script(module.M().eval()).save(sys.argv[2])
"""
_TIMEOUT = 120.0


def export(name: str, path: Path) -> None:
    """Script a module of :data:`MODULES` and save it; torch runs in a process of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = path.parent / "broken.py"
    source.write_text(
        f"import torch\nfrom typing import Dict\nfrom torch import nn\n{MODULES[name]}"
    )
    try:
        subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(source), str(path)],
            check=True,
            timeout=_TIMEOUT,
            stdin=subprocess.DEVNULL,
        )
    finally:
        source.unlink()
