"""What the tests of deploy/ share: where things are, and the tools that tests/deploy/tools.sh has brought."""

import os
import pathlib
import re
import subprocess

import pytest
import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = TOP / "deploy"
CHART = DEPLOY / "chart"
CACHE = pathlib.Path(os.environ.get("GUARDIAN_DEPLOY_CACHE", ""))
IMAGE = "docker.io/anvaari/connector-guardian"
VERSION = re.search(r'^version = "(.+)"', (TOP / "Cargo.toml").read_text(), re.M).group(1)


def run(*command, check=True, **more):
    """Runs a command; a failure shows what it said."""
    more.setdefault("stdout", subprocess.PIPE)
    more.setdefault("stderr", subprocess.PIPE)
    done = subprocess.run([str(c) for c in command], text=True, **more)
    if check and done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}", pytrace=False)
    return done


def blocks(readme, heading=""):
    """The bash blocks of one section of a README, or of all of it."""
    text = (TOP / readme).read_text()
    if heading:
        text = re.split(r"\n#{2,3} ", text.split(f"\n{heading}\n")[1])[0]
    return re.findall(r"^```bash\n(.*?)^```$", text, re.M | re.S)


def helms():
    return sorted(CACHE.glob("helm/*/helm/helm"))


def objects(text):
    """The Kubernetes objects of a rendered chart, by kind and name."""
    return {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(text) if o}


def workload_env(container):
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container.get("env", [])}


@pytest.fixture(scope="session")
def guardian():
    """The binary."""
    return pathlib.Path(os.environ["GUARDIAN_BIN"])
