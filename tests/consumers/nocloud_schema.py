"""Checks a network-config against cloud-init's own JSON schema of version 2; exits 1 with what is wrong.

Arguments: the schema, and the network-config.
"""

import json
import sys

import jsonschema
import yaml

schema, config = sys.argv[1:3]
with open(schema, encoding="utf-8") as file:
    validator = jsonschema.Draft4Validator(json.load(file))
with open(config, encoding="utf-8") as file:
    wrong = list(validator.iter_errors(yaml.safe_load(file)))
for error in wrong:
    for cause in error.context or [error]:
        print(f"{list(cause.absolute_path)}: {cause.message}", file=sys.stderr)
sys.exit(bool(wrong))
