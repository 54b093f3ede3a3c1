"""Processes that work for this one."""

import pickle
import subprocess
import sys


def test_a_process_ends_well_while_its_parent_still_holds_the_line():
    command = [sys.executable, "-m", "ovito_glassml.processes"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(pickle.dumps((callable, ())))  # asks whether what it reports with can be called
    process.stdin.flush()
    kind, content = pickle.loads(process.stdout.read())
    assert (kind, pickle.loads(content)[0]) == ("result", True)
    assert process.stderr.read() == b""
    assert process.wait() == 0
