"""Standard output that may be closed, full or of few letters: none of it stops the work.

``nnunet_pst sweep … | head`` must train all the same. What cannot be printed is dropped, and the
exit code says so when the work is done.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

#: What a shell expects of a program whose reader went away: 128 and the number of SIGPIPE.
READER_GONE = 141
#: As coreutils end when their output cannot be written.
UNWRITABLE = 1


class PatientOutput(io.TextIOBase):
    """A text stream that drops what its stream refuses, and remembers why.

    Attributes
    ----------
    error
        The first refusal; None while everything was written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream behind it."""
        return self._stream.encoding

    def write(self, text: str) -> int:
        """Write, or drop the text."""
        if self.error is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self.error = error
        return len(text)

    def flush(self) -> None:
        """Flush; what cannot be flushed is dropped."""
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self.error = error

    def isatty(self) -> bool:
        """Whether the stream behind it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the stream behind it, which child processes inherit."""
        return self._stream.fileno()

    def exit_code(self, code: int) -> int:
        """Return the exit code of a program that would have ended with ``code``."""
        if self.error is None:
            return code
        # Python flushes once more when it ends; that must neither fail nor speak.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        if isinstance(self.error, BrokenPipeError):
            return READER_GONE if code == 0 else code
        print(f"error: standard output: {self.error.strerror}", file=sys.stderr)
        return code or UNWRITABLE


def _open_closed_streams() -> None:
    """Open what the shell has closed (``2>&-``): else a data file gets the number of a stream.

    Libraries and child processes would then write their messages into it.
    """
    handle = os.open(os.devnull, os.O_RDWR)
    while handle <= 2:
        os.set_inheritable(handle, True)
        handle = os.open(os.devnull, os.O_RDWR)
    os.close(handle)


@contextmanager
def patient_output() -> Iterator[PatientOutput]:
    """Put a `PatientOutput` in the place of standard output, and stand in for closed streams."""
    _open_closed_streams()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (until the end)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without Unicode shows \u00e9 instead of ending the work.
            stream.reconfigure(errors="backslashreplace")
    genuine, output = sys.stdout, PatientOutput(sys.stdout)
    sys.stdout = output
    try:
        yield output
        output.flush()
    finally:
        sys.stdout = genuine
