"""What a training writes and users share: without the names of this machine and its folders."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from nnunet_pst.io.atomic_files import write_atomically


def forget_paths(file: Path) -> None:
    """Shorten absolute paths to names in a JSON file that nnU-Net exports; remove the host name.

    ``nnUNetv2_export_model_to_zip`` puts ``debug.json`` and ``summary.json`` into the archive.
    """
    content = json.loads(file.read_text(encoding="utf-8"))

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: cleaned(v) for k, v in value.items() if k != "hostname"}
        if isinstance(value, list):
            return [cleaned(v) for v in value]
        if isinstance(value, str) and os.path.isabs(value):
            return os.path.basename(value)
        return value

    write_atomically(file, json.dumps(cleaned(content), indent=4))
