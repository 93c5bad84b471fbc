"""A SLURM cluster of one node, this machine: munged, slurmctld and slurmd in a folder of their own, on loopback alone.

As root, with Debian's packages slurm-wlm and munge, `python tests/cluster/slurm.py COMMAND...` runs a command there.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
# Not told by $SLURM_CONF: the executor plugin takes all of $SLURM_* from a job's step.
FILES = (Path("/etc/slurm/slurm.conf"), Path("/etc/slurm/gres.conf"))
# Nodes, memory and GPUs are as told, not as found: a test of what is asked for needs none of them. Nothing of cgroups:
# containers have none to give. squeue knows a finished job for MinJobAge seconds.
CONFIGURATION = """\
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=300
MpiDefault=none
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=256000 Gres=gpu:4
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
"""


@dataclass
class Cluster:
    """The daemons and the environment in which SLURM's commands reach them."""

    root: Path
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def configure(self) -> None:
        host = socket.gethostname().partition(".")[0]
        ports = {"controller_port": _free_port(), "node_port": _free_port()}
        FILES[0].write_text(CONFIGURATION.format(host=host, root=self.root, **ports))
        FILES[1].write_text(f"NodeName={host} Name=gpu File={self.root}/gpu[0-3] Flags=nvidia_gpu_env\n")
        for index in range(4):
            (self.root / f"gpu{index}").touch()
        for folder in ("state", "spool"):
            (self.root / folder).mkdir()
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)

    def start(self, name: str, *command: str) -> None:
        with open(self.root / f"{name}.log", "ab") as log:
            self.daemons[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def start_munged(self) -> None:
        files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid", "seed-file": "munge.seed"}
        options = [f"--{option}={self.root / file}" for option, file in files.items()]
        self.start("munged", "munged", "--foreground", "--force", *options)

    def start_controller(self) -> None:
        """Also after ``kill -9``: the jobs are in its state folder."""
        self.start("slurmctld", "slurmctld", "-D")

    def start_node(self) -> None:
        self.start("slurmd", "slurmd", "-D")

    def kill(self, name: str) -> None:
        """``kill -9`` of one daemon."""
        self.daemons[name].kill()
        self.daemons[name].wait()

    def ask(self, *command: str) -> str:
        """What one of SLURM's commands says."""
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def wait(self, seconds: float = 60) -> None:
        """Until the node takes jobs."""
        until = time.monotonic() + seconds
        while True:
            done = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
            if done.stdout.strip() in ("idle", "mixed", "allocated"):
                return
            if time.monotonic() > until:
                logs = "\n".join(f"{log.name}:\n{log.read_text()[-2000:]}" for log in sorted(self.root.glob("*.log")))
                raise TimeoutError(f"the node is {done.stdout or done.stderr}\n{logs}")
            time.sleep(0.5)

    def stop(self) -> None:
        if not self.daemons:
            return
        subprocess.run(["scancel", "--user", str(os.getuid())], check=False)
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()


def missing() -> str:
    """Why no cluster can be started here; empty where one can."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"SLURM is not installed ({', '.join(absent)} not found): apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "SLURM's daemons want root"
    return next((f"{file} is there: this machine has a cluster of its own" for file in FILES if file.exists()), "")


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A running cluster. Its folder has a short path: a socket's may be of 107 characters."""
    root = Path(tempfile.mkdtemp(prefix="slurm"))
    root.chmod(0o755)
    made = Cluster(root)
    try:
        made.configure()
        made.start_munged()
        made.start_controller()
        made.start_node()
        made.wait()
        yield made
    finally:
        made.stop()
        shutil.rmtree(root)
        for file in FILES:
            file.unlink(missing_ok=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main(command: Sequence[str]) -> int:
    if reason := missing():
        print(reason, file=sys.stderr)
        return 2
    with cluster():
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
