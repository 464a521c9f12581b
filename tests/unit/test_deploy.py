"""The files in `deploy/`: what a job uploads, the KubeRay job, and the SLURM script."""

import os
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")
pytest.importorskip("ray")

import jsonschema  # noqa: E402
from ray._private.runtime_env.packaging import create_package  # noqa: E402

from lmrl.cli import parser  # noqa: E402
from lmrl.cli.training.chosen import experiment  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
LARGEST_MB = 5.0


def upload(folder: Path, target: Path) -> set[str]:
    """Return the names of the files that Ray uploads of a folder for a submitted job."""
    excludes = yaml.safe_load((DEPLOY / "runtime-env.yaml").read_text())["excludes"]
    create_package(str(folder), target, include_gitignore=True, excludes=excludes)
    with zipfile.ZipFile(target) as package:
        return {name for name in package.namelist() if not name.endswith("/")}


def test_a_job_uploads_the_source_and_less_than_5_mb(tmp_path: Path) -> None:
    names = upload(ROOT, tmp_path / "package.zip")
    size = (tmp_path / "package.zip").stat().st_size / 1e6
    assert size < LARGEST_MB
    assert {"lmrl/data/store.py", "cluster/train.py", "lmrl/tasks/assets/wordle.txt"} <= names
    assert "examples/own_task.py" in names
    assert {name.split("/")[0] for name in names} <= {
        *os.listdir(ROOT),
    } - {".git", ".venv", "runs", "data", "site", "docs", "tests"}


def test_the_upload_leaves_out_what_a_checkout_holds_beside_the_source(tmp_path: Path) -> None:
    """Also in a copy without .gitignore, which Ray reads too."""
    checkout = tmp_path / "checkout"
    out = (".git/x", ".venv/x", ".venv-openenv/x", "runs/x", "data/x", "site/x", ".mypy_cache/x")
    for name in (*out, "lmrl/__pycache__/x", "lmrl/data/store.py", "lmrl/runs/log.py"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("x")
    found = upload(checkout, tmp_path / "package.zip")
    assert found == {"lmrl/data/store.py", "lmrl/runs/log.py"}


def fields(required: str = "", **known: Any) -> dict[str, Any]:
    """Return a schema of an object that has no other fields than these."""
    return {
        "type": "object",
        "properties": known,
        "required": required.split(),
        "additionalProperties": False,
    }


TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
AMOUNTS = fields(requests=TEXTS, limits=TEXTS)
CONTAINER = fields(
    "name image resources", name=TEXT, image=TEXT, workingDir=TEXT, resources=AMOUNTS,
    volumeMounts={"type": "array", "items": fields("name mountPath", name=TEXT, mountPath=TEXT)},
)  # fmt: skip
POD = fields(
    "spec",
    spec=fields(
        "containers",
        terminationGracePeriodSeconds=NUMBER,
        containers={"type": "array", "items": CONTAINER},
        volumes={
            "type": "array",
            "items": fields(
                "name",
                name=TEXT,
                persistentVolumeClaim=fields("claimName", claimName=TEXT),
                emptyDir=fields(medium={"enum": ["Memory"]}, sizeLimit=TEXT),
            ),
        },
    ),
)
# The fields of KubeRay's RayJob (ray.io/v1) that the file uses, by its reference of 1.5 and 1.6.
RAY_JOB = fields(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields("name", name=TEXT),
    spec=fields(
        "entrypoint rayClusterSpec",
        entrypoint=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        backoffLimit=NUMBER,
        shutdownAfterJobFinishes=FLAG,
        ttlSecondsAfterFinished=NUMBER,
        rayClusterSpec=fields(
            "headGroupSpec rayVersion",
            rayVersion=TEXT,
            authOptions=fields(mode={"enum": ["disabled", "token"]}),
            enableInTreeAutoscaling={"const": True},
            autoscalerOptions=fields(
                version={"enum": ["v1", "v2"]},
                upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
                idleTimeoutSeconds=NUMBER,
            ),
            headGroupSpec=fields("rayStartParams template", rayStartParams=TEXTS, template=POD),
            workerGroupSpecs={
                "type": "array",
                "items": fields(
                    "groupName minReplicas maxReplicas rayStartParams template",
                    groupName=TEXT,
                    replicas=NUMBER,
                    minReplicas=NUMBER,
                    maxReplicas=NUMBER,
                    rayStartParams=TEXTS,
                    template=POD,
                ),
            },
        ),
    ),
)


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "kuberay-rayjob.yaml").read_text())


def test_the_kuberay_job_has_the_fields_of_its_definition(job: dict[str, Any]) -> None:
    jsonschema.validate(job, RAY_JOB)
    wrong = {**job, "spec": {**job["spec"], "backofflimit": 3}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, RAY_JOB)


def test_the_kuberay_job_fits_its_cluster_and_our_versions(job: dict[str, Any]) -> None:
    """The command's bundles fit the head and the largest number of workers."""
    from cluster.startup.preflight import Node, choose_device

    cluster = job["spec"]["rayClusterSpec"]
    assert f"ray[default]=={cluster['rayVersion']}" in (ROOT / "pyproject.toml").read_text()
    python, flag, module, *words = job["spec"]["entrypoint"].split()
    assert (python, flag, module) == ("python", "-m", "lmrl")
    options = parser().parse_args(words)
    assert options.run_dir.is_relative_to("/shared") and str(options.resume) == "auto"
    exp = experiment(options)
    nodes = [Node("head", {"CPU": float(cluster["headGroupSpec"]["rayStartParams"]["num-cpus"])})]
    for group in cluster["workerGroupSpecs"]:
        mounts = [
            m["mountPath"] for m in group["template"]["spec"]["containers"][0]["volumeMounts"]
        ]
        assert "/shared" in mounts
        amounts = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        found = {"CPU": float(amounts["cpu"]), "GPU": float(amounts["nvidia.com/gpu"])}
        nodes += [Node(group["groupName"], found)] * group["maxReplicas"]
    assert choose_device(exp, nodes) == "cuda"


STUB = """#!/bin/bash
# Records its call. The driver, which runs until it gets the signal, is ready for it then.
[ "$(basename "$0")" != python ] || trap 'echo saved >> "$CALLS"; exit 143' TERM
echo "$(basename "$0") $*" >> "$CALLS"
case "$(basename "$0") $*" in
  scontrol*) printf 'node-a\\nnode-b\\n' ;;
  *hostname*) echo 10.0.0.1 ;;
  "ray status"*) printf ' 1 node_1\\n 1 node_2\\n' ;;
  python*) for _ in $(seq 100); do sleep 0.1; done ;;
esac
"""


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """A SLURM job of two nodes whose programs only record their calls."""
    (tmp_path / "bin").mkdir()
    for name in ("scontrol", "srun", "ray", "python"):
        (tmp_path / "bin" / name).write_text(STUB)
        (tmp_path / "bin" / name).chmod(0o755)
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    return {
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "20001",
        "SLURM_JOB_NODELIST": "node-[a-b]",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_GPUS_ON_NODE": "2",
    }


def test_the_slurm_script_starts_ray_on_all_nodes_and_passes_the_signal_on(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    script = ["bash", "deploy/slurm.sh", f"{tmp_path}/run", "maze-fo-ppo", "--sampler.count", "6"]
    job = subprocess.Popen(script, cwd=tmp_path, env=slurm, stderr=subprocess.PIPE, text=True)
    while not (calls.exists() and "python" in calls.read_text()):
        assert job.poll() is None, job.stderr.read()
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=20) == 143
    said = calls.read_text()
    assert "saved" in said
    options = "--num-cpus 8 --num-gpus 2 --disable-usage-stats --block"
    assert (
        "--nodelist node-a ray start --head --node-ip-address 10.0.0.1 --port 20001 "
        f"--include-dashboard false {options}\n" in said
    )
    assert f"--nodelist node-b ray start --address 10.0.0.1:20001 {options}\n" in said
    command = "python -m lmrl train maze-fo-ppo --sampler.count 6"
    assert f"{command} --run-dir {tmp_path}/run --resume auto\n" in said


@pytest.mark.parametrize("arguments", [[], ["runs/maze", "maze-fo-ppo"]])
def test_the_slurm_script_refuses_wrong_arguments(
    arguments: list[str], slurm: dict[str, str], tmp_path: Path
) -> None:
    script = ["bash", "deploy/slurm.sh", *arguments]
    done = subprocess.run(script, cwd=tmp_path, env=slurm, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert not (tmp_path / "calls").exists()
