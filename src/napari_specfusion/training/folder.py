"""The folder of a training run: its state, its log and its weights."""

from __future__ import annotations

import csv
import io
import shutil
from typing import TYPE_CHECKING, Any

from napari_specfusion.errors import OutputError
from napari_specfusion.files import check_file
from napari_specfusion.io.atomic import clear_leftovers, replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["TrainingFolder"]

STATE, WEIGHTS, LOG, PLOT, BASES = "state.pt", "weights.safetensors", "log.csv", "log.png", "bases"
_WHOLE = "The last state is intact: train again to resume from it."


class TrainingFolder:
    """The folder of a training run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"The folder {path} cannot be created ({error}); choose another one.") from error
        clear_leftovers(path)

    @property
    def weights(self) -> Path:
        """Path of the weight file."""
        return self.path / WEIGHTS

    @property
    def bases(self) -> Path:
        """Folder of the base's results on the training pairs."""
        return self.path / BASES

    def forget_bases(self) -> None:
        """Remove them: a training that is complete needs them no more."""
        shutil.rmtree(self.bases, ignore_errors=True)

    def check_space(self, size: int) -> None:
        """Check that there is space for another state of `size` bytes."""
        free = shutil.disk_usage(self.path).free
        if free < 3 * size:
            raise OutputError(
                f"{self.path} has {free / 1e6:.0f} MB free, the training needs {3 * size / 1e6:.0f} MB; make room, or "
                "choose another folder."
            )

    def read_state(self) -> dict[str, Any] | None:
        """Return the last state, if there is one."""
        import torch

        file = self.path / STATE
        if not file.exists():
            return None
        try:
            check_file(file)
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            state["facts"]["protocols"]  # missing in any other file
        except Exception as error:  # torch raises many kinds for a damaged file
            raise OutputError(
                f"{file} is not the state of a training run ({type(error).__name__}); remove it to start again, or "
                "choose another folder."
            ) from error
        return state

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace the last state."""
        import torch

        self._replace(STATE, lambda file: torch.save(state, file))

    def write_log(self, rows: Sequence[dict[str, float]]) -> None:
        """Replace the log."""
        if not rows:
            return
        text = io.StringIO()
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        self._replace(LOG, lambda file: file.write_text(text.getvalue(), encoding="utf-8"))

    def plot(self, rows: Sequence[dict[str, float]], base_psnr: float) -> None:
        """Plot the log if matplotlib is installed."""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            return
        figure = Figure(figsize=(7, 4), layout="constrained")
        quality = figure.add_subplot()
        steps = [row["step"] for row in rows]
        quality.plot(steps, [row["psnr"] for row in rows], color="tab:blue", label="network")
        quality.axhline(base_psnr, color="tab:blue", linestyle=":", label="base")
        quality.set(xlabel="step", ylabel="PSNR on the validation scenes [dB]")
        quality.legend(loc="lower right")
        loss = quality.twinx()
        loss.plot(steps, [row["loss"] for row in rows], color="tab:orange")
        loss.set_ylabel("training loss", color="tab:orange")
        self._replace(PLOT, lambda file: figure.savefig(file, format="png", dpi=120))

    def _replace(self, name: str, write: Callable[[Path], Any]) -> None:
        target = self.path / name
        try:
            with replacing(target) as part:
                write(part)
        except OutputError as error:
            raise OutputError(f"{error} {_WHOLE}") from error
        except RuntimeError as error:  # torch raises it for a full disk
            raise OutputError(f"{target} cannot be written ({error}); make room. {_WHOLE}") from error
