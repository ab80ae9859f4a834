"""The workloads of `npm run gpu` in eager PyTorch. Reads {"kernels": [...], "steps": [...], "rounds": n} from standard input,
writes {"device": ..., "rows": {name: {"fp32": ms, "tf32": ms}}} to standard output. Medians, by events of the device for kernels, by the
wall clock for steps."""
import json
import statistics
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

device = torch.device("cuda")


class ChannelNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        u = x.mean(1, keepdim=True)
        s = (x - u).pow(2).mean(1, keepdim=True)
        x = (x - u) / torch.sqrt(s + 1e-6)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class GnConv(nn.Module):
    def __init__(self, dim, order):
        super().__init__()
        self.widths = [dim // 2**i for i in range(order)][::-1]
        inner = sum(self.widths)
        self.proj_in = nn.Conv2d(dim, 2 * dim, 1)
        self.dwconv = nn.Conv2d(inner, inner, 7, padding=3, groups=inner)
        self.proj_out = nn.Conv2d(dim, dim, 1)
        self.pws = nn.ModuleList(nn.Conv2d(self.widths[i], self.widths[i + 1], 1) for i in range(order - 1))

    def forward(self, x):
        gate, spatial = torch.split(self.proj_in(x), (self.widths[0], sum(self.widths)), dim=1)
        q = torch.split(self.dwconv(spatial) / 3, self.widths, dim=1)
        x = gate * q[0]
        for pw, each in zip(self.pws, q[1:]):
            x = pw(x) * each
        return self.proj_out(x)


class Block(nn.Module):
    def __init__(self, dim, order):
        super().__init__()
        self.norm1, self.gnconv = ChannelNorm(dim), GnConv(dim, order)
        self.norm2, self.pwconv1, self.pwconv2 = nn.LayerNorm(dim, eps=1e-6), nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.gamma1, self.gamma2 = (nn.Parameter(torch.full((dim,), 0.1)) for _ in range(2))

    def forward(self, x):
        x = x + self.gamma1.view(-1, 1, 1) * self.gnconv(self.norm1(x))
        y = self.pwconv2(F.gelu(self.pwconv1(self.norm2(x.permute(0, 2, 3, 1)))))
        return x + (self.gamma2 * y).permute(0, 3, 1, 2)


class HorNet(nn.Module):
    def __init__(self, depths, base, channels, classes):
        super().__init__()
        dims = [base * 2**i for i in range(4)]
        self.down = nn.ModuleList([nn.Sequential(nn.Conv2d(channels, base, 4, 4), ChannelNorm(base))])
        self.down.extend(nn.Sequential(ChannelNorm(dims[i]), nn.Conv2d(dims[i], dims[i + 1], 2, 2)) for i in range(3))
        self.stages = nn.ModuleList(nn.Sequential(*(Block(dims[i], i + 2) for _ in range(depths[i]))) for i in range(4))
        self.norm, self.head = nn.LayerNorm(dims[3], eps=1e-6), nn.Linear(dims[3], classes)

    def forward(self, x):
        for down, stage in zip(self.down, self.stages):
            x = stage(down(x))
        return self.head(self.norm(x.mean([-2, -1])))


def hornet(model):
    return HorNet([1, 1, 2, 1], 16, 1, 10) if "micro" in model else HorNet([2, 3, 18, 2], 64, 3, 1000)


def prepare(w):
    data = lambda *shape: torch.rand(shape, device=device) - 0.5
    kind = w["kind"]
    if kind == "add":
        x, y = data(w["elements"]), data(w["elements"])
        return lambda: x + y
    if kind == "gelu":
        x = data(w["elements"])
        return lambda: F.gelu(x)
    if kind == "adamw":
        p = nn.Parameter(data(w["elements"]))
        p.grad = data(w["elements"])
        return torch.optim.AdamW([p], lr=1e-3, weight_decay=0.05, fused=True).step
    if kind == "matmul":
        x, y = data(w["m"], w["k"]), data(w["k"], w["n"])
        return lambda: x @ y
    if kind == "softmax":
        x = data(w["rows"], w["columns"])
        return lambda: torch.softmax(x, 1)
    if kind == "layerNorm":
        x, p = data(w["rows"], w["columns"]), data(w["columns"])
        return lambda: F.layer_norm(x, (w["columns"],), p, p)
    if kind == "channelNorm":
        x, norm = data(w["n"], w["channels"], w["size"], w["size"]), ChannelNorm(w["channels"]).to(device)
        return lambda: norm(x)
    if kind == "rfft2":
        x = data(w["n"], w["channels"], w["size"], w["size"])
        return lambda: torch.fft.rfft2(x)
    if kind == "attention":
        q, k, v = (data(w["n"], w["heads"], w["length"], w["width"]) for _ in range(3))
        return lambda: F.scaled_dot_product_attention(q, k, v)
    if kind == "conv":
        x, g = data(w["n"], w["channels"], w["size"], w["size"]), data(w["n"], w["out"], w["size"], w["size"])
        weight, pad = data(w["out"], w["channels"] // w["groups"], w["kernel"], w["kernel"]), w["kernel"] // 2
        if w["pass"] == "forward":
            return lambda: F.conv2d(x, weight, padding=pad, groups=w["groups"])
        mask = [w["pass"] == "inputGrad", w["pass"] == "weightGrad", False]
        one = [1, 1]
        return lambda: torch.ops.aten.convolution_backward(g, x, weight, None, one, [pad, pad], one, False, [0, 0], w["groups"], mask)
    raise ValueError(kind)


def time_kernel(run, rounds):
    times = []
    for i in range(rounds + 5):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        if i >= 5:
            times.append(begin.elapsed_time(end))
    return statistics.median(times)


def time_step(w, rounds):
    model = hornet(w["model"]).to(device).train(w["train"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05)
    channels, classes = (1, 10) if "micro" in w["model"] else (3, 1000)
    pixels = torch.rand(w["batch"], channels, w["size"], w["size"]).pin_memory()
    labels = (torch.arange(w["batch"]) % classes).pin_memory()
    times = []
    for i in range(rounds + 5):
        start = time.perf_counter()
        x = pixels.to(device, non_blocking=True)
        if w["train"]:
            loss = F.cross_entropy(model(x), labels.to(device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5)
            optimizer.step()
            loss.item()
        else:
            with torch.no_grad():
                model(x).cpu()
        if i >= 5:
            times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def main():
    task = json.load(sys.stdin)
    rows = {}
    for key, tf32 in (("fp32", False), ("tf32", True)):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        for w in task["kernels"]:
            rows.setdefault(w["name"], {})[key] = time_kernel(prepare(w), task["rounds"])
        for w in task["steps"]:
            rows.setdefault(w["name"], {})[key] = time_step(w, task["rounds"])
            torch.cuda.empty_cache()
    json.dump({"device": torch.cuda.get_device_name(), "torch": torch.__version__, "rows": rows}, sys.stdout)


if not torch.cuda.is_available():
    sys.exit("PyTorch sees no GPU here")
main()
