"""A trained model as a folder or an archive: its files as bytes, checked before they are used.

Every file is read once, into memory: the bytes that were hashed and checked are the bytes that are
loaded. An archive is never unpacked, so nothing in it can leave a folder.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from nnunet_pst.calibration.calibration import CALIBRATION
from nnunet_pst.dicom.reading.files import archive_fault, is_archive, leaves_archive
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.atomic_files import write_atomically
from nnunet_pst.io.claims import claimed
from nnunet_pst.io.digests import file_digest
from nnunet_pst.io.wording import printable

#: Beside ``plans.json`` of a model's folder; the name of an archive gets it appended.
MANIFEST = "model.sha256"
ARCHIVE_MANIFEST = ".sha256"
CHECKPOINT = "checkpoint_final.pth"
DESCRIPTIONS = ("plans.json", "dataset.json")
#: nnU-Net's largest networks have checkpoints of about 2 GB (weights and two moments of each).
MOST_BYTES = 8 * 2**30
MOST_DESCRIPTION_BYTES = 64 * 2**20
MOST_MEMBERS = 10_000
#: A checkpoint's floats hardly compress; what shrinks more than this is an archive bomb.
MOST_COMPRESSION = 200
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


@dataclass
class ModelFiles:
    """The files of one model.

    Attributes
    ----------
    path
        The folder or archive that was given.
    root
        Folder of ``plans.json``: below ``path`` in a folder, inside of an archive.
    names
        Every file, relative to ``root``.
    manifest
        Expected SHA-256 by name; None when there is no manifest.
    """

    path: Path
    root: PurePosixPath
    names: tuple[str, ...]
    manifest: dict[str, str] | None
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model in messages: the last part of its path."""
        return self.path.name

    def read(self, name: str, *, most_bytes: int = MOST_BYTES) -> bytes:
        """Read one file whole, check it against the manifest, and note its SHA-256 in ``digests``.

        Raises
        ------
        InputError
            When it is missing, too large, damaged, or not what the manifest says.
        """
        if name not in self.names:
            raise InputError(
                f"{self.name}: holds no {name}; give the folder of a finished model", Fault.MISSING
            )
        content = self._content(name, most_bytes)
        digest = hashlib.sha256(content).hexdigest()
        if self.manifest is not None and self.manifest.get(name) != digest:
            listed = name in self.manifest
            differs = "is not the file of" if listed else "is not listed in"
            raise InputError(
                f"{self.name}: {name} {differs} the model's manifest {MANIFEST}; get the model "
                "again, or write the manifest anew if you changed it",
                Fault.DAMAGED if listed else Fault.UNEXPECTED,
            )
        self.digests[name] = digest
        return content

    def read_json(self, name: str) -> dict[str, Any]:
        """Read one of the descriptions.

        Raises
        ------
        InputError
            As `read`, and when it is not a JSON object.
        """
        content = self.read(name, most_bytes=MOST_DESCRIPTION_BYTES)
        try:
            description = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{self.name}: {name} is not JSON; get the model again", Fault.DAMAGED
            ) from error
        if not isinstance(description, dict):
            raise InputError(
                f"{self.name}: {name} holds no JSON object; get the model again", Fault.WRONG_TYPE
            )
        return description

    def checkpoints(self, wanted: Sequence[int] = ()) -> list[str]:
        """Names of the final checkpoints: of every fold, else of the fold ``all``.

        ``nnUNetv2_predict`` without ``-f`` chooses the same.

        Parameters
        ----------
        wanted
            Numbers of folds; empty for all that are finished.

        Raises
        ------
        InputError
            When no fold is finished.
        """
        pattern = re.compile(rf"fold_(\d+)/{re.escape(CHECKPOINT)}")
        folds = {int(fold[1]): name for name in self.names if (fold := pattern.fullmatch(name))}
        if folds and set(wanted) <= folds.keys():
            return [folds[number] for number in sorted(wanted or folds)]
        if not wanted and (of_all := f"fold_all/{CHECKPOINT}") in self.names:
            return [of_all]
        raise InputError(
            f"{self.name}: holds no fold_*/{CHECKPOINT}; give a model whose training is finished",
            Fault.MISSING,
        )

    def _content(self, name: str, most_bytes: int) -> bytes:
        if self.path.is_dir():
            file = self.path / name
            if file.stat().st_size > most_bytes:
                raise InputError([_too_large(self.path, name, file.stat().st_size)])
            return file.read_bytes()
        with zipfile.ZipFile(self.path) as archive:
            member = archive.getinfo(str(self.root / name))
            _check_member(self.path, member, most_bytes)
            try:
                # Bounded, because an archive may state a wrong size.
                with archive.open(member) as packed:
                    content = packed.read(member.file_size + 1)
            except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError) as error:
                raise InputError([_damaged(self.path, name)]) from error
        if len(content) != member.file_size:
            raise InputError([_damaged(self.path, name)])
        return bytes(content)


def open_model(path: Path) -> ModelFiles:
    """Find the files of a model.

    Parameters
    ----------
    path
        Folder that ``nnUNetv2_train`` wrote (``<trainer>__<plans>__<configuration>``), or an
        archive of ``nnUNetv2_export_model_to_zip``, or of such a folder, that holds one model.

    Raises
    ------
    InputError
        When it is neither, or holds no model or several; for an archive with a manifest beside it,
        when its SHA-256 differs.
    """
    if path.is_dir():
        names = [
            file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_file()
        ]
        if DESCRIPTIONS[0] not in names:
            raise InputError([_no_model(path)])
        manifest = path / MANIFEST
        expected = read_manifest(manifest) if manifest.is_file() else None
        return ModelFiles(path, PurePosixPath(), tuple(names), expected)
    if not path.is_file() or not is_archive(path):
        raise InputError(
            f"{path}: is neither a folder nor a zip archive; give a trained model",
            Fault.WRONG_TYPE if path.exists() else Fault.MISSING,
        )
    return _open_archive(path)


def write_manifest(path: Path) -> Path:
    """Write the SHA-256 of the files that ``segment`` reads, in the format of ``sha256sum``.

    Parameters
    ----------
    path
        As for `open_model`.

    Returns
    -------
    Path
        ``model.sha256`` in the folder, or ``<archive>.sha256`` beside the archive.
    """
    if path.is_file():
        target = path.with_name(path.name + ARCHIVE_MANIFEST)
        # Unchecked, because the manifest that is there is being replaced.
        _open_archive(path, check=False).checkpoints()
        lines = [f"{file_digest(path)}  {path.name}"]
    else:
        files = open_model(path)
        files.manifest = None
        for name in (*DESCRIPTIONS, *files.checkpoints()):
            files.read(name)
        for name in ("dataset_fingerprint.json", CALIBRATION):
            if name in files.names:
                files.read(name)
        target = path / MANIFEST
        lines = [f"{digest}  {name}" for name, digest in sorted(files.digests.items())]
    with claimed(target.parent, "manifest", target.name):
        write_atomically(target, "".join(f"{line}\n" for line in lines))
    return target


def read_manifest(path: Path) -> dict[str, str]:
    """Read a manifest: SHA-256 by name.

    Raises
    ------
    InputError
        When it is in another format.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: cannot be read; write it anew", Fault.UNREADABLE) from error
    digests, complete = _digests(text)
    if not digests or not complete:
        raise InputError(
            f"{path.name}: is not a list of SHA-256 and names; write it anew", Fault.MALFORMED
        )
    return digests


def _digests(text: str) -> tuple[dict[str, str], bool]:
    """Read the lines of a manifest: SHA-256 by name, and whether every line could be read."""
    entries = [_LINE.fullmatch(line) for line in text.splitlines() if line.strip()]
    return {entry[2]: entry[1] for entry in entries if entry is not None}, None not in entries


def _open_archive(path: Path, *, check: bool = True) -> ModelFiles:
    manifest = path.with_name(path.name + ARCHIVE_MANIFEST)
    if check and manifest.is_file():
        expected = read_manifest(manifest).get(path.name)
        if expected != file_digest(path):
            raise InputError(
                f"{path.name}: is not the file of its manifest {manifest.name}; get it again, or "
                "write the manifest anew if you changed it",
                Fault.DAMAGED,
            )
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise InputError([archive_fault(path).within(path.name)]) from error
    _check_members(path, members)
    places = [PurePosixPath(member.filename) for member in members]
    roots = sorted({place.parent for place in places if place.name == DESCRIPTIONS[0]})
    if len(roots) != 1:
        several = f"{path.name}: holds {len(roots)} models; export one configuration alone"
        raise InputError([Problem(several, Fault.AMBIGUOUS) if roots else _no_model(path)])
    root = roots[0]
    inside = [p.relative_to(root).as_posix() for p in places if p.is_relative_to(root)]
    files = ModelFiles(path, root, tuple(inside), None)
    if MANIFEST in inside:
        text = files.read(MANIFEST, most_bytes=MOST_DESCRIPTION_BYTES).decode("utf-8", "replace")
        files.manifest, _ = _digests(text)
    return files


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    outside = next((m.filename for m in members if leaves_archive(m.filename)), None)
    if outside is not None:
        raise InputError(
            f"{path.name}: holds '{printable(outside)[:80]}', which would be outside the archive; "
            "refused",
            Fault.UNTRUSTED,
        )
    if len(members) > MOST_MEMBERS:
        raise InputError(
            f"{path.name}: holds {len(members)} files, more than any model; refused",
            Fault.TOO_LARGE,
        )


def _check_member(path: Path, member: zipfile.ZipInfo, most_bytes: int) -> None:
    if member.file_size > most_bytes:
        raise InputError([_too_large(path, member.filename, member.file_size)])
    if member.file_size > MOST_COMPRESSION * max(member.compress_size, 1) + 2**20:
        raise InputError(
            f"{path.name}: {member.filename} would grow {member.file_size} bytes from "
            f"{member.compress_size}; refused as an archive bomb",
            Fault.UNTRUSTED,
        )


def _too_large(path: Path, name: str, size: int) -> Problem:
    return Problem(
        f"{path.name}: {name} has {size / 2**30:.1f} GiB, more than any model here; refused",
        Fault.TOO_LARGE,
    )


def _damaged(path: Path, name: str) -> Problem:
    return Problem(f"{path.name}: {name} is damaged; copy it again", Fault.DAMAGED)


def _no_model(path: Path) -> Problem:
    return Problem(
        f"{path}: holds no {DESCRIPTIONS[0]}; give the folder named "
        "<trainer>__<plans>__<configuration> of a training, or an exported archive",
        Fault.MISSING,
    )
