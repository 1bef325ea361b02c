"""A Kafka Connect that answers what guardian asks, in this process. Not a model of Connect: that is elsewhere in tests/."""

import contextlib
import http.server
import json
import ssl
import threading


class FakeConnect:
    """`connectors` maps a name to its tasks' states; `restarts` collects the paths of the restarts that came."""

    def __init__(self, connectors=None, tls=None, delay=0):
        self.connectors = connectors if connectors is not None else {"orders-sink": ["RUNNING", "FAILED"]}
        self.restarts = []
        self.requests = []
        self.headers = []
        self.delay = delay
        # Called with every restart.
        self.heals = lambda: None
        self.asked = threading.Event()
        self._quit = threading.Event()
        connect = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, code, body=None):
                # Without blanks, as Connect writes it.
                data = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self):
                connect.requests.append(self.path)
                connect.headers.append({k.lower(): v for k, v in self.headers.items()})
                connect.asked.set()
                connect._quit.wait(connect.delay)
                if self.path.split("?")[0].rstrip("/") == "":
                    return self.answer(200, {"version": "3.9.0", "commit": "0", "kafka_cluster_id": "x"})
                if self.path.split("?")[0] == "/connectors":
                    return self.answer(200, {name: {"status": connect.status(name)} for name in connect.connectors})
                name = self.path.removeprefix("/connectors/").removesuffix("/status")
                if name in connect.connectors:
                    return self.answer(200, connect.status(name))
                self.answer(404, {"error_code": 404, "message": "not here"})

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                connect.restarts.append(self.path)
                connect.heals()
                if "includeTasks" not in self.path:
                    return self.answer(204)
                status = connect.status(self.path.split("/")[2])
                for task in status["tasks"]:
                    task["state"] = "RESTARTING" if task["state"] == "FAILED" else task["state"]
                self.answer(202, status)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # a client that hangs up is part of the tests
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"

    def status(self, name):
        tasks = []
        for number, state in enumerate(self.connectors[name]):
            task = {"id": number, "state": state, "worker_id": "10.0.0.7:8083"}
            if state == "FAILED":
                task["trace"] = "org.apache.kafka.connect.errors.ConnectException: stop\nCaused by: java.net.ConnectException: refused\n"
            tasks.append(task)
        return {"name": name, "connector": {"state": "RUNNING", "worker_id": "10.0.0.7:8083"}, "tasks": tasks, "type": "sink"}

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._quit.set()
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def no_connect():
    """An address where nothing listens."""
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        yield f"http://localhost:{s.getsockname()[1]}"
