"""A SLURM cluster of one node, this machine, with accounting: its daemons, their state in a folder of its own.

As root, with Debian's packages slurm-wlm, slurmdbd, munge and mariadb-server, `python tests/cluster/slurm.py COMMAND`
runs a command there.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = "slurm-wlm slurmdbd munge mariadb-server"
PROGRAMS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd", "sbatch", "sacct")
# Not told by $SLURM_CONF: the executor plugin takes all of $SLURM_* from a job's step.
FOLDER = Path("/etc/slurm")
# CPUs, memory and GPUs are as told, not as found: what is asked for can be seen without any. Nothing is of cgroups:
# containers have none to give.
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
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting_port}
AccountingStoragePass={root}/munge.socket
MinJobAge=3000
MpiDefault=none
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=256000 Gres=gpu:4
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
"""
GPUS = "NodeName={host} Name=gpu File={root}/gpu[0-3]\n"
ACCOUNTING = """\
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CommunicationParameters=NoInAddrAny
SlurmUser=root
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={accounting_port}
PidFile={root}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
"""
FILES = {"slurm.conf": CONFIGURATION, "gres.conf": GPUS, "slurmdbd.conf": ACCOUNTING}


@dataclass
class Cluster:
    """The daemons and the environment in which SLURM's commands reach them."""

    root: Path
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def configure(self) -> None:
        ports = {f"{daemon}_port": _free_port() for daemon in ("controller", "node", "accounting")}
        for name, text in FILES.items():
            file = FOLDER / name
            file.touch(0o600)
            file.write_text(text.format(host=socket.gethostname().partition(".")[0], root=self.root, **ports))
        for folder in ("state", "spool"):
            (self.root / folder).mkdir()
        for index in range(4):
            (self.root / f"gpu{index}").touch()
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)

    def start(self, *command: str) -> None:
        name = command[0]
        environment = {**os.environ, "MYSQL_UNIX_PORT": str(self.root / "database.socket")}
        with open(self.root / f"{name}.log", "ab") as log:
            self.daemons[name] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def start_munged(self) -> None:
        files = ("socket", "key-file", "pid-file", "seed-file")
        options = [f"--{option}={self.root}/munge.{option.removesuffix('-file')}" for option in files]
        self.start("munged", "--foreground", "--force", *options)

    def start_accounting(self) -> None:
        """A database reached by its socket alone, and slurmdbd."""
        data = ("--no-defaults", "--user=root", f"--datadir={self.root}/database")
        subprocess.run(["mariadb-install-db", *data, "--skip-test-db"], check=True, capture_output=True)
        self.start("mariadbd", *data, f"--socket={self.root}/database.socket", "--skip-networking")
        _wait(lambda: (self.root / "database.socket").exists(), self)
        self.start_slurmdbd()
        self.ask("sacctmgr", "-i", "add", "cluster", "bench")

    def start_slurmdbd(self) -> None:
        self.start("slurmdbd", "-D")
        _wait(lambda: _succeeds("sacctmgr", "-n", "list", "cluster"), self)

    def start_scheduler(self) -> None:
        self.start("slurmctld", "-D")
        self.start("slurmd", "-D")
        _wait(lambda: _succeeds("sinfo", "-h", "-o", "%T", said="idle"), self)

    def kill(self, name: str) -> None:
        """``kill -9`` of one daemon; ``start`` makes it go on from what it wrote down."""
        self.daemons[name].kill()
        self.daemons[name].wait()

    def ask(self, *command: str) -> str:
        """What one of SLURM's commands says."""
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

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
        return f"SLURM is not installed ({', '.join(absent)} not found): apt-get install {PACKAGES}"
    if os.geteuid() != 0:
        return "SLURM's daemons want root"
    return f"{FOLDER} has a cluster's configuration" if any((FOLDER / name).exists() for name in FILES) else ""


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A running cluster. Its folder has a short path: a socket's may be of 107 characters."""
    root = Path(tempfile.mkdtemp(prefix="slurm"))
    root.chmod(0o755)
    made = Cluster(root)
    try:
        made.configure()
        made.start_munged()
        made.start_accounting()
        made.start_scheduler()
        yield made
    finally:
        made.stop()
        shutil.rmtree(root)
        for name in FILES:
            (FOLDER / name).unlink(missing_ok=True)


def _succeeds(*command: str, said: str = "") -> bool:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode == 0 and said in ("", done.stdout.strip())


def _wait(ready: Callable[[], bool], cluster: Cluster, seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > ends:
            logs = (f"{log.name}:\n{log.read_text()[-2000:]}" for log in sorted(cluster.root.glob("*.log")))
            raise TimeoutError("\n".join(("the cluster does not start", *logs)))
        time.sleep(0.5)


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
