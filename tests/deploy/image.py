"""The image that tests/deploy/image has built, run as production would: by podman, hardened, and as the chart's pod."""

import json
import os
import pathlib
import signal
import subprocess
import time

import pytest
import yaml
from certificates import private_ca
from conftest import CHART, DEPLOY, blocks, helms, objects, run
from fake_connect import FakeConnect, no_connect
from fake_kube import FakeKube

IMAGE = os.environ["GUARDIAN_IMAGE"]
HARDENED = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--memory=64m", "--pids-limit=32"]


def podman(*args, **more):
    return run("podman", *args, **more)


def guardian(*args, options=(), url=None, check=False):
    """`podman run IMAGE args` on the host's network. The state is in an anonymous volume unless `options` mounts one."""
    env = ["-e", f"KAFKA_CONNECT_URL={url}"] if url else []
    return podman("run", "--rm", "--network=host", *HARDENED, *env, *options, IMAGE, *args, check=check)


@pytest.fixture(scope="module")
def config():
    return json.loads(podman("image", "inspect", IMAGE).stdout)[0]


@pytest.fixture
def volume():
    name = f"guardian-test-{time.monotonic_ns()}"
    yield name
    podman("volume", "rm", "-f", name, check=False)


def contents():
    root = pathlib.Path(podman("image", "mount", IMAGE).stdout.strip())
    try:
        return {str(p.relative_to(root)): p.lstat() for p in root.rglob("*")}
    finally:
        podman("image", "umount", IMAGE)


def test_configuration(config):
    c = config["Config"]
    assert c["Entrypoint"] == ["guardian"] and c["Cmd"] == ["run", "--once"]
    assert c["User"] == "65532:65532"
    assert c["Volumes"] == {"/var/lib/guardian": {}}
    labels = c["Labels"]
    assert labels["org.opencontainers.image.version"] == "test"
    assert {"title", "description", "licenses", "revision"} <= {k.rsplit(".", 1)[1] for k in labels}


def test_small_and_nothing_in_it(config):
    size = config["Size"]
    files = contents()
    binary = files["usr/local/bin/guardian"].st_size
    print(f"image {size / 1e6:.2f} MB, binary {binary / 1e6:.2f} MB")
    assert size < 8_000_000
    assert sorted(files) == ["etc", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/ca-certificates.crt", "usr", "usr/local", "usr/local/bin",
                             "usr/local/bin/guardian", "var", "var/lib", "var/lib/guardian"]  # fmt: skip
    state = files["var/lib/guardian"]
    assert (state.st_uid, state.st_gid, state.st_mode & 0o7777) == (65532, 0, 0o2770)


def test_the_binary_names_its_crates():
    """cargo auditable: a scanner finds the list in the binary."""
    root = pathlib.Path(podman("image", "mount", IMAGE).stdout.strip())
    try:
        assert b".dep-v0" in (root / "usr/local/bin/guardian").read_bytes()
    finally:
        podman("image", "umount", IMAGE)


def test_arm64():
    root = pathlib.Path(podman("image", "mount", f"{IMAGE}-arm64").stdout.strip())
    try:
        binary = root / "usr/local/bin/guardian"
        assert binary.read_bytes()[18:20] == b"\xb7\x00", "not an aarch64 ELF"
        with FakeConnect() as connect:
            env = {"KAFKA_CONNECT_URL": connect.url, "GUARDIAN_STATE": "/tmp/guardian-arm64-test.json"}
            done = subprocess.run(["qemu-aarch64-static", binary, "run", "--once"], env=env, capture_output=True, text=True)
        pathlib.Path("/tmp/guardian-arm64-test.json").unlink(missing_ok=True)
        pathlib.Path("/tmp/guardian-arm64-test.json.lock").unlink(missing_ok=True)
    finally:
        podman("image", "umount", f"{IMAGE}-arm64")
    assert done.returncode == 0, done.stderr
    assert connect.restarts == ["/connectors/orders-sink/tasks/1/restart"]
    assert json.loads(podman("image", "inspect", f"{IMAGE}-arm64").stdout)[0]["Architecture"] == "arm64"


def test_runs_and_restarts():
    with FakeConnect() as connect:
        done = guardian(url=connect.url)
        assert done.returncode == 0, done.stderr
        assert "orders-sink" in done.stdout
        assert connect.restarts == ["/connectors/orders-sink/tasks/1/restart"]


def test_what_the_readme_says(volume):
    _build, *runs = blocks("deploy/README.md", "## Image")[0].splitlines()
    with FakeConnect() as connect:
        for line in runs:
            line = line.replace("docker run", "podman run --network=host").replace("-v guardian:", f"-v {volume}:")
            line = line.replace("http://connect.example:8083", connect.url).replace(" connector-guardian", f" {IMAGE}")
            said = run("sh", "-c", line).stdout
            assert "orders-sink" in said
    assert len(connect.restarts) == 1
    assert "1/7" in said, "the second has the same state"


@pytest.mark.parametrize("user", ["65532:65532", "1000680000:0"], ids=["image", "openshift"])
def test_state_in_a_volume(user, volume):
    options = ["--user", user, "-v", f"{volume}:/var/lib/guardian"]
    with FakeConnect() as connect:
        assert guardian(url=connect.url, options=options).returncode == 0
        again = guardian("run", "--once", "--output", "json", url=connect.url, options=options)
    assert again.returncode == 0, again.stderr
    (instance,) = json.loads(again.stdout)["instances"]
    assert (instance["action"], instance["attempts"]) == ("waiting", 1), "the settle time of the first run is remembered"
    assert len(connect.restarts) == 1


def test_exit_codes_come_through():
    with no_connect() as url:
        done = guardian(url=url)
        assert done.returncode == 1 and url.split("//")[1] in done.stderr, done.stderr
    assert guardian("run", "--no-such-flag").returncode == 2
    done = guardian("--version")
    assert done.returncode == 0 and done.stdout.endswith(" (0123456789ab, x86_64-unknown-linux-musl)\n"), done
    with FakeConnect() as connect:
        options = ["-e", "MAX_RESTART=1", "-e", "GUARDIAN_SETTLE=0s"]
        assert guardian("run", "--once", "--fail-on", "failed", url=connect.url, options=options).returncode == 3


def test_http_works_without_any_ca(tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    with FakeConnect() as connect:
        done = guardian(url=connect.url, options=["-v", f"{empty}:/etc/ssl/certs/ca-certificates.crt:ro"])
        assert done.returncode == 0, done.stderr


def test_https_with_a_private_ca(tmp_path):
    tmp_path.chmod(0o755)
    ca, *certificate = private_ca(tmp_path)
    with FakeConnect(tls=certificate) as connect:
        refused = guardian(url=connect.url)
        assert refused.returncode == 1 and "certificate" in refused.stderr, refused.stderr
        mount = ["-v", f"{ca}:/etc/guardian/ca.crt:ro", "-e", "KAFKA_CONNECT_CA_FILE=/etc/guardian/ca.crt"]
        done = guardian(url=connect.url, options=mount)
        assert done.returncode == 0, done.stderr
        # Also when there is no other CA at all.
        empty = tmp_path / "empty"
        empty.touch()
        done = guardian(url=connect.url, options=[*mount, "-v", f"{empty}:/etc/ssl/certs/ca-certificates.crt:ro"])
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("every, code", [(True, 0), (False, 143)], ids=["between two runs", "in a run"])
def test_sigterm(every, code, volume):
    """As PID 1, where a signal without a handler would do nothing at all."""
    with FakeConnect({"a": ["RUNNING"]}, delay=0 if every else 60) as connect:
        name = volume
        args = ["run", "--every", "1h"] if every else ["run", "--once"]
        podman("run", "-d", "--name", name, "--network=host", *HARDENED, "-e", f"KAFKA_CONNECT_URL={connect.url}", IMAGE, *args)
        try:
            assert connect.asked.wait(20)
            time.sleep(1)
            podman("kill", "--signal", signal.SIGTERM.name, name)
            assert podman("wait", name).stdout.strip() == str(code)
        finally:
            podman("rm", "-f", name, check=False)


# --- the chart's pod ---


def pod_of(cronjob, name, **changes):
    """The pod that a Job of this CronJob would make, but on the host's network and with these volumes."""
    template = cronjob["spec"]["jobTemplate"]["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": template["metadata"]["labels"]}, "spec": template["spec"]}
    pod["spec"]["hostNetwork"] = True
    pod["spec"]["containers"][0]["image"] = IMAGE
    pod["spec"]["containers"][0]["imagePullPolicy"] = "Never"
    pod["spec"] |= changes
    return pod


def play(pod, folder):
    """Runs it to its end. Returns (exit code, what it said)."""
    file = folder / "pod.yaml"
    file.write_text(yaml.safe_dump(pod))
    name = pod["metadata"]["name"]
    container = f"{name}-{pod['spec']['containers'][0]['name']}"
    podman("kube", "play", "--network=host", file, cwd=folder)
    try:
        code = int(podman("wait", container).stdout)
        logs = podman("logs", container)
        return code, logs.stdout + logs.stderr
    finally:
        podman("pod", "rm", "-f", name, check=False)


def cronjobs(*args):
    rendered = run(helms()[-1], "template", "connector-guardian", CHART, "-n", "kafka", *args).stdout
    return [o for (kind, _), o in objects(rendered).items() if kind == "CronJob"]


def test_pods_with_a_volume_share_the_state(tmp_path):
    claim = tmp_path / "claim"
    claim.mkdir()
    os.chown(claim, 0, 65532)  # what the kubelet does for fsGroup
    claim.chmod(0o2770)
    with FakeConnect() as connect:
        (cronjob,) = cronjobs("-f", CHART / "ci/pvc.yaml", "--set", f"connect.url={connect.url}")
        # podman does not know fsGroup.
        cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["securityContext"]["supplementalGroups"] = [65532]
        volumes = [{"name": "state", "hostPath": {"path": str(claim), "type": "Directory"}}]
        for name in ("first", "second"):
            code, said = play(pod_of(cronjob, f"guardian-{name}", volumes=volumes), tmp_path)
            assert code == 0, said
    assert connect.restarts == ["/connectors/orders-sink/tasks/1/restart"], "the second pod knows of the first one's restart"
    assert json.loads((claim / "connector-guardian.json").read_text())


def test_pods_with_a_config_map_share_the_state(tmp_path):
    """The chart's default, with the credentials as files; the API server only keeps objects."""
    tmp_path.chmod(0o755)
    ca, *certificate = private_ca(tmp_path)
    account = tmp_path / "account"
    account.mkdir()
    (account / "ca.crt").write_text(ca.read_text())
    (account / "token").write_text("secret-token")
    (account / "namespace").write_text("kafka")
    login = tmp_path / "login"
    login.mkdir()
    (login / "username").write_text("bob\n")
    (login / "password").write_text("secret\n")
    with FakeKube(certificate) as kube, FakeConnect() as connect:
        args = ["--set", f"connect.url={connect.url},connect.existingSecret=connect-login"]
        rendered = objects(run(helms()[-1], "template", "connector-guardian", CHART, "-n", "kafka", *args).stdout)
        kube.put(rendered["ConfigMap", "connector-guardian-state"], "kafka")
        kube.requests.clear()
        cronjob = rendered["CronJob", "connector-guardian"]
        spec = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        # What the kubelet adds: the service account's files, the API server's address, the Secret.
        spec["containers"][0]["env"] += [{"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"}, {"name": "KUBERNETES_SERVICE_PORT", "value": str(kube.port)}]
        spec["containers"][0]["volumeMounts"].append({"name": "account", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True})
        volumes = [{"name": n, "hostPath": {"path": str(p), "type": "Directory"}} for n, p in (("account", account), ("credentials", login))]
        for name in ("first", "second"):
            code, said = play(pod_of(cronjob, f"guardian-{name}", volumes=volumes), tmp_path)
            assert code == 0, said
        state = kube.objects["ConfigMap", "kafka", "connector-guardian-state"]
    assert connect.restarts == ["/connectors/orders-sink/tasks/1/restart"], "the second pod knows of the first one's restart"
    assert connect.headers[0]["authorization"] == "Basic Ym9iOnNlY3JldA=="
    assert json.loads(state["data"]["state.json"])
    assert state["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm", "Helm's labels were kept"
    verbs = {r.split()[0] for r in kube.requests}
    assert verbs == {"GET", "PUT"}, "the Role allows get and update, and nothing else"


# --- compose ---


def test_compose(tmp_path):
    """What the README says, with the file as it is, less what is docker's alone, and on the host's network."""
    compose = yaml.safe_load((DEPLOY / "docker-compose.yaml").read_text())
    guardian_ = compose["services"]["guardian"]
    guardian_["image"] = IMAGE
    del guardian_["build"]
    guardian_["network_mode"] = "host"
    # host-gateway does not go with host networking, json-file is docker's logging, and podman-compose 1.6 stumbles
    # over a dependency that is not required.
    del guardian_["extra_hosts"], guardian_["logging"], guardian_["depends_on"]
    deploy = tmp_path / "deploy"
    deploy.mkdir()
    (deploy / "docker-compose.yaml").write_text(yaml.safe_dump(compose))
    up, status, again = blocks("deploy/README.md", "## docker compose")[:3]

    def shell(commands, folder=deploy, check=True):
        commands = commands.replace("docker compose", "podman-compose -p guardian-test").replace("http://connect.example:8083", connect.url)
        return run("bash", "-euc", commands.replace("logs -f", "logs"), cwd=folder, check=check).stdout

    with FakeConnect() as connect:
        shell(up, tmp_path)
        try:
            deadline = time.monotonic() + 30
            while not connect.restarts and time.monotonic() < deadline:
                time.sleep(0.2)
            time.sleep(1)
            assert "orders-sink" in shell(status)
            shell(again)
            assert len(connect.restarts) == 1, "a run by hand has the same state"
            shell("docker compose restart guardian")
            time.sleep(3)
            assert len(connect.restarts) == 1, "the state outlives the container's process"
        finally:
            shell("docker compose down -v", check=False)
