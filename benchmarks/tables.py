"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def render(results: dict[str, Any]) -> str:
    """Render a run: the machine, then a table for each part that was measured."""
    lines = [f"# Benchmarks, {results['date']}", ""]
    if results["quick"]:
        lines += ["**Smoke test on tiny arrays: these numbers mean nothing.**", ""]
    lines += [*_machine(results["machine"]), "", *_cohort(results["cohort"]), ""]
    for name, table in (
        ("loader", _loader),
        ("train", _train),
        ("predict", _predict),
        ("memory", _memory),
        ("start", _start),
    ):
        if name in results:
            lines += [*table(results[name]), ""]
    return "\n".join(lines)


def _machine(machine: dict[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    accelerator = f"{machine['gpu']}; " if machine["gpu"] else ""
    allocator = "set" if machine["allocator_variables"] else "**not set**"
    return [
        f"{accelerator}{machine['cpu']}, {machine['cores']} cores ({machine['instructions']}), "
        f"{machine['ram_gb']} GB; {machine['system']}, Python {machine['python']}; {versions}. "
        f"Allocator variables of `nnunet_pst env`: {allocator}.",
    ]


def _cohort(cohort: dict[str, Any]) -> list[str]:
    size = f"{cohort['slices']} x {cohort['rows']} x {cohort['columns']}"
    spacing = " x ".join(f"{mm:g}" for mm in cohort["spacing"])
    return [
        f"Synthetic cohort of {cohort['cases']} cases of {size} voxels of {spacing} mm, planned by "
        f"the host's ExperimentPlanner; stock networks, patches and batches as planned. Medians "
        f"[min..max] of measurements that took turns; every contender in a process of its own.",
    ]


def _loader(rows: list[dict[str, Any]]) -> list[str]:
    body = [
        [row["name"], _shape(row["batch"]), _span(row["items_per_second"]),
         _number(row["items_per_second"]["median"] * row["pixels_per_item"] / 1e6),
         *_ratios(row, rows)]
        for row in rows
    ]  # fmt: skip
    return [
        "## Loader, one core",
        "",
        "Reading, augmentation and batching on one thread, per second of processor time. A bag is "
        "the 3 slices of one training example and its label; cold: every slice is read and "
        "decompressed, warm: from memory. For a GPU: what the processor does where the GPU samples "
        "the bags, which is all but that sampling and the sending. Stock with our crops: its "
        "patches are as large.",
        "",
        *_table(["", "batch", "bags or slices/s", "image megapixels/s", *_headers(rows)], body),
    ]


def _train(rows: list[dict[str, Any]]) -> list[str]:
    body = [
        [row["name"], _shape(row["batch"]), _millions(row), _span(row["seconds"]),
         _span(row["items_per_second"]), *_ratios(row, rows), _peak(row)]
        for row in rows
    ]  # fmt: skip
    headers = ["", "batch", "parameters", "s/step", "bags or slices/s"]
    return [
        "## One training step",
        "",
        "Forward, loss, backward, clipping, update; the batch is at hand or, with its loader, a "
        "new one for every step. Both networks learn from one labeled slice per item, so the "
        "ratio is of bags and slices per second.",
        "",
        *_table([*headers, *_headers(rows), "peak MB"], body),
    ]


def _predict(rows: list[dict[str, Any]]) -> list[str]:
    body = [
        [row["name"], _shape(row["patch"]), str(row["mirrorings"]), _millions(row),
         _span(row["seconds"]) + (" *" if row["extrapolated"] else ""), *_ratios(row, rows),
         _peak(row)]
        for row in rows
    ]  # fmt: skip
    headers = ["", "patch", "mirrorings", "parameters", "s/volume"]
    notes = [
        f"\\* extrapolated for {row['name']}: one tile without mirroring was measured, times "
        f"{row['tiles']} tiles, times {row['mirrorings']} mirrorings."
        for row in rows
        if row["extrapolated"]
    ]
    once = ", ".join(f"{row['name']} {row['once_per_process_s']:.2f} s" for row in rows)
    return [
        f"## Prediction of one volume of {_shape(rows[0]['input'][1:])}",
        "",
        *_table([*headers, *_headers(rows), "peak MB"], body),
        "",
        f"nnU-Net's predictor, mirroring on; where it says segment, the network as "
        f"`nnunet_pst segment` runs it, with that engine. What is made once per process (the "
        f"Gaussian, the compiled network) is not counted: {once}.",
        *[part for note in notes for part in ("", note)],
    ]


def _memory(rows: list[dict[str, Any]]) -> list[str]:
    first = rows[0]
    body = []
    for row in rows:
        more = row["input"][1] - first["input"][1]
        per_slice = (row["peak_mb"] - first["peak_mb"]) / more if more else None
        body.append([
            str(row["input"][1]), _mb(row["imported_mb"]), _mb(row["peak_mb"]),
            "" if per_slice is None else f"{per_slice:.2f}",
        ])  # fmt: skip
    plane = 4 * first["input"][2] * first["input"][3] / 2**20
    return [
        f"## Memory of {first['name']} and the number of slices",
        "",
        *_table(["slices", "after imports, MB", "peak MB", "MB per further slice"], body),
        "",
        f"One slice of {first['input'][2]} x {first['input'][3]} in single precision is "
        f"{plane:.2f} MB; the host and the network hold several arrays of the whole volume (image, "
        f"padded, mirrored, two classes of logits, weights).",
    ]


def _start(rows: list[dict[str, Any]]) -> list[str]:
    return [
        "## Start-up",
        "",
        "Each in a fresh process; the first, which reads from the disk, is not counted.",
        "",
        *_table(["", "seconds"], [[row["name"], _span(row["seconds"])] for row in rows]),
    ]


def _table(headers: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    rules = ["---", *["---:"] * (len(headers) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (headers, rules, *body)]


def _headers(rows: list[dict[str, Any]]) -> list[str]:
    return [f"times as fast as {name}" for name in _stock(rows)]


def _ratios(row: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    found = row["times_as_fast_as"]
    return [_span(found[name]) if name in found else "" for name in _stock(rows)]


def _stock(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row["times_as_fast_as"]))


def _span(summary: dict[str, Any]) -> str:
    low, middle, high = (_number(summary[key]) for key in ("min", "median", "max"))
    return f"{middle} [{low}..{high}]"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _shape(sizes: Sequence[int]) -> str:
    return " x ".join(str(size) for size in sizes)


def _millions(row: dict[str, Any]) -> str:
    return f"{row['parameters'] / 1e6:.1f} M"


def _peak(row: dict[str, Any]) -> str:
    on_device = f" + {_mb(row['device_peak_mb'])} on the GPU" if "device_peak_mb" in row else ""
    return _mb(row["peak_mb"]) + on_device


def _mb(value: float) -> str:
    return f"{value:.0f}"
