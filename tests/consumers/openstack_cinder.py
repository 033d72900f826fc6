"""Hands a bundle's volume bodies to Cinder's own schemas. Apart from Nova: both define the same options.

Argument: the bundle's folder. Prints one JSON object: for each file null, or why Cinder refuses it.
"""

import glob
import json
import logging
import os
import sys

logging.disable(logging.CRITICAL)

from cinder.api.schemas import qos_specs, volume_manage  # noqa: E402
from cinder.api.validation import validators  # noqa: E402

verdict = {}
for pattern, schema in (
    ("volume-manage-*.json", volume_manage.volume_manage_create_v316),
    ("volume-qos-*.json", qos_specs.create),
):
    for path in sorted(glob.glob(os.path.join(sys.argv[1], "api", pattern))):
        try:
            with open(path, encoding="utf-8") as file:
                validators._SchemaValidator(schema).validate(json.load(file))
            verdict[os.path.basename(path)] = None
        except Exception as fault:  # what the schema raises is its answer
            verdict[os.path.basename(path)] = f"{type(fault).__name__}: {fault}"[:2000]
print(json.dumps(verdict))
