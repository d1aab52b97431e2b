"""Files from strangers: cut off, mutated, inflated, misnamed. One line each, and no traceback."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from nnunet_pst.cli.main import main
from nnunet_pst.dicom.masks.structures import structure_mask
from nnunet_pst.dicom.reading.datasets import read_dataset, translated
from nnunet_pst.dicom.reading.files import Origin, walk
from nnunet_pst.dicom.reading.headers import Instance, read_instance
from nnunet_pst.dicom.reading.pixels import read_stack
from nnunet_pst.dicom.reading.series import gather_series
from nnunet_pst.dicom.scan.scanning import scan
from nnunet_pst.dicom.scan.sequence_rules import judge, read_rules
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.geometry import Grid

Writer = Callable[..., np.ndarray]
T2 = {"ScanningSequence": "SE", "EchoTime": 100.0, "RepetitionTime": 4000.0}
T1 = {"ScanningSequence": "SE", "EchoTime": 12.0, "RepetitionTime": 600.0}
GRID = Grid((16, 12, 6), (1, 1, 4), (-10, -20, 30), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def mutated(data: bytes, random_: random.Random) -> bytes:
    """Bytes changed, cut out, doubled, or lengths set to the largest."""
    content = bytearray(data)
    for _ in range(random_.randint(1, 8)):
        place = random_.randrange(128, len(content) - 8)
        kind = random_.randrange(5)
        if kind == 0:
            content[place] = random_.randrange(256)
        elif kind == 1:
            del content[place : place + random_.randint(1, 40)]
        elif kind == 2:
            content[place:place] = content[place : place + random_.randint(1, 40)]
        elif kind == 3:
            length = random_.choice([0, 0xFFFFFFFF, 0x7FFFFFFF, 65536])
            struct.pack_into("<I", content, place, length)
        else:
            content = content[: max(place, 200)]
            break
    return bytes(content)


def problems_of(origin: Origin, headers: list[Instance], kind: str) -> list[Problem]:
    """Read a file as a scan and a conversion would; any exception except `InputError` is a bug."""
    lines: list[Problem] = []
    try:
        instance = read_instance(origin)
        if kind == "structures":
            with translated(origin):
                structure_mask(read_dataset(origin, pixels=False), GRID)
            return []
        for series in gather_series([*headers, instance]):
            for stack in series.stacks:
                judge(stack, read_rules())
                read_stack(stack)
    except InputError as error:
        lines = error.problems
    assert all(line.isprintable() for line in lines)
    return lines


@pytest.mark.parametrize("kind", ["image", "structures"])
def test_mutated_files_give_a_line_or_a_result(
    tmp_path: Path, write_series: Writer, write_structures: Callable, kind: str
):
    positions = tuple(4.0 * i for i in range(6))
    write_series(tmp_path / "series", positions=positions, **T2)
    contour = np.array([[-8, -18, 34], [-2, -18, 34], [-2, -12, 34]])
    write_structures(tmp_path / "rs", {"GTV": [contour]})
    victim = tmp_path / "rs" if kind == "structures" else min((tmp_path / "series").iterdir())
    whole, random_ = victim.read_bytes(), random.Random(4)
    origin, refused = Origin(victim), 0
    headers = [read_instance(o) for o in walk(tmp_path / "series").dicom if o != origin]
    for _ in range(250):
        victim.write_bytes(mutated(whole, random_))
        refused += bool(problems_of(origin, headers, kind))
    assert refused > 20


def test_a_truncated_file_is_named_and_the_rest_is_scanned(
    tmp_path: Path, write_series: Writer, capsys: pytest.CaptureFixture[str]
):
    positions = tuple(4.0 * i for i in range(6))
    write_series(tmp_path / "whole", number=1, positions=positions, **T2)
    write_series(tmp_path / "cut", number=2, positions=positions, **T2)
    last = max((tmp_path / "cut").iterdir())
    last.write_bytes(last.read_bytes()[:300])
    (tmp_path / "text.dcm").write_text("not DICOM")
    assert main(["scan", str(tmp_path), "-o", str(tmp_path / "out" / "cohort.csv")]) == 3
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 2
    assert all(line.startswith("error: ") for line in printed)
    assert "series 1" not in "".join(printed)
    table = (tmp_path / "out" / "cohort.csv").read_text()
    assert table.splitlines()[1:] == ["patient-1,../whole,"]


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"../../evil.dcm": bytes(128) + b"DICM"}, Fault.UNTRUSTED),
        ({"/etc/evil.dcm": bytes(128) + b"DICM"}, Fault.UNTRUSTED),
        ({"C:\\evil.dcm": bytes(128) + b"DICM"}, Fault.UNTRUSTED),
        ({"bomb.dcm": bytes(128) + b"DICM" + bytes(300 * 2**20)}, Fault.UNTRUSTED),
        ({"inner.zip": b"PK"}, Fault.UNSUPPORTED),
    ],
    ids=["up", "root", "drive", "bomb", "nested"],
)
def test_harmful_archives_are_refused(tmp_path: Path, members: dict, fault: Fault):
    path = archive(tmp_path / "study.zip", members)
    tracemalloc.start()
    with pytest.raises(InputError) as caught:
        scan(path, tmp_path / "out" / "cohort.csv")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    (line,) = caught.value.problems
    assert "study.zip" in line
    assert line.fault is fault
    assert peak < 64 * 2**20, "the bomb of 300 MiB must not go off"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["study.zip"]


def test_a_damaged_zip_and_images_of_absurd_size(
    tmp_path: Path, write_series: Writer, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    write_series(tmp_path / "huge", Rows=65535, Columns=65535, positions=range(6), **T2)
    assert main(["scan", str(tmp_path), "-o", str(tmp_path / "out" / "cohort.csv")]) == 1
    printed = capsys.readouterr().err
    assert "broken.zip: is a damaged or cut-off zip archive" in printed
    assert "claims 65535 x 65535 x 6 voxels" in printed


@pytest.mark.parametrize("verb", ["scan", "segment"])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("study.zip", None, "is a damaged or cut-off zip archive; copy it again"),
        ("study", None, "is a damaged or cut-off zip archive; copy it again"),
        ("study.zip", b"text", "is not a zip archive; copy it again"),
        ("study.zip", b"", "is not a zip archive; copy it again"),
        ("study.tar.gz", b"\x1f\x8b text", "is neither a DICOM file nor a zip archive"),
    ],
    ids=["cut", "cut-unnamed", "text", "empty", "other"],
)
def test_a_file_that_is_not_an_archive_is_one_line(
    tmp_path: Path,
    write_series: Writer,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    name: str,
    content: bytes | None,
    message: str,
):
    place = tmp_path / name
    if content is None:
        write_series(tmp_path / "series", **T2)
        files = {path.name: path.read_bytes() for path in (tmp_path / "series").iterdir()}
        whole = archive(tmp_path / "whole.zip", files).read_bytes()
        content = whole[: len(whole) // 2]
    place.write_bytes(content)
    words = [verb, str(place), "-o", str(tmp_path / "out" / "cohort.csv")]
    assert main([*words, "--model", "m"] if verb == "segment" else words) == 1
    assert capsys.readouterr().err == f"error: {name}: {message}\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (1, "ends early (383 of 384 bytes of pixels)"),
        (384, "ends early (0 of 384 bytes of pixels)"),
        (396, "holds no pixels"),
        (410, "holds no pixels"),
    ],
)
@pytest.mark.parametrize("implicit", [False, True])
def test_cut_off_pixels_are_found_without_reading_them(
    tmp_path: Path,
    write_series: Writer,
    capsys: pytest.CaptureFixture[str],
    lost: int,
    message: str,
    implicit: bool,
):
    positions = tuple(4.0 * i for i in range(6))
    write_series(tmp_path / "whole", number=1, positions=positions, EchoNumbers=1, **T1)
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    write_series(
        tmp_path / "cut",
        number=2,
        positions=positions,
        edit=lambda made, _: setattr(made.file_meta, "TransferSyntaxUID", syntax),
        **T2,
    )
    last = max((tmp_path / "cut").iterdir())
    last.write_bytes(last.read_bytes()[:-lost])
    assert main(["scan", str(tmp_path), "-o", str(tmp_path / "out" / "cohort.csv")]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    place = f"error: patient-1: series 2: 1 of 6 images lacks pixels, the first {last.name}"
    assert line == f"{place}: {message}; copy the series again"
    assert (tmp_path / "out" / "cohort.csv").read_text().splitlines()[1:] == ["patient-1,../whole,"]
    rows = (tmp_path / "out" / "series.csv").read_text().splitlines()
    (row,) = [row for row in rows if ",cut off," in row]
    assert "rejected" in row
    assert row.count("copy the series again") == 1


def test_compressed_pixels_are_followed_to_their_end(
    tmp_path: Path, write_series: Writer, capsys: pytest.CaptureFixture[str]
):
    def compress(made: FileDataset, index: int) -> None:
        made.compress(RLELossless, generate_instance_uid=False)

    array = write_series(tmp_path / "t2", positions=range(6), edit=compress, **T2)
    victim = max((tmp_path / "t2").iterdir())
    whole = victim.read_bytes()
    assert main(["scan", str(tmp_path), "-o", str(tmp_path / "out" / "cohort.csv")]) == 0
    (series,) = gather_series(read_instance(o) for o in walk(tmp_path / "t2").dicom)
    assert np.array_equal(read_stack(series.stacks[0]).array, array)
    for lost in (1, 8, 30, 150):
        victim.write_bytes(whole[:-lost])
        (image,) = read_instance(Origin(victim)).slices
        assert image.pixel_problem is not None
        assert image.pixel_problem.fault is Fault.DAMAGED
    assert main(["scan", str(tmp_path), "-o", str(tmp_path / "out2" / "cohort.csv")]) == 1
    assert "1 of 6 images lacks pixels" in capsys.readouterr().err
