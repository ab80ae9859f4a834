"""PyTorch on the CPU: `pytorch.py THREADS`. Answers the messages of ../contestant.ts. Runs with PyTorch 1.13 and later."""
import gc
import json
import math
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(int(sys.argv[1]))


def hash32(x):
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def fill(seed, shape, scale=1.0):
    """The same numbers as fill() of ../inputs.ts."""
    count = int(np.prod(shape))
    bits = hash32(np.arange(count, dtype=np.uint32) + np.uint32((seed * 0x9E3779B9) & 0xFFFFFFFF))
    values = ((bits >> np.uint32(8)).astype(np.float64) / 8388608 - 1).astype(np.float32) * np.float32(scale)
    return torch.from_numpy(values).reshape(tuple(shape))


def parameters(specs):
    def value(spec):
        if spec["value"] is None:
            return fill(spec["seed"], spec["shape"], spec["scale"])
        return torch.full(tuple(spec["shape"]), float(spec["value"]))

    return {spec["name"]: value(spec).requires_grad_() for spec in specs}


def norm_channels(x, weight, bias):
    mean = x.mean(1, keepdim=True)
    variance = (x - mean).pow(2).mean(1, keepdim=True)
    return weight[:, None, None] * ((x - mean) / torch.sqrt(variance + 1e-6)) + bias[:, None, None]


def gnconv(p, path, x, order):
    dim = x.shape[1]
    dims = [dim // 2**k for k in reversed(range(order))]
    inner = sum(dims)
    gate, spatial = torch.split(F.conv2d(x, p[path + "proj_in.weight"], p[path + "proj_in.bias"]), (dims[0], inner), 1)
    windows = F.conv2d(spatial, p[path + "dwconv.weight"], p[path + "dwconv.bias"], padding=3, groups=inner) * (1 / 3)
    q = torch.split(windows, dims, 1)
    y = gate * q[0]
    for k in range(order - 1):
        y = F.conv2d(y, p[f"{path}pws.{k}.weight"], p[f"{path}pws.{k}.bias"]) * q[k + 1]
    return F.conv2d(y, p[path + "proj_out.weight"], p[path + "proj_out.bias"])


def block(p, path, x, order):
    mixed = gnconv(p, path + "gnconv.", norm_channels(x, p[path + "norm1.weight"], p[path + "norm1.bias"]), order)
    x = x + mixed * p[path + "gamma1"].view(-1, 1, 1)
    z = F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],), p[path + "norm2.weight"], p[path + "norm2.bias"], 1e-6)
    z = F.gelu(F.linear(z, p[path + "pwconv1.weight"], p[path + "pwconv1.bias"]))
    z = F.linear(z, p[path + "pwconv2.weight"], p[path + "pwconv2.bias"])
    return x + (z * p[path + "gamma2"]).permute(0, 3, 1, 2)


def hornet(p, x, config):
    for i, (depth, order) in enumerate(zip(config["depths"], config["orders"])):
        q = f"downsample_layers.{i}."
        if i == 0:
            x = F.conv2d(x, p[q + "0.weight"], p[q + "0.bias"], stride=4)
            x = norm_channels(x, p[q + "1.weight"], p[q + "1.bias"])
        else:
            x = norm_channels(x, p[q + "0.weight"], p[q + "0.bias"])
            x = F.conv2d(x, p[q + "1.weight"], p[q + "1.bias"], stride=2)
        for j in range(depth):
            x = block(p, f"stages.{i}.{j}.", x, order)
    x = x.mean((-2, -1))
    x = F.layer_norm(x, (x.shape[1],), p["norm.weight"], p["norm.bias"], 1e-6)
    return F.linear(x, p["head.weight"], p["head.bias"])


def program(work):
    """(forward, inputs, parameters)"""
    kind = work["kind"]
    if kind == "matmul":
        side = (work["n"], work["n"])
        return torch.matmul, [fill(1, side), fill(2, side)], {}
    x = work["x"]
    if kind == "conv":
        w = fill(2, work["w"], float(np.prod(work["w"][1:])) ** -0.5)
        return lambda a, b: F.conv2d(a, b, None, work["stride"], work["padding"], 1, work["groups"]), [fill(1, x), w], {}
    if kind == "norm-channels":
        return norm_channels, [fill(1, x), fill(2, x[1:2]), fill(3, x[1:2])], {}
    if kind == "norm-last":
        return lambda a, w, b: F.layer_norm(a, (x[1],), w, b, 1e-6), [fill(1, x), fill(2, x[1:2]), fill(3, x[1:2])], {}
    if kind == "gelu":
        return F.gelu, [fill(1, x, 3)], {}
    if kind == "chain":
        return lambda a: F.relu(a * 2 + 1) * a, [fill(1, x)], {}
    if kind == "softmax":
        return lambda a: F.softmax(a, -1), [fill(1, x, 3)], {}
    if kind == "mean":
        return lambda a: a.mean((-2, -1)), [fill(1, x)], {}
    if kind == "attention":
        scale = x[3] ** -0.5
        return lambda q, k, v: F.softmax((q @ k.transpose(-1, -2)) * scale, -1) @ v, [fill(1, x), fill(2, x), fill(3, x)], {}
    if kind == "fourier":
        _, c, h, w = x
        bins = (c, h, w // 2 + 1)

        def filtered(a, re, im):
            return torch.fft.irfft2(torch.fft.rfft2(a, norm="ortho") * torch.complex(re, im), s=(h, w), norm="ortho")

        return filtered, [fill(1, x), fill(2, bins), fill(3, bins)], {}
    p = parameters(work["parameters"])
    if kind == "gnconv":
        return lambda a: gnconv(p, "", a, work["order"]), [fill(7, x)], p
    if kind == "block":
        return lambda a: block(p, "", a, work["order"]), [fill(7, x)], p
    return lambda a: hornet(p, a, work["config"]), [fill(7, x)], p


class Task:
    """run() does the work once; outputs() also gives the results, loss() those of a training step."""

    def __init__(self, task):
        work, direction = task["work"], task["direction"]
        self.loss = None
        if work["kind"] == "adamw":
            p = torch.nn.Parameter(fill(1, (work["n"],)))
            p.grad = fill(2, (work["n"],))
            optimizer = torch.optim.AdamW([p], lr=1e-3, weight_decay=0.05)
            self.run = optimizer.step
            self.outputs = lambda: (optimizer.step(), [p.detach()])[1]
            return
        forward, inputs, p = program(work)
        if direction == "fwd":

            def once():
                with torch.no_grad():
                    return forward(*inputs)

            self.run = once
            self.outputs = lambda: [once()]
        elif direction == "step":
            classes = work["config"]["classes"]
            labels = torch.tensor([(i * 7 + 3) % classes for i in range(work["x"][0])])
            optimizer = torch.optim.AdamW(p.values(), lr=1e-3, weight_decay=0.05)

            def step():
                optimizer.zero_grad(set_to_none=True)
                loss = F.cross_entropy(forward(*inputs), labels)
                loss.backward()
                optimizer.step()
                return float(loss.detach())

            self.run = self.loss = step
        else:
            for x in inputs:
                x.requires_grad_()
            with torch.no_grad():
                gradient = fill(9, forward(*inputs).shape)

            def both():
                for x in (*inputs, *p.values()):
                    x.grad = None
                y = forward(*inputs)
                y.backward(gradient)
                return y

            self.run = both
            self.outputs = lambda: (both(), [x.grad for x in inputs])[1]


def sums(t):
    t = t.detach().double()
    return [float(t.sum()), float(t.abs().sum())]


def load(message):
    start = time.perf_counter()
    task = Task(message["task"])
    losses = []
    found = []
    if task.loss is None:
        found = [sums(t) for t in task.outputs()]
    else:
        losses.append(task.loss())
    first = time.perf_counter() - start
    began = time.perf_counter()
    if task.loss is None:
        task.run()
    else:
        for _ in range(1 if first > 3 else 3):
            began = time.perf_counter()
            losses.append(task.loss())
    warm = time.perf_counter() - began
    return task, {"sums": found, "losses": losses, "firstMs": first * 1e3, "warmMs": warm * 1e3}


def measure(task, seconds, least):
    """As benchmark.js: samples of 20 ms at the least, each the mean of its runs."""
    started = time.perf_counter()
    task.run()
    count = max(1, math.ceil(0.02 / max(time.perf_counter() - started, 1e-7)))
    samples = []
    while len(samples) < least or time.perf_counter() - started < seconds:
        began = time.perf_counter()
        for _ in range(count):
            task.run()
        samples.append((time.perf_counter() - began) / count * 1e3)
    return {"samples": samples}


def reply(message):
    print("@bench " + json.dumps(message), flush=True)


reply({"describe": f"PyTorch {torch.__version__} on the CPU, {torch.get_num_threads()} threads"})
current = None
for line in sys.stdin:
    request = json.loads(line)
    try:
        if request["op"] == "load":
            current, answer = load(request)
            reply(answer)
        elif request["op"] == "measure":
            reply(measure(current, request["seconds"], request["least"]))
        else:
            current = None
            gc.collect()
            reply({})
    except Exception as error:  # a failure of one task is its result
        reply({"error": str(error) or type(error).__name__})
