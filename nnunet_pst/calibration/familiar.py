"""Whether an image looks like those of the training: its gray values, by sequence.

A profile of some numbers is compared with those of the training images:

- It is unlike when hardly any training image of its sequence is as far from their mean (Mahalanobis
  distance with one covariance for all sequences, shrunk as in Ledoit and Wolf 2004).
- It looks like another sequence when a logistic regression gives its own sequence a smaller
  probability than nearly all training images get, by regressions that did not see their patient.

Gray values tell sequences apart; they do not tell whether an organ or a tumor is unusual.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from nnunet_pst.calibration.expected_dice import known_name

#: Images of a sequence from which on it is known.
FEWEST_IMAGES = 20
#: Share of training images that would be called unlike, or another sequence.
FALSE_ALARMS = 0.02
_SHARES = tuple(range(5, 100, 5))
_SHADES = (20, 40, 60, 80)
_DEPTHS = (0, 0.1, 0.25, 0.5, 1.01)
#: Numbers of a profile.
PROFILE_LENGTH = len(_SHARES) + 1 + len(_SHADES) + 1 + len(_DEPTHS) - 1
_FOLDS = 7
#: In plane, every second voxel is enough.
_STEP = 2


@dataclass(frozen=True)
class FamiliarImages:
    """What training images look like.

    Attributes
    ----------
    sequences
        Those that are known, k of them.
    center, scale
        (n,) of the profiles.
    means
        (k, n) of each sequence, scaled.
    precision
        (n, n) inverse of the covariance within sequences, scaled.
    distances
        By sequence, sorted: of training images from a mean and covariance without their patient.
    weights, biases
        (k, n) and (k,) of the regression on scaled profiles.
    lowest
        By sequence: the probability that `FALSE_ALARMS` of its images are below.
    """

    sequences: tuple[str, ...]
    center: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]
    distances: Mapping[str, npt.NDArray[np.float64]]
    weights: npt.NDArray[np.float64]
    biases: npt.NDArray[np.float64]
    lowest: Mapping[str, float]


@dataclass(frozen=True)
class Familiarity:
    """How an image compares with the training's.

    Attributes
    ----------
    as_far
        Share of training images of the sequence that are as far from the others; None where the
        sequence is not known well enough.
    unlike
        Whether hardly any training image of its sequence is as far.
    looks_like
        Another sequence that it looks like; empty for none.
    """

    as_far: float | None
    unlike: bool = False
    looks_like: str = ""


def profile(image: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Describe the gray values of an image (z, y, x), whatever their scale.

    Quantiles of the foreground between its 1st and 99th percentile; its share of the image; mean
    steps between neighbors in each fifth of the shades; mean gray by depth below the foreground's
    border. Zeros for an image of one value.
    """
    values = np.asarray(image[:, ::_STEP, ::_STEP], dtype=np.float64)
    low, high = np.percentile(values, (1, 99))
    inside = values > low + 0.05 * (high - low)
    if not inside.any() or min(values.shape[1:]) < 3:
        return np.zeros(PROFILE_LENGTH)
    dark, bright = np.percentile(values[inside], (1, 99))
    gray = np.clip((values - dark) / max(bright - dark, 1e-9), -0.5, 1.5)
    return np.array(
        [
            *np.percentile(gray[inside], _SHARES),
            inside.mean(),
            *_steps_by_shade(gray, inside),
            *_gray_by_depth(gray, inside),
        ]
    )


def _steps_by_shade(gray: npt.NDArray[np.float64], inside: npt.NDArray[np.bool_]) -> list[float]:
    down = np.abs(np.diff(gray, axis=1))[:, :, :-1]
    across = np.abs(np.diff(gray, axis=2))[:, :-1]
    steps, there, shade = down + across, inside[:, :-1, :-1], gray[:, :-1, :-1]
    if not there.any():
        return [0.0] * (len(_SHADES) + 1)
    place = np.digitize(shade, np.percentile(shade[there], _SHADES))
    return [_mean(steps, there & (place == number)) for number in range(len(_SHADES) + 1)]


def _gray_by_depth(gray: npt.NDArray[np.float64], inside: npt.NDArray[np.bool_]) -> list[float]:
    filled = np.stack([ndimage.binary_fill_holes(one) for one in inside])
    each = [np.asarray(ndimage.distance_transform_edt(one), dtype=np.float64) for one in filled]
    depth = np.stack(each) / max(*(float(one.max()) for one in each), 1.0)
    bands = itertools.pairwise(_DEPTHS)
    return [_mean(gray, inside & (depth > low) & (depth <= high)) for low, high in bands]


def _mean(values: npt.NDArray[np.float64], where: npt.NDArray[np.bool_]) -> float:
    return float(values[where].mean()) if where.any() else 0.0


def fit_familiar(
    profiles: Sequence[npt.NDArray[np.float64]], sequences: Sequence[str], patients: Sequence[str]
) -> FamiliarImages | None:
    """Fit to training images; None where no sequence has `FEWEST_IMAGES`.

    Parameters
    ----------
    profiles, sequences, patients
        Of each image.
    """
    every = np.asarray(sequences)
    known = [name for name in sorted(set(sequences)) if (every == name).sum() >= FEWEST_IMAGES]
    if not known:
        return None
    chosen = np.isin(every, known)
    rows, names = np.asarray(profiles, dtype=float)[chosen], every[chosen]
    center, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    rows = (rows - center) / scale
    place, owners = np.array([known.index(str(n)) for n in names]), np.asarray(patients)[chosen]
    means, precision = _fit_shape(rows, place, len(known))
    far = _distances_without_own(rows, place, owners, len(known))
    known_far = np.isfinite(far)
    distances = {n: np.sort(far[known_far & (place == k)]) for k, n in enumerate(known)}
    weights, biases, lowest = _fit_names(rows, place, owners, len(known))
    return FamiliarImages(
        tuple(known), center, scale, means, precision, distances, weights, biases,
        {name: float(value) for name, value in zip(known, lowest, strict=True)},
    )  # fmt: skip


def _fit_shape(
    rows: npt.NDArray[np.float64], place: npt.NDArray[np.intp], count: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return each sequence's mean, and the inverse of the covariance around them."""
    from sklearn.covariance import ledoit_wolf

    means = np.array([rows[place == number].mean(axis=0) for number in range(count)])
    covariance, _ = ledoit_wolf(rows - means[place], assume_centered=True)
    return means, np.linalg.inv(covariance)


def _distances_without_own(
    rows: npt.NDArray[np.float64],
    place: npt.NDArray[np.intp],
    patients: npt.NDArray[np.str_],
    count: int,
) -> npt.NDArray[np.float64]:
    """Return each image's distance from a mean and a covariance without its patient."""
    far = np.full(len(rows), np.inf)
    for learned, own in _folds(rows, place, patients):
        if len(set(place[learned])) < count:
            continue  # a sequence of one patient has no distance from others
        means, precision = _fit_shape(rows[learned], place[learned], count)
        far[own] = [_distance(rows[i], means[place[i]], precision) for i in own]
    return far


def _folds(
    rows: npt.NDArray[np.float64], place: npt.NDArray[np.intp], patients: npt.NDArray[np.str_]
) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Split images into at most `_FOLDS` parts, each patient's together."""
    from sklearn.model_selection import GroupKFold

    number = min(_FOLDS, len(set(patients)))
    return list(GroupKFold(number).split(rows, place, patients)) if number > 1 else []


def _fit_names(
    rows: npt.NDArray[np.float64],
    place: npt.NDArray[np.intp],
    patients: npt.NDArray[np.str_],
    count: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Fit the regression; and each sequence's lowest usual probability, without own patients."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    folds = _folds(rows, place, patients)
    if count == 1 or not folds or any(len(set(place[learned])) < count for learned, _ in folds):
        return np.zeros((count, rows.shape[1])), np.zeros(count), np.zeros(count)
    model = LogisticRegression(C=1.0, max_iter=5000)
    chances = cross_val_predict(model, rows, place, cv=folds, method="predict_proba")
    lowest = np.array(
        [np.quantile(chances[place == one, one], FALSE_ALARMS) for one in range(count)]
    )
    model.fit(rows, place)
    weights, biases = np.asarray(model.coef_), np.asarray(model.intercept_)
    if count == 2:  # one function for both; the softmax of these two is its sigmoid
        weights, biases = np.vstack([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
    return weights, biases, lowest


def familiarity(
    found: npt.NDArray[np.float64], sequence: str, images: FamiliarImages
) -> Familiarity:
    """Compare a profile with the training images of a sequence."""
    name = known_name(sequence, images.sequences)
    if name is None:
        return Familiarity(None)
    own = images.sequences.index(name)
    row = (found - images.center) / images.scale
    distances = images.distances[name]
    far = _distance(row, images.means[own], images.precision)
    as_far = (int((distances >= far).sum()) + 1) / (len(distances) + 1)
    # Of few images, only one that is farther than all of them.
    unlike = len(distances) > 0 and as_far <= max(FALSE_ALARMS, 1 / (len(distances) + 1))
    scores = images.weights @ row + images.biases
    chances = np.exp(scores - scores.max())
    chances /= chances.sum()
    nearest = int(np.argmax(chances))
    other = nearest != own and chances[own] < images.lowest[name]
    return Familiarity(as_far, unlike, images.sequences[nearest] if other else "")


def _distance(
    row: npt.NDArray[np.float64],
    mean: npt.NDArray[np.float64],
    precision: npt.NDArray[np.float64],
) -> float:
    return math.sqrt(max(float((row - mean) @ precision @ (row - mean)), 0.0))
