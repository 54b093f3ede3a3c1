"""Ranges of frames in processes of their own: the same bytes, whatever is killed on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from ovito_glassml import LaSCAModifier, PredictedStiffnessModifier, RDFDescriptorsModifier, batch, processes
from ovito_glassml.adapter.files import FileError, annotate
from ovito_glassml.batch import BatchError, annotate_in_ranges
from ovito_glassml.modifiers.registry import by_name

FRAMES = 6


def write_dump(file, frames=FRAMES, seed=1, bad=()):
    """A vibrating crystal of 54 atoms; frames in `bad` have a coordinate that is no number."""
    rng = np.random.default_rng(seed)
    cells = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    crystal = np.concatenate([cells, cells + 0.5]) * 3.27
    with open(file, "w") as sink:
        for frame in range(frames):
            positions = crystal + rng.normal(0, 0.05, crystal.shape)
            if frame in bad:
                positions[0, 0] = np.nan
            sink.write(f"ITEM: TIMESTEP\n{frame}\nITEM: NUMBER OF ATOMS\n{len(crystal)}\n")
            sink.write("ITEM: BOX BOUNDS pp pp pp\n" + "0 9.81\n" * 3 + "ITEM: ATOMS id type x y z\n")
            for number, (x, y, z) in enumerate(positions, start=1):
                sink.write(f"{number} {1 + number % 2} {x:.5f} {y:.5f} {z:.5f}\n")
    return file


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    return write_dump(tmp_path_factory.mktemp("dump") / "moving.dump")


def modifiers():
    return [RDFDescriptorsModifier(partial=True, species="Cu,Zr"), LaSCAModifier(max_cutoff="3.6")]


@pytest.fixture(scope="module")
def alone(dump, tmp_path_factory):
    """Output and table of one process."""
    folder = tmp_path_factory.mktemp("alone")
    annotate([dump], modifiers(), folder / "out.xyz", attributes=folder / "out.csv")
    annotate([dump], modifiers(), folder / "out.xyz.gz")
    return folder


@pytest.fixture
def started(monkeypatch):
    """The ranges for which a process was started."""
    ranges, run = [], processes.Processes._run

    def counted(self, item, report):
        ranges.append(item)
        return run(self, item, report)

    monkeypatch.setattr(processes.Processes, "_run", counted)
    return ranges


def in_ranges(dump, output, **options):
    return annotate_in_ranges([dump], modifiers(), output, **{"range_length": 1, "jobs": 2} | options)


@pytest.mark.parametrize(("jobs", "range_length", "name"), [(1, 6, "out.xyz"), (2, 4, "out.xyz.gz"), (3, 2, "out.xyz")])
def test_any_number_of_processes_writes_the_same_bytes(jobs, range_length, name, dump, alone, tmp_path):
    seen = []
    count, last = in_ranges(
        dump,
        tmp_path / name,
        attributes=tmp_path / "out.csv",
        jobs=jobs,
        range_length=range_length,
        progress=lambda fraction, text: seen.append((fraction, text)),
    )
    assert (tmp_path / name).read_bytes() == (alone / name).read_bytes()
    assert (tmp_path / "out.csv").read_bytes() == (alone / "out.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", name]
    assert count == FRAMES
    assert last["frame"] == FRAMES - 1
    assert any(name.startswith("LaSCA.") for name in last)
    assert seen[0] == (0.0, "0 of 6 frames done")
    assert seen[-1] == (1.0, "6 of 6 frames done")
    assert len(seen) == FRAMES + 1


def test_what_modifiers_have_to_say_is_said_once_by_whoever_asked(tmp_path, capfd):
    """Not by every process, and not on the machines of a cluster, where nobody looks."""
    rng = np.random.default_rng(5)
    atoms = ["\n".join(f"Cu {x} {y} {z}" for x, y, z in rng.uniform(0, 9, (20, 3))) for _ in range(4)]
    (tmp_path / "open.xyz").write_text("".join(f"20\n\n{text}\n" for text in atoms))
    told = []
    chain = [PredictedStiffnessModifier(model="stiffness-cuzr"), LaSCAModifier()]
    annotate([tmp_path / "open.xyz"], chain, tmp_path / "alone.xyz")
    told.append(capfd.readouterr().out)
    again = [PredictedStiffnessModifier(model="stiffness-cuzr"), LaSCAModifier()]
    annotate_in_ranges([tmp_path / "open.xyz"], again, tmp_path / "shared.xyz", range_length=1, jobs=2)
    printed = capfd.readouterr()
    told.append(printed.out)
    assert told[0].count("there is no simulation cell") == 2
    assert told[0].count("of the atoms are unlike the training data") == 1
    assert told[1] == told[0]
    assert printed.err == ""


def test_several_files_and_chosen_frames_keep_their_order(dump, tmp_path):
    other = write_dump(tmp_path / "other.dump", frames=3, seed=2)
    files, options = [other, dump, other], {"frames": slice(None, None, 2), "attributes": tmp_path / "all.csv"}
    annotate(files, modifiers(), tmp_path / "one.xyz", **options)
    table = (tmp_path / "all.csv").read_bytes()
    annotate_in_ranges(files, modifiers(), tmp_path / "many.xyz", jobs=2, range_length=2, **options)
    assert (tmp_path / "many.xyz").read_bytes() == (tmp_path / "one.xyz").read_bytes()
    assert (tmp_path / "all.csv").read_bytes() == table


def test_killed_it_goes_on_with_the_frames_that_are_missing(dump, alone, tmp_path, started):
    output, parts = tmp_path / "out.xyz", tmp_path / ".out.xyz.parts"
    arguments = ["-m", "rdf", "-m", "lasca", "--set", "partial=true", "--set", "max_cutoff=3.6", "--species", "Cu,Zr"]
    command = [sys.executable, "-m", "ovito_glassml", "apply", dump, *arguments, "--jobs", "1", "-o", output]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL, cwd=tmp_path)
    wait_until(lambda: len(list(parts.glob("*.json"))) >= 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()
    wait_until(lambda: not working_in(tmp_path))
    finished = len(list(parts.glob("*.json")))
    assert 2 <= finished < FRAMES
    in_ranges(dump, output)
    assert output.read_bytes() == (alone / "out.xyz").read_bytes()
    assert len(started) == FRAMES - finished
    assert [path.name for path in tmp_path.iterdir()] == ["out.xyz"]


def test_an_equal_run_that_comes_second_is_refused_and_the_first_goes_on(dump, alone, tmp_path):
    command = [
        sys.executable,
        "-m",
        "ovito_glassml",
        "apply",
        dump,
        "-m",
        "rdf",
        "--jobs",
        "2",
        "-o",
        tmp_path / "out.xyz",
    ]
    refused = []

    def progress(fraction, text):
        if text == "1 of 6 frames done":
            second = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
            refused.append((second.returncode, second.stderr))

    in_ranges(dump, tmp_path / "out.xyz", progress=progress)
    ((status, sentence),) = refused
    assert status == 2
    assert f"is being written by process {os.getpid()}" in " ".join(sentence.split())
    assert (tmp_path / "out.xyz").read_bytes() == (alone / "out.xyz").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out.xyz"]


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def working_in(folder):
    """Processes of ranges whose working directory is there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (
                b"ovito_glassml.processes" in (process / "cmdline").read_bytes()
                and (process / "cwd").resolve() == folder
            ):
                found.append(process)
    return found


class Stopped(Exception):  # noqa: N818
    """Stands for Ctrl-C."""


@pytest.fixture(scope="module")
def left_over(dump, tmp_path_factory):
    """What a run leaves that is stopped after the first of its two ranges."""
    folder, run = tmp_path_factory.mktemp("stopped"), processes.Processes._run
    calls = []

    def once(self, item, report):
        calls.append(item)
        if len(calls) > 1:
            raise Stopped
        return run(self, item, report)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes.Processes, "_run", once)
        with pytest.raises(Stopped):
            in_ranges(dump, folder / "out.xyz", range_length=3, jobs=1)
    assert [path.name for path in folder.iterdir()] == [".out.xyz.parts"]
    return folder / ".out.xyz.parts"


def test_a_stopped_run_goes_on(left_over, dump, alone, tmp_path, started):
    shutil.copytree(left_over, tmp_path / ".out.xyz.parts")
    in_ranges(dump, tmp_path / "out.xyz", range_length=3)
    assert len(started) == 1
    assert (tmp_path / "out.xyz").read_bytes() == (alone / "out.xyz").read_bytes()


@pytest.mark.parametrize(
    # The input comes last: the time of its last change stays another one.
    ("change", "used"),
    [("nothing", 3), ("parameter", 0), ("version", 0), ("format", 0), ("torn", 0), ("input", 0), ("replaced input", 0)],
)
def test_only_what_would_be_the_same_is_used_again(change, used, left_over, dump, tmp_path, monkeypatch):
    written = dump.stat()
    output = tmp_path / ("out.dump" if change == "format" else "out.xyz")
    parts, chain, seen = output.with_name(f".{output.name}.parts"), modifiers(), []
    shutil.copytree(left_over, parts)
    if change == "parameter":
        chain[1].max_cutoff = "3.5"
    if change == "version":
        monkeypatch.setattr("ovito_glassml.__version__", "999")
    if change == "torn":  # killed between the two files of a range
        next(parts.glob("*.json")).unlink()
    if change == "input":
        os.utime(dump, (1.0, 1.0))
    if change == "replaced input":  # by a file of the same size and time
        dump.write_bytes(dump.read_bytes())
        os.utime(dump, ns=(written.st_atime_ns, written.st_mtime_ns))

    def stop(self, item, report):
        raise Stopped

    monkeypatch.setattr(processes.Processes, "_run", stop)
    with pytest.raises(Stopped):
        annotate_in_ranges([dump], chain, output, range_length=3, progress=lambda fraction, text: seen.append(text))
    assert seen[0] == f"{used} of 6 frames done"
    assert len(list(parts.glob("*"))) == (2 if used else 0)
    assert not output.exists()
    os.utime(dump, ns=(written.st_atime_ns, written.st_mtime_ns))


@pytest.mark.parametrize("name", by_name())
def test_a_modifier_is_made_anew_from_its_parameters(name, dump):
    modifier = by_name()[name].load()()
    if name == "nonaffine":
        modifier.reference, modifier.cutoff = str(dump), 3.5
    described = json.loads(json.dumps(batch._described(modifier)))
    again = batch._rebuilt(described)
    assert type(again) is type(modifier)
    assert batch._described(again) == described
    assert name != "nonaffine" or described[2]["reference"] == str(dump)


def test_a_model_file_that_changes_is_noticed(tmp_path):
    model = tmp_path / "mine.safetensors"
    described = [["module", "Class", {"model": str(model), "species": "Cu,Zr"}]]
    absent = batch._stamps(described)
    model.write_bytes(b"1")
    first = batch._stamps(described)
    model.write_bytes(b"12")
    assert absent != first != batch._stamps(described)


def kill_first_process(monkeypatch, times):
    """The first processes are killed as soon as they run."""
    run, killed = processes.Processes._run, []

    def attacked(self, item, report):
        if len(killed) < times:
            killed.append(item)

            def attack():
                wait_until(lambda: self.running)
                for process in list(self.running):
                    process.kill()

            threading.Thread(target=attack).start()
        return run(self, item, report)

    monkeypatch.setattr(processes.Processes, "_run", attacked)


def test_a_process_that_is_killed_loses_nothing(dump, alone, tmp_path, started, monkeypatch):
    kill_first_process(monkeypatch, 1)
    in_ranges(dump, tmp_path / "out.xyz", range_length=3, jobs=1)
    assert len(started) == 3
    assert (tmp_path / "out.xyz").read_bytes() == (alone / "out.xyz").read_bytes()


def test_a_process_that_is_killed_always_ends_in_a_sentence(dump, tmp_path, started, monkeypatch):
    kill_first_process(monkeypatch, processes.ATTEMPTS)
    with pytest.raises(BatchError, match=r"moving.dump, frames 0 to 5: the process was killed 3 times.*memory"):
        in_ranges(dump, tmp_path / "out.xyz", range_length=6, jobs=1)
    assert len(started) == processes.ATTEMPTS
    assert not (tmp_path / "out.xyz").exists()


def test_the_first_bad_frame_is_named_as_without_processes(tmp_path):
    bad = write_dump(tmp_path / "bad.dump", bad=(2, 4))
    sentences = []
    for run in (annotate, annotate_in_ranges):
        with pytest.raises(FileError) as refused:
            run([bad], modifiers(), tmp_path / "out.xyz", **({"jobs": 2, "range_length": 2} if run != annotate else {}))
        sentences.append(str(refused.value))
    assert sentences[0] == sentences[1]
    assert "bad.dump, frame 2: " in sentences[0]
    assert [path.name for path in tmp_path.iterdir()] == ["bad.dump"]


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes."""
    distributed = pytest.importorskip("distributed", reason="needs the extra cluster")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options, silence_logs=50) as running:
        yield running


def test_a_cluster_that_loses_a_worker_loses_nothing(cluster, dump, alone, tmp_path):
    lost = []

    def kill_a_worker_at_work():
        wait_until(lambda: children())
        lost.append(children()[0])
        os.kill(lost[0][0], signal.SIGKILL)

    def children():
        """Worker and process of every range under way."""
        workers = [worker.pid for worker in cluster.workers.values()]
        listing = subprocess.run(["ps", "ax", "-o", "ppid,pid,args"], capture_output=True, text=True).stdout
        found = [line.split() for line in listing.splitlines() if "-m ovito_glassml.processes" in line]
        return [(int(parent), int(pid)) for parent, pid, *_ in found if int(parent) in workers]

    attack, table = threading.Thread(target=kill_a_worker_at_work), tmp_path / "out.csv"
    attack.start()
    in_ranges(dump, tmp_path / "out.xyz", range_length=2, scheduler=cluster.scheduler_address, attributes=table)
    attack.join()
    assert lost[0] not in children()
    assert (tmp_path / "out.xyz").read_bytes() == (alone / "out.xyz").read_bytes()
    assert table.read_bytes() == (alone / "out.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.xyz"]


def test_a_bad_frame_on_a_cluster_is_named(cluster, tmp_path):
    bad = write_dump(tmp_path / "bad.dump", frames=2, bad=(1,))
    with pytest.raises(FileError, match=r"bad.dump, frame 1: "):
        in_ranges(bad, tmp_path / "out.xyz", scheduler=cluster.scheduler_address)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.dump"]


def test_a_scheduler_that_does_not_answer_is_named(dump, tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="needs the extra cluster")
    monkeypatch.setattr(processes, "PATIENCE", 0.3)
    with pytest.raises(BatchError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9;"):
        in_ranges(dump, tmp_path / "out.xyz", scheduler="tcp://127.0.0.1:9")
    assert list(tmp_path.iterdir()) == []


def test_without_dask_the_extra_is_named(dump, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BatchError, match=r"ovito-glassml\[cluster\]"):
        in_ranges(dump, tmp_path / "out.xyz", scheduler="tcp://127.0.0.1:9")


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path):
    """Growth from the 100th to the 300th frame; `tests/benchmarks/frames.py` goes on to ten thousand."""
    dump = write_dump(tmp_path / "long.dump", frames=300)
    program = (
        "import sys; from pathlib import Path\n"
        "from ovito_glassml import *; from ovito_glassml.adapter.files import annotate\n"
        "def memory(): return int(Path('/proc/self/statm').read_text().split()[1]) * 4096 / 2**20\n"
        "def look(done, total, data):\n"
        "    if done in (100, 300): print(memory(), file=answers)\n"
        "sys.stdout, answers = open('/dev/null', 'w'), sys.stdout\n"  # modifiers warn about every frame
        "chain = [RDFDescriptorsModifier(), *(c(species='Cu,Zr') for c in predicting)]\n"
        "annotate([Path(sys.argv[1])], chain, Path(sys.argv[2]), on_frame=look)\n"
    ).replace("predicting", "(PredictedStiffnessModifier, PredictedActivityModifier)")
    command = [sys.executable, "-c", program, str(dump), str(tmp_path / "long.xyz")]
    early, late = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert late - early < 8.0
