from __future__ import annotations

from typing import Any

import numpy as np

from napari_specfusion.widgets._bars import SpectrumBars


def test_only_the_user_moves_bars_with_a_signal(viewer: Any, qtbot: Any) -> None:
    bars = SpectrumBars()
    qtbot.addWidget(bars)
    heard: list[tuple[int, float]] = []
    bars.moved.connect(lambda channel, at: heard.append((channel, at)))
    bars.show_spectrum("nm", np.arange(400.0, 700, 10), np.ones(30))
    bars.set_positions([640, 550, 460])
    assert [bar.value() for bar in bars.bars] == [640, 550, 460] and not heard
    bars.bars[2].setValue(500)
    assert heard == [(2, 500)]
    # in the user's hand
    bars.bars[0].moving = True
    bars.set_positions([1, 2, 3])
    assert [bar.value() for bar in bars.bars] == [640, 2, 3]
