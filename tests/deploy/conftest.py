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
IMAGE = "ghcr.io/anvaari/connector-guardian"
VERSION = re.search(r'^version = "(.+)"', (TOP / "Cargo.toml").read_text(), re.M).group(1)


def run(*command, check=True, **more):
    """Runs a command; a failure shows what it said."""
    more.setdefault("stdout", subprocess.PIPE)
    more.setdefault("stderr", subprocess.PIPE)
    done = subprocess.run([str(c) for c in command], text=True, **more)
    if check and done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}", pytrace=False)
    return done


def helms():
    return sorted(CACHE.glob("helm/*/helm/helm"))


def objects(text):
    """The Kubernetes objects of a rendered chart, by kind and name."""
    return {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(text) if o}


def workload_env(container):
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container.get("env", [])}


@pytest.fixture(scope="session")
def guardian():
    """The binary, if it can do something already."""
    path = pathlib.Path(os.environ.get("GUARDIAN_BIN", ""))
    if "run" not in subprocess.run([path, "--help"], capture_output=True, text=True).stdout:
        pytest.skip(f"{path} does not know `guardian run`")
    return path
