"""Does PyTorch take weights that Crabro wrote?

    torch_load.py MANIFEST.json FILE.pth|FILE.safetensors [--at model]

Builds modules with the names, shapes and kinds of entries that a manifest of the published network lists, and loads the file with
strict=True. `npm run crabro -- convert` writes such files. The other way round is tested by the files in golden/files, which PyTorch wrote.
"""
import argparse
import json
import struct

import numpy as np
import torch

DTYPES = {"F32": np.float32, "F16": np.float16, "F64": np.float64, "I64": np.int64, "I32": np.int32}


def modules(entries):
    root = torch.nn.Module()
    for entry in entries:
        *path, name = entry["name"].split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, torch.nn.Module())
            module = module._modules[part]
        value = torch.zeros(entry["shape"], dtype=getattr(torch, entry["dtype"]))
        if entry["param"]:
            module.register_parameter(name, torch.nn.Parameter(value))
        else:
            module.register_buffer(name, value)
    return root


def safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    header.pop("__metadata__", None)

    def tensor(entry):
        begin, end = entry["data_offsets"]
        return torch.from_numpy(np.frombuffer(data[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"]).copy())

    return {name: tensor(entry) for name, entry in header.items()}


parser = argparse.ArgumentParser()
parser.add_argument("manifest")
parser.add_argument("file")
parser.add_argument("--at")
flags = parser.parse_args()
with open(flags.manifest, encoding="utf-8") as file:
    network = modules(json.load(file)["entries"])
state = safetensors(flags.file) if flags.file.endswith(".safetensors") else torch.load(flags.file)
if flags.at:
    state = state[flags.at]
print(network.load_state_dict(state, strict=True))
