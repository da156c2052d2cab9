"""What several tests of the historian need."""

import pytest


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 8 samples, and passes and steps of a few, so that a short test has many."""
    monkeypatch.setattr("node.historian.store.compaction.BLOCK_SAMPLES", 8)
    monkeypatch.setattr("node.historian.store.compaction._SMALL", 4)
    monkeypatch.setattr("node.historian.store.compaction._STEP_SAMPLES", 5)
    monkeypatch.setattr("node.historian.store.compaction._STEP_FRAMES", 2)
