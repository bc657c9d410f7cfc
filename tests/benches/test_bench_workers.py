"""Benches with worker processes: killed, interrupted, failing, and warning."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

import nasforge
from nasforge.benches.job import Job
from nasforge.errors import DataError, RunError
from nasforge.recipe.budget import Budget

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc"),
]

TOY = '''
import os
import signal
import time
import warnings
from pathlib import Path

from nasforge import Choice, Evaluation, Evaluator, Plugin, PluginConfig, SearchSpace, hookimpl
from nasforge.errors import DataError


class Space(SearchSpace):
    choices = (Choice("a", tuple("pqr")), Choice("b", tuple("pqr")))


class Options(PluginConfig):
    mood: str = "calm"
    pause: float = 0.0


class Score(Evaluator):
    """Leaves a note with the name of its process, then does what its mood asks."""

    def evaluate(self, arch, *, budget=None):
        Path(f"pid.{os.getpid()}").touch()
        if self.config.mood == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.config.mood == "wrong":
            raise ZeroDivisionError("no such thing")
        if self.config.mood == "no data":
            raise DataError("images: none are here. Fetch them.")
        if self.config.mood == "worried":
            warnings.warn("this is odd", stacklevel=1)
        time.sleep(self.config.pause)
        return Evaluation(arch, 10 * "pqr".index(arch["a"][0]) + "pqr".index(arch["b"][0]), 1.0)


@hookimpl
def nasforge_plugins():
    return [
        Plugin("space", "toy-space", f"{__name__}:Space"),
        Plugin("evaluator", "toy-score", f"{__name__}:Score", Options, needs=frozenset({"space"})),
    ]
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("toy.py").write_text(TOY)
    path = tmp_path / "toy.toml"
    path.write_text(
        'plugins.modules = "./toy.py"\n[space]\nuse = "toy-space"\n[evaluator]\nuse = "toy-score"\n'
        '[searcher]\nuse = "random"\n[run]\nname = "b"\nthreads = 1\n[bench]\n'
        'searchers = ["local-search"]\nseeds = 2\nbudget = 4\n'
    )
    return path


def contents(folder: Path):
    found = {str(p.relative_to(folder)): json.loads(p.read_text()) for p in folder.glob("runs/*/*.json")}
    for run in found.values():
        run.pop("own_seconds")
    return found, (folder / "summary.json").read_text()


def mood(name: str) -> list[str]:
    return [f"evaluator.mood='{name}'"]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pids() -> set[int]:
    return {int(note.suffix[1:]) for note in Path().glob("pid.*")}


def wait_until(condition, seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def test_a_job_survives_json():
    job = Job({"run": {"seed": 3}}, "x.toml", "s", Budget("seconds", 1.5), Path("w"), {"s": ("score", "-a")})
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


def test_a_worker_that_dies_ends_the_bench_and_the_rest_is_kept(toy):
    with pytest.raises(RunError, match=r"^bench: a worker process died, .* Try fewer --workers\.$"):
        nasforge.bench(toy, mood("deadly"), workers=2)
    assert not any(alive(pid) for pid in pids() - {os.getpid()})


def test_errors_of_workers_keep_their_class_and_their_words(toy):
    with pytest.raises(DataError, match=r"(?m)^images: none are here\. Fetch them\.$"):
        nasforge.bench(toy, mood("no data"), workers=2)
    with pytest.raises(
        RunError, match=r"(?m)^ZeroDivisionError: no such thing \(toy\.py, line \d+\)$"
    ) as caught:
        nasforge.bench(toy, mood("wrong"), workers=2, out="other")
    assert "raise ZeroDivisionError" in caught.value.__notes__[0]


def test_warnings_of_workers_arrive(toy):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nasforge.bench(toy, mood("worried"), workers=2)
    assert {str(warning.message) for warning in caught} == {"this is odd"}


@pytest.mark.parametrize(
    "how", [signal.SIGINT, signal.SIGKILL, pytest.param(signal.SIGUSR1, marks=pytest.mark.campaign)]
)
def test_workers_end_with_the_main_process_and_the_bench_goes_on(toy, how):
    command = [sys.executable, "-m", "nasforge", "bench", str(toy), "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--set", "evaluator.pause=0.25"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_until(lambda: process.poll() is not None or len(pids()) == 2)
    assert process.poll() is None, process.stderr.read()
    os.kill(process.pid, how)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == {signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}.get(how, 75)
    word = "interrupted" if how == signal.SIGINT else f"stopped by {how.name}"
    assert how == signal.SIGKILL or f"{word}. The same command resumes" in told
    wait_until(lambda: not any(alive(pid) for pid in pids()), 30)
    rest = nasforge.bench(toy, ["evaluator.pause=0.25"], workers=2 if how == signal.SIGKILL else 1)
    whole = nasforge.bench(toy, ["evaluator.pause=0.25"], out="whole")
    assert contents(rest.folder) == contents(whole.folder)
    assert not (rest.folder / "work").exists()
