"""What the README says of systemd, done: under a real one as PID 1 of a container."""

import json
import os
import shlex
import subprocess
import time

import pytest
from conftest import DEPLOY, blocks, run
from fake_connect import FakeConnect

IMAGE = "localhost/guardian-systemd-test"
INSTALL, PASSWORD, START, BY_HAND, SECOND, _ = blocks("deploy/README.md", "## systemd")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("systemd")
    name = f"guardian-systemd-{os.getpid()}"
    run("podman", "run", "-d", "--name", name, "--systemd=always", "--privileged", "--network=host", IMAGE)

    def machine(command, check=True, **more):
        return run("podman", "exec", "-i", name, "bash", "-euc", command, check=check, **more)

    def copy(source, target, mode="644"):
        run("podman", "cp", source, f"{name}:{target}")
        machine(f"chown root:root {target}; chmod {mode} {target}")

    machine.copy, machine.folder = copy, folder
    try:
        for _ in range(60):
            if machine("systemctl is-system-running", check=False).stdout.strip() in ("running", "degraded"):
                break
            time.sleep(1)
        # LoadCredential wants to move a mount; in a container the root is not shared.
        machine("mount --make-rshared /; mkdir -p /tree/target/release")
        copy(DEPLOY, "/tree/deploy", "755")
        copy(os.environ["GUARDIAN_BIN"], "/tree/target/release/guardian", "755")
        machine(f"cd /tree; {INSTALL}")
        yield machine
    finally:
        subprocess.run(["podman", "rm", "-f", "-t", "2", name], capture_output=True)


def settings(machine, unit, url, *more):
    file = machine.folder / f"{unit}.env"
    text = (DEPLOY / "guardian.env").read_text().replace("http://localhost:8083", url)
    file.write_text(text + "".join(f"{line}\n" for line in more))
    machine.copy(file, f"/etc/guardian/{unit}.env", "640")


def state(machine, unit):
    return json.loads(machine(f"cat /var/lib/{unit}/state.json").stdout)


def test_units_and_their_score(machine):
    machine("systemctl daemon-reload; systemd-analyze verify --man=no /etc/systemd/system/guardian.service /etc/systemd/system/guardian.timer")
    done = machine("systemd-analyze security --offline=yes --threshold=15 --no-pager /etc/systemd/system/guardian.service")
    print(done.stdout.splitlines()[-1])


def test_the_timer_runs_it_and_the_state_is_kept(machine):
    with FakeConnect() as connect:
        settings(machine, "guardian", connect.url, "GUARDIAN_SETTLE=0s", "EXPONENTIAL_RATIO=3")
        # The timer as it is shipped, but every 3 seconds.
        machine("mkdir -p /etc/systemd/system/guardian.timer.d; printf '[Timer]\\nOnCalendar=\\nOnCalendar=*:*:0/3\\nRandomizedDelaySec=0\\n' "
                f">/etc/systemd/system/guardian.timer.d/test.conf; {START}")  # fmt: skip
        end = time.monotonic() + 60
        while sum(r.startswith("/connectors?") for r in connect.requests) < 5 and time.monotonic() < end:
            time.sleep(0.2)
        machine("systemctl stop guardian.timer; rm -r /etc/systemd/system/guardian.timer.d; systemctl daemon-reload")
        time.sleep(1)
    journal = machine("journalctl --no-pager -u guardian.service").stdout
    assert sum(r.startswith("/connectors?") for r in connect.requests) >= 5, journal
    # Restarts at runs 0 and 3: only with a memory.
    assert len(connect.restarts) == 2, (connect.restarts, journal)
    assert "orders-sink" in journal and "\x1b" not in journal
    assert state(machine, "guardian")
    assert machine("systemctl show -p Result --value guardian.service").stdout.strip() == "success"
    assert machine("stat -Lc '%a' /var/lib/private/guardian").stdout.strip() == "700"


def test_password_from_the_credential_store(machine):
    with FakeConnect({"a": ["RUNNING"]}) as connect:
        settings(machine, "guardian", connect.url, "KAFKA_CONNECT_USER=bob")
        # script: a terminal to ask on.
        machine(f"script -qec {shlex.quote(PASSWORD)} /dev/null", input="secret\n")
        machine("systemctl start guardian.service; rm /etc/credstore/guardian.password")
    assert connect.headers[0]["authorization"] == "Basic Ym9iOnNlY3JldA=="


def test_failure_is_a_failed_unit(machine):
    settings(machine, "guardian", "http://localhost:1")
    assert machine("systemctl start guardian.service", check=False).returncode == 1
    assert machine("systemctl show -p ExecMainStatus --value guardian.service").stdout.strip() == "1"
    assert machine("systemctl is-failed guardian.service", check=False).stdout.strip() == "failed"


def test_a_copy_is_another_cluster_and_shares_nothing(machine):
    machine(f"{SECOND}systemctl daemon-reload")
    machine("rm -rf /var/lib/private/guardian/*")
    with FakeConnect() as one, FakeConnect() as two:
        settings(machine, "guardian", one.url)
        settings(machine, "guardian-orders", two.url)
        machine("systemctl start guardian.service guardian-orders.service")
        assert (len(one.restarts), len(two.restarts)) == (1, 1)
        assert machine("ls /var/lib/guardian/state.json /var/lib/guardian-orders/state.json").returncode == 0
        machine("systemctl start guardian.service guardian-orders.service")
        assert (len(one.restarts), len(two.restarts)) == (1, 1), "each remembers its own"
    assert state(machine, "guardian")["cluster"] == "guardian"
    assert state(machine, "guardian-orders")["cluster"] == "guardian-orders"


def test_by_hand_with_the_same_state_and_credentials(machine):
    with FakeConnect() as connect:
        settings(machine, "guardian", connect.url, "KAFKA_CONNECT_USER=bob")
        machine("rm -rf /var/lib/private/guardian/*; umask 077; echo secret >/etc/credstore/guardian.password")
        machine("systemctl start guardian.service")
        by_hand = machine(BY_HAND)
        assert "orders-sink" in by_hand.stdout, by_hand
        assert len(connect.restarts) == 1, "the same state"
        machine("systemctl start guardian.service")
        assert len(connect.restarts) == 1, "and the unit can still read what the hand wrote"
        assert machine("guardian-for guardian reset --all", check=False).returncode == 0
        machine("systemctl start guardian.service")
        assert len(connect.restarts) == 2
    assert {h.get("authorization") for h in connect.headers} == {"Basic Ym9iOnNlY3JldA=="}


def test_metrics_as_the_unit_says(machine):
    """By the commands and the lines of its comment; the folder is that of Debian's node_exporter."""
    unit = (DEPLOY / "systemd/guardian.service").read_text()
    comment = unit[unit.index("# Metrics for") : unit.index("# 75:")]
    commands = [line[1:].strip() for line in comment.splitlines() if line.startswith("#   ")]
    lines = [line[1:] for line in comment.splitlines() if line.startswith("#") and line[1].isalpha()]
    assert len(commands) == len(lines) == 2
    machine("install -d -o nobody /var/lib/prometheus/node-exporter; " + "; ".join(commands))
    machine("mkdir -p /etc/systemd/system/guardian.service.d; cat >/etc/systemd/system/guardian.service.d/metrics.conf; systemctl daemon-reload",
            input="\n".join(["[Service]", *lines, ""]))  # fmt: skip
    file = "/var/lib/prometheus/node-exporter/guardian.prom"
    with FakeConnect() as connect:
        settings(machine, "guardian", connect.url, f"GUARDIAN_METRICS_FILE={file}")
        for _ in range(2):
            machine("systemctl start guardian.service")
    journal = machine("journalctl --no-pager -u guardian.service").stdout
    assert "metrics could not" not in journal, journal
    # The exporter is another user.
    text = machine(f"runuser -u nobody -- cat {file}").stdout
    assert 'guardian_last_run_success{connect_cluster="guardian"} 1' in text, text
    machine("rm -r /etc/systemd/system/guardian.service.d; systemctl daemon-reload")


def test_the_deb(machine, tmp_path):
    """Last: it takes the place of what was installed by hand."""
    run("strip", "-o", tmp_path / "guardian", os.environ["GUARDIAN_BIN"])
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    deb, _ = run(DEPLOY / "packages/build", tmp_path / "guardian", architecture, tmp_path).stdout.split()
    machine.copy(deb, "/guardian.deb")
    machine("systemctl disable --now guardian.timer; rm -rf /etc/systemd/system/guardian* /usr/local/bin/* /etc/guardian "
            "/etc/credstore /var/lib/guardian* /var/lib/private/guardian*; systemctl daemon-reload")  # fmt: skip

    def timer():
        asked = ("systemctl is-enabled guardian.timer", "systemctl is-active guardian.timer")
        return tuple(machine(question, check=False).stdout.strip() for question in asked)

    machine("dpkg -i /guardian.deb")
    assert timer() == ("disabled", "inactive")
    with FakeConnect() as connect:
        settings(machine, "guardian", connect.url)
        machine("systemctl enable --now guardian.timer; systemctl start guardian.service")
        assert "orders-sink" in machine("guardian-for guardian status").stdout
        assert len(connect.restarts) == 1
        machine("dpkg -i /guardian.deb")
        assert timer() == ("enabled", "active"), "an upgrade"
        machine("systemctl start guardian.service")
        assert len(connect.restarts) == 1, "it remembers"
        machine("dpkg -r connector-guardian")
        assert timer()[1] == "inactive"
        assert state(machine, "guardian")
        machine("dpkg -P connector-guardian; [ ! -e /var/lib/guardian ] && [ ! -e /var/lib/private/guardian ]")
