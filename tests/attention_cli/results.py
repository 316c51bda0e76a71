"""What a run folder holds, in a form that two runs can be compared by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def rows(folder: Path) -> list[dict[str, Any]]:
    """Read every line of the metrics, without the fields that tell the time."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in lines]


def contents(folder: Path) -> dict[str, Any]:
    """Gather what must be the same to the bit: metrics, best weights, newest weights, configuration."""
    (checkpoint,) = (folder / "checkpoint").iterdir()
    return {
        "rows": rows(folder),
        "best": (folder / "model.safetensors").read_bytes(),
        "newest": (checkpoint / "model.safetensors").read_bytes(),
        "checkpoint": (checkpoint.name, sorted(path.name for path in checkpoint.iterdir())),
        "config": (folder / "config.yaml").read_text(),
    }
