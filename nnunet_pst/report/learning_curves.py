"""Learning curves drawn: a row a model, loss on the left, nnU-Net's pseudo Dice on the right."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nnunet_pst.comparison.figure_style import Picture, picture
from nnunet_pst.io.wording import count
from nnunet_pst.report.training_logs import Curve

_TRAIN, _VALIDATION, _DICE = "#0072B2", "#D55E00", "#009E73"
#: More rows would fill a page of print after the other; the others are named in the caption.
MOST_MODELS = 12


def draw_learning_curves(curves: Sequence[Curve]) -> Picture | None:
    """Draw the curves of every model; None without any."""
    models = sorted({curve.model for curve in curves})
    if not models:
        return None
    shown = models[:MOST_MODELS]

    def draw(figure: Figure) -> None:
        grid = figure.subplots(len(shown), 2, squeeze=False)
        for (loss, dice), model in zip(grid, shown, strict=True):
            for curve in curves:
                if curve.model == model:
                    _draw_curve(loss, dice, curve)
            loss.set_title(model, fontsize=8, loc="left")
            loss.set_ylabel("loss")
            dice.set_ylabel("pseudo Dice")
            dice.set_ylim(-0.03, 1.03)
        longest = {m: max(max(c.epochs) for c in curves if c.model == m) for m in shown}
        for row, model in zip(grid, shown, strict=True):
            for axes in row:
                axes.set_xlim(-0.5, longest[model] + 0.5)
                axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        for axes in grid[-1]:
            axes.set_xlabel("epoch")
        lines = [("training loss", _TRAIN), ("validation loss", _VALIDATION), ("Dice", _DICE)]
        handles = [Line2D([], [], color=color, label=name) for name, color in lines]
        figure.legend(handles=handles, loc="outside upper right", ncols=3, fontsize=8)

    left_out = len(models) - len(shown)
    return picture(
        "learning_curves",
        draw,
        title="Learning curves",
        caption="From nnU-Net's training logs, a line a fold. Losses of different methods have "
        "different terms and can't be compared with each other. The pseudo Dice pools patches of "
        "the validation patients and counts annotated voxels only: it is not any patient's Dice."
        + (f" {count(left_out, 'more model')} are not drawn." if left_out else ""),
        height_inches=1.75 * len(shown) + 0.5,
    )


def _draw_curve(loss: Axes, dice: Axes, curve: Curve) -> None:
    epochs = list(curve.epochs)
    style = {"linewidth": 1.0, "alpha": 0.85, "marker": "." if len(epochs) < 30 else ""}
    every = curve.epochs.values()
    loss.plot(epochs, [one.train_loss for one in every], color=_TRAIN, **style)  # type: ignore[arg-type]
    loss.plot(epochs, [one.val_loss for one in every], color=_VALIDATION, **style)  # type: ignore[arg-type]
    dice.plot(epochs, [one.pseudo_dice for one in every], color=_DICE, **style)  # type: ignore[arg-type]
