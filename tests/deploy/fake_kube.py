"""As much of a Kubernetes API server as helm, kubectl and guardian's ConfigMap store ask for: objects with resource
versions and conflicts, discovery, and nothing that runs them. What a real one does with them is not tested here.
A Job gets a pod that is still being made when its log is first asked for; the log is the pod's specification."""

import base64
import copy
import http.server
import json
import re
import ssl
import threading
import urllib.parse

import yaml

GROUPS = {
    "v1": {"configmaps": "ConfigMap", "secrets": "Secret", "serviceaccounts": "ServiceAccount", "pods": "Pod",
           "persistentvolumeclaims": "PersistentVolumeClaim", "namespaces": "Namespace"},
    "batch/v1": {"cronjobs": "CronJob", "jobs": "Job"},
    "rbac.authorization.k8s.io/v1": {"roles": "Role", "rolebindings": "RoleBinding"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
}  # fmt: skip
LOG = re.compile(r"/api/v1/namespaces/([^/]+)/pods/([^/]+)/log$")
OBJECT = re.compile(r"/(?:api/(v1)|apis/([^/]+/v1))/(?:namespaces/([^/]+)/)?([a-z]+)(?:/([^/]+))?$")


def fields(data):
    """(number, bytes or int) of a protobuf message."""

    def varint(at):
        value = shift = 0
        while True:
            byte = data[at]
            value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
            if byte < 0x80:
                return value, at

    at = 0
    while at < len(data):
        tag, at = varint(at)
        value, at = varint(at)
        if tag & 7 == 2:
            value, at = data[at : at + value], at + value
        yield tag >> 3, value


def parsed(data, content_type):
    """A body. Helm sends its own Secrets as protobuf whatever the server says: name, labels, data and type are read."""
    if "protobuf" not in content_type:
        return yaml.safe_load(data)

    def pair(entry):
        entry = dict(fields(entry))
        return entry.get(1, b"").decode(), entry.get(2, b"")

    message = dict(fields(data[4:]))[2]  # "k8s\0", then the envelope's field `raw`
    meta = list(fields(dict(fields(message))[1]))
    return {
        "metadata": {"name": dict(meta)[1].decode(), "labels": {k: v.decode() for k, v in (pair(v) for n, v in meta if n == 11)}},
        "data": {k: base64.b64encode(v).decode() for k, v in (pair(v) for n, v in fields(message) if n == 2)},
        "type": dict(fields(message)).get(3, b"").decode(),
    }


class Refused(Exception):
    def __init__(self, code, reason):
        self.code, self.reason = code, reason


def merge(old, new):
    """A merge patch; also good enough for the other kinds of patches on objects this small."""
    if not isinstance(new, dict) or not isinstance(old, dict):
        return copy.deepcopy(new)
    merged = dict(old)
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


class FakeKube:
    """`objects` maps (kind, namespace, name) to an object; `requests` collects what was asked."""

    def __init__(self, certificate, token="secret-token"):
        self.objects, self.requests, self.token = {}, [], token
        self.version = 100
        self.lock = threading.Lock()
        kube = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, code, body):
                data = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do(self):
                length = int(self.headers.get("Content-Length") or 0)
                content_type = self.headers.get("Content-Type", "")
                data = self.rfile.read(length)
                body = parsed(data, content_type) if data and self.command != "DELETE" else None
                path, _, query = self.path.partition("?")
                try:
                    with kube.lock:
                        kube.requests.append(f"{self.command} {path}")
                        if self.headers.get("Authorization") != f"Bearer {kube.token}":
                            raise Refused(401, "Unauthorized")
                        self.answer(*kube.serve(self.command, path, dict(urllib.parse.parse_qsl(query)), body, content_type))
                except Refused as no:
                    self.answer(no.code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": no.reason,
                                          "code": no.code, "message": f"{no.reason}: {self.command} {path}"})  # fmt: skip

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def names(self, kind):
        return sorted(name for k, _, name in self.objects if k == kind)

    def put(self, obj, namespace):
        self.version += 1
        obj["metadata"] |= {"resourceVersion": str(self.version), "namespace": namespace}
        obj["metadata"].setdefault("uid", f"uid-{self.version}")
        self.objects[obj["kind"], namespace, obj["metadata"]["name"]] = obj
        return obj

    def serve(self, method, path, query, body, content_type):
        if found := self.discovery(path):
            return 200, found
        if log := LOG.match(path):
            pod = self.objects["Pod", log[1], log[2]]
            if pod["status"]["phase"] == "Pending":
                pod["status"]["phase"] = "Succeeded"
                raise Refused(400, "BadRequest")
            return 200, pod["spec"]
        match = OBJECT.match(path)
        group = match and (match[1] or match[2])
        if not match or match[4] not in GROUPS.get(group, {}):
            raise Refused(404, "NotFound")
        namespace, kind, name = match[3], GROUPS[group][match[4]], match[5]
        key = (kind, namespace, name)
        if method == "GET" and not name:
            wanted = [pair.split("=", 1) for pair in query.get("labelSelector", "").split(",") if pair]
            items = [o for (k, ns, _), o in self.objects.items() if k == kind and ns == namespace
                     and all(o["metadata"].get("labels", {}).get(label) == value for label, value in wanted)]  # fmt: skip
            return 200, {"kind": f"{kind}List", "apiVersion": group, "metadata": {"resourceVersion": "1"}, "items": items}
        if method == "POST":
            if (kind, namespace, body["metadata"]["name"]) in self.objects:
                raise Refused(409, "AlreadyExists")
            if kind == "Job":
                labels = {"batch.kubernetes.io/job-name": body["metadata"]["name"]}
                body["spec"]["selector"] = {"matchLabels": labels}
                self.put({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": body["metadata"]["name"], "labels": labels},
                          "spec": body["spec"]["template"]["spec"], "status": {"phase": "Pending"}}, namespace)  # fmt: skip
            return 201, self.put({"apiVersion": group, "kind": kind} | body, namespace)
        if method == "PATCH" and "apply" in content_type and key not in self.objects:
            return 201, self.put(body, namespace)
        if key not in self.objects:
            raise Refused(404, "NotFound")
        if method == "DELETE":
            return 200, self.objects.pop(key)
        if method == "PUT":
            sent = body["metadata"].get("resourceVersion")
            if sent and sent != self.objects[key]["metadata"]["resourceVersion"]:
                raise Refused(409, "Conflict")
            return 200, self.put({"apiVersion": group, "kind": kind} | body, namespace)
        if method == "PATCH":
            return 200, self.put(merge(self.objects[key], body), namespace)
        return 200, self.objects[key]

    def discovery(self, path):
        path = path.rstrip("/")
        if path == "/version":
            return {"major": "1", "minor": "37", "gitVersion": "v1.37.1"}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        groups = [g for g in GROUPS if "/" in g]
        if path == "/apis":
            versions = [{"groupVersion": g, "version": "v1"} for g in groups]
            return {"kind": "APIGroupList", "apiVersion": "v1",
                    "groups": [{"name": v["groupVersion"].split("/")[0], "versions": [v], "preferredVersion": v} for v in versions]}  # fmt: skip
        if path == "/openapi/v3":
            return {"paths": {p: {"serverRelativeURL": f"/openapi/v3/{p}"} for p in map(self.prefix, GROUPS)}}
        for group, kinds in GROUPS.items():
            if path == f"/{self.prefix(group)}":
                return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": [
                    {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": kind != "Namespace",
                     "verbs": ["create", "delete", "get", "list", "patch", "update"]} for plural, kind in kinds.items()]}  # fmt: skip
            if path == f"/openapi/v3/{self.prefix(group)}":
                # Only this much: that the server itself checks the fields, so that kubectl does not want to.
                name, _, version = group.rpartition("/")
                parameters = [{"name": "fieldValidation", "in": "query"}, {"name": "dryRun", "in": "query"}]
                return {"openapi": "3.0.0", "info": {"title": "fake", "version": "1"}, "paths": {
                    f"/{self.prefix(group)}/namespaces/{{namespace}}/{plural}/{{name}}": {"patch": {
                        "parameters": parameters, "responses": {},
                        "x-kubernetes-group-version-kind": {"group": name, "kind": kind, "version": version}}}
                    for plural, kind in kinds.items()}}  # fmt: skip
        return None

    @staticmethod
    def prefix(group):
        return f"apis/{group}" if "/" in group else f"api/{group}"

    def kubeconfig(self, ca, path, namespace="kafka"):
        """For helm and kubectl."""
        path.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": f"https://localhost:{self.port}", "certificate-authority": str(ca)}}],
            "users": [{"name": "fake", "user": {"token": self.token}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": namespace}}],
        }))  # fmt: skip
        return path
