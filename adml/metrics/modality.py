"""How far apart audio and text lie in one space: distance of centroids, MMD, a probe.

Row n of `audio` and of `text` belong together: a clip and its text, or a phoneme of both. All rows
are taken as unit vectors, as the cosine and the modality classifier take them. A figure is only
worth something next to that of another run on the same list.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from adml.errors import DataError
from adml.metrics.ranking import unit_rows

__all__ = ["centroid_gap", "centroid_gaps", "mmd", "mmds", "probe_accuracy", "probe_outcomes"]

_ROWS_AT_ONCE = 1024
_MEDIAN_ROWS = 2000  # of which the median distance is taken
_PERCEPTRON_ROWS = 400_000  # that it learns from at most, repeats counted


def centroid_gap(audio: np.ndarray, text: np.ndarray, *, scaled: bool = False) -> float:
    """Distance of the two modalities' mean unit embeddings.

        gap = |mean(a) - mean(t)|
        scaled: gap / sqrt((mean |a - mean(a)|^2 + mean |t - mean(t)|^2) / 2)

    The scaled gap, in units of the pooled spread, is the more telling one: an encoder that draws
    all its embeddings together makes the plain gap small and parts the modalities no less. Both
    are above 0 for finite samples of one cloud, by about spread * sqrt(2 / N).

    Args:
        audio: [N, D], N of 2 or more.
        text: [N, D].
        scaled: divide by the pooled spread.

    Returns:
        0 for equal clouds; plain at most 2, scaled unbounded.

    Raises:
        DataError: shapes differ, fewer than two rows, or a value is not finite.
    """
    groups = np.arange(len(audio))
    weights = np.ones((1, len(groups)))
    return float(centroid_gaps(audio, text, groups, weights, scaled=scaled)[0])


def centroid_gaps(
    audio: np.ndarray,
    text: np.ndarray,
    groups: np.ndarray,
    weights: np.ndarray,
    *,
    scaled: bool = False,
) -> np.ndarray:
    """`centroid_gap` of weighted groups, for a bootstrap: [R].

    Args:
        audio: [N, D].
        text: [N, D].
        groups: [N] the word of each row, G different ones.
        weights: [R, G] how often each group stands in each of R resamples, in sorted order.
        scaled: divide by the pooled spread.
    """
    audio, text, codes, sizes = _checked(audio, text, groups)
    counts = weights @ sizes
    centres = []
    for rows in (audio, text):
        sums = np.zeros((len(sizes), rows.shape[1]))
        np.add.at(sums, codes, rows)
        centres.append(weights @ sums / counts[:, None])
    gaps = np.linalg.norm(centres[0] - centres[1], axis=1)
    if not scaled:
        return gaps
    # The mean square of unit rows is 1, so their spread about a centre is 1 - |centre|^2.
    squares = sum(np.sum(centre**2, axis=1) for centre in centres)
    return gaps / np.sqrt(np.maximum(1 - squares / 2, 1e-12))


def mmd(
    audio: np.ndarray,
    text: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    bandwidth: float | None = None,
) -> float:
    """Squared maximum mean discrepancy of the two clouds, unbiased.

        MMD^2 = mean over n, m of different groups of
                k(a_n, a_m) + k(t_n, t_m) - k(a_n, t_m) - k(t_n, a_m)
        k(x, y) = exp(-|x - y|^2 / (2 s^2))

    s is the median distance between the rows of both clouds. Pairs of one group are left out: a
    word's text has one embedding, however often it is said, and a clip depends on its own text.

    Args:
        audio: [N, D].
        text: [N, D].
        groups: [N] the word of each row; every row a group of its own where None.
        bandwidth: s; the median heuristic where None.

    Returns:
        0 in expectation for one distribution (it can be below 0), at most 2.

    Raises:
        DataError: as `centroid_gap`, or one group only.

    Source:
        Gretton et al., A Kernel Two-Sample Test, 2012, Lemma 6 for paired samples.
    """
    groups = np.arange(len(audio)) if groups is None else groups
    weights = np.ones((1, len(np.unique(groups))))
    return float(mmds(audio, text, groups, weights, bandwidth=bandwidth)[0])


def mmds(
    audio: np.ndarray,
    text: np.ndarray,
    groups: np.ndarray,
    weights: np.ndarray,
    *,
    bandwidth: float | None = None,
) -> np.ndarray:
    """`mmd` of weighted groups, for a bootstrap: [R]; arguments as of `centroid_gaps`.

    NaN for a resample that holds one group only.
    """
    audio, text, codes, sizes = _checked(audio, text, groups)
    _require_groups(sizes, "The discrepancy of two modalities")
    scale = -0.5 / (bandwidth or _median_distance(audio, text)) ** 2
    order = np.argsort(codes, kind="stable")
    audio, text, codes = audio[order], text[order], codes[order]
    starts = np.searchsorted(codes, np.arange(len(sizes)))
    sums = np.zeros((len(sizes), len(sizes)))
    for start in range(0, len(audio), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        cells = np.exp(scale * _squares(audio[part], audio))
        cells += np.exp(scale * _squares(text[part], text))
        cells -= np.exp(scale * _squares(audio[part], text))
        cells -= np.exp(scale * _squares(text[part], audio))
        np.add.at(sums, codes[part], np.add.reduceat(cells, starts, axis=1))
    np.fill_diagonal(sums, 0.0)
    counts = weights @ sizes
    pairs = counts**2 - np.sum((weights * sizes) ** 2, axis=1)
    totals = np.sum((weights @ sums) * weights, axis=1)
    return np.where(pairs > 0, totals / np.maximum(pairs, 1), np.nan)


def probe_accuracy(
    audio: np.ndarray,
    text: np.ndarray,
    groups: np.ndarray,
    *,
    hidden_units: int = 0,
    test_share: float = 0.3,
    seed: int = 0,
) -> float:
    """Accuracy of a classifier that is trained to tell the modality of frozen embeddings.

    Chance is 0.5, since a row of both modalities is judged for each pair.

    Args:
        audio: [N, D].
        text: [N, D].
        groups: [N] the word of each row; no word is in both training and test.
        hidden_units: 0: logistic regression, which sees what a plane can part; otherwise a
            perceptron with one layer of so many rectified units.
        test_share: share of the words that are tested on.
        seed: of the split and of the perceptron.

    Returns:
        A fraction in [0, 1].

    Raises:
        DataError: as `centroid_gap`, or one word only.
    """
    options = {"hidden_units": hidden_units, "test_share": test_share, "seed": seed}
    return float(probe_outcomes(audio, text, groups, **options)[0].mean())


def probe_outcomes(
    audio: np.ndarray,
    text: np.ndarray,
    groups: np.ndarray,
    *,
    hidden_units: int = 0,
    test_share: float = 0.3,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """What `probe_accuracy` averages.

    Returns:
        Whether the modality of each embedding was told, bool [n, 2] (audio, text), and the rows
        [n] that were tested.
    """
    audio, text, codes, sizes = _checked(audio, text, groups)
    _require_groups(sizes, "A probe of the modality")
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    tested = np.clip(round(test_share * len(sizes)), 1, len(sizes) - 1)
    test = np.isin(codes, shuffled[:tested])
    rows = np.concatenate([audio[~test], text[~test]])
    epochs = int(np.clip(_PERCEPTRON_ROWS // len(rows), 50, 1000))
    classifier = (
        MLPClassifier((hidden_units,), max_iter=epochs, random_state=seed)
        if hidden_units
        else LogisticRegression(max_iter=1000)
    )
    probe = make_pipeline(StandardScaler(), classifier)
    modality = np.repeat([0, 1], np.count_nonzero(~test))
    with warnings.catch_warnings():
        # One that would learn on is still a probe: what it finds is there.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(rows, modality)
    right = [probe.predict(audio[test]) == 0, probe.predict(text[test]) == 1]
    return np.stack(right, axis=1), np.flatnonzero(test)


def _median_distance(audio: np.ndarray, text: np.ndarray) -> float:
    """Median of the distances above 0 among the rows of both, evenly thinned; 1 where all are 0."""
    rows = np.concatenate([audio, text])
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, _MEDIAN_ROWS).round().astype(int))]
    squares = _squares(rows, rows)[np.triu_indices(len(rows), 1)]
    squares = squares[squares > 1e-12]
    return float(np.median(np.sqrt(squares))) if len(squares) else 1.0


def _squares(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Squared distances [n, m] of the rows."""
    squares = np.sum(left**2, axis=1)[:, None] + np.sum(right**2, axis=1) - 2 * left @ right.T
    return np.maximum(squares, 0.0)


def _checked(audio, text, groups) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Unit rows in float64, the code of each row's group, and the rows of each group."""
    shapes = np.shape(audio), np.shape(text), np.shape(groups)
    if len(shapes[0]) != 2 or shapes[0] != shapes[1] or shapes[2] != shapes[0][:1]:
        raise DataError(
            "Audio and text do not fit together. Expected: [N, D] each, and N groups. Received: "
            f"{shapes[0]}, {shapes[1]} and {shapes[2]}."
        )
    if shapes[0][0] < 2:
        raise DataError(
            f"Modalities are compared over two pairs or more. Received: {shapes[0][0]}."
        )
    _, codes, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    return unit_rows(audio), unit_rows(text), codes.reshape(-1), sizes


def _require_groups(sizes: np.ndarray, what: str) -> None:
    if len(sizes) < 2:
        raise DataError(f"{what} needs two texts or more. Received: {len(sizes)}.")
