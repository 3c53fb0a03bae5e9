"""What all commands that run a cluster do about Ctrl-C."""

from __future__ import annotations

import os
import signal

import pytest

from fve_pipeline.cli.progress import Bars
from fve_pipeline.cli.running import remembered_interrupt


class Interrupted:
    """What it is interrupted in loses the interrupt: Python tells of it, and goes on."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        signal.getsignal(signal.SIGINT)  # the handler runs here at the latest


def test_a_ctrl_c_that_was_lost_comes_again(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with Bars(quiet=True) as bars:
        with remembered_interrupt(bars):
            bars.stage("work", 3, "cases")
            bars.advance()
            interrupted = Interrupted()
            del interrupted
            with pytest.raises(KeyboardInterrupt):
                bars.advance()
        assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().err == ""
