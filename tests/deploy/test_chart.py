"""The Helm chart: rendered by real helm 3 and helm 4, held against the Kubernetes schemas and against what it promises."""

import json

import chart_readme
import pytest
import yaml
from conftest import CHART, IMAGE, VERSION, helms, objects, run, workload_env

EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
CI = sorted((CHART / "ci").glob("*.yaml")) + EXAMPLES
KUBERNETES = ["1.25", "1.30", "1.37"]
# Argo CD prunes what Helm keeps (argoproj/argo-cd#17819).
KEPT = {"helm.sh/resource-policy": "keep", "argocd.argoproj.io/sync-options": "Prune=false,Delete=false"}


@pytest.fixture(params=helms(), ids=lambda p: "helm" + p.parts[-3])
def helm(request):
    return request.param


@pytest.fixture
def render(helm):
    def render(*args, values=None, check=True):
        extra = [] if values is None else ["-f", "-"]
        done = run(helm, "template", "connector-guardian", CHART, "-n", "kafka", *extra, *args, check=check, input=values)
        return objects(done.stdout) if check else done

    return render


def refused(render, values, *words):
    done = render(values=values, check=False)
    assert done.returncode != 0, "was accepted"
    for word in words:
        assert word in done.stderr, done.stderr


def job(all_, name="connector-guardian"):
    return all_["CronJob", name]["spec"]["jobTemplate"]["spec"]


def pod(all_, name="connector-guardian"):
    return job(all_, name)["template"]["spec"]


def env(all_, name="connector-guardian"):
    return workload_env(pod(all_, name)["containers"][0])


def test_lint(helm):
    run(helm, "lint", "--strict", CHART)
    for values in CI:
        run(helm, "lint", "--strict", CHART, "-f", values)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """The folder with every feature file rendered; both helms must agree."""
    folder = tmp_path_factory.mktemp("rendered")
    for values in CI:
        texts = [run(h, "template", "connector-guardian", CHART, "-n", "kafka", "-f", values).stdout for h in helms()]
        assert objects(texts[0]) == objects(texts[1]) != {}
        (folder / f"{values.parent.name}-{values.name}").write_text(texts[0])
    return folder


@pytest.mark.parametrize("version", KUBERNETES)
def test_valid_kubernetes(version, rendered):
    run("kubernetes-validate", "-k", version, "--strict", "--quiet", *rendered.iterdir())


def test_yaml_is_clean():
    run("yamllint", "--strict", "-d", "{extends: default, rules: {line-length: disable, document-start: disable, "
        "comments: {min-spaces-from-content: 1}, braces: {max-spaces-inside: 1}}}",
        CHART / "values.yaml", CHART / "Chart.yaml", CHART / "ci", CHART / "examples")  # fmt: skip


def test_hardening(rendered, tmp_path):
    """checkov, less what does not fit a job of seconds. Each exception has its reason."""
    exceptions = {
        "CKV_K8S_8": "no liveness probe: the pod of `helm test` ends by itself",
        "CKV_K8S_9": "no readiness probe: the same",
        "CKV_K8S_11": "no CPU limit on purpose: throttling",
        "CKV_K8S_15": "IfNotPresent: tags of releases do not move",
        "CKV_K8S_35": "extraEnv is the user's",
        "CKV_K8S_38": "the token is how the state is kept; state.type pvc has none",
        "CKV_K8S_43": "image.digest is a value",
        "CKV2_K8S_6": "networkPolicy.enabled is a value",
    }
    for file in rendered.iterdir():
        if not file.stem.endswith("-openshift"):  # OpenShift sets the user, which checkov cannot know
            (tmp_path / file.name).write_text(file.read_text())
    run("checkov", "-d", tmp_path, "--framework", "kubernetes", "--quiet", "--compact", "--skip-download",
        "--skip-check", ",".join(exceptions))  # fmt: skip


# --- what is rendered ---


def test_defaults(render):
    all_ = render()
    assert sorted(kind for kind, _ in all_) == ["ConfigMap", "CronJob", "Pod", "Role", "RoleBinding", "ServiceAccount"]
    cronjob = all_["CronJob", "connector-guardian"]["spec"]
    job_spec = cronjob.pop("jobTemplate")["spec"]
    template = job_spec.pop("template")["spec"]
    assert cronjob == {
        "schedule": "*/5 * * * *",
        "suspend": False,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 200,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 3,
    }
    assert job_spec == {
        "activeDeadlineSeconds": 240,
        "backoffLimit": 0,
        "ttlSecondsAfterFinished": 1800,
        "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]},
    }
    (container,) = template.pop("containers")
    assert template == {
        "restartPolicy": "Never",
        "serviceAccountName": "connector-guardian",
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    assert container == {
        "name": "guardian",
        "image": f"{IMAGE}:{VERSION}",
        "imagePullPolicy": "IfNotPresent",
        "args": ["run", "--once"],
        "env": [
            {"name": "GUARDIAN_CLUSTER", "value": "connector-guardian"},
            {"name": "GUARDIAN_STATE", "value": "configmap:connector-guardian-state"},
            {"name": "GUARDIAN_DEADLINE", "value": "210s"},
            {"name": "MAX_RESTART", "value": "7"},
            {"name": "EXPONENTIAL_RATIO", "value": "2"},
            {"name": "GUARDIAN_KEEP_TRYING", "value": "36"},
            {"name": "ENABLE_BACKOFF", "value": "1"},
            {"name": "LOG_LEVEL", "value": "info"},
            {"name": "KAFKA_CONNECT_URL", "value": "http://kafka-connect:8083"},
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def test_state_config_map_is_empty_and_outlives_the_release(render):
    state = render()["ConfigMap", "connector-guardian-state"]
    assert "data" not in state, "an upgrade would write it over what guardian remembers"
    assert state["metadata"]["annotations"] == KEPT


def test_the_role_allows_two_verbs_on_one_name(render):
    all_ = render()
    assert all_["Role", "connector-guardian"]["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["connector-guardian-state"], "verbs": ["get", "update"]}
    ]
    binding = all_["RoleBinding", "connector-guardian"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "connector-guardian", "namespace": "kafka"}]
    assert all_["ServiceAccount", "connector-guardian"]["automountServiceAccountToken"] is False


def test_zero_and_false_are_rendered(render):
    all_ = render("-f", CHART / "ci/zeros.yaml")
    cronjob = all_["CronJob", "connector-guardian"]["spec"]
    assert cronjob["successfulJobsHistoryLimit"] == 0
    assert cronjob["failedJobsHistoryLimit"] == 0
    assert cronjob["suspend"] is True
    assert job(all_)["backoffLimit"] == 0
    assert job(all_)["ttlSecondsAfterFinished"] == 0
    assert "startingDeadlineSeconds" not in cronjob
    assert "podFailurePolicy" not in job(all_)
    assert env(all_)["MAX_RESTART"] == "10000000", "a large number is no float"
    assert env(all_)["ENABLE_BACKOFF"] == "0"
    assert not {"ServiceAccount", "Role", "RoleBinding"} & {kind for kind, _ in all_}
    assert pod(all_)["serviceAccountName"] == "default"


def test_credentials_are_files(render):
    all_ = render("-f", CHART / "ci/credentials.yaml")
    e = env(all_)
    files = {k: v for k, v in e.items() if k.endswith("_FILE")}
    assert files == {
        "KAFKA_CONNECT_USER_FILE": "/etc/guardian/credentials/username",
        "KAFKA_CONNECT_PASS_FILE": "/etc/guardian/credentials/password",
        "KAFKA_CONNECT_CA_FILE": "/etc/guardian/ca/ca.crt",
        "KAFKA_CONNECT_CERT_FILE": "/etc/guardian/client/tls.crt",
        "KAFKA_CONNECT_KEY_FILE": "/etc/guardian/client/tls.key",
    }
    assert "KAFKA_CONNECT_PASS" not in e
    volumes = {v["name"]: v["secret"] for v in pod(all_)["volumes"]}
    assert volumes["credentials"]["secretName"] == "connect-login"
    assert volumes["credentials"]["items"] == [{"key": "user", "path": "username"}, {"key": "pass", "path": "password"}]
    assert volumes["ca"] == {"secretName": "connect-ca", "defaultMode": 0o444, "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    mounts = pod(all_)["containers"][0]["volumeMounts"]
    assert {m["name"]: (m["mountPath"], m["readOnly"]) for m in mounts} == {
        "credentials": ("/etc/guardian/credentials", True),
        "ca": ("/etc/guardian/ca", True),
        "client-cert": ("/etc/guardian/client", True),
    }


def test_a_token_takes_the_place_of_the_password(render):
    all_ = render("-f", CHART / "ci/token.yaml")
    files = {k: v for k, v in env(all_).items() if k.endswith("_FILE")}
    assert files == {"KAFKA_CONNECT_TOKEN_FILE": "/etc/guardian/credentials/token"}
    assert pod(all_)["volumes"][0]["secret"]["items"] == [{"key": "jwt", "path": "token"}]


def test_headers_for_a_gateway_are_a_file(render):
    all_ = render("-f", CHART / "ci/headers.yaml")
    files = {k: v for k, v in env(all_).items() if k.endswith("_FILE")}
    assert files == {"KAFKA_CONNECT_HEADERS_FILE": "/etc/guardian/headers/headers"}
    (volume,) = pod(all_)["volumes"]
    assert volume["secret"] == {"secretName": "connect-gateway", "defaultMode": 0o444, "items": [{"key": "lines", "path": "headers"}]}
    (mount,) = pod(all_)["containers"][0]["volumeMounts"]
    assert mount == {"name": volume["name"], "mountPath": "/etc/guardian/headers", "readOnly": True}


def test_people_are_told_by_what_is_in_a_secret(render):
    all_ = render("-f", CHART / "ci/notify.yaml")
    files = {k: v for k, v in env(all_).items() if k.endswith("_FILE")}
    assert files == {"GUARDIAN_NOTIFY_FILE": "/etc/guardian/notify/notify", "GUARDIAN_HEARTBEAT_URL_FILE": "/etc/guardian/heartbeat/url"}
    notify, heartbeat = (volume["secret"] for volume in pod(all_)["volumes"])
    assert notify == {"secretName": "guardian-notify", "defaultMode": 0o444, "items": [{"key": "notify", "path": "notify"}]}
    assert heartbeat == {"secretName": "guardian-heartbeat", "defaultMode": 0o444, "items": [{"key": "orders", "path": "url"}]}
    assert {mount["readOnly"] for mount in pod(all_)["containers"][0]["volumeMounts"]} == {True}
    egress = all_["NetworkPolicy", "connector-guardian"]["spec"]["egress"]
    assert egress[-1] == {"ports": [{"port": 443, "protocol": "TCP"}, {"port": 9093, "protocol": "TCP"}]}
    assert len(egress) == 4
    all_ = render(values="clusters: [{name: a, notify: {existingSecret: team-a}}, {name: b}]")
    assert "GUARDIAN_NOTIFY_FILE" in env(all_, "connector-guardian-a")
    assert "GUARDIAN_NOTIFY_FILE" not in env(all_, "connector-guardian-b")


def test_a_volume_needs_no_api_server(render):
    all_ = render("-f", CHART / "ci/pvc.yaml")
    assert "Role" not in {kind for kind, _ in all_}
    assert pod(all_)["automountServiceAccountToken"] is False
    assert pod(all_)["securityContext"]["fsGroup"] == 65532
    assert env(all_)["GUARDIAN_STATE"] == "/var/lib/guardian/connector-guardian.json"
    claim = all_["PersistentVolumeClaim", "connector-guardian-state"]
    assert claim["metadata"]["annotations"] == KEPT
    assert claim["spec"] == {"accessModes": ["ReadWriteOncePod"], "storageClassName": "standard", "resources": {"requests": {"storage": "64Mi"}}}
    assert pod(all_)["volumes"] == [{"name": "state", "persistentVolumeClaim": {"claimName": "connector-guardian-state"}}]


def test_one_claim_a_file_for_each_cluster(render):
    all_ = render("-f", CHART / "ci/existing-claim.yaml")
    assert "PersistentVolumeClaim" not in {kind for kind, _ in all_}
    names = ["connector-guardian-orders", "connector-guardian-billing"]
    assert [env(all_, n)["GUARDIAN_STATE"] for n in names] == [f"/var/lib/guardian/{n}.json" for n in names]
    assert all(pod(all_, n)["volumes"][0]["persistentVolumeClaim"]["claimName"] == "shared" for n in names)


def test_clusters_share_nothing(render):
    all_ = render("-f", CHART / "ci/clusters.yaml")
    names = ["orders", "billing", "public"]
    full = [f"connector-guardian-{n}" for n in names]
    assert [k[1] for k in all_ if k[0] == "CronJob"] == full
    assert sorted(k[1] for k in all_ if k[0] == "ConfigMap") == sorted(f"{n}-state" for n in full)
    assert [env(all_, n)["GUARDIAN_CLUSTER"] for n in full] == names
    assert [env(all_, n)["GUARDIAN_STATE"] for n in full] == [f"configmap:{n}-state" for n in full]
    assert all_["Role", "connector-guardian"]["rules"][0]["resourceNames"] == [f"{n}-state" for n in full]
    assert sorted(k[1] for k in all_ if k[0] == "Pod") == sorted(f"{n}-test" for n in full)


def test_a_cluster_overrides_key_by_key_also_with_nothing(render):
    all_ = render("-f", CHART / "ci/clusters.yaml")
    orders, billing, public = (f"connector-guardian-{n}" for n in ("orders", "billing", "public"))
    assert [all_["CronJob", n]["spec"]["suspend"] for n in (orders, billing, public)] == [False, True, True]
    assert [all_["CronJob", n]["spec"]["schedule"] for n in (orders, billing)] == ["*/5 * * * *", "*/10 * * * *"]
    assert pod(all_, billing)["containers"][0]["args"] == ["run", "--once"]
    assert pod(all_, orders)["containers"][0]["args"] == ["run", "--once", "--fail-on", "gave-up"]
    assert "KAFKA_CONNECT_PASS_FILE" in env(all_, orders)
    assert "KAFKA_CONNECT_PASS_FILE" not in env(all_, public), '"" takes the Secret away'
    assert env(all_, billing)["MAX_RESTART"] == "unlimited"
    assert env(all_, billing)["ENABLE_BACKOFF"] == "0"
    assert env(all_, billing)["EXPONENTIAL_RATIO"] == "2"


@pytest.mark.parametrize(
    "args, assigned",
    [
        ([], False),
        (["--api-versions", "security.openshift.io/v1"], True),
        (["--api-versions", "security.openshift.io/v1", "--set", "openshift=false"], False),
        (["--set", "openshift=true"], True),
        (["--set-string", "openshift=true"], True),
    ],
)
def test_openshift_assigns_the_user_itself(render, args, assigned):
    context = pod(render("--set", "state.type=pvc", *args))["securityContext"]
    assert (not {"runAsUser", "runAsGroup", "fsGroup"} & set(context)) is assigned
    assert context["runAsNonRoot"] is True and context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_everything_about_the_pod_can_be_said(render):
    all_ = render("-f", CHART / "ci/scheduling.yaml")
    p = pod(all_, "guardian")
    assert env(all_, "guardian")["GUARDIAN_CLUSTER"] == "007", "a name of digits stays a string"
    assert env(all_, "guardian")["GUARDIAN_STATE"] == "configmap:guardian-memory"
    assert ("ConfigMap", "guardian-memory") not in all_
    assert all_["Role", "guardian"]["rules"][0]["resourceNames"] == ["guardian-memory"]
    assert p["containers"][0]["image"] == "registry.example/kafka/guardian@sha256:" + "0123456789abcdef" * 4
    assert all_["CronJob", "guardian"]["spec"]["timeZone"] == "Europe/Berlin"
    assert job(all_, "guardian")["ttlSecondsAfterFinished"] == 3600
    assert p["serviceAccountName"] == "guardian-bot"
    assert p["nodeSelector"] and p["tolerations"] and p["affinity"]["nodeAffinity"]
    assert (p["priorityClassName"], p["imagePullSecrets"]) == ("low", [{"name": "registry"}])
    meta = job(all_, "guardian")["template"]["metadata"]
    assert meta["annotations"] == {"sidecar.istio.io/inject": "false"}
    assert meta["labels"]["tier"] == "batch"
    assert all(o["metadata"]["labels"]["team"] for o in all_.values())
    assert all_["CronJob", "guardian"]["metadata"]["annotations"] == {"example.com/owner": "streaming"}


def test_environment_of_an_existing_config_map(render):
    all_ = render("-f", CHART / "ci/environment.yaml")
    container = pod(all_)["containers"][0]
    assert container["envFrom"] == [{"configMapRef": {"name": "guardian-configs"}}]
    assert "KAFKA_CONNECT_URL" not in env(all_), "it would beat KAFKA_CONNECT_HOST of the ConfigMap"
    assert env(all_)["GUARDIAN_STUCK_AFTER"] == "6"
    assert container["args"] == ["run", "--once", "--fail-on", "gave-up"]


def test_network_policy(render):
    all_ = render("-f", CHART / "ci/network-policy.yaml")
    policy = all_["NetworkPolicy", "connector-guardian"]["spec"]
    assert policy["ingress"] == [] and policy["policyTypes"] == ["Ingress", "Egress"]
    labels = job(all_)["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    dns, connect, api, push = policy["egress"]
    assert [p["port"] for p in connect["ports"]] == [8083, 8443] and connect["to"]
    assert api == {"ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.96.0.1/32"}}]}
    assert push["ports"][0]["port"] == 9091
    assert ("NetworkPolicy", "connector-guardian") not in render()


def test_helm_test_is_the_same_pod_that_only_looks(render):
    all_ = render("-f", CHART / "ci/credentials.yaml")
    test = all_["Pod", "connector-guardian-test"]
    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    spec = dict(test["spec"])
    assert spec.pop("activeDeadlineSeconds") == 60
    run_spec = pod(all_)
    assert spec["containers"][0].pop("args") == ["status"]
    assert run_spec["containers"][0].pop("args") == ["run", "--once"]
    assert spec == run_spec


def test_restricted_pod_security(render):
    for values in CI:
        all_ = render("-f", values)
        specs = [(o["spec"], values.stem) for (kind, _), o in all_.items() if kind == "Pod"]
        specs += [(pod(all_, name), values.stem) for kind, name in all_ if kind == "CronJob"]
        for spec, name in specs:
            assert spec["securityContext"]["runAsNonRoot"] is True, name
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
            assert spec["enableServiceLinks"] is False, name
            context = spec["containers"][0]["securityContext"]
            assert context["allowPrivilegeEscalation"] is False and context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name


# --- the usual set-ups ---


def test_every_example_is_in_the_readme():
    text = (CHART / "README.md").read_text()
    assert [e.stem for e in EXAMPLES] == ["basic-tls", "clusters", "gitops", "mtls", "openshift", "plain"]
    for example in EXAMPLES:
        assert f"(examples/{example.name})" in text, example.name


def test_examples_do_what_they_say(render):
    def files(example):
        all_ = render("-f", CHART / f"examples/{example}.yaml")
        return {k.removeprefix("KAFKA_CONNECT_") for k in env(all_) if k.endswith("_FILE")}

    assert files("plain") == set()
    assert files("basic-tls") == {"USER_FILE", "PASS_FILE", "CA_FILE"}
    assert files("mtls") == {"CERT_FILE", "KEY_FILE", "CA_FILE"}
    openshift = render("-f", CHART / "examples/openshift.yaml")
    assert "runAsUser" not in pod(openshift)["securityContext"]
    assert openshift["NetworkPolicy", "connector-guardian"]["spec"]["egress"][1]["to"]
    clusters = render("-f", CHART / "examples/clusters.yaml")
    names = [name for kind, name in clusters if kind == "CronJob"]
    assert names == [f"connector-guardian-{n}" for n in ("orders", "billing", "archive")]
    assert len({clusters["CronJob", n]["spec"]["schedule"] for n in names}) == 3
    assert ["PASS_FILE" in str(env(clusters, n)) for n in names] == [True, True, False]


def test_gitops_renders_the_same_everywhere_and_holds_no_state(render):
    args = ["-f", CHART / "examples/gitops.yaml"]
    all_ = render(*args)
    assert all_ == render(*args, "--api-versions", "security.openshift.io/v1")
    assert not {"ConfigMap", "PersistentVolumeClaim"} & {kind for kind, _ in all_}
    assert env(all_)["GUARDIAN_STATE"] == "configmap:connector-guardian-state"
    assert all_["Role", "connector-guardian"]["rules"][0]["resourceNames"] == ["connector-guardian-state"]


# --- what is refused ---


@pytest.mark.parametrize(
    "values, words",
    [
        ("shcedule: x", ["shcedule"]),
        ("connect: {ulr: http://x}", ["ulr"]),
        ("clusters: [{name: a, config: {maxRestarts: 3}}]", ["maxRestarts"]),
        ("gaurdianSpec: {replicas: 1}", ["gaurdianSpec"]),
        ("config: {maxRestart: 0}", ["maxRestart"]),
        ("config: {maxRestart: never}", ["maxRestart"]),
        ("config: {exponentialRatio: 1.5}", ["exponentialRatio"]),
        ("config: {enableBackoff: 'no'}", ["enableBackoff"]),
        ("connect: {url: 'http://user:secret@connect:8083'}", ["url"]),
        ("connect: {url: 'connect:8083'}", ["url"]),
        ("schedule: 'TZ=UTC */5 * * * *'", ["schedule"]),
        ("startingDeadlineSeconds: 5", ["startingDeadlineSeconds"]),
        ("state: {type: emptyDir}", ["type"]),
        ("image: {digest: latest}", ["digest"]),
        ("openshift: maybe", ["openshift"]),
        ("clusters: [{}]", ["name"]),
        ("clusters: [{name: Orders}]", ["name"]),
        ("config: {deadlineSeconds: 240}", ["config.deadlineSeconds (240) must be less than activeDeadlineSeconds (240)"]),
        ("clusters: [{name: a}, {name: a}]", ["two entries of clusters have the same name"]),
        ("clusters: [{name: " + "a" * 60 + "}]", ["Kubernetes allows 52"]),
        ("{clusters: [{name: a}], clusterName: b}", ["clusterName cannot be used with clusters"]),
        ("{clusters: [{name: a}], state: {configMap: {name: b}}}", ["state.configMap.name cannot be used with clusters"]),
        ("connect: {tokenKey: jwt}", ["set that too"]),
    ],
)
def test_wrong_values_are_refused_with_a_word(render, values, words):
    refused(render, values, *words)


def test_global_values_of_a_parent_chart_are_not_refused(render):
    assert render(values="global: {imageRegistry: x}")


def test_schema_knows_every_value_and_no_other():
    def keys(schema, definitions):
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
        if "properties" not in schema:
            return None
        assert schema["additionalProperties"] is False
        return {k: keys(v, definitions) for k, v in schema["properties"].items()}

    def same(schema, values, path=""):
        for key, inner in schema.items():
            assert key in values, f"{path}{key} is in the schema, not in values.yaml"
            if inner is not None:
                same(inner, values[key], f"{path}{key}.")
        assert not set(values) - set(schema), f"in values.yaml, not in the schema: {path}{set(values) - set(schema)}"

    schema = json.loads((CHART / "values.schema.json").read_text())
    known = keys(schema, schema["definitions"])
    del known["global"]
    same(known, yaml.safe_load((CHART / "values.yaml").read_text()))


def test_readme_is_made_from_the_values():
    assert chart_readme.current() == chart_readme.wanted(), "run python3 tests/deploy/chart_readme.py (it needs PyYAML)"


def test_versions_agree():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == VERSION
    readme = (CHART / "README.md").read_text()
    assert f"oci://ghcr.io/anvaari/charts/{chart['name']} --version {chart['version']} " in readme


def test_what_artifact_hub_shows():
    """Its own words: artifacthub.io/docs/topics/annotations/helm. It refuses a chart for one wrong annotation."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    told = {key.removeprefix("artifacthub.io/"): value for key, value in chart["annotations"].items()}
    assert all(key.startswith("artifacthub.io/") and isinstance(value, str) for key, value in chart["annotations"].items())
    assert set(told) == {"category", "license", "images", "links", "changes"}
    assert told["category"] == "streaming-messaging"
    (image,) = yaml.safe_load(told["images"])
    assert image == {"name": "connector-guardian", "image": f"{IMAGE}:{VERSION}", "platforms": ["linux/amd64", "linux/arm64"]}
    assert all(set(link) == {"name", "url"} for link in yaml.safe_load(told["links"]))
    kinds = {"added", "changed", "deprecated", "removed", "fixed", "security"}
    changes = yaml.safe_load(told["changes"])
    assert changes and all(set(c) == {"kind", "description"} and c["kind"] in kinds for c in changes)


def test_package(helm, tmp_path):
    run(helm, "package", CHART, "-d", tmp_path)
    (package,) = tmp_path.iterdir()
    names = {name.split("/", 1)[1] for name in run("tar", "-tzf", package).stdout.split()}
    assert names >= {"README.md", "values.schema.json", "templates/cronjob.yaml", "templates/tests/status.yaml"}
    assert {f"examples/{e.name}" for e in EXAMPLES} <= names
    assert not [name for name in names if name.startswith("ci/")], "the tests' own files"


def test_both_generations_of_helm_were_used():
    versions = sorted(run(h, "version", "--short").stdout.split("+")[0] for h in helms())
    assert versions == ["v3.17.3", "v4.3.1"]
