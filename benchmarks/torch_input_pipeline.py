"""torchvision's side of benchmarks/input_pipeline.py, for an interpreter that has torchvision."""

import json
import random
import sys
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from torchvision.transforms import functional

COLOUR_STD = torch.tensor([0.2175, 0.0188, 0.0045])
COLOUR_COMPONENTS = torch.tensor(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
)


def jitter(image):
    return functional.resize(image, random.randint(256, 512))


def shift_colours(image):
    shift = COLOUR_COMPONENTS @ (COLOUR_STD * torch.randn(3) * 0.1)
    return image.add_(shift[:, None, None])


TRANSFORM = transforms.Compose(
    [
        jitter,
        transforms.RandomCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        shift_colours,
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), inplace=True),
    ]
)


def main():
    loader = None
    for line in sys.stdin:
        request = json.loads(line)
        if loader is None:
            images = datasets.ImageFolder(Path(request["folder"]) / "train", TRANSFORM)
            loader = DataLoader(
                images,
                batch_size=request["batch"],
                shuffle=True,
                drop_last=True,
                num_workers=request["workers"],
                persistent_workers=True,
            )
        start, images, moments = time.perf_counter(), 0, []
        for x, _ in loader:
            images += len(x)
            if request["look"]:
                moments.append(torch.stack([x.mean((0, 2, 3)), x.std((0, 2, 3))]))
        seconds = time.perf_counter() - start
        moments = torch.stack(moments).mean(0).tolist() if moments else None
        print(json.dumps({"seconds": seconds, "images": images, "moments": moments}), flush=True)


if __name__ == "__main__":
    main()
