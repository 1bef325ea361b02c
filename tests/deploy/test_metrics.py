"""Rules, dashboard and metrics, against the real promtool, Prometheus, node_exporter and Pushgateway: an outage is played to the
real program, and what it writes goes the way that it goes at a user's. Every daemon listens where the system lets it, and is
ended here."""

import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
import yaml
from conftest import CACHE, CHART, DEPLOY, TOP, helms, objects, run, workload_env
from fake_connect import FakeConnect, no_connect

RULES = DEPLOY / "prometheus"
DASHBOARD = json.loads((DEPLOY / "grafana/guardian.json").read_text())
# So long may pass until a daemon is there, or until Prometheus has seen a run. A machine may be busy.
PATIENCE = 60


def tool(name):
    found = CACHE / "prometheus/usr/bin" / name
    if not found.exists():
        pytest.fail(f"{name} could not be had from Debian's packages: the metrics, the rules and the dashboard are not checked", pytrace=False)
    return found


# --- one copy ---


def test_the_chart_has_the_only_copies():
    linked = {RULES / "guardian.rules.yaml", RULES / "guardian.cronjob.rules.yaml", DEPLOY / "grafana/guardian.json"}
    for path in linked:
        assert path.is_symlink() and path.resolve().parent == CHART / "files", path


# --- rules ---


def test_rules():
    files = [RULES / "guardian.rules.yaml", RULES / "guardian.cronjob.rules.yaml"]
    run(tool("promtool"), "check", "rules", *files)
    run(tool("promtool"), "test", "rules", RULES / "guardian.rules.test.yaml")
    tested = set(re.findall(r"alertname: (\w+), exp_alerts: \[\{", (RULES / "guardian.rules.test.yaml").read_text()))
    assert tested == {r["alert"] for f in files for g in yaml.safe_load(f.read_text())["groups"] for r in g["rules"]}


MUTATIONS = [
    ("last_over_time(guardian_last_run_timestamp_seconds[1d])) > 900\n        for", "guardian_last_run_timestamp_seconds) > 900\n        for"),
    ("last_over_time(guardian_last_run_timestamp_seconds[1d])) > 900\n        for", "last_over_time(guardian_last_run_timestamp_seconds[3d])) > 900\n        for"),
    ("> 900\n        for", "> 300\n        for"),
    ("> 900\n        for", "> 9000\n        for"),
    ("max_over_time(guardian_last_run_success[15m])", "guardian_last_run_success"),
    ("max_over_time(guardian_last_run_success[15m])", "max_over_time(guardian_last_run_success[1h])"),
    ("            unless on (connect_cluster)\n          time() - max by (connect_cluster) (last_over_time(guardian_last_run_timestamp_seconds[1d])) > 900\n", ""),
    ("max by (connect_cluster, connector) (guardian_connector_gave_up)", "guardian_connector_gave_up"),
    ("(guardian_connector_gave_up) > 0\n", "(guardian_connector_gave_up) > 0\n        for: 15m\n"),
    ("guardian retry", "guardian reset"),
    ("> 0.2 *", "> 0.4 *"),
    ("> 0.2 *", "> 0.01 *"),
    (">= 5\n", ">= 1\n"),
    ("for: 10m", "for: 1m"),
    ("for: 10m", "for: 30m"),
    ("no_tasks|in_transition", "no_tasks|in_transition|waiting"),
    ("no_tasks|in_transition", "in_transition"),
    ("for: 30m", "for: 5m"),
    ("> 20\n", "> 200\n"),
    ("            and\n          sum by (connect_cluster) (increase(guardian_restarts_total[6h]))\n            > 4 * sum by (connect_cluster) (increase(guardian_recovery_seconds_count[6h]))\n", ""),
    ("> 4 * sum", "> 400 + sum"),
    ("min_over_time(guardian_notifications_pending[30m])", "guardian_notifications_pending"),
    ("              or on (namespace, cronjob)\n            kube_cronjob_created{cronjob=~\".*connector-guardian.*\"}\n", ""),
    ("            and on (namespace, cronjob)\n          max by (namespace, cronjob) (kube_cronjob_spec_suspend) == 0\n", ""),
    ("{cronjob=~\".*connector-guardian.*\"}\n          )", "\n          )"),
    ("> 1800", "> 5400"),
]  # fmt: skip


@pytest.mark.parametrize("old, new", MUTATIONS, ids=lambda text: " ".join(text.split())[:40])
def test_a_rule_that_is_changed_fails_a_test(old, new, tmp_path):
    changed = 0
    for path in RULES.iterdir():
        text = path.read_text()
        if path.is_symlink():
            changed += old in text
            text = text.replace(old, new, 1)
        (tmp_path / path.name).write_text(text)
    assert changed == 1
    run(tool("promtool"), "check", "rules", *(tmp_path / p.name for p in RULES.iterdir() if p.is_symlink()))
    assert run(tool("promtool"), "test", "rules", tmp_path / "guardian.rules.test.yaml", check=False).returncode != 0


# --- dashboard ---


def test_dashboard_is_valid(tmp_path):
    """By Grafana's own types, in Go: the dashboard's only validator that can be had without Grafana."""
    if not shutil.which("go"):
        pytest.skip("no Go here: the dashboard was not validated against Grafana's types")
    checker, folder = tmp_path / "check", TOP / "tests/deploy/dashboard"
    if run("go", "mod", "download", cwd=folder, check=False).returncode != 0:
        pytest.skip("no Go module proxy here: the dashboard was not validated against Grafana's types")
    run("go", "build", "-mod=readonly", "-o", checker, ".", cwd=folder)
    run(checker, DEPLOY / "grafana/guardian.json")
    # It can say no.
    wrong = (DEPLOY / "grafana/guardian.json").read_text()
    for old, new in ('"showHeader"', '"showHaeder"'), ('"schemaVersion": 39', '"schemaVersion": "39"'), ('"wideLayout": true,', ""):
        assert old in wrong
        (tmp_path / "wrong.json").write_text(wrong.replace(old, new, 1))
        assert run(checker, tmp_path / "wrong.json", check=False).returncode == 1, old


def panels():
    return [(panel, target) for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_dashboard_can_be_imported_anywhere():
    assert DASHBOARD["uid"] == "connector-guardian" and "id" not in DASHBOARD and "__inputs" not in DASHBOARD
    assert [v["name"] for v in DASHBOARD["templating"]["list"]] == ["datasource", "connect_cluster"]
    ours = {"type": "prometheus", "uid": "${datasource}"}
    for panel, target in panels():
        assert panel["datasource"] == target["datasource"] == ours
        assert panel["description"] and (panel["type"] == "table" or panel["fieldConfig"]["defaults"].get("unit") or panel["type"] == "state-timeline")
        for metric in re.findall(r"guardian_\w+(?:\{[^}]*)?", target["expr"]):
            assert 'connect_cluster=~"$connect_cluster"' in metric, target["expr"]
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells


# --- metrics ---


@pytest.fixture
def runs(guardian, tmp_path):
    """Runs guardian against a Connect, with a state of its own."""
    environment = {
        "PATH": os.environ["PATH"], "GUARDIAN_CLUSTER": "orders", "GUARDIAN_STATE": str(tmp_path / "state.json"), "LOG_LEVEL": "warn",
        "GUARDIAN_SETTLE": "1ms", "GUARDIAN_WATCH": "300ms", "GUARDIAN_GROUP_FROM": "off", "MAX_RESTART": "2", "EXPONENTIAL_RATIO": "1",
        "GUARDIAN_TIMEOUT": "2s",
    }  # fmt: skip

    def runs(url, *arguments, code=0, **more):
        done = run(guardian, *(arguments or ["run", "--once"]), env=environment | {"KAFKA_CONNECT_URL": url} | more, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        assert "metrics could not" not in done.stderr, done.stderr
        return done.stdout

    return runs


def test_metrics_are_clean(runs, tmp_path):
    """What promtool finds fault with, node_exporter and Prometheus may still take; a reader stumbles over it."""
    file = tmp_path / "guardian.prom"
    broken = {'sink "quoted"': ["FAILED", "RUNNING"], "naïve\\sink": ["FAILED", "RUNNING"], "no-tasks": [], "日本": ["UNASSIGNED"]}
    with FakeConnect({"orders-sink": ["RUNNING"]}) as healthy, FakeConnect(broken) as connect, no_connect() as nobody:
        for url, code, holds in (
            (nobody, 1, "guardian_last_run_success{connect_cluster=\"orders\"} 0"),
            (healthy.url, 0, 'guardian_tasks{connect_cluster="orders",state="running"} 1'),
            (connect.url, 0, 'guardian_connector_attempts{connect_cluster="orders",connector="sink \\"quoted\\""} 1'),
            (nobody, 1, 'guardian_connector_attempts{connect_cluster="orders",connector="naïve\\\\sink"} 1'),
        ):  # fmt: skip
            runs(url, code=code, GUARDIAN_METRICS_FILE=str(file))
            text = file.read_text()
            assert holds in text.splitlines(), text
            done = run(tool("promtool"), "check", "metrics", input=text)
            assert done.stdout + done.stderr == "", text


# --- the whole way ---


def listens_at(process):
    """The port that the system has let it listen at."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        proc = pathlib.Path(f"/proc/{process.pid}")
        with contextlib.suppress(OSError):
            ours = {os.readlink(fd) for fd in proc.joinpath("fd").iterdir()}
            for line in proc.joinpath("net/tcp").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in ours:
                    return int(fields[1].split(":")[1], 16)
        time.sleep(0.05)
    return None


@contextlib.contextmanager
def daemon(name, folder, *arguments):
    with open(folder / f"{name}.log", "w+") as log:
        process = subprocess.Popen([tool(name), "--web.listen-address=127.0.0.1:0", *arguments], stdout=log, stderr=log, cwd=folder)
        try:
            port = listens_at(process)
            assert port, f"{name} does not listen:\n{(folder / f'{name}.log').read_text()[-3000:]}"
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def is_ready(address):
    """It listens before it answers."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(f"http://{address}/-/ready", timeout=20):
            return True
        time.sleep(0.05)
    return False


def get(address, path, **query):
    url = f"http://{address}{path}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        pytest.fail(f"{url}: {error.code} {error.read().decode()}", pytrace=False)


class Prometheus:
    def __init__(self, address):
        self.address = address
        self.since = time.time()

    def now(self, expression):
        return json.loads(get(self.address, "/api/v1/query", query=expression))["data"]["result"]

    def range(self, expression):
        query = {"query": expression, "start": self.since, "end": time.time(), "step": 0.5}
        return json.loads(get(self.address, "/api/v1/query_range", **query))["data"]["result"]

    def value(self, expression):
        found = self.now(expression)
        return float(found[0]["value"][1]) if found else None

    def until(self, what, expression, is_so):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if is_so(self.value(expression)):
                return
            time.sleep(0.1)
        pytest.fail(f"{what}: {expression} is {self.value(expression)}", pytrace=False)


@contextlib.contextmanager
def way(kind, folder):
    """The settings that send guardian's metrics this way, and the Prometheus at its end."""
    if kind == "node_exporter":
        options = ["--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={folder}"]
        exporter = daemon("prometheus-node-exporter", folder, *options)
    else:
        exporter = daemon("prometheus-pushgateway", folder)
    with exporter as address:
        # As at a user's, but for the pace.
        scrape = {"job_name": kind, "honor_labels": kind == "pushgateway", "static_configs": [{"targets": [address], "labels": {"cluster": "k8s-prod"}}]}
        config = {
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
            "rule_files": [str(RULES / "guardian.rules.yaml")],
            "scrape_configs": [scrape],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        options = [f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/tsdb", "--log.level=warn"]
        with daemon("prometheus", folder, *options) as prometheus:
            assert is_ready(prometheus)
            settings = (
                {"GUARDIAN_METRICS_FILE": str(folder / "guardian.prom")} if kind == "node_exporter" else {"GUARDIAN_PUSHGATEWAY_URL": f"http://{address}"}
            )
            yield settings, address, Prometheus(prometheus)


def answers(prometheus):
    """What every query of the dashboard is answered, by panel."""
    for panel, target in panels():
        expression = target["expr"].replace("$connect_cluster", ".*")
        yield panel["title"], expression, (prometheus.now if target["instant"] else prometheus.range)(expression)


@pytest.mark.parametrize("kind", ["node_exporter", "pushgateway"])
def test_an_outage_is_seen_at_the_end_of_the_way(kind, runs, tmp_path):
    folder = tmp_path / "way"
    folder.mkdir()
    states = {"orders-sink": ["RUNNING"] * 3, "audit-source": ["RUNNING"] * 2, "users-source": ["RUNNING"] * 2}
    with FakeConnect(states) as connect, no_connect() as nobody, way(kind, folder) as (settings, address, prometheus):

        # Whoever is told is at the same place, and takes everything.
        settings["GUARDIAN_NOTIFY"] = f"webhook bus {connect.url}/hook"

        def guardian(url=connect.url, *arguments, code=0):
            before = prometheus.value("guardian_last_run_timestamp_seconds") or 0
            runs(url, *arguments, code=code, **settings)
            if not arguments:
                prometheus.until("the run is seen", "guardian_last_run_timestamp_seconds", lambda at: at and at > before)

        gave_up = 'ALERTS{alertname="GuardianGaveUp",alertstate="firing",connector="audit-source"}'
        guardian()
        assert prometheus.value('guardian_failures_total{kind="task"}') == 0, "zero first"
        # Two connectors fail. One comes back with its first restart, one with none.
        states["orders-sink"] = ["FAILED", "FAILED", "RUNNING"]
        states["audit-source"] = ["FAILED", "RUNNING"]
        guardian()
        states["orders-sink"] = ["RUNNING"] * 3
        guardian()
        assert prometheus.value('guardian_recovery_seconds_count{kind="task"}') == 2
        guardian()
        assert prometheus.value('guardian_instances{action="gave_up"}') == 1
        prometheus.until("the alert fires", gave_up, lambda firing: firing == 1)
        # The label of Prometheus for its own cluster stays what it is.
        assert {(a["metric"]["connect_cluster"], a["metric"].get("cluster")) for a in prometheus.now("guardian_tasks")} == {("orders", "k8s-prod")}

        # Connect goes away: what was given up stays so.
        guardian(nobody, code=1)
        assert prometheus.value("guardian_last_run_success") == 0
        assert prometheus.value("guardian_connector_gave_up") == 1 and prometheus.value(gave_up) == 1
        assert prometheus.value("guardian_last_success_timestamp_seconds") < prometheus.value("guardian_last_run_timestamp_seconds")
        guardian()

        # Two tasks once, in one call; one twice, the second time with its connector before it.
        assert prometheus.value("sum(guardian_restarts_total)") == 4
        assert connect.restarts.count("/connectors/audit-source/tasks/0/restart") == 2
        assert connect.restarts.count("/connectors/orders-sink/restart?includeTasks=true&onlyFailed=true") == 1
        if kind == "node_exporter":
            assert "node_textfile_scrape_error 0" in get(address, "/metrics").splitlines()

        # Every panel, the annotation and the variable have an answer.
        told = {}
        for title, expression, found in answers(prometheus):
            told.setdefault(title, []).append(found)
            assert found, expression
        (annotation,) = DASHBOARD["annotations"]["list"]
        assert prometheus.range(annotation["expr"].replace("$connect_cluster", ".*"))
        named = json.loads(get(prometheus.address, "/api/v1/label/connect_cluster/values", **{"match[]": "guardian_last_run_timestamp_seconds"}))
        assert named["data"] == ["orders"]

        def number(title):
            return float(told[title][0][0]["value"][1])

        assert [number(title) for title in ("Last run worked", "Need a person", "Failed tasks", "Messages waiting")] == [1, 1, 1, 0]
        assert prometheus.value('guardian_notifications_total{sink="bus",result="sent"}') == connect.restarts.count("/hook") > 0
        assert 0 < number("Mean time to recover, 24 h") < 60 and 0 <= number("Since the last run") < 60
        rows = [{row["metric"]["connector"]: float(row["value"][1]) for row in query} for query in told["Failing connectors"]]
        assert rows[0] == {"audit-source": 2} and 0 < rows[1]["audit-source"] < 60 and rows[2] == {"audit-source": 1}
        assert {series["metric"]["state"] for series in told["Tasks not running, by state"][0]} == {"failed"}
        show(told)

        # A person mends it and does what the alert says.
        (alert,) = [a for a in json.loads(get(prometheus.address, "/api/v1/alerts"))["data"]["alerts"] if a["labels"]["alertname"] == "GuardianGaveUp"]
        command = alert["annotations"]["description"].split("then: guardian ")[1].split()
        assert command == ["retry", "audit-source"]
        connect.heals = lambda: states.update({"audit-source": ["RUNNING", "RUNNING"]})
        guardian(connect.url, *command)
        guardian()
        prometheus.until("the alert is resolved", gave_up, lambda firing: firing is None)
        assert prometheus.value('guardian_recovery_seconds_count{kind="task"}') == 3


def show(told):
    """For a person: pytest -s."""
    print()
    for title, queries in told.items():
        for found in queries:
            for series in found or [{"metric": {}, "value": [0, "(no answer)"]}]:
                labels = " ".join(v for k, v in sorted(series["metric"].items()) if k not in ("__name__", "connect_cluster"))
                last = series.get("value") or series["values"][-1]
                print(f"{title:42} {labels:28} {last[1]}")


def test_any_name_of_a_cluster_reaches_the_pushgateway(runs, tmp_path):
    with FakeConnect({"orders-sink": ["RUNNING"]}) as connect, daemon("prometheus-pushgateway", tmp_path) as address:
        for name in "orders", "eu/orders", "..", "prod (ü)":
            state = str(tmp_path / f"{base64.urlsafe_b64encode(name.encode()).decode()}.json")
            runs(connect.url, GUARDIAN_CLUSTER=name, GUARDIAN_STATE=state, GUARDIAN_PUSHGATEWAY_URL=f"http://{address}/")
        groups = json.loads(get(address, "/api/v1/metrics"))["data"]
        assert {group["labels"]["connect_cluster"] for group in groups} == {"orders", "eu/orders", "..", "prod (ü)"}
        assert all(group["last_push_successful"] for group in groups)


# --- chart ---


@pytest.fixture(params=helms(), ids=lambda p: "helm" + p.parts[-3])
def render(request, tmp_path):
    """From the package, as it is installed."""
    run(request.param, "package", CHART, "-d", tmp_path)
    (package,) = tmp_path.glob("connector-guardian-*.tgz")

    def render(check=True, **values):
        done = run(request.param, "template", "connector-guardian", package, "-n", "kafka", "-f", "-", input=yaml.safe_dump(values), check=check)
        return objects(done.stdout) if check else done.stderr

    return render


@pytest.mark.parametrize("rules, files", [("all", ["rules", "cronjob.rules"]), ("metrics", ["rules"]), ("cronjob", ["cronjob.rules"])])
def test_chart_has_the_rules(render, rules, files, tmp_path):
    rule = render(prometheusRule={"enabled": True, "labels": {"release": "kps"}, "namespace": "monitoring", "rules": rules})["PrometheusRule", "connector-guardian"]
    assert rule["apiVersion"] == "monitoring.coreos.com/v1" and rule["metadata"]["namespace"] == "monitoring"
    assert rule["metadata"]["labels"]["release"] == "kps" and rule["metadata"]["labels"]["app.kubernetes.io/name"] == "connector-guardian"
    groups = [group for file in files for group in yaml.safe_load((RULES / f"guardian.{file}.yaml").read_text())["groups"]]
    assert rule["spec"] == {"groups": groups}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    run(tool("promtool"), "check", "rules", tmp_path / "rules.yaml")


def test_chart_has_the_dashboard(render):
    config = render(dashboard={"enabled": True, "annotations": {"grafana_folder": "Kafka"}})["ConfigMap", "connector-guardian-dashboard"]
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1" and config["metadata"]["annotations"] == {"grafana_folder": "Kafka"}
    assert json.loads(config["data"]["guardian.json"]) == DASHBOARD


def test_chart_pushes(render):
    def pod(all_):
        return all_["CronJob", "connector-guardian"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]

    def metrics(all_):
        return {name: value for name, value in workload_env(pod(all_)["containers"][0]).items() if "PUSHGATEWAY" in name}

    def egress(all_):
        return [port["port"] for rule in all_["NetworkPolicy", "connector-guardian"]["spec"]["egress"] for port in rule["ports"]]

    none = render(networkPolicy={"enabled": True})
    assert metrics(none) == {} and not {"PrometheusRule"} & {kind for kind, _ in none} and ("ConfigMap", "connector-guardian-dashboard") not in none
    for url, port in ("http://pushgateway:9091", 9091), ("https://push.example/base", 443), ("http://push.example", 80):
        all_ = render(metrics={"pushgateway": {"url": url}}, networkPolicy={"enabled": True})
        assert metrics(all_) == {"GUARDIAN_PUSHGATEWAY_URL": url}
        assert [p for p in egress(all_) if p not in egress(none)] == [port] or port == 443
    all_ = render(metrics={"pushgateway": {"existingSecret": "push", "urlKey": "address"}})
    assert metrics(all_) == {"GUARDIAN_PUSHGATEWAY_URL_FILE": "/etc/guardian/pushgateway/url"}
    (volume,) = pod(all_)["volumes"]
    assert volume == {"name": "pushgateway", "secret": {"secretName": "push", "defaultMode": 0o444, "items": [{"key": "address", "path": "url"}]}}
    for wrong in {"url": "http://u:p@push"}, {"url": "push:9091"}, {"url": "http://push", "existingSecret": "push"}:
        assert "pushgateway" in render(check=False, metrics={"pushgateway": wrong})
