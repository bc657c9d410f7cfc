"""Tables, folders of images, and NumPy archives."""

import gzip
import io
import os
import zipfile
from random import Random

import numpy as np
import pytest
from PIL import Image

from nasforge.cli import run_command
from nasforge.files import user_folder
from nasforge_plugins.evaluators.tabular.store import load
from nasforge_plugins.spaces.nasbench201.notation import format_cell, parse_code
from support.fuzz_inputs import mutate
from support.fuzzing import SCALE, attempt


def recipe(data):
    """Return a recipe that reads images, with options of its data."""
    return (
        f'[run]\nname = "r"\nthreads = 1\n[data]\n{data}\nbatch_size = 4\n[space]\nuse = "nasbench201"\n'
        '[searcher]\nuse = "random"\nevaluations = 2\n[evaluator]\nuse = "zero-cost"\nproxies = ["params"]\n'
    )


ODD_NAMES = (
    *[
        ".png",
        "a.PNG",
        "a.jpg",
        "a.gif",
        "a.txt",
        "-rf.png",
        "ü.png",
        "a.png.png",
        "\u202egnp.png",
        "%s.png",
        "{0}.png",
        "a'\".png",
    ],
    *("\x1b[31mred.png", "a\nb.png", "x" * 240 + ".png", "\udcff.png", "a b.png"),
)
MODES = ("1", "L", "P", "RGB", "RGBA", "CMYK", "I", "F", "LA", "I;16")


def picture(draw):
    """Return bytes of an image in one of many modes, sizes and formats."""
    mode = draw.choice(MODES)
    size = draw.choice(((1, 1), (8, 8), (1, 300), (300, 1), (40, 30)))
    made, buffer = Image.new(mode, size), io.BytesIO()
    try:
        made.save(buffer, draw.choice(("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")))
    except (OSError, ValueError, KeyError):
        buffer = io.BytesIO()
        Image.new("RGB", size).save(buffer, "PNG")
    return buffer.getvalue()


def header_of_huge_png():
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[16:24] = b"\x00\x0f\xff\xff" * 2  # width and height of a million pixels
    return bytes(content)


def spoil_folder(root, draw):
    """Make one odd thing below a folder of images; return what."""
    place = root / draw.choice(("train/a", "train/b", "test/a", "test/b", "train", "test", "."))
    name = draw.choice(ODD_NAMES)
    target = place / name
    way = draw.randrange(13)
    with_errors = (OSError, ValueError, StopIteration)
    try:
        match way:
            case 0:
                target.write_bytes(mutate(picture(draw), draw))
            case 1:
                target.write_bytes(draw.randbytes(draw.randrange(300)))
            case 2:
                target.write_bytes(b"")
            case 3:
                target.mkdir()
            case 4:
                os.mkfifo(target)
            case 5:
                target.symlink_to(draw.choice(("nowhere", ".", "..", "/dev/zero", "/etc/passwd", name)))
            case 6:
                target.write_bytes(header_of_huge_png())
            case 7:
                for file in place.rglob("*"):
                    if file.is_file():
                        file.unlink()
            case 8:
                (root / "train" / draw.choice(("\x1b[31mred", "c", ".hidden", "A", "a "))).mkdir()
            case 9:
                place.rename(root / draw.choice(("other", "train/z", "Train")))
            case 10:
                os.link(next(root.rglob("*.png")), target)
            case 11:
                victim = next(root.rglob("*.png"))
                victim.write_bytes(mutate(victim.read_bytes(), draw))
            case _:
                target.write_bytes(picture(draw))
    except with_errors as error:
        return f"{way} {error}"
    return f"{way} {place.relative_to(root)} {name}"


@pytest.mark.parametrize("seed", range(15 * SCALE))
def test_folders_of_images(place, seed):
    draw = Random(seed)
    with place() as folder:
        for part in ("train", "test"):
            for label in "ab":
                (folder / "photos" / part / label).mkdir(parents=True)
                for number in range(3):
                    grey = Image.new("L", (9, 9), number + 10 * (part == "test") + 50 * (label == "b"))
                    grey.save(folder / "photos" / part / label / f"{number}.png")
        told = [spoil_folder(folder / "photos", draw) for _ in range(draw.choice((1, 1, 2, 4)))]
        skip = draw.choice(("", "skip_broken = true\n", "image_size = 8\n"))
        (folder / "r.toml").write_text(recipe(f'use = "image-folder"\nroot = "photos"\n{skip}'))
        attempt(
            "folders of images",
            f"{seed} {told}",
            ["check", "r.toml", "--deep"],
            ["init", "first.toml", "--images", "photos", "--budget", "smoke"],
            ["run", "r.toml"],
        )


def archive(draw):
    """Return the arrays of an archive with some odd changes."""
    numbers = np.random.default_rng(draw.randrange(2**32))
    arrays = {
        "x_train": numbers.integers(0, 256, (12, 6, 6, 3), dtype=np.uint8),
        "y_train": np.arange(12) % 2,
        "x_test": numbers.integers(0, 256, (4, 6, 6, 3), dtype=np.uint8),
        "y_test": np.arange(4) % 2,
        "classes": np.array(["ant", "bee"]),
    }
    for _ in range(draw.choice((1, 1, 2))):
        name = draw.choice(sorted(arrays))
        try:
            arrays[name] = spoil_array(arrays[name], draw)
        except (ValueError, TypeError):
            del arrays[name]
    return arrays


TYPES = ("float32", "int64", "U5", "S3", "bool", "complex64", "object")


def spoil_array(array, draw):
    """Return an array of another type, shape or content."""
    match draw.randrange(11):
        case 0:
            return array.astype(draw.choice(TYPES))
        case 1:
            return array[: draw.choice((0, 1))]
        case 2:
            return array.T
        case 3:
            return array[..., None]
        case 4:
            return np.array(draw.choice((0, -1, "x", 1e300, None, "\x1b[31m")))
        case 5:
            return np.array(["\x1b[31mred", "a\nb"])
        case 6:
            return np.array(["same", "same"])
        case 7:
            return np.array(["x" * 5000, ""])
        case 8:
            return array.astype("int64") * draw.choice((-1, 10**6, 2**40))
        case 9:
            return np.zeros((12, 1, 1, 0), np.uint8)
        case _:
            return np.zeros((4, 3000, 2, 3), np.uint8)


def pack(arrays, draw):
    """Return the bytes of an archive, some of them damaged."""
    buffer = io.BytesIO()
    way = draw.randrange(8)
    if way == 0:
        np.save(buffer, next(iter(arrays.values()), np.zeros(3)), allow_pickle=True)
    elif way == 1:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
            for name in (*arrays, "../../evil", "x_train"):
                made.writestr(
                    f"{name}.npy", draw.choice((b"", b"\x93NUMPY", b"\0" * 10**6, draw.randbytes(90)))
                )
    else:
        np.savez_compressed(buffer, **arrays)
    content = buffer.getvalue()
    return mutate(content, draw) if way in (2, 3) else content


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("seed", range(20 * SCALE))
def test_archives(place, seed):
    draw = Random(seed)
    content = pack(archive(draw), draw)
    with place() as folder:
        (folder / "d.npz").write_bytes(content)
        (folder / "r.toml").write_text(recipe('use = "npz"\npath = "d.npz"'))
        attempt("npz archives", content, ["check", "r.toml", "--deep"], ["run", "r.toml"])


@pytest.fixture(scope="module")
def rows():
    """Return the CSV lines of a table with few columns that can be imported."""
    table = load("nasbench201")
    lines = ["index,arch,code,c10_valid_12,c10_test_200,mflops_c10"]
    for index in range(len(table)):
        code = table.key(index)
        cell = format_cell(parse_code(code))
        mflops = (int(table.columns["cifar10/macs"][index]) + 10) / 1e6
        lines.append(f"{index},{cell},{code},{index / 200:.3f},{90 - index / 200:.3f},{mflops:.5f}")
    return lines


CELLS = (
    *["nan", "inf", "-1", "1e400", "x", '"', '""', "100.1", "0x1", "=1+1", "é"],
    "",
    "\x1b[31m",
    "9" * 5000,
    "\0",
)
TABLE_NAMES = (
    "t.csv",
    "t.csv.gz",
    "t.txt",
    "t",
    "\x1b[31m.csv",
    "t.pickle.pbz2",
    "t.npz",
    "t.pth",
    "a" * 240,
)
TABLE_TITLES = ("x", "../x", "", "nasbench201", "a" * 300, "\x1b[31m")


def spoil_table(lines, draw):
    """Return the bytes of a CSV file with odd changes."""
    lines = list(lines)
    for _ in range(draw.choice((1, 1, 2, 3))):
        at = draw.choice((0, 1, draw.randrange(len(lines)), draw.randrange(min(40, len(lines)))))
        cells = lines[at].split(",")
        match draw.randrange(9):
            case 0 | 1 | 2:
                cells[draw.randrange(len(cells))] = draw.choice(CELLS)
                lines[at] = ",".join(cells)
            case 3:
                del lines[at]
            case 4:
                lines.insert(at, lines[draw.randrange(len(lines))])
            case 5:
                lines[at] += "," * draw.choice((1, 5, 2000))
            case 6:
                lines[at] = draw.choice(("", '"', ";".join(cells), "\x1b[31m", "\t".join(cells), "," * 300))
            case 7:
                del lines[draw.choice((1, 20, 500)) :]
            case _:
                lines[at] = lines[at][: draw.randrange(len(lines[at]) + 1)]
    content = "\n".join(lines).encode()
    match draw.randrange(8):
        case 0:
            return mutate(content, draw)
        case 1:
            return gzip.compress(content, 1)
        case 2:
            return mutate(gzip.compress(content[:3000], 1), draw)
        case 3:
            return draw.choice(
                (b"\xef\xbb\xbf" + content, content.decode().encode("utf-16"), b"PK\x03\x04" + content)
            )
        case _:
            return content


@pytest.mark.parametrize("seed", range(25 * SCALE // 2))
def test_tables(place, rows, seed):
    draw = Random(seed)
    content = spoil_table(rows, draw)
    name = draw.choice(TABLE_NAMES)
    with place() as folder:
        (folder / name).write_bytes(content)
        title = draw.choice(([], [], ["--name", draw.choice(TABLE_TITLES)]))
        importing = ["tables", "import", f"./{name}", *title]
        attempt("tables", content + name.encode(), importing, ["tables", "list"])
        kept = user_folder("tables")
        for stored in kept.glob("*.npz") if kept.exists() else ():
            assert run_command(["tables", "show", stored.stem]) == 0, "what was stored can be read"
            stored.unlink()
