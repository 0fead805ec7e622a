"""Receives our notices as a customer would, and checks them with the reference library of Standard Webhooks.

Real ones pass; changed, replayed and foreign ones do not. What was received is left for the library of npm in a file.
"""

import base64
import http.server
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request

from standardwebhooks import Webhook, WebhookVerificationError

server, key, out = sys.argv[1:4]
received, answers = [], []


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        status, more = answers.pop(0) if answers else (200, {})
        received.append({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body,
                         "status": status, "at": time.monotonic()})
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


def ask(method, path, body=None, content="application/json", headers=None):
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": content, **(headers or {})}
    request = urllib.request.Request(server + path, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            text = reply.read()
            return json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()}")


def until(what, so, patience=60):
    begun = time.monotonic()
    while not so():
        if time.monotonic() - begun > patience:
            raise SystemExit(f"it never came to be that {what}; received {received}")
        time.sleep(0.05)


def refuses(webhook, body, headers, why):
    try:
        webhook.verify(body, headers)
    except WebhookVerificationError:
        return
    raise SystemExit(f"{why} passed")


def of_type(kind, path=None):
    return [r for r in received if json.loads(r["body"])["type"] == kind and path in (None, r["path"])]


listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=listener.serve_forever, daemon=True).start()
hook = f"http://127.0.0.1:{listener.server_port}"

# An endpoint for everything, one for what names it alone, one that signs with a pair.
main = ask("POST", "/v1/endpoints", {"url": hook + "/main"})
named = ask("POST", "/v1/endpoints", {"url": hook + "/named", "all": False, "types": ["batch.completed"]})
pair = ask("POST", "/v1/endpoints", {"url": hook + "/pair", "signing": "ed25519", "types": ["batch.completed"]})
secret = main["secrets"][0]["value"]
assert secret.startswith("whsec_") and pair["secrets"][0]["value"].startswith("whpk_")
assert "secrets" not in ask("GET", "/v1/endpoints/" + main["id"])

# A batch of two good lines and a bad one; one that fails; one that nobody names.
trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
lines = [{"custom_id": "a", "vendor": "replicate", "prompt": "calm", "duration_s": 4}, {"custom_id": "bad"},
         {"custom_id": "b", "vendor": "replicate", "prompt": "loud", "duration_s": 4}]
uploaded = ask("POST", f"/v1/batches?name=told&notify={named['id']}", "\n".join(map(json.dumps, lines)).encode(),
               "application/jsonl", {"x-request-id": "upload-1", "traceparent": trace})
assert (uploaded["created"], uploaded["refused"]) == (2, 1), uploaded
canceled = ask("POST", "/v1/jobs", {"vendor": "senseaudio", "lyrics": "[verse] la", "style": "pop"},
               headers={"x-request-id": "order-17", "traceparent": trace})
ask("POST", f"/v1/jobs/{canceled['id']}/cancel")
until("all are told", lambda: len(of_type("job.completed")) == 2 and len(of_type("batch.completed")) == 3
      and len(of_type("job.canceled")) == 1)
time.sleep(1)
assert len(of_type("batch.completed", "/main")) == 1 and len(of_type("batch.completed", "/named")) == 1
assert not of_type("job.completed", "/named"), "it is told of batches alone"
batch = json.loads(of_type("batch.completed", "/main")[0]["body"])["data"]
assert batch["batch"]["counts"] == {"completed": 2} and batch["batch"]["refused"] == 1 and batch["sequence"] == 1, batch
for one in of_type("job.completed"):
    job = json.loads(one["body"])["data"]["job"]
    assert job["state"] == "completed" and job["assets"][0]["sha256"], job
    assert (job["request_id"], job["traceparent"]) == ("upload-1", trace), job
single = json.loads(of_type("job.canceled")[0]["body"])["data"]["job"]
assert (single["request_id"], single["traceparent"]) == ("order-17", trace), single
assert max(len(one["body"]) for one in received) < 20_000

# The reference library takes what we sent, and nothing else.
one = of_type("job.completed", "/main")[0]
webhook, headers = Webhook(secret), one["headers"]
assert webhook.verify(one["body"], headers)["type"] == "job.completed"
refuses(webhook, one["body"].replace("completed", "Completed"), headers, "a changed body")
refuses(webhook, one["body"], {**headers, "webhook-id": "msg_other"}, "another id")
late = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 600)}
refuses(webhook, one["body"], late, "a replayed notice with its time")
foreign = Webhook("whsec_" + base64.b64encode(os.urandom(32)).decode())
refuses(foreign, one["body"], headers, "a notice of another's secret")
refuses(webhook, one["body"], {k: v for k, v in headers.items() if k != "webhook-signature"}, "an unsigned notice")

# Both secrets are in force for a while after one is replaced.
both = ask("POST", f"/v1/endpoints/{main['id']}/rotate", {"grace_s": 3600})
assert len(both["secrets"]) == 2 and both["secrets"][1]["value"] == secret
ask("POST", f"/v1/endpoints/{main['id']}/test")
until("the test is told", lambda: of_type("notice.test"))
test = of_type("notice.test")[0]
for value in both["secrets"]:
    Webhook(value["value"]).verify(test["body"], test["headers"])
assert len(test["headers"]["webhook-signature"].split(" ")) == 2

# A failure is tried again under the same id; a redirect is one; Retry-After is heeded.
answers[:] = [(302, {"location": hook + "/elsewhere"}), (200, {})]
before = len(received)
notice = ask("POST", f"/v1/endpoints/{main['id']}/test")
until("it is tried again", lambda: len(received) == before + 2)
again = received[before:]
assert [r["path"] for r in again] == ["/main", "/main"] and len({r["headers"]["webhook-id"] for r in again}) == 1
shown = {}


def delivered():
    shown.update(ask("GET", "/v1/notices/" + notice["id"]))
    return shown["state"] == "delivered"


until("it is delivered", delivered)
assert [t.get("status") for t in shown["tries"]] == [302, 200], shown
answers[:] = [(503, {"retry-after": "2"}), (200, {})]
before = len(received)
ask("POST", f"/v1/endpoints/{main['id']}/test")
until("it is tried when it was told to", lambda: len(received) == before + 2)
waited = received[-1]["at"] - received[-2]["at"]
assert waited >= 2, f"asked to wait 2 s, it came after {waited:.1f}"
# A notice that was taken can be sent again.
before = len(received)
ask("POST", f"/v1/notices/{notice['id']}/replay")
until("it is sent again", lambda: len(received) == before + 1)
assert received[-1]["headers"]["webhook-id"] == notice["id"]

# 410 switches an endpoint off, and the others are told.
answers[:] = [(410, {})]
ask("POST", f"/v1/endpoints/{named['id']}/test")
until("it is off", lambda: not ask("GET", "/v1/endpoints/" + named["id"])["enabled"])
until("its owner is told", lambda: of_type("endpoint.disabled", "/main"))

with open(out, "w") as file:
    json.dump({"secret": secret, "received": [one, test]}, file)
print(f"webhooks: {len(received)} notices received; the library of PyPI takes ours and refuses changed, replayed and foreign ones")
