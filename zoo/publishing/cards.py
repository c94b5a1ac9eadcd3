"""Write model cards, Markdown pages about the entries of an index."""

from __future__ import annotations

from pathlib import Path

from deeprect_gluon.files import write_atomically, write_text_atomically

from .. import index as index_file
from ..store import Store

_CARD = """\
# {name}, {activation}, trained on {dataset}

| | |
|---|---|
| top-1 error | {error:.2f} % of {images:,} test images |
{top5}| loss | {loss:.4f} nats |
| parameters | {parameters:,} |
| multiply-adds for an image | {multiply_adds:,} |
| input | {channels} x {size} x {size} pixels |
| version | {version}, {date} |
| licence | {licence} |

The figures were measured from the published file after decoding it.

## Use
```python
import zoo

net = zoo.get_model("{name}", pretrained="{dataset}@{version}", activation="{activation}")
scores = net(net.preprocess(images))  # images: uint8, (N, height, width, {channels})
```
Classes: {classes}.

Preprocessing: {fit}, values divided by 255, mean {mean} \
subtracted, divided by {std}.

## Net
{config}

## Training
```
{command}
```
{train}

Code version {code}.
{curves}
## File
`{file}`, {bytes:,} bytes, {format}, SHA-256 `{sha256}`
"""


def _table(values: dict) -> str:
    rows = [f"| {key} | {value} |" for key, value in values.items()]
    return "\n".join(["| setting | value |", "|---|---|", *rows])


def card(entry: dict, curves: str | None = None) -> str:
    """Return the model card of an index entry as Markdown.

    Parameters
    ----------
    entry : dict
    curves : str, optional
        The path of the picture of the training curves, relative to the card.
    """
    config, recipe, metrics = entry["config"], entry["recipe"], entry["metrics"]
    more = {key: value for key, value in recipe.items() if key not in ("command", "version")}
    settings = {**more.pop("train"), **more}
    size, resize = entry["preprocess"]["size"], entry["preprocess"].get("resize")
    fit = f"a border of black up to {size} x {size} pixels"
    if resize:
        fit = f"shorter side resized to {resize} pixels, central crop of {size} x {size}"
    top5 = metrics.get("top5_error")
    return _CARD.format(
        **{key: entry[key] for key in ("name", "dataset", "version", "date", "licence")},
        **{key: entry[key] for key in ("parameters", "multiply_adds")},
        **{key: entry["preprocess"][key] for key in ("size", "mean", "std")},
        **entry["weights"],
        activation=config["activation"],
        channels=config["in_channels"],
        error=100 * metrics["top1_error"],
        top5="" if top5 is None else f"| top-5 error | {100 * top5:.2f} % |\n",
        fit=fit,
        images=metrics["images"],
        loss=metrics["loss"],
        classes=", ".join(entry["classes"]),
        config=_table(config),
        command=recipe["command"],
        code=recipe["version"],
        train=_table(settings),
        curves=f"\n![Loss and error during training]({curves})\n" if curves else "",
    )


def write_cards(store: Store, folder: Path) -> list[Path]:
    """Write a card with training curves for the latest version of each net of a store.

    Parameters
    ----------
    store : Store
    folder : Path
        Where NAME-ACTIVATION-DATASET.md and .png are written. It is made if it does not exist.

    Returns
    -------
    list of Path
        The paths of the cards.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_write_card(store, entry, folder) for entry in index_file.latest(store.entries)]


def _write_card(store: Store, entry: dict, folder: Path) -> Path:
    # Imported here because they import Matplotlib and TensorBoard, which `card` does not need.
    from deeprect_gluon.train import history
    from deeprect_gluon.train.report import compare_curves

    title = index_file.title(entry)
    rows = history.read(store.path(entry["history"]))
    picture, path = folder / f"{title}.png", folder / f"{title}.md"
    write_atomically(picture, lambda temporary: compare_curves({"": rows}, temporary, title))
    text = card(entry, curves=picture.name)
    write_text_atomically(path, text)
    return path
