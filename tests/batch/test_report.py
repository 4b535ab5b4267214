"""The report tells of every input, what failed first, and takes no name for markup."""

from __future__ import annotations

from pathlib import Path

from _small import journal, photons, planned, save

from napari_denoise.batch import Ended, run


def test_the_report_shows_failures_first_and_escapes_names(tiny: Path, tmp_path: Path) -> None:
    save(tmp_path / "raw/a.ome.tif", photons(40, 48))
    save(tmp_path / "raw/b<script>.ome.tif", photons(3, 40, 48), "TYX")
    (tmp_path / "raw/z.tif").write_bytes(b"no image")
    out = tmp_path / "out"
    *_, ended = run(planned([tmp_path / "raw"], out, tiny))
    assert isinstance(ended, Ended)
    assert ended.report == out / "batch.html"
    page = ended.report.read_text()
    assert "<script>" not in page
    assert "b&lt;script&gt;.ome.tif" in page
    assert page.index("z.tif") < page.index(">a.ome.tif<")
    assert page.count("data:image/png") == 4
    assert "not a whole TIFF file" in page
    warned = [event for event in journal(out) if event.get("warnings")]
    assert all(text.partition(": ")[2][:40] in page for e in warned for text in e["warnings"])
    assert "3 inputs: 2 denoised, 1 failed" in page
