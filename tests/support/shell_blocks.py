"""Shell blocks of Markdown pages, line by line, for tests."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: First line of a block that takes hours without a GPU.
NEEDS_GPU = "# needs a GPU"


@dataclass(frozen=True)
class Block:
    """A block: its page, the number of its first line, its lines with continued ones joined."""

    page: Path
    line: int
    lines: tuple[str, ...]

    @property
    def needs_gpu(self) -> bool:
        return self.lines[:1] == (NEEDS_GPU,)

    @property
    def name(self) -> str:
        return f"{self.page.stem}:{self.line}"

    def commands(self) -> Iterator[list[str]]:
        """Words of every command, those in $(...) and behind | or && too, without redirections."""
        for line in self.lines:
            for part in re.split(r"\s(?:&&|\|)\s|\$\(|\)\"", line):
                try:
                    words = shlex.split(part.partition(" > ")[0], comments=True)
                except ValueError:
                    continue  # a half of a quoted script, such as awk's
                if "nnunet_pst" in words:
                    # xargs gives a command its last words.
                    fed = ["FED"] * ("xargs" in words)
                    words = [*words[words.index("nnunet_pst") :], *fed]
                if words:
                    yield words


def shell_blocks(page: Path) -> list[Block]:
    """All ```bash blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text[: found.start()].count("\n") + 2,
            tuple(re.sub(r"\\\n\s*", " ", found[1]).strip().splitlines()),
        )
        for found in re.finditer(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]
