"""What loading a policy imports."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, stage_environment

CODE = """
import sys
import selfevolve.engines.local.engine
from selfevolve.policies.policy import load_policy
load_policy(sys.argv[1])
assert "sklearn" not in sys.modules
import sklearn
"""


def test_a_policy_is_loaded_without_scikit_learn_which_can_be_imported_afterwards(backbone: Path):
    command = [sys.executable, "-c", CODE, str(backbone)]
    done = subprocess.run(command, cwd=ROOT, env=stage_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
