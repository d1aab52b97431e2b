"""How often gray values tell that an image was given under another sequence's name.

Learns from the training images of a raw dataset, as `nnunet_pst calibrate` does, and gives every
test image all names in turn.

    python benchmarks/sequence_names.py DatasetPST
"""

from __future__ import annotations

import argparse

import numpy as np

from nnunet_pst.calibration.familiar import familiarity, fit_familiar, profile
from nnunet_pst.evaluation.references import TRAINING, ReferenceCase, references_of_dataset
from nnunet_pst.io.dataset_folders import RAW, dataset_folder
from nnunet_pst.io.volumes import read_image


def main() -> None:
    """Print a line for each pair of true and given sequence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    raw = dataset_folder(parser.parse_args().dataset, RAW)
    known = references_of_dataset(raw, TRAINING).cases
    images = fit_familiar(
        [profile_of(case) for case in known],
        [case.sequence for case in known],
        [case.patient for case in known],
    )
    assert images is not None, "too few training images of each sequence"
    tested = [
        (case.sequence, profile_of(case)) for case in references_of_dataset(raw, "test").cases
    ]
    print("true      given     images  look like another  unlike the training's")
    for truth in images.sequences:
        for given in images.sequences:
            seen = [familiarity(found, given, images) for name, found in tested if name == truth]
            other, unlike = sum(bool(s.looks_like) for s in seen), sum(s.unlike for s in seen)
            print(f"{truth:8}  {given:8}  {len(seen):6d}  {other:17d}  {unlike:21d}")


def profile_of(case: ReferenceCase) -> np.ndarray:
    """Describe the first channel of a case."""
    assert case.image is not None
    return profile(read_image(case.image).array)


if __name__ == "__main__":
    main()
