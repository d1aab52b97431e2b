"""Every verb with inputs that take a second, and what they are made of."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

SIZE_ZYX, SPACING_XYZ = (14, 32, 32), (1.5, 1.5, 5.0)
DATASET = "DatasetPST"


@dataclass(frozen=True)
class Scenario:
    """A command, with what it finds.

    Attributes
    ----------
    words
        ``{in}`` is the folder of the inputs, ``{work}`` where it writes.
    given
        Copied into ``{work}`` before: place there by name of an input.
    environ
        Variables, with the same two names.
    patches
        Of `patches`, before the command.
    changing
        Names of files that differ from run to run, such as logs with times.
    rooms
        Names of folders that are made for what the next steps may bring.
    """

    name: str
    words: tuple[str, ...]
    given: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    patches: tuple[str, ...] = ()
    changing: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    program: str = "nnunet_pst"


RAW = {"nnUNet_raw": "{in}/raw"}
PREPROCESSED = {"nnUNet_preprocessed": "{work}/preprocessed"}
METHODS = ("one={in}/predictions", "other={in}/predictions_other")
#: Spares the host's planner its trials of networks, which take seconds.
QUICK = ("patches:quick_planner",)
MODEL = "nnUNetTrainerPST25D__nnUNetPlans__2d_5"

SCENARIOS = (
    Scenario("phantom", ("phantom", "{work}/phantom", "--patients", "2", "--workers", "1")),
    Scenario("scan", ("scan", "{in}/dicom", "-o", "{work}/cohort.csv", "--anonymous-ids")),
    Scenario(
        "scan-again",
        ("scan", "{in}/dicom", "-o", "{work}/cohort.csv", "--overwrite"),
        given={"cohort/cohort.csv": "cohort.csv", "cohort/series.csv": "series.csv"},
    ),
    Scenario(
        "convert",
        (
            *("convert", "{in}/cohort/cohort.csv", "--dataset", DATASET, "--workers", "1"),
            *("--sequences", "T2"),
        ),
        environ={"nnUNet_raw": "{work}/raw"},
    ),
    Scenario(
        "convert-fusion",
        (
            *("convert", "{in}/cohort/cohort.csv", "--dataset", DATASET, "--layout", "fusion"),
            *("--channels", "T2", "T1", "--registration", "simpleitk", "--workers", "1"),
        ),
        environ={"nnUNet_raw": "{work}/raw"},
    ),
    Scenario(
        "plan", ("plan", DATASET, "--workers", "1"), environ={**RAW, **PREPROCESSED}, patches=QUICK
    ),
    Scenario(
        "plan-extend",
        ("plan", DATASET, "--extend"),
        given={"preprocessed": "preprocessed"},
        environ={**RAW, **PREPROCESSED},
    ),
    Scenario(
        "evaluate",
        (
            *("evaluate", "{in}/predictions", "--dataset", DATASET, "-o", "{work}/scores"),
            *("--workers", "1"),
        ),
        environ=RAW,
    ),
    Scenario(
        "evaluate-again",
        (
            *("evaluate", "{in}/predictions", "--dataset", DATASET, "-o", "{work}/scores"),
            *("--overwrite", "--no-overlays", "--workers", "1"),
        ),
        given={"scores": "scores"},
        environ=RAW,
    ),
    Scenario(
        "compare",
        ("compare", *METHODS, "--dataset", DATASET, "-o", "{work}/comparison", "--workers", "1"),
        environ=RAW,
    ),
    Scenario("report", ("report", "{work}/comparison"), given={"comparison": "comparison"}),
    Scenario("cohort", ("cohort", "{in}/cohort/cohort.csv", "-o", "{work}/described")),
    Scenario(
        "segment",
        (
            *("segment", "T2={in}/new/t2.nii.gz", "--model", "{in}/" + MODEL, "-o", "{work}/masks"),
            *("--device", "cpu", "--no-mirroring"),
        ),
    ),
    Scenario("manifest", ("manifest", "{work}/model"), given={MODEL: "model"}),
    Scenario(
        "sweep",
        (
            *("sweep", "{in}/cohort/cohort.csv", "--out", "{work}/sweep", "--dataset", DATASET),
            *("--strategies", "T2", "--epochs", "5", "-device", "cpu"),
        ),
        environ={"nnUNet_raw": "{work}/raw", **PREPROCESSED},
        patches=("patches:sweep_of_stubs", *QUICK),
        changing=("logs/*.txt",),
    ),
    Scenario(
        "demo",
        ("demo", "{work}/demo", "--patients", "8"),
        patches=("patches:demo_of_stubs",),
        rooms=("nnunet_data/*", "predictions_*"),
    ),
)


def write_image(path: Path, array: np.ndarray) -> None:
    """Write a (z, y, x) array."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_XYZ)
    image.SetOrigin((-12.0, 7.0, 30.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), True)


def make_patient(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return image and lesion, (z, y, x)."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(SIZE_ZYX)
    row, column = rng.uniform(12, 20, 2)
    lesion = ((z - 6.5) / 3) ** 2 + ((y - row) / 6) ** 2 + ((x - column) / 6) ** 2 <= 1
    image = rng.normal(300, 40, SIZE_ZYX) + 400 * lesion
    return image.clip(1).astype(np.int16), lesion.astype(np.uint8)


def write_cohort(folder: Path, patients: int = 6) -> None:
    """Write images, masks and the table; the last two patients are for tests."""
    rows = ["patient,split,T1,T1_label,T2,T2_label,size_cm"]
    for number in range(patients):
        cells = [f"anna-{number}", "test" if number >= patients - 2 else "train"]
        for sequence, seed in (("T1", number), ("T2", number + 100)):
            image, lesion = make_patient(seed)
            write_image(folder / f"{number}_{sequence}.nii.gz", image)
            write_image(folder / f"{number}_{sequence}_label.nii.gz", lesion)
            cells += [f"{number}_{sequence}.nii.gz", f"{number}_{sequence}_label.nii.gz"]
        rows.append(",".join([*cells, str(3 + number)]))
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")
    (folder / "series.csv").write_text("an earlier table\n")


def write_dicom(folder: Path) -> None:
    """Write two patients with a T2 of six slices each."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    assert pydicom
    for patient in ("anna", "bert"):
        for index in range(6):
            path = folder / patient / "t2" / f"{index:02d}.dcm"
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            one = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
            one.SOPClassUID = meta.MediaStorageSOPClassUID
            uid = generate_uid(entropy_srcs=[patient, str(index)])
            one.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = uid
            one.StudyInstanceUID = generate_uid(entropy_srcs=[patient, "study"])
            one.SeriesInstanceUID = generate_uid(entropy_srcs=[patient, "series"])
            one.FrameOfReferenceUID = generate_uid(entropy_srcs=[patient, "frame"])
            one.PatientID, one.PatientName, one.Modality = patient, "Doe^Jane", "MR"
            one.SeriesNumber, one.InstanceNumber = 3, index + 1
            one.SeriesDescription, one.ScanningSequence = "t2_tse_tra", "SE"
            one.EchoTime, one.RepetitionTime = 100.0, 4000.0
            one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            one.ImagePositionPatient = [-10, -20, 5.0 * index]
            one.PixelSpacing, one.SliceThickness = [1, 1], 4
            one.Rows, one.Columns = 16, 16
            one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
            one.BitsAllocated = one.BitsStored = 16
            one.HighBit, one.PixelRepresentation = 15, 0
            pixels = np.random.default_rng([index, *patient.encode()]).integers(0, 900, (16, 16))
            one.PixelData = pixels.astype(np.uint16).tobytes()
            path.parent.mkdir(parents=True, exist_ok=True)
            one.save_as(path, enforce_file_format=True)


def write_predictions(raw: Path, folder: Path, shift: int) -> None:
    """Write masks beside the truth of the test patients."""
    for label in sorted((raw / DATASET / "labelsTs").iterdir()):
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(label)))
        image = sitk.GetImageFromArray(np.roll((array == 1).astype(np.uint8), shift, axis=2))
        image.CopyInformation(sitk.ReadImage(str(label)))
        folder.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(image, str(folder / label.name), True)


def write_model(preprocessed: Path, raw: Path, folder: Path) -> None:
    """Write a folder as a training leaves it, with random weights."""
    import torch

    from nnunet_pst.network.unet25d import Unet25D

    plans = json.loads((preprocessed / DATASET / "nnUNetPlans.json").read_text())
    torch.manual_seed(0)
    network = Unet25D(1, 2, **plans["configurations"]["2d_5"]["architecture"]["arch_kwargs"])
    (folder / "fold_0").mkdir(parents=True)
    content = {
        "network_weights": network.state_dict(),
        "trainer_name": "nnUNetTrainerPST25D",
        "init_args": {"configuration": "2d_5"},
        "inference_allowed_mirroring_axes": (1, 2),
    }
    torch.save(content, folder / "fold_0" / "checkpoint_final.pth")
    (folder / "plans.json").write_text(json.dumps(plans))
    for name in ("dataset.json", "dataset_fingerprint.json"):
        place = raw if name == "dataset.json" else preprocessed
        shutil.copyfile(place / DATASET / name, folder / name)
