"""COCO's scores want Java, which is no Python package: where there is none, what compares with them cannot run."""

from __future__ import annotations

import shutil

import pytest

needs_java = pytest.mark.skipif(
    shutil.which("java") is None, reason="COCO's tokeniser and METEOR are Java programs, and there is no Java"
)
