"""Headers of a real study, changed at random: no traceback, no hang, no silent change of choice.

Each mutation changes an element in every file of one series: it is removed, or gets another type, a
value of another maker, another length. ``NNUNET_PST_MUTATIONS=2000`` makes all; the list of the
elements that changed what was taken is printed (pytest -s).
"""

from __future__ import annotations

import os
import random
import time
import warnings
from collections import Counter
from pathlib import Path

import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import FileDataset

from nnunet_pst.dicom.reading.files import Origin
from nnunet_pst.dicom.reading.headers import Instance, read_instance
from nnunet_pst.dicom.reading.series import gather_series
from nnunet_pst.dicom.scan.studies import judge_studies
from nnunet_pst.errors import InputError

DATA = Path(__file__).parents[5] / "shared" / "data"
#: Series of the prostate study: T2, DWI of four b-values, its ADC and computed image, T1 twice.
FOLDERS = ("5.*", "8.*", "9.*", "10.*", "25.*", "26.*")
COUNT = int(os.environ.get("NNUNET_PST_MUTATIONS", "24"))
#: What decides which series is taken, by docs/dicom.md: a change may follow from these alone.
DECIDES = {
    *("Modality", "SOPClassUID", "SamplesPerPixel", "ContentQualification", "Manufacturer"),
    *("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SeriesNumber"),
    *("SeriesDescription", "ProtocolName", "ImageType", "SequenceName", "ScanningSequence"),
    *("RepetitionTime", "EchoTime", "EchoNumbers", "InversionTime", "FlipAngle", "NumberOfFrames"),
    *("AcquisitionTime", "AcquisitionDate", "AcquisitionNumber", "InstanceNumber"),
    *("ContrastBolusAgent", "ContrastBolusStartTime", "DerivationDescription", "TriggerTime"),
    *("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"),
    *(
        "BitsAllocated",
        "PixelData",
        "FrameOfReferenceUID",
        "SpecificCharacterSet",
        "(0019,100c)",
        "(0019,0010)",
    ),
    "(0019,100d)",
}
FOREIGN = (
    *("GE MEDICAL SYSTEMS", "Philips", "CANON_MEC", "AX T1 +C", "T2 TSE", "ADC", "DERIVED", "MIP"),
    *("LOCALIZER", "0", "-1", "1e9", "800", "1000000800", "101500", "20200101", "M_SE", "EP", "GR"),
    *("Gadovist", "1.2.840.10008.5.1.4.1.1.7", "nativ", "\\", "\u809a", "a" * 70, "1\\2\\3"),
)


def mutated(dataset: FileDataset, keyword: pydicom.tag.BaseTag, way: int, value: str) -> None:
    """Change an element of a header."""
    if way == 0:
        del dataset[keyword]
    elif way == 1:
        dataset[keyword] = DataElement(keyword, "UN", value.encode("utf-8", "replace"))
    elif way == 2:
        dataset[keyword] = DataElement(keyword, "LO", value)
    elif way == 3:
        dataset[keyword] = DataElement(keyword, "UT", value * 500)
    else:
        dataset[keyword] = DataElement(keyword, "UN", b"")


def chosen(instances: list[Instance]) -> dict[str, tuple[str, str]]:
    """Which series and stacks are taken, over all studies; by UID, which stays."""
    studies = judge_studies(gather_series(instances))
    return {
        name: (one.stack.series.uid, str(one.stack.key))
        for study in studies
        for name, one in study.chosen.items()
    }


def name_of(tag: pydicom.tag.BaseTag) -> str:
    return pydicom.datadict.keyword_for_tag(tag) or str(tag).replace(" ", "").lower()


@pytest.mark.skipif(not DATA.is_dir(), reason="the real studies aren't here")
def test_mutated_headers_change_nothing_silently(tmp_path: Path):
    files = {
        pattern: [pydicom.dcmread(one) for one in sorted(DATA.glob(f"prostatex-0218/{pattern}/*"))]
        for pattern in FOLDERS
    }
    read = {
        pattern: [read_instance(Origin(Path(one.filename))) for one in datasets]
        for pattern, datasets in files.items()
    }
    usual = chosen([one for every in read.values() for one in every])
    assert set(usual) == {"T1", "T2", "DWI"}
    draw = random.Random(20)
    changed: Counter[str] = Counter()
    refused, done, slowest = 0, 0, 0.0
    while done < COUNT:
        pattern, way, value = draw.choice(FOLDERS), draw.randrange(5), draw.choice(FOREIGN)
        datasets = files[pattern]
        tag = draw.choice([element.tag for element in datasets[0]])
        paths = written(datasets, tag, (way, value), tmp_path)
        if paths is None:  # pydicom can't write it; another one is drawn
            continue
        done += 1
        begun = time.monotonic()
        own = [instance for path in paths if (instance := read_or_refused(path)) is not None]
        refused += len(paths) - len(own)
        others = [one for name, every in read.items() if name != pattern for one in every]
        if chosen([*others, *own]) != usual:
            changed[name_of(tag)] += 1
        slowest = max(slowest, time.monotonic() - begun)
    print(f"{done} mutations, {refused} files refused, slowest {slowest:.1f} s, changed: {changed}")
    assert set(changed) <= DECIDES
    assert slowest < 300  # a hang, not a speed


def read_or_refused(path: Path) -> Instance | None:
    """Read a header, or None where it is refused with lines; anything else is a bug."""
    try:
        return read_instance(Origin(path))
    except InputError:
        return None


def written(
    datasets: list[FileDataset], tag: pydicom.tag.BaseTag, change: tuple[int, str], folder: Path
) -> list[Path] | None:
    """Write files with an element changed; None where pydicom can't."""
    paths = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index, dataset in enumerate(datasets):
            kept = dataset.get(tag)
            paths.append(folder / f"{index:03d}.dcm")
            try:
                if kept is not None:
                    mutated(dataset, tag, *change)
                pydicom.dcmwrite(paths[-1], dataset)
            except Exception:
                return None
            finally:
                if kept is not None:
                    dataset[tag] = kept
    return paths
