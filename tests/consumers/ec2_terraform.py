"""Plans the import of the instance with Terraform's AWS provider, against a server that gives the rendered answers.

Arguments: the folder with the answers, an empty folder to work in, the folder that Terraform takes providers from, and
what the configuration says in JSON (the arguments of `aws_instance`). Prints in JSON how the plan ended, what it wrote,
and which actions the provider asked for.
"""

import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.parse
import xml.etree.ElementTree as ElementTree

api, work, plugins, wanted = sys.argv[1:5]
asked = []
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
ElementTree.register_namespace("", NAMESPACE)
# What may be asked of each action, and the element of an item that it is asked of.
ASKED_OF = {
    "DescribeInstances": {"InstanceId": "instancesSet/item/instanceId"},
    "DescribeInstanceTypes": {"InstanceType": "instanceType"},
    "DescribeInstanceCreditSpecifications": {"InstanceId": "instanceId"},
    "DescribeTags": {"key": "key", "resource-id": "resourceId"},
    "DescribeVolumes": {"VolumeId": "volumeId"},
    "DescribeVpcs": {"VpcId": "vpcId"},
}


def choose(action, form, body):
    """The answer with those items alone that were asked for; a question not known here is a fault, not an answer."""
    answer = ElementTree.fromstring(body)
    wanted = {}
    for name, (value, *_) in form.items():
        first, _, rest = name.partition(".")
        if first == "Filter" and rest.endswith(".Name"):
            number = rest.partition(".")[0]
            values = [form[other][0] for other in form if other.startswith(f"Filter.{number}.Value.")]
            wanted[value] = values
        elif first in ("Action", "Version", "Filter", "MaxResults", "Attribute") or action.startswith(
            "DescribeInstanceAttribute"
        ):
            continue
        else:
            wanted.setdefault(first, []).append(value)
    for name, values in wanted.items():
        path = "/".join(f"{{{NAMESPACE}}}{part}" for part in ASKED_OF[action][name].split("/"))
        for items in answer:
            for item in list(items):
                if item.findtext(path) not in values:
                    items.remove(item)
    return ElementTree.tostring(answer)


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        name = form["Action"][0]
        if "Attribute" in form:
            name += "." + form["Attribute"][0]
        asked.append(name)
        path = os.path.join(api, f"{name}.xml")
        if os.path.isfile(path):
            with open(path, "rb") as file:
                status, body = 200, choose(form["Action"][0], form, file.read())
        else:
            status, body = 400, (
                b"<Response><Errors><Error><Code>InvalidAction</Code><Message>" + name.encode()
                + b"</Message></Error></Errors><RequestID>0</RequestID></Response>"
            )
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Backlog(http.server.ThreadingHTTPServer):
    # The provider opens a connection for each question, several at once.
    request_queue_size = 128
    daemon_threads = True


server = Backlog(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
with open(os.path.join(api, "DescribeInstances.json"), encoding="utf-8") as file:
    instance = json.load(file)["Reservations"][0]["Instances"][0]
configuration = {
    "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}},
    "provider": {
        "aws": {
            "region": instance["Placement"]["AvailabilityZone"][:-1],
            # Nobody looks at them here.
            "access_key": "none", "secret_key": "none",
            "skip_credentials_validation": True, "skip_requesting_account_id": True,
            "skip_metadata_api_check": True, "skip_region_validation": True,
            "max_retries": 5,
            "endpoints": [{"ec2": url}],
        }
    },
    "import": [{"to": "aws_instance.vm", "id": instance["InstanceId"]}],
    "resource": {"aws_instance": {"vm": json.loads(wanted)}},
}
with open(os.path.join(work, "main.tf.json"), "w", encoding="utf-8") as file:
    json.dump(configuration, file)
with open(os.path.join(work, "rc"), "w", encoding="utf-8") as file:
    file.write(f'disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{\n    path = "{plugins}"\n  }}\n}}\n')
environment = {
    "PATH": os.environ["PATH"], "HOME": work, "TF_CLI_CONFIG_FILE": os.path.join(work, "rc"), "TF_IN_AUTOMATION": "1",
}


def terraform(*words):
    return subprocess.run(["terraform", *words], cwd=work, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)


started = terraform("init", "-no-color", "-input=false")
if started.returncode:
    sys.exit(started.stdout)
plan = terraform("plan", "-no-color", "-input=false", "-lock=false")
print(json.dumps({"code": plan.returncode, "said": plan.stdout, "asked": asked}))
