"""Sends an importUnmanagedInstance request with the `cs` client to a server on the loopback, and holds it against the API.

Arguments: the request, the VM as CloudStack's agent lists it, and optionally the parameters of the API. Prints in JSON
the query that arrived, flat, and what is wrong with it.
"""

import http.server
import json
import sys
import threading
import urllib.parse
import uuid

from cs import CloudStack

with open(sys.argv[1]) as file:
    request = json.load(file)
with open(sys.argv[2]) as file:
    listed = json.load(file)["listunmanagedinstancesresponse"]["unmanagedinstance"][0]
api = None
if len(sys.argv) > 3:
    with open(sys.argv[3]) as file:
        api = json.load(file)["importUnmanagedInstance"]["params"]

arrived = {}


class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        query = urllib.parse.urlsplit(self.path).query
        arrived.update(urllib.parse.parse_qsl(query, keep_blank_values=True))
        body = json.dumps({"importunmanagedinstanceresponse": {"jobid": str(uuid.UUID(int=1))}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Echo)
threading.Thread(target=server.serve_forever, daemon=True).start()
endpoint = f"http://127.0.0.1:{server.server_port}/client/api"
parameters = dict(request)
command = parameters.pop("command")
answer = getattr(CloudStack(endpoint=endpoint, key="nobody", secret="nothing"), command)(**parameters)
server.shutdown()
assert "jobid" in answer, answer

# What the client adds of its own.
query = {
    key: value
    for key, value in arrived.items()
    if key not in ("apiKey", "signature", "response", "expires", "signatureVersion")
}


def is_uuid(text):
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


problems = []
if api:
    known = {parameter["name"]: parameter for parameter in api}
    for name in request:
        if name != "command" and name not in known:
            problems.append(f"{name}: no such parameter")
    for name, parameter in known.items():
        value = request.get(name)
        if value is None:
            if parameter["required"]:
                problems.append(f"{name}: missing")
        elif parameter["type"] == "uuid" and not is_uuid(value):
            problems.append(f"{name}: no UUID")
        elif parameter["type"] == "boolean" and not isinstance(value, bool):
            problems.append(f"{name}: no boolean")
        elif parameter["type"] == "map":
            wanted = parameter.get("keys")
            for item in value:
                if wanted and sorted(item) != sorted(wanted):
                    problems.append(f"{name}: {sorted(item)} is not {sorted(wanted)}")
                for key in ("network", "diskOffering"):
                    if key in item and not is_uuid(item[key]):
                        problems.append(f"{name}.{key}: no UUID")
            if not wanted and len(value) > 1:
                problems.append(f"{name}: only the first entry is read")
# As the server counts: each disk it lists has an offering, but for one, the root disk.
offered = [item["disk"] for item in request.get("datadiskofferinglist", [])]
ids = [disk["id"] for disk in listed["disk"]]
if len(offered) != len(ids) - 1 or not set(offered) < set(ids):
    problems.append(f"datadiskofferinglist: offerings for {offered} of {ids}")
nics = [nic["id"] for nic in listed["nic"]]
if [item["nic"] for item in request.get("nicnetworklist", [])] != nics:
    problems.append("nicnetworklist: not every interface has a network")
print(json.dumps({"query": query, "problems": problems}))
