"""A release from its install to its end, by real helm 3 and 4 and real kubectl, against an API server that only keeps objects."""

import json
import os
import re
import subprocess

import pytest
from certificates import private_ca
from conftest import CACHE, CHART, TOP, blocks, helms, objects, run, workload_env
from fake_kube import FakeKube

# The older of the two speaks JSON to every server.
KUBECTL = sorted(CACHE.glob("helm/*/kubectl/kubectl"))[0] if CACHE.name else None
STATE = ("ConfigMap", "kafka", "connector-guardian-state")


@pytest.fixture
def kube(tmp_path):
    ca, *certificate = private_ca(tmp_path)
    with FakeKube(certificate) as kube:
        kube.environment = os.environ | {"KUBECONFIG": str(kube.kubeconfig(ca, tmp_path / "kubeconfig")), "HOME": str(tmp_path)}
        yield kube


@pytest.fixture(params=helms(), ids=lambda p: "helm" + p.parts[-3])
def helm(request, kube):
    def helm(*args):
        return run(request.param, *args, "-n", "kafka", env=kube.environment).stdout

    helm.path = request.param
    helm.install = lambda *args: helm("upgrade", "connector-guardian", "--install", "-f", CHART / "values.yaml", CHART, *args)
    return helm


def test_memory_outlives_upgrade_and_uninstall(helm, kube):
    helm.install()
    assert kube.names("CronJob") == ["connector-guardian"]
    state = kube.objects[STATE]
    assert "data" not in state
    kube.put(state | {"data": {"state.json": "{}"}}, "kafka")

    helm.install("--set", "commonLabels.team=streaming")
    assert kube.objects[STATE]["data"] == {"state.json": "{}"}
    assert kube.objects[STATE]["metadata"]["labels"]["team"] == "streaming"

    helm("uninstall", "connector-guardian")
    assert kube.names("CronJob") == [] and kube.names("Role") == []
    assert kube.objects[STATE]["data"] == {"state.json": "{}"}

    helm.install()
    assert kube.objects[STATE]["data"] == {"state.json": "{}"}


OLD = TOP / "tests/deploy/chart-2.0.0"


@pytest.mark.parametrize("how", [["-f", OLD / "values.yaml"], ["--reset-then-reuse-values"], ["--reuse-values"], []], ids=str)
def test_memory_outlives_the_upgrade_from_chart_2_0_0(helm, kube, how):
    """As every way of upgrading does it: with the old defaults written out, kept by Helm, or left to the new chart."""
    helm("install", "connector-guardian", OLD)
    kube.put(kube.objects[STATE] | {"data": {"state.json": "{}"}}, "kafka")
    old = where(helm)

    helm("upgrade", "connector-guardian", CHART, *how)
    assert kube.objects[STATE]["data"] == {"state.json": "{}"}
    assert where(helm) == old, "it would look for its memory elsewhere, or take it for another cluster's"
    text = helm("get", "manifest", "connector-guardian")
    assert "<nil>" not in text and 'value: ""' not in text, text
    assert kube.names("CronJob") == ["connector-guardian"] and kube.names("Role") == ["connector-guardian"]


def where(helm):
    """What decides where a run finds its memory, and whether it takes it for its own."""
    cronjob = objects(helm("get", "manifest", "connector-guardian"))["CronJob", "connector-guardian"]
    env = workload_env(cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0])
    return env["GUARDIAN_STATE"], env["GUARDIAN_CLUSTER"]


def commands(notes, start):
    """The commands of one paragraph of the notes."""
    paragraph = notes[notes.index(start) :].split("\n\n")[0]
    return re.sub(r"\\\n\s*", "", paragraph.split(":\n", 1)[1])


def shell(kube, text):
    text = text.replace("kubectl ", f"{KUBECTL} ")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], env=kube.environment, check=True, text=True, capture_output=True, cwd=TOP, timeout=60)
    return done.stdout


def by_hand(kube, now, status, state, suspend, resume):
    """Runs commands that a person is told, each whole, as if pasted."""
    for text, args in (now, ["run", "--once"]), (status, ["status"]):
        said = shell(kube, text)
        # The pod's log: what the Job has run.
        pod, _ = json.JSONDecoder().raw_decode(said[said.index("{") :])
        assert pod["containers"][0]["args"] == args
        assert pod["serviceAccountName"] == "connector-guardian"
        assert {e["name"] for e in pod["containers"][0]["env"]} >= {"GUARDIAN_STATE", "GUARDIAN_CLUSTER"}
        assert kube.names("Job") == []

    kube.put(kube.objects[STATE] | {"data": {"state.json": json.dumps({"version": 1})}}, "kafka")
    assert shell(kube, state) == '{"version": 1}'

    for text, suspended in (suspend, True), (resume, False):
        shell(kube, text)
        assert kube.objects["CronJob", "kafka", "connector-guardian"]["spec"]["suspend"] is suspended


def test_what_the_notes_say_works(helm, kube):
    notes = helm.install().split("NOTES:\n", 1)[1]
    assert 'looks after http://kafka-connect:8083 at "*/5 * * * *" as CronJob connector-guardian.' in notes
    assert "helm test connector-guardian -n kafka --logs" in notes

    by_hand(kube, *(commands(notes, start) for start in ("Run it now", "Any other command", "See the state", "Stop it", "Let it go on")))


def test_what_the_readme_says_works(helm, kube):
    install, *told = (block.replace("NAMESPACE", "kafka") for block in blocks("deploy/README.md", "## Kubernetes and OpenShift"))
    shell(kube, install.splitlines()[0].replace("helm ", f"{helm.path} "))
    by_hand(kube, *told)


def test_the_chart_readme_says_the_same():
    told = blocks("deploy/README.md", "## Kubernetes and OpenShift")
    assert blocks("deploy/chart/README.md", "## By hand") == told[1:4]


def test_notes_of_several_clusters_and_of_a_stopped_one(helm, kube):
    notes = helm.install("-f", CHART / "ci/clusters.yaml").split("NOTES:\n", 1)[1]
    assert "as CronJob connector-guardian-orders.\n" in notes
    assert "as CronJob connector-guardian-billing (SUSPENDED: nothing runs).\n" in notes
    assert "get configmap connector-guardian-orders-state" in notes


def test_notes_of_a_volume(helm, kube):
    assert "it is a file on a volume" in helm.install("-f", CHART / "ci/pvc.yaml")
