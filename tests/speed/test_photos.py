import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the installed package does not contain the benchmarks

from benchmarks import photos  # noqa: E402


def test_every_way_of_reading_is_measured(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("NASFORGE_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["photos", "--count", "32", "--repeats", "1"])
    photos.main()
    rates = re.findall(r"^\| (.+) \| (\d+) \|$", capsys.readouterr().out, re.MULTILINE)
    assert [name for name, _ in rates][:2] == ["torchvision", "imagenet"]
    assert len(rates) == 5
    assert all(int(number) > 0 for _, number in rates)
